"""A team with a floor is paged once an incident is worth it: in contacts, in what they cost, or both."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from pegel.alerter.app import build
from pegel.alerter.database import migrate
from pegel.eventlog.memory import MemoryLog
from pegel.runtime.settings import ConfigurationError, Settings
from support.alerters import Clock, Running, alerter, pass_bucket
from support.databases import BOTH, database_url
from support.wait import until
from support.windows import START, Windows, cell

PAGED = "paged: the segment rose above its baseline"


def write(folder: Path, floor: dict[str, Any] | None) -> None:
    """Cash machines belong to a team with this floor; a call costs 5 EUR."""
    team = {"name": "Cash withdrawals", "cost_centre": "CC-1010"} | ({} if floor is None else {"floor": floor})
    ownership = {"teams": {"cash": team}, "rules": [{"match": {"topic": "atm"}, "team": "cash"}]}
    (folder / "ownership.yaml").write_text(yaml.safe_dump(ownership))
    price = {"match": {"channel": "phone"}, "service": "desk", "unit_price": "5.00"}
    prices: dict[str, Any] = {"currency": "EUR", "services": {"desk": "Desk"}, "prices": [price]}
    (folder / "prices.yaml").write_text(yaml.safe_dump(prices))


@pytest.fixture(params=BOTH)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    url = database_url(request, request.param, tmp_path)
    migrate(url)
    return Settings(data_dir=tmp_path, config_dir=tmp_path, database_url=SecretStr(url))


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def windows() -> Windows:
    return Windows()


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


async def said(running: Running) -> str:
    """Why the one incident paged or not, without how far the page has come."""
    (incident,) = await running.incidents()
    return str(incident["page"]).partition(";")[0]


async def pages(running: Running, count: int) -> list[str]:
    await until(lambda: len(running.memory.taken) >= count)
    return [page.kind for _, page, _ in running.memory.taken]


async def test_it_pages_once_its_excess_in_contacts_passes_the_floor_and_the_true_onset_stands(
    settings: Settings, tmp_path: Path, log: MemoryLog, windows: Windows, clock: Clock
) -> None:
    # minute 1: 12 more than usual; 2: 19; 3: 20, which pages; 4: the end, which is told
    write(tmp_path, {"contacts": 20})
    async with alerter(settings, log, now=clock) as running:
        spike = windows.spike(onset_minutes=5, observed=15, expected=3.0)
        for observed, excess in ((15, 12), (22, 19)):
            grown = spike.model_copy(update={"observed_since_onset": observed, "at": windows.spike().at})
            await pass_bucket(log, windows, clock, spikes=[grown])
            await running.applied(windows.now)
            wanted = f"not_paged: floor, {excess} contacts more than usual, its team is paged from 20 on"
            assert await said(running) == wanted
        assert running.memory.attempts == []
        grown = spike.model_copy(update={"observed_since_onset": 23, "at": windows.spike().at})
        await pass_bucket(log, windows, clock, spikes=[grown])
        await running.applied(windows.now)
        assert await said(running) == PAGED
        assert await pages(running, 1) == ["opened"]
        page_id, page, _ = running.memory.taken[0]
        assert (page.onset, page.observed_since_onset) == (spike.onset, 23)
        assert page_id == f"{page.incident_id}.1"
        over = grown.model_copy(update={"state": "resolved", "at": windows.spike().at})
        await pass_bucket(log, windows, clock, spikes=[over])
        await running.applied(windows.now)
        assert await pages(running, 2) == ["opened", "resolved"]


async def test_what_stays_below_is_in_the_list_and_neither_its_begin_nor_its_end_is_told(
    settings: Settings, tmp_path: Path, log: MemoryLog, windows: Windows, clock: Clock
) -> None:
    write(tmp_path, {"contacts": 100})
    async with alerter(settings, log, now=clock) as running:
        spike = windows.spike(observed=50, expected=3.0)
        await pass_bucket(log, windows, clock, spikes=[spike])
        await pass_bucket(log, windows, clock, spikes=[windows.spike("resolved", spike_id=spike.spike_id, observed=60)])
        # and another team's is paged as ever
        await pass_bucket(log, windows, clock, spikes=[windows.spike(segment=("ES", "login"))])
        await running.applied(windows.now)
        by_topic = {its["segment"]["topic"]: its for its in await running.incidents()}
        assert by_topic["atm"]["state"] == "resolved"
        assert by_topic["atm"]["page"] == "not_paged: floor, 47 contacts more than usual, its team is paged from 100 on"
        assert await pages(running, 1) == ["opened"]
        assert [page.segment["topic"] for _, page, _ in running.memory.taken] == ["login"]
        assert 'pegel_alerter_pages_withheld_total{reason="floor"} ' in (await running.client.get("/metrics")).text


async def test_a_floor_in_money_is_reached_by_what_the_ledger_has_booked(
    settings: Settings, tmp_path: Path, log: MemoryLog, windows: Windows, clock: Clock
) -> None:
    # minute 0: 12 calls, 10 too many, 50 EUR; minute 1: as many, 100 EUR
    write(tmp_path, {"money": "99.50"})
    async with alerter(settings, log, now=clock) as running:
        spike = windows.spike(onset_minutes=1, observed=12, expected=2.0)
        await pass_bucket(log, windows, clock, counts=[(cell(), 12)], spikes=[spike])
        await running.applied(windows.now)
        await pass_bucket(log, windows, clock)  # the ledger may have come later than the spike
        await running.applied(windows.now)
        wanted = "not_paged: floor, excess cost 50.00 EUR so far, its team is paged from 99.50 EUR on"
        assert await said(running) == wanted
        assert running.memory.attempts == []
        at = windows.spike().at
        grown = {"observed_since_onset": 24, "expected_since_onset": 4.0, "at": at, "state": "updated"}
        await pass_bucket(log, windows, clock, counts=[(cell(), 12)], spikes=[spike.model_copy(update=grown)])
        await running.applied(windows.now)
        await pass_bucket(log, windows, clock)
        await running.applied(windows.now)
        assert await said(running) == PAGED
        assert await pages(running, 1) == ["opened"]


async def test_both_floors_must_be_reached(
    settings: Settings, tmp_path: Path, log: MemoryLog, windows: Windows, clock: Clock
) -> None:
    # 30 too many, but by a channel that costs nothing
    write(tmp_path, {"contacts": 20, "money": "10"})
    async with alerter(settings, log, now=clock) as running:
        spike = windows.spike(onset_minutes=1, observed=30, expected=0.0)
        await pass_bucket(log, windows, clock, counts=[(cell(channel="chat"), 30)], spikes=[spike])
        await running.applied(windows.now)
        assert (
            await said(running) == "not_paged: floor, excess cost 0.00 EUR so far, its team is paged from 10.00 EUR on"
        )


@pytest.mark.parametrize("floor", [20, 50])
async def test_a_reopened_incident_has_the_excess_of_all_its_spikes(
    settings: Settings, tmp_path: Path, log: MemoryLog, windows: Windows, clock: Clock, floor: int
) -> None:
    # 12 too many, over, and 13 too many again
    write(tmp_path, {"contacts": floor})
    async with alerter(settings, log, now=clock) as running:
        for observed in (15, 16):
            spike = windows.spike(observed=observed, expected=3.0)
            await pass_bucket(log, windows, clock, spikes=[spike])
            over = windows.spike("resolved", spike_id=spike.spike_id, observed=observed, expected=3.0)
            if observed == 15:
                await pass_bucket(log, windows, clock, spikes=[over])
        await running.applied(windows.now)
        (incident,) = await running.incidents()
        assert incident["state"] == "open"
        if floor == 50:
            assert incident["page"].startswith("not_paged: floor, 25 contacts more than usual")
            assert running.memory.attempts == []
        else:
            assert await pages(running, 1) == ["reopened"]
            assert running.memory.taken[0][1].observed_since_onset == 31


async def test_a_floor_that_is_taken_away_pages_what_waits_for_it(
    settings: Settings, tmp_path: Path, log: MemoryLog, windows: Windows, clock: Clock
) -> None:
    write(tmp_path, {"contacts": 1000})
    async with alerter(settings, log, now=clock) as running:
        await pass_bucket(log, windows, clock, spikes=[windows.spike()])
        await running.applied(windows.now)
        assert running.memory.attempts == []
    write(tmp_path, None)
    async with alerter(settings, log, now=clock) as running:
        await pass_bucket(log, windows, clock)
        await running.applied(windows.now)
        assert await pages(running, 1) == ["opened"]


async def test_trouble_read_of_late_has_its_floor_too(
    settings: Settings, tmp_path: Path, log: MemoryLog, windows: Windows, clock: Clock
) -> None:
    write(tmp_path, {"contacts": 90})
    async with alerter(settings, log, now=clock) as running:
        spike = windows.spike(observed=30, expected=3.0)
        records = windows.bucket(spikes=[spike])
        clock.at = windows.now + timedelta(minutes=31)
        await pass_bucket(log, windows, clock, records=records)
        await running.applied(windows.now)
        assert (await said(running)).startswith("not_paged: stale")
        for observed in (50, 99):
            at = windows.spike().at
            grown = spike.model_copy(update={"state": "updated", "observed_since_onset": observed, "at": at})
            await pass_bucket(log, windows, clock, spikes=[grown])
            await running.applied(windows.now)
            if observed == 50:
                assert (await said(running)).startswith("not_paged: floor, 47 contacts more than usual")
                assert running.memory.attempts == []
        assert await pages(running, 1) == ["opened"]


async def test_one_that_was_acknowledged_pages_nobody(
    settings: Settings, tmp_path: Path, log: MemoryLog, windows: Windows, clock: Clock
) -> None:
    write(tmp_path, {"contacts": 90})
    async with alerter(settings, log, now=clock) as running:
        spike = windows.spike(observed=30, expected=3.0)
        await pass_bucket(log, windows, clock, spikes=[spike])
        await running.applied(windows.now)
        (incident,) = await running.incidents()
        answer = await running.client.post(f"/v1/incidents/{incident['id']}/acknowledge", json={})
        assert answer.status_code == 200
        grown = {"state": "updated", "observed_since_onset": 99, "at": windows.spike().at}
        await pass_bucket(log, windows, clock, spikes=[spike.model_copy(update=grown)])
        await running.applied(windows.now)
        assert (await said(running)).startswith("not_paged: floor")
        assert running.memory.attempts == []


def test_all_that_is_wrong_with_floors_stops_the_start(tmp_path: Path) -> None:
    write(tmp_path, None)
    document = yaml.safe_load((tmp_path / "ownership.yaml").read_text())
    for number, floor in enumerate(
        ({"contacts": -1}, {"contacts": 2.5}, {"money": 50.0}, {"money": "50.00 EUR"}, {"money": "-1"}, {"cost": "1"})
    ):
        document["teams"][f"t{number}"] = {"name": "T", "cost_centre": "C", "floor": floor}
    (tmp_path / "ownership.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(ConfigurationError) as error:
        build(Settings(data_dir=tmp_path, config_dir=tmp_path))
    faults = [fault.removeprefix(f"{tmp_path / 'ownership.yaml'}: teams.t") for fault in error.value.faults]
    assert [fault.partition(":")[0] for fault in faults] == [
        "0.floor.contacts", "1.floor.contacts", "2.floor.money", "3.floor.money", "4.floor.money", "5.floor.cost"
    ]  # fmt: skip
    assert "is no amount such as 7.50" in faults[3]
