"""Counter and judge on a log: whoever takes over goes on with the same outputs, and an old owner writes in vain."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pegel.detector import metrics
from pegel.detector.app import build, halves
from pegel.eventlog.fencing import Fence, head
from pegel.eventlog.identity import Identity, open_identity
from pegel.eventlog.memory import MemoryLog
from pegel.eventlog.port import CONTACTS, COUNTS, REJECTED, WINDOWS, EventLog, NewRecord
from pegel.runtime.probes import Probe
from pegel.runtime.settings import ConfigurationError, Settings, load
from pegel.schemas.detection import BucketRecord
from support.wait import until
from support.whole import BUCKET_SECONDS, START, bucket, contact, put, tick

PARTITIONS = 2


@pytest.fixture
def settings() -> Settings:
    return load({}, clock="data", bucket_seconds=BUCKET_SECONDS, partitions=PARTITIONS)


@pytest.fixture
async def log(settings: Settings) -> AsyncIterator[EventLog]:
    memory = MemoryLog()
    await open_identity(memory, settings)
    await tick(memory, PARTITIONS, 0)
    yield memory
    await memory.close()


@asynccontextmanager
async def detecting(log: EventLog, settings: Settings) -> AsyncIterator[Probe]:
    """Both halves of a detector, stopped at the end."""
    identity: Identity = await open_identity(log, settings)
    probe, stop = Probe("detector", parts=("counter", "judge")), asyncio.Event()
    loops = asyncio.gather(*halves(log, identity, settings, probe, None, stop))
    try:
        yield probe
    finally:
        stop.set()
        await loops


async def values(log: EventLog, stream: str) -> list[bytes]:
    """Everything a reader takes of a stream, claims aside."""
    bounds = (await log.bounds(stream))[0]
    reader, fence, taken = log.reader(stream, {0: bounds.begin}), Fence(), []
    while reader.positions()[0] < bounds.end:
        for record in (await reader.fetch()).get(0, ()):
            found = head(record.value)
            if found.kind == "claim":
                assert found.producer is not None
                fence.claim(found.producer, found.epoch or 0)
            elif found.origin is None or fence.passes(
                found.origin.producer, found.origin.epoch, (found.origin.offset, found.origin.place)
            ):
                taken.append(record.value)
    await reader.close()
    return taken


async def judged_to(log: EventLog) -> int:
    """The end of the last bucket in windows, as a number since 1970."""
    found = [BucketRecord.decode(v).to for v in await values(log, WINDOWS) if b'"kind":"bucket"' in v]
    return max(found, default=0)


async def appended(log: EventLog, stream: str) -> int:
    return sum(b.end for b in (await log.bounds(stream)).values())


async def test_contacts_become_counts_windows_and_bucket_records(log: EventLog, settings: Settings) -> None:
    async with detecting(log, settings) as probe:
        await put(log, PARTITIONS, [contact(n, n) for n in range(12)])
        await tick(log, PARTITIONS, 10.5)
        await until(lambda: judged_there(log, 10))
        assert probe.readiness()[0] == 200
    last = BucketRecord.decode([v for v in await values(log, WINDOWS) if b'"kind":"bucket"' in v][-1])
    assert last.windows_contacts == 10
    assert last.as_of.timestamp() == START.timestamp() + 600


async def judged_there(log: EventLog, minutes: float) -> bool:
    return await judged_to(log) >= bucket(minutes)


async def test_a_restart_repeats_nothing_and_goes_on_as_if_it_had_not_happened(
    log: EventLog, settings: Settings
) -> None:
    first, second = [contact(n, n / 3) for n in range(60)], [contact(n, n / 3) for n in range(50, 120)]

    async def whole(restarts: bool) -> tuple[list[bytes], list[bytes]]:
        own = MemoryLog()
        await open_identity(own, settings)
        await tick(own, PARTITIONS, 0)
        await put(own, PARTITIONS, first)
        await tick(own, PARTITIONS, 15.5)
        if restarts:
            async with detecting(own, settings):
                await until(lambda: judged_there(own, 15))
            before = await appended(own, COUNTS), await appended(own, WINDOWS), await appended(own, REJECTED)
            async with detecting(own, settings) as probe:
                await until(lambda: probe.waiting_for is None)
            claims = (PARTITIONS, 1, PARTITIONS + 1)  # the judge writes to rejected too
            after = await appended(own, COUNTS), await appended(own, WINDOWS), await appended(own, REJECTED)
            assert after == tuple(b + c for b, c in zip(before, claims, strict=True))
        await put(own, PARTITIONS, second)
        await tick(own, PARTITIONS, 45.5)
        async with detecting(own, settings):
            await until(lambda: judged_there(own, 45))
        counts = sorted(without_origin(v) for v in await values(own, COUNTS))
        return counts, [without_origin(v) for v in await values(own, WINDOWS) if b'"kind":"window"' in v]

    assert await whole(restarts=True) == await whole(restarts=False)


def without_origin(value: bytes) -> bytes:
    """Everything of an output but who wrote it, and where its input stands (claims move offsets of counts)."""

    return re.sub(rb'"origin":\{[^}]*\}', b"", value)


async def test_a_restart_needs_nothing_before_its_snapshots(settings: Settings) -> None:
    """Contacts and counts that the snapshots cover may be gone; copies of such contacts are still known."""

    async def world(restart: bool) -> tuple[list[bytes], list[bytes]]:
        log = MemoryLog()
        await open_identity(log, settings)
        await tick(log, PARTITIONS, 0)
        await put(log, PARTITIONS, [contact(n, n / 4) for n in range(40)])
        await tick(log, PARTITIONS, 10.5)
        async with detecting(log, settings):
            await until(lambda: judged_there(log, 10))
            if not restart:
                await put(log, PARTITIONS, [contact(n, n / 4) for n in range(20, 80)])
                await tick(log, PARTITIONS, 45.5)
                await until(lambda: judged_there(log, 45))
        if restart:
            for stream in (CONTACTS, COUNTS):
                for partition, bounds in (await log.bounds(stream)).items():
                    log.trim(stream, partition, bounds.end)
            await put(log, PARTITIONS, [contact(n, n / 4) for n in range(20, 80)])
            await tick(log, PARTITIONS, 45.5)
            async with detecting(log, settings):
                await until(lambda: judged_there(log, 45))
        return [without_origin(v) for v in await values(log, WINDOWS) if b'"kind":"window"' in v], [
            without_origin(v) for v in await values(log, REJECTED)
        ]

    assert await world(restart=True) == await world(restart=False)


async def test_what_an_old_owner_writes_after_the_takeover_is_not_judged(log: EventLog, settings: Settings) -> None:
    async with detecting(log, settings):
        await put(log, PARTITIONS, [contact(n, n) for n in range(5)])
        await tick(log, PARTITIONS, 5.5)
        await until(lambda: judged_there(log, 5))
    (stale,) = [v for v in await values(log, COUNTS) if b'"counter/0"' in v][-1:]
    async with detecting(log, settings) as probe:
        await until(lambda: probe.waiting_for is None)
        # The zombie goes on with the next offset and a count of its own.
        zombie = stale.replace(b'"place":0', b'"place":7').replace(b'"contacts":[', b'"contacts":[900,').replace(
            b'"bucket":[', f'"bucket":[{bucket(5)},'.encode()).replace(b'"cell":[', b'"cell":[0,').replace(
            b'"handled_seconds":[', b'"handled_seconds":[0,')  # fmt: skip
        await log.append(COUNTS, 0, [NewRecord(zombie)])
        await put(log, PARTITIONS, [contact(100 + n, 5 + n) for n in range(5)])
        await tick(log, PARTITIONS, 10.5)
        await until(lambda: judged_there(log, 10))
    last = BucketRecord.decode([v for v in await values(log, WINDOWS) if b'"kind":"bucket"' in v][-1])
    assert last.windows_contacts == 10


async def test_a_second_detector_stands_by_and_takes_over(log: EventLog, settings: Settings) -> None:
    async with detecting(log, settings) as second:
        async with detecting(log, settings):
            await put(log, PARTITIONS, [contact(n, n) for n in range(5)])
            await tick(log, PARTITIONS, 5.5)
            await until(lambda: judged_there(log, 5))
        await put(log, PARTITIONS, [contact(100 + n, 5 + n) for n in range(5)])
        await tick(log, PARTITIONS, 10.5)
        await until(lambda: judged_there(log, 10))
        assert second.readiness()[0] == 200
    last = BucketRecord.decode([v for v in await values(log, WINDOWS) if b'"kind":"bucket"' in v][-1])
    assert last.windows_contacts == 10


async def test_a_log_that_is_away_degrades_and_nothing_is_lost(settings: Settings) -> None:
    log = MemoryLog()
    await open_identity(log, settings)
    await tick(log, PARTITIONS, 0)
    async with detecting(log, settings) as probe:
        await put(log, PARTITIONS, [contact(n, n) for n in range(5)])
        await tick(log, PARTITIONS, 5.5)
        await until(lambda: judged_there(log, 5))
        log.unavailable = "the broker is away"
        await until(lambda: probe.dependencies.get("log"))
        assert probe.health()[0] == 200
        log.unavailable = None
        await put(log, PARTITIONS, [contact(100 + n, 5 + n) for n in range(5)])
        await tick(log, PARTITIONS, 10.5)
        await until(lambda: judged_there(log, 10))
        await until(lambda: probe.dependencies["log"] is None)
    last = BucketRecord.decode([v for v in await values(log, WINDOWS) if b'"kind":"bucket"' in v][-1])
    assert last.windows_contacts == 10


async def test_a_poisoned_record_is_quarantined_and_the_partition_goes_on(log: EventLog, settings: Settings) -> None:
    async with detecting(log, settings):
        for partition in range(PARTITIONS):
            await log.append(
                CONTACTS, partition, [NewRecord(b"\xff\x00 not a record"), NewRecord(b'{"kind":"x","v":2}')]
            )
        await put(log, PARTITIONS, [contact(n, n) for n in range(5)])
        await tick(log, PARTITIONS, 5.5)
        await until(lambda: judged_there(log, 5))
    rejected = await values(log, REJECTED)
    assert len(rejected) == 2 * PARTITIONS
    assert all(b'"unreadable"' in value for value in rejected)


async def test_metrics_tell_contacts_and_copies_and_not_ticks(log: EventLog, settings: Settings) -> None:
    before = metrics.CONTACTS_READ._value.get(), metrics.COPIES._value.get()
    async with detecting(log, settings):
        await put(log, PARTITIONS, [*(contact(n, n) for n in range(5)), contact(0, 0)])
        await tick(log, PARTITIONS, 5.5)
        await until(lambda: judged_there(log, 5))
    after = metrics.CONTACTS_READ._value.get(), metrics.COPIES._value.get()
    assert (after[0] - before[0], after[1] - before[1]) == (6, 1)


def test_an_unknown_model_stops_the_start_and_the_known_ones_are_named() -> None:
    with pytest.raises(ConfigurationError, match=r"PEGEL_MODEL=magic: the models are pegel"):
        build(load({}, model="magic"))


@pytest.mark.parametrize(
    ("challengers", "fault"),
    [
        (
            "river.cluster.KMeans",
            "PEGEL_CHALLENGERS=river.cluster.KMeans: river.cluster.KMeans has no score_one, as an",
        ),
        ("pegel, gauss", "PEGEL_CHALLENGERS=gauss: the models are pegel, river.anomaly.HalfSpaceTrees, "),
        ("support.estimators.Printing", "its state can't be saved: it holds a builtins.builtin_function_or_method"),
    ],
)
def test_a_challenger_that_cannot_be_one_stops_the_start_with_its_reason(challengers: str, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(fault)):
        build(load({}, challengers=challengers))
