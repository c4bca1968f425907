"""What the alerter can't read it passes over, up to a limit; what the log lost stops it until that is accepted."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text

from pegel.alerter.windows.consumer import TooManyUnreadable
from pegel.eventlog.identity import loss_to_accept, open_identity
from pegel.eventlog.memory import MemoryLog
from pegel.eventlog.port import META, WINDOWS, NewRecord
from pegel.runtime.errors import OperationalError
from pegel.runtime.settings import ConfigurationError, Settings
from pegel.schemas.detection import LossRecord
from support.alerters import Clock, alerter, pass_bucket
from support.wait import until
from support.windows import START, Windows, cell

POISON = b"\xff\x00 a customer's name"
FUTURE = b'{"kind":"window","v":9,"name":"a customer"}'


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, unreadable_max=3)


def asked(settings: Settings, query: str) -> list[tuple[Any, ...]]:
    engine = create_engine(settings.resolved_database_url)
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(text(query))]
    engine.dispose()
    return found


async def test_what_cannot_be_read_is_passed_over(settings: Settings) -> None:
    log, windows, clock = MemoryLog(), Windows(), Clock(START)
    async with alerter(settings, log, now=clock) as running:
        await pass_bucket(log, windows, clock, counts=[(cell(), 3)])
        await log.append(WINDOWS, 0, [NewRecord(POISON), NewRecord(FUTURE)])
        await pass_bucket(log, windows, clock, counts=[(cell(), 4)], spikes=[windows.spike()])
        await running.applied(windows.now)
        await until(lambda: running.memory.taken)
        assert (await running.costs())["contacts"] == 7
        metrics = (await running.client.get("/metrics")).text
        assert 'pegel_alerter_quarantined_total{consumer="incidents"}' in metrics
    noted = asked(settings, "SELECT consumer, stream, record_offset, next_offset, kind FROM quarantine ORDER BY 1, 3")
    assert noted == [
        (consumer, "windows", offset, offset + 1, "unreadable")
        for consumer in ("incidents", "ledger")
        for offset in (2, 3)
    ]
    reasons = {reason for (reason,) in asked(settings, "SELECT reason FROM quarantine")}
    assert len(reasons) == 2
    assert "v=9, this version of Pegel reads 1" in reasons
    assert not any("customer" in reason for reason in reasons)
    # read on by another process, they stand there once
    async with alerter(settings, log, now=clock) as running:
        await pass_bucket(log, windows, clock, counts=[(cell(), 1)])
        await running.applied(windows.now)
    assert len(asked(settings, "SELECT * FROM quarantine")) == 4


async def test_over_the_limit_the_service_stops_with_its_reason(settings: Settings) -> None:
    log, windows, clock = MemoryLog(), Windows(), Clock(START)
    async with alerter(settings, log, now=clock, ready=False) as running:
        await until(lambda: running.service.probe.waiting_for is None)
        await log.append(WINDOWS, 0, [NewRecord(FUTURE)] * 3)
        await pass_bucket(log, windows, clock, counts=[(cell(), 3)])
        await running.applied(windows.now)  # three are borne
        assert not running.task.done()
        await log.append(WINDOWS, 0, [NewRecord(FUTURE)])  # without a bucket after it
        await until(running.task.done)
        error = running.task.exception()
        assert isinstance(error, TooManyUnreadable)
        assert isinstance(error, OperationalError)
        assert "more than 3 records of windows can't be read since the start (PEGEL_UNREADABLE_MAX)" in str(error)
        assert "the last at offset 5: v=9, this version of Pegel reads 1" in str(error)


async def story_with_a_loss(settings: Settings) -> tuple[MemoryLog, Windows, Clock, int]:
    """Two buckets are booked, two are lost, two are there; and the offset at which the log begins."""
    log, windows, clock = MemoryLog(), Windows(), Clock(START)
    async with alerter(settings, log, now=clock) as running:
        for _ in range(2):
            await pass_bucket(log, windows, clock, counts=[(cell(), 3)])
        await running.applied(windows.now)
    for _ in range(2):
        await pass_bucket(log, windows, clock, counts=[(cell(), 5)])
    begin = (await log.bounds(WINDOWS))[0].end
    log.trim(WINDOWS, 0, begin)
    for _ in range(2):
        await pass_bucket(log, windows, clock, counts=[(cell(), 7)])
    return log, windows, clock, begin


async def test_a_loss_that_was_accepted_is_passed_over_and_noted(settings: Settings) -> None:
    log, windows, clock, begin = await story_with_a_loss(settings)
    async with alerter(settings, log, now=clock, ready=False) as running:
        await until(running.task.done)
        error = running.task.exception()
        assert isinstance(error, ConfigurationError)
        assert error.faults == [f"the position of incidents is lost: {loss_to_accept(WINDOWS, 0, 4, begin)}"]
        assert "pegel log accept-loss windows --partition 0 --reason ..." in error.faults[0]
    loss = LossRecord(id=str(uuid4()), stream="windows", partition=0, before=begin, reason="the disk was replaced")
    await log.append(META, 0, [NewRecord(loss.encode())])
    async with alerter(settings, log, now=clock) as running:
        await running.applied(windows.now)
        assert (await running.costs())["contacts"] == 2 * 3 + 2 * 7
    noted = asked(settings, "SELECT consumer, record_offset, next_offset, kind FROM quarantine ORDER BY 1")
    assert noted == [(consumer, 4, begin, "lost") for consumer in ("incidents", "ledger")]


async def test_a_loss_beyond_what_was_accepted_stops_all_the_same(settings: Settings) -> None:
    log, _, clock, begin = await story_with_a_loss(settings)
    loss = LossRecord(id=str(uuid4()), stream="windows", partition=0, before=begin - 1, reason="an older one")
    await log.append(META, 0, [NewRecord(loss.encode())])
    async with alerter(settings, log, now=clock, ready=False) as running:
        await until(running.task.done)
        assert isinstance(running.task.exception(), ConfigurationError)
    assert asked(settings, "SELECT * FROM quarantine") == []


async def test_a_log_that_forgets_what_is_being_read_stops_the_service(settings: Settings) -> None:
    log, windows, clock = MemoryLog(), Windows(), Clock(START)
    async with alerter(settings, log, now=clock, ready=False) as running:
        await until(lambda: running.service.probe.waiting_for is None)
        log.unavailable = "the broker is away"
        await until(lambda: running.service.probe.dependencies["log"] is not None)
        log.unavailable = None
        await pass_bucket(log, windows, clock, counts=[(cell(), 5)])
        log.trim(WINDOWS, 0, (await log.bounds(WINDOWS))[0].end)
        await until(running.task.done)
        error = running.task.exception()
        assert isinstance(error, ConfigurationError)
        assert "pegel log accept-loss windows --partition 0" in error.faults[0]


async def test_a_log_older_than_the_database_is_named(settings: Settings) -> None:
    log, windows, clock = MemoryLog(), Windows(), Clock(START)
    identity = await open_identity(log, settings)
    async with alerter(settings, log, now=clock) as running:
        await pass_bucket(log, windows, clock, counts=[(cell(), 3)])
        await running.applied(windows.now)
    older = MemoryLog()  # restored from a copy: the same log, but shorter
    await open_identity(older, settings)
    older._streams[META][0].records[:] = log._streams[META][0].records
    assert (await open_identity(older, settings)).meta == identity.meta
    async with alerter(settings, older, now=clock, ready=False) as running:
        await until(running.task.done)
        error = running.task.exception()
        assert isinstance(error, ConfigurationError)
        (fault,) = error.faults
        assert f"PEGEL_DATABASE_URL={settings.resolved_database_url} has applied windows up to offset 2" in fault
        assert "but the log ends at 0" in fault
        assert fault.endswith("restore the database of the same time or before")
