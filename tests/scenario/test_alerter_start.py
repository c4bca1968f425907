"""How the alerter starts: all that is wrong at once, what is away is waited for, other dimensions."""

import asyncio
from pathlib import Path

import pytest
from pydantic import SecretStr

from pegel.alerter.app import build
from pegel.eventlog.memory import MemoryLog
from pegel.runtime.settings import ConfigurationError, Settings
from support.alerters import Clock, alerter, pass_bucket
from support.wait import until
from support.windows import START, Windows


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "ownership.yaml").write_text("teams: [")
    settings = Settings(
        data_dir=tmp_path,
        config_dir=tmp_path,
        database_url=SecretStr("mysql://u:secret@h/d"),
        webhook_url="nowhere",
        webhook_secret=SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    )
    with pytest.raises(ConfigurationError) as error:
        build(settings)
    starts = [fault.split(":")[0] for fault in error.value.faults]
    assert starts == [
        str(tmp_path / "ownership.yaml"),
        str(tmp_path / "prices.yaml"),
        "PEGEL_DATABASE_URL=mysql",
        "PEGEL_WEBHOOK_URL is no http",
    ]
    assert "secret" not in str(error.value)


def test_the_examples_are_in_another_currency(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="currency: EUR differs from PEGEL_CURRENCY=USD"):
        build(Settings(data_dir=tmp_path, currency="USD"))


def test_building_touches_no_disk(tmp_path: Path) -> None:
    build(Settings(data_dir=tmp_path / "data"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", ["database", "log"])
async def test_what_is_away_at_the_start_is_waited_for(tmp_path: Path, what: str) -> None:
    log = MemoryLog()
    settings = Settings(data_dir=tmp_path)
    folder = tmp_path / "pegel.sqlite"
    if what == "database":
        folder.mkdir()  # SQLite can't open a folder
    else:
        log.unavailable = "the broker is away"
    async with alerter(settings, log, ready=False) as running:
        await until(lambda: running.service.probe.dependencies.get(what) is not None)
        status, body = running.service.probe.readiness()
        assert (status, body["waiting_for"]) == (503, what)
        assert running.service.probe.health()[0] == 200
        if what == "database":
            assert (await running.client.get("/v1/incidents")).status_code == 503
            folder.rmdir()
        else:
            log.unavailable = None
        await until(lambda: running.service.probe.readiness()[0] == 200)


async def test_it_stops_while_it_waits(tmp_path: Path) -> None:
    log = MemoryLog()
    log.unavailable = "the broker is away"
    async with alerter(Settings(data_dir=tmp_path), log, ready=False) as running:
        await until(lambda: running.service.probe.dependencies.get("log") is not None)
        async with asyncio.timeout(5):
            await running.ended()


async def test_the_log_going_away_and_coming_back(tmp_path: Path) -> None:
    log, windows, clock = MemoryLog(), Windows(), Clock(START)
    async with alerter(Settings(data_dir=tmp_path), log, now=clock) as running:
        log.unavailable = "the broker is away"
        await until(lambda: running.service.probe.dependencies["log"] == "the broker is away")
        assert running.service.probe.readiness()[0] == 200
        assert await running.incidents() == []
        log.unavailable = None
        await pass_bucket(log, windows, clock, spikes=[windows.spike()])
        await running.applied(windows.now)
        assert len(await running.incidents()) == 1
        assert running.service.probe.dependencies["log"] is None


async def test_segments_of_other_dimensions(tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_text("currency: EUR\nservices: {}\n")
    (tmp_path / "ownership.yaml").write_text(
        "teams: {north: {name: North, cost_centre: N}}\n"
        "rules: [{match: {attributes.region: 'north*'}, team: north}]\n"
        "names: {topic: {atm: Cash machines}}\n"
    )
    settings = Settings(data_dir=tmp_path, config_dir=tmp_path, dimensions="attributes.region,topic,channel")
    log, windows, clock = MemoryLog(), Windows(), Clock(START)
    async with alerter(settings, log, now=clock) as running:
        await pass_bucket(log, windows, clock, spikes=[windows.spike(segment=("north-west", "atm", "*"))])
        await pass_bucket(log, windows, clock, spikes=[windows.spike(segment=("south", "atm", "phone"))])
        await running.applied(windows.now)
        (incident,) = await running.incidents(**{"attributes.region": "north-west"})
        assert incident["segment"] == {"attributes.region": "north-west", "topic": "atm", "channel": "*"}
        assert incident["team"] == "north"
        assert len(await running.incidents(topic="atm")) == 2
        assert (await running.client.get("/v1/incidents?country=ES")).status_code == 422
        parameters = (await running.client.get("/openapi.json")).json()["paths"]["/v1/incidents"]["get"]["parameters"]
        assert {"attributes.region", "topic", "channel", "state", "team", "limit"} == {
            its["name"] for its in parameters
        }
        await until(lambda: len(running.memory.taken) == 2)
        assert running.memory.taken[0][1].title == "Cash machines, north-west, every channel"
