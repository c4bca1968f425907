"""The dashboard's page in a real Chromium, on a fake alerter."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, Response, expect

from pegel.dashboard.app import build
from pegel.runtime.settings import Settings
from support.dashboards import FakeAlerter, FakePainter, bad_night, costs, incident, served

pytestmark = pytest.mark.browser
POLL_MS = 15_000
"""Three polls."""

PHONE, DESKTOP = (360, 780), (1280, 900)


@dataclass
class Watched:
    """A page, and all that a person would see in the browser's console."""

    page: Page
    alerter: FakeAlerter
    url: str
    complaints: list[str] = field(default_factory=list)
    polls: list[int] = field(default_factory=list)

    async def visit(self, path: str = "/", size: tuple[int, int] = DESKTOP) -> None:
        await self.page.set_viewport_size({"width": size[0], "height": size[1]})
        await self.page.goto(self.url + path)
        await self.page.wait_for_load_state("networkidle")

    async def polled(self, status: int) -> None:
        """Wait for the next answer to the fragment, and want this status."""
        async with self.page.expect_response(lambda answer: "/fragments/" in answer.url, timeout=POLL_MS) as answer:
            pass
        assert (await answer.value).status == status


async def watch(page: Page, alerter: FakeAlerter, url: str) -> Watched:
    watched = Watched(page, alerter, url)

    def noted(answer: Response) -> None:
        if answer.status >= 400:
            watched.complaints.append(f"{answer.status} {answer.url}")
        if "/fragments/" in answer.url:
            watched.polls.append(answer.status)

    page.on("console", lambda message: watched.complaints.append(message.text))
    page.on("pageerror", lambda error: watched.complaints.append(str(error)))
    page.on("response", noted)
    return watched


@pytest.fixture
async def watched(browser_page: Page) -> AsyncIterator[Watched]:
    alerter = bad_night()
    async with served(build(Settings(), alerter=alerter, painter=FakePainter()).app) as url:
        yield await watch(browser_page, alerter, url)


async def test_nothing_is_complained_of_and_axe_finds_nothing(browser_page: Page) -> None:
    async with served(build(Settings(), alerter=bad_night()).app) as url:  # drawn by the real painter
        watched = await watch(browser_page, bad_night(), url)
        for size, width in (PHONE, 320), (DESKTOP, 500):
            for scheme in ("light", "dark"):
                await browser_page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
                await watched.visit(size=size)
                await browser_page.wait_for_function(
                    f"document.getElementById('pareto').currentSrc.includes('theme={scheme}')"
                    f" && document.getElementById('pareto').naturalWidth > {width - 60}"
                )
                for summary in await browser_page.locator("summary").all():
                    await summary.click()
                await sound(watched, size)


@pytest.mark.parametrize("state", ["empty", "away", "stale", "long", "sign-in"])
async def test_every_state_of_the_page_is_accessible_and_fits(watched: Watched, state: str) -> None:
    alerter = watched.alerter
    if state == "empty":
        alerter.items, alerter.cost_list, alerter.as_of = [], None, None
    elif state == "away":
        alerter.fault = "no connection"
    elif state == "stale":
        alerter.stale = True
    elif state == "long":
        word = "a-very-long-topic-that-nobody-would-have-chosen-but-somebody-did"
        alerter.items = [
            incident(f"long-{n}", country="GB", topic=word, team=word, observed=1_234_567, cost="99999999.99")
            for n in range(3)
        ]
        alerter.cost_list = costs([(word, f"{n}-{word}"[:64], 1_234_567, "99999999.99") for n in range(30)])
    for size in (PHONE, DESKTOP):
        await watched.visit("/sign-in" if state == "sign-in" else "/", size)
        await sound(watched, size)


async def sound(watched: Watched, size: tuple[int, int]) -> None:
    """Nothing scrolls to the side, axe finds nothing at all, and the console is empty."""
    wider = await watched.page.evaluate(
        "[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1)"
        ".map(e => e.outerHTML.slice(0, 80))"
    )
    assert await watched.page.evaluate("document.documentElement.scrollWidth") <= size[0], wider
    found = await Axe().run(watched.page)
    assert found.response["violations"] == [], found.generate_report()
    assert watched.complaints == []


async def test_acknowledging_by_a_click(watched: Watched) -> None:
    await watched.visit(size=PHONE)
    await watched.page.get_by_role("button", name="Acknowledge Cash machines, Spain").click()
    await expect(watched.page.get_by_role("heading", level=1)).to_contain_text("none waiting")
    assert watched.page.url.endswith("/?period=24h#incident-inc-atm-es")
    assert watched.alerter.changes == [("inc-atm-es", "acknowledge", "by hand", None)]
    assert watched.complaints == []


async def test_what_is_typed_outlives_a_changed_page(watched: Watched) -> None:
    await watched.visit()
    page = watched.page
    await page.get_by_text("Resolve Cash machines, Spain").click()
    reason = page.locator("#reason-inc-atm-es")
    await reason.fill("machines are")
    await reason.focus()
    watched.alerter.items[0] = incident(observed=999)
    await expect(page.locator("#incident-inc-atm-es .gauge")).to_contain_text("999", timeout=POLL_MS)
    await expect(reason).to_be_visible()
    await expect(reason).to_be_focused()
    await page.keyboard.type(" back")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).not_to_contain_text("Cash machines")
    assert watched.alerter.changes == [("inc-atm-es", "resolve", "machines are back", None)]


async def test_the_page_follows_without_loading_again(watched: Watched) -> None:
    await watched.visit()
    page = watched.page
    await page.evaluate("window.same = document.getElementById('board')")
    await watched.polled(304)
    assert await page.evaluate("window.same === document.getElementById('board')"), "304 must change nothing"
    watched.alerter.items.append(incident("new", country="PL", topic="fees", team="pricing"))
    await expect(page.get_by_role("heading", level=1)).to_contain_text("2 incidents open", timeout=POLL_MS)
    assert await page.evaluate("window.same !== undefined"), "the page was loaded again"
    await expect(page).to_have_title("(2) Cash machines, Spain · Pegel")
    await expect(page.get_by_role("status")).to_contain_text("2 incidents open")
    await watched.polled(304)
    assert watched.complaints == []


async def test_an_alerter_that_goes_away_and_comes_back(watched: Watched) -> None:
    await watched.visit()
    watched.alerter.fault = "no connection"
    banner = watched.page.get_by_text("The alerter can't be reached")
    await expect(banner).to_be_visible(timeout=POLL_MS)
    await expect(watched.page.get_by_text("Cash machines, Spain").first).to_be_visible()
    watched.alerter.fault = None
    await expect(banner).to_be_hidden(timeout=POLL_MS)


async def test_a_dashboard_that_goes_away_is_noticed(browser_page: Page) -> None:
    async with served(build(Settings(), alerter=bad_night(), painter=FakePainter()).app) as url:
        await browser_page.goto(url)
        lost = browser_page.get_by_text("The dashboard does not answer this browser")
        await expect(lost).to_be_hidden()
    await expect(lost).to_be_visible(timeout=POLL_MS)


async def test_the_page_works_without_javascript(watched: Watched) -> None:
    page = watched.page
    session = await page.context.new_cdp_session(page)
    await session.send("Emulation.setScriptExecutionDisabled", {"value": True})
    await watched.visit(size=PHONE)
    assert await page.locator("meta[http-equiv=refresh]").count() == 1
    await expect(page.get_by_role("heading", level=1)).to_have_text(
        "1 incident open: Cash machines, Spain. 1 more acknowledged."
    )
    await expect(page.get_by_role("table")).to_contain_text("cash-withdrawals")
    await page.get_by_role("button", name="Acknowledge").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("none waiting")
    await page.get_by_text("Resolve Cash machines, Spain").click()
    await page.locator("#reason-inc-atm-es").fill("back")
    await page.get_by_role("button", name="Resolve it").click()
    await expect(page.get_by_role("heading", level=1)).not_to_contain_text("Cash machines")
    assert [change[1:3] for change in watched.alerter.changes] == [("acknowledge", "by hand"), ("resolve", "back")]
    await page.get_by_role("link", name="last 7 days").click()
    assert page.url.endswith("period=7d")


async def test_the_keyboard_reaches_everything(watched: Watched) -> None:
    await watched.visit()
    names = []
    for _ in range(8):
        await watched.page.keyboard.press("Tab")
        names.append(await watched.page.evaluate("document.activeElement.textContent.trim().split(/\\s+/)[0]"))
    assert names == ["Skip", "Pegel", "Acknowledge", "Resolve", "History", "Resolve", "History", "last"]
