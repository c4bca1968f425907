"""Stories of the alerter: windows go in, incidents, pages and charges come out."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from pegel.eventlog.memory import MemoryLog
from pegel.runtime.settings import Settings
from support.alerters import Running, alerter
from support.wait import until
from support.windows import Windows, append, cell


class Clock:
    """The alerter's wall clock, set by the test."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def windows() -> Windows:
    return Windows()


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


@pytest.fixture
def clock(windows: Windows) -> Clock:
    return Clock(windows.now)


@pytest.fixture
async def running(settings: Settings, log: MemoryLog, clock: Clock) -> AsyncIterator[Running]:
    async with alerter(settings, log, now=clock) as served:
        yield served


async def pass_bucket(log: MemoryLog, windows: Windows, clock: Clock, **bucket: object) -> None:
    records = windows.bucket(**bucket)  # type: ignore[arg-type]
    clock.at = windows.now + timedelta(seconds=10)
    await append(log, records)


async def test_rising_contacts_page_the_owner_and_are_charged(
    running: Running, log: MemoryLog, windows: Windows, clock: Clock
) -> None:
    # minute 0: 10 contacts; minute 1: 30, and the spike since minute 1 opens
    await pass_bucket(log, windows, clock, counts=[(cell(), 10)])
    await pass_bucket(
        log, windows, clock, counts=[(cell(), 30)], spikes=[windows.spike(onset_minutes=1, observed=30, expected=3.0)]
    )
    await running.applied(windows.now)

    (incident,) = await running.incidents(country="ES", topic="atm")
    assert incident["state"] == "open"
    assert incident["segment"] == {"country": "ES", "topic": "atm"}
    assert incident["team"] == "cash-withdrawals"
    assert (incident["observed"], incident["expected"]) == (30, 3.0)
    # 30 phone calls at 7.50 in the minute of the spike; 27 of 30 are too many
    assert incident["cost"] == {"amount": "202.50", "currency": "EUR"}
    assert incident["page"].startswith("paged: ")
    assert incident["stale"] is False

    await until(lambda: running.memory.taken)
    ((page_id, page, cost),) = running.memory.taken
    assert (page.kind, page.team, page.title) == ("opened", "cash-withdrawals", "Cash machines, ES")
    assert page_id.startswith(incident["id"])
    assert cost is not None
    assert cost.amount == "202.50"

    costs = await running.costs()
    assert costs["contacts"] == 40
    assert costs["total"] == {"amount": "300.00", "currency": "EUR"}
    assert [(row["team"], row["topic"], row["share"]) for row in costs["rows"]] == [("cash-withdrawals", "atm", 1.0)]
