"""The back-test's report in a real Chromium, from a file, as somebody opens it who got it by mail."""

from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page

from support.backtests import three_pages

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("size", [(360, 780), (1280, 900)])
async def test_axe_finds_nothing_and_nothing_scrolls_to_the_side(
    browser_page: Page, tmp_path: Path, size: tuple[int, int]
) -> None:
    (tmp_path / "report.html").write_text(three_pages("calls.csv"), "utf-8")
    complaints: list[str] = []
    asked: list[str] = []
    browser_page.on("console", lambda message: complaints.append(message.text))
    browser_page.on("request", lambda request: asked.append(request.url))
    await browser_page.set_viewport_size({"width": size[0], "height": size[1]})
    for scheme in ("light", "dark"):
        await browser_page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        await browser_page.goto((tmp_path / "report.html").as_uri())
        for summary in await browser_page.locator("summary").all():
            await summary.click()
        assert await browser_page.evaluate("document.documentElement.scrollWidth") <= size[0]
        found = await Axe().run(browser_page)
        assert found.response["violations"] == [], found.generate_report()
    assert complaints == []
    assert {url.partition(":")[0] for url in asked} == {"file"}
