"""The dashboard on the real alerter: an incident is seen, acknowledged in one's own name, resolved."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from pegel.dashboard.adapters.alerter import HttpAlerter
from pegel.eventlog.memory import MemoryLog
from pegel.runtime.auth import Principal, Tokens, hashed
from pegel.runtime.settings import Settings
from support.alerters import Clock, Running, alerter, pass_bucket
from support.dashboards import FakePainter, dashboard
from support.windows import START, Windows, cell

OWN_FORM = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}
TOKENS = Tokens(
    [
        (hashed("token-of-dashboard"), Principal("dashboard", "viewer")),
        (hashed("token-of-nora"), Principal("nora", "responder")),
    ]
)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    log, windows, clock = MemoryLog(), Windows(), Clock(START)
    async with alerter(Settings(data_dir=tmp_path), log, now=clock, tokens=TOKENS) as served:
        served.client.headers["Authorization"] = "Bearer token-of-dashboard"
        await pass_bucket(log, windows, clock, counts=[(cell(), 10), (cell(topic="login"), 2)])
        spike = windows.spike(onset_minutes=1, observed=30, expected=3.0)
        await pass_bucket(log, windows, clock, counts=[(cell(), 30)], spikes=[spike])
        await served.applied(windows.now)
        yield served


@pytest.fixture
async def browser(running: Running) -> AsyncIterator[httpx.AsyncClient]:
    asking = HttpAlerter("http://alerter", "token-of-dashboard", httpx.ASGITransport(running.service.app))
    _, client = dashboard(asking, FakePainter())
    async with client:
        yield client
    await asking.close()


async def test_an_incident_is_seen_acknowledged_and_resolved(browser: httpx.AsyncClient, running: Running) -> None:
    page = (await browser.get("/")).text
    for text in (
        "1 incident open: Cash machines, Spain.",
        "cash-withdrawals",
        "10.0 times the expected",
        "30 contacts where 3 are normal at this hour.",
        "€202.50",
        "paged: the segment rose above its baseline",
        "€315.00",  # 42 calls at 7.50
        "digital-identity",
    ):
        assert text in page, text
    assert 'class="stale"' not in page, "that is the alerter's word, and by its clock nothing is"
    (incident,) = await running.incidents()

    async def click(what: str, token: str | None) -> httpx.Response:
        headers = OWN_FORM | ({"Authorization": f"Bearer {token}"} if token else {})
        return await browser.post(f"/incidents/{incident['id']}/{what}", headers=headers, content="reason=on+it")

    assert (await click("acknowledge", None)).status_code == 401
    viewer = await click("acknowledge", "token-of-dashboard")
    assert viewer.status_code == 403
    assert "Not acknowledged: role responder is needed" in viewer.text
    assert (await click("acknowledge", "token-of-nora")).status_code == 303
    page = (await browser.get("/")).text
    assert "1 incident acknowledged, none waiting: Cash machines, Spain." in page
    assert "acknowledged by nora: on it" in page
    again = await click("acknowledge", "token-of-nora")
    assert again.status_code == 409
    assert "Not acknowledged: " in again.text
    assert (await click("resolve", "token-of-nora")).status_code == 303
    page = (await browser.get("/")).text
    assert "All quiet: no incident is open." in page
    assert "Resolved lately" in page


async def test_both_periods_are_spoken(browser: httpx.AsyncClient) -> None:
    for period in ("24h", "7d"):
        answer = await browser.get(f"/?period={period}")
        assert answer.status_code == 200
        assert "can't be reached" not in answer.text


async def test_a_token_that_the_alerter_does_not_know_is_named_by_its_setting(running: Running) -> None:
    asking = HttpAlerter("http://alerter", "unknown", httpx.ASGITransport(running.service.app))
    _, client = dashboard(asking, FakePainter())
    async with client:
        assert "look at PEGEL_TOKEN" in (await client.get("/")).text
    await asking.close()
