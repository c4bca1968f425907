"""`make pictures`: every picture in docs/pictures/, made from the running product and its simulated bank.

Starts `pegel run` on ports and data of its own, waits until the incident of the cash machines in Spain has a cost,
and photographs the dashboard with Chromium. Takes up to ten minutes, nearly all of it waiting for things to happen.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from playwright.sync_api import Browser, expect, sync_playwright

from support import servers
from support.wait import until_sync

PICTURES: Final = servers.ROOT / "docs/pictures"
SERVICES: Final = ("dashboard", "ingest", "detector", "alerter")
READY_SECONDS: Final = 120.0
PAGE_SECONDS: Final = 300.0
CAUSES: Final = 10
CAUSES_SECONDS: Final = 400.0
"""A Pareto is to have this many causes, if they come within this time."""


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """`pegel run` in a folder of its own; yields the dashboard's address. Its lines go to this terminal."""
    first = servers.free_port(len(SERVICES))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PEGEL_")}
    environment["PEGEL_DATA_DIR"] = str(folder)
    for number, service in enumerate(SERVICES):
        environment[f"PEGEL_{service.upper()}_PORT"] = str(first + number)
    process = subprocess.Popen([sys.executable, "-m", "pegel", "run"], env=environment, cwd=folder)
    url = f"http://127.0.0.1:{first}"
    try:

        def ready() -> bool:
            assert process.poll() is None, "pegel run has ended"
            return servers.answers(f"{url}/readyz")

        until_sync(ready, READY_SECONDS)
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def photograph(
    browser: Browser, url: str, name: str, size: tuple[int, int], *, scheme: Literal["light", "dark"], whole: bool
) -> None:
    """One picture. size: of the window, in CSS pixels. whole: the page to its end, not what the window shows of it."""
    page = browser.new_page(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, device_scale_factor=1 if whole else 2
    )
    page.goto(url)
    page.wait_for_function("document.getElementById('pareto')?.complete")
    page.locator(".age").first.wait_for()
    page.screenshot(path=PICTURES / f"{name}.png", full_page=whole)
    page.close()
    print(f"docs/pictures/{name}.png", flush=True)  # noqa: T201  (for who runs it)


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="pegel-pictures-") as folder,
        running(Path(folder)) as url,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=servers.chromium(), args=list(servers.CHROMIUM_FLAGS))
        page = browser.new_page()
        page.goto(url)
        card = page.locator("li.card", has_text="Cash machines, Spain")
        expect(card).to_be_visible(timeout=PAGE_SECONDS * 1000)
        expect(card.locator("dd.number")).to_contain_text("€", timeout=PAGE_SECONDS * 1000)
        expect(card.locator("dd.number")).not_to_have_text("€0.00", timeout=PAGE_SECONDS * 1000)
        expect(page.locator("#pareto")).to_be_visible(timeout=PAGE_SECONDS * 1000)
        with contextlib.suppress(AssertionError):  # by night fewer causes come together; then these are the picture
            expect(page.locator("#board tbody tr").nth(CAUSES - 1)).to_be_visible(timeout=CAUSES_SECONDS * 1000)
        page.close()
        photograph(browser, url, "dashboard", (1280, 900), scheme="light", whole=True)
        photograph(browser, url, "dashboard-dark", (1280, 900), scheme="dark", whole=True)
        photograph(browser, url, "dashboard-phone", (390, 844), scheme="light", whole=False)
        browser.close()


if __name__ == "__main__":
    main()
