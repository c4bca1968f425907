"""Makes every picture in docs/ from the running product: `make pictures` (python -m support.pictures).

Starts `pegel run` with the simulated bank in a scratch folder on free ports, waits until the failing cash machines are
an incident with a cost, and photographs the dashboard with Debian's Chromium.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import sync_playwright

from support.drift import ROOT
from support.servers import CHROMIUM_FLAGS, chromium, free_port
from support.wait import until_sync

PICTURES: Final = ROOT / "docs/pictures"
SERVICES: Final = ("dashboard", "ingest", "detector", "alerter")
WIDTH_PX: Final = 1280
INCIDENT_SECONDS: Final = 360.0
COST_MIN: Final = 100.0
"""The picture is taken when the incident has cost something worth looking at."""


def incidents(port: int) -> list[dict[str, Any]]:
    """What the alerter knows of cash machines in Spain; empty while it does not answer."""
    url = f"http://127.0.0.1:{port}/v1/incidents?country=ES&topic=atm"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)["items"]
            return found
    except OSError:
        return []


def photograph(url: str, path: Path, theme: str) -> None:
    """The whole page at `url`, in the colours of a theme (light, dark)."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(CHROMIUM_FLAGS))
        page = browser.new_page(
            viewport={"width": WIDTH_PX, "height": 800},
            color_scheme="dark" if theme == "dark" else "light",
            reduced_motion="reduce",
        )
        page.goto(url)
        page.wait_for_load_state("load")
        page.screenshot(path=path, full_page=True)
        browser.close()


def main() -> int:
    PICTURES.mkdir(parents=True, exist_ok=True)
    ports = {name: free_port() for name in SERVICES}
    with tempfile.TemporaryDirectory(prefix="pegel-pictures-") as folder:
        settings = {f"PEGEL_{name.upper()}_PORT": str(port) for name, port in ports.items()}
        product = subprocess.Popen(
            [Path(sys.executable).with_name("pegel"), "run"],
            env={**os.environ, **settings, "PEGEL_DATA_DIR": folder},
            cwd=ROOT,
        )

        def worth_looking_at() -> bool:
            assert product.poll() is None, f"pegel run ended with {product.returncode}"
            return any(
                incident.get("cost") and float(incident["cost"]["amount"]) >= COST_MIN
                for incident in incidents(ports["alerter"])
            )

        try:
            until_sync(worth_looking_at, INCIDENT_SECONDS)
            for theme, name in (("light", "dashboard.png"), ("dark", "dashboard-dark.png")):
                photograph(f"http://127.0.0.1:{ports['dashboard']}/", PICTURES / name, theme)
                sys.stdout.write(f"docs/pictures/{name}\n")
        finally:
            product.send_signal(signal.SIGINT)
            product.wait(20)
    return 0


if __name__ == "__main__":
    sys.exit(main())
