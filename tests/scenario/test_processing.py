"""The loop of counter and judge with a machine that can be seen through: it adds numbers up.

Whatever happens to a process, its outputs are those of one that nothing happened to, by id and content.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from pegel.eventlog import metrics
from pegel.eventlog.fencing import Fence
from pegel.eventlog.jobs import Job
from pegel.eventlog.memory import MemoryLog
from pegel.eventlog.port import CONTACTS, COUNTS, META, STATE, LogUnavailable, Member, NewRecord, Record, StreamSpec
from pegel.eventlog.processing import Processing
from pegel.eventlog.snapshots import line
from pegel.runtime.errors import OperationalError
from pegel.runtime.probes import Probe
from pegel.runtime.settings import ConfigurationError
from pegel.schemas.base import LogRecord, Origin
from pegel.schemas.detection import LossRecord
from support.wait import until

LOG_ID = "6f2c8b1e-2f6f-4f0f-8d52-0c1b5f1f3a01"


class Sum(LogRecord):
    """What the machine says: the sum of all numbers up to here."""

    kind: Literal["sum"] = "sum"
    origin: Origin
    total: int


@dataclass
class Adding:
    """The machine. wrong: what a build with a mistake adds to each number."""

    partition: int
    epoch: int
    total: int = 0
    unreadable: int = 0
    wrong: int = 0

    def apply(self, records: Sequence[Record]) -> list[Sum]:
        outputs = []
        for record in records:
            if not record.value.isdigit():
                self.unreadable += 1
                continue
            self.total += int(record.value) + self.wrong
            origin = Origin(
                producer=f"adder/{self.partition}",
                epoch=self.epoch,
                partition=self.partition,
                offset=record.offset,
                place=0,
            )
            outputs.append(Sum(origin=origin, total=self.total))
        return outputs

    def state(self) -> dict[str, Any]:
        return {"total": self.total, "unreadable": self.unreadable}

    def written(self, outputs: Sequence[LogRecord]) -> None:
        pass


def job(version: str = "adder/1", wrong: int = 0) -> Job:
    return Job(
        part="adder",
        stream=CONTACTS,
        group="adders",
        outputs=(COUNTS,),
        version=version,
        producer=lambda partition: f"adder/{partition}",
        state_partition=lambda partition: partition,
        fresh=lambda partition, epoch: Adding(partition, epoch, wrong=wrong),
        restored=lambda partition, epoch, body: Adding(partition, epoch, wrong=wrong, **json.loads(body)),
        encode=lambda tree: json.dumps(tree).encode(),
        stream_of=lambda _: COUNTS,
        records_max=100,
    )


class Process:
    """One process that takes part. It can be stopped, killed, or held still while others go on."""

    def __init__(self, log: MemoryLog, work: Job, snapshot_seconds: float = 3600.0, unreadable_max: int = 5) -> None:
        self.probe = Probe("detector", parts=("adder",))
        self.stop = asyncio.Event()
        self.processing = Processing(
            log,
            work,
            log_id=LOG_ID,
            owner="test",
            probe=self.probe,
            snapshot_seconds=snapshot_seconds,
            unreadable_max=unreadable_max,
        )
        self.task = asyncio.create_task(self.processing.run(self.stop))

    @property
    def partitions(self) -> set[int]:
        return set(self.processing.owned)

    async def end(self) -> None:
        """SIGTERM."""
        self.stop.set()
        await self.task

    async def kill(self) -> None:
        """It is gone; the log's end of it too."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
async def log() -> MemoryLog:
    memory = MemoryLog()
    await memory.create([StreamSpec(CONTACTS, 2), StreamSpec(STATE, 2), StreamSpec(COUNTS, 1), StreamSpec(META, 1)])
    await memory.append(META, 0, [NewRecord(b'{"kind":"meta","v":1}')])
    return memory


async def put(log: MemoryLog, *numbers: int, partition: int = 0) -> None:
    await log.append(CONTACTS, partition, [NewRecord(b"%d" % number) for number in numbers])


async def records(log: MemoryLog, stream: str, partition: int = 0) -> list[Record]:
    bounds = (await log.bounds(stream))[partition]
    reader = log.reader(stream, {partition: bounds.begin})
    return list((await reader.fetch(max_records=10_000, wait_seconds=0)).get(partition, ()))


async def sums(log: MemoryLog, partition: int = 0) -> list[int]:
    """The totals of a partition that a reader takes, in order."""
    fence, taken = Fence(), []
    for record in await records(log, COUNTS):
        found = json.loads(record.value)
        if found["kind"] == "claim":
            fence.claim(found["producer"], found["epoch"])
            continue
        origin = found["origin"]
        if fence.passes(origin["producer"], origin["epoch"], (origin["offset"], origin["place"])) and (
            origin["partition"] == partition
        ):
            taken.append(found["total"])
    return taken


async def summed(log: MemoryLog, *totals: int, partition: int = 0) -> None:
    """Wait until a reader takes just these totals."""

    async def there() -> bool:
        return await sums(log, partition) == list(totals)

    await until(there)


async def manifests(log: MemoryLog, partition: int = 0) -> int:
    found = [line(record) for record in await records(log, STATE, partition)]
    return sum(each is not None and each.kind == "manifest" for each in found)


@asynccontextmanager
async def running(log: MemoryLog, work: Job | None = None, **over: Any) -> AsyncIterator[Process]:
    process = Process(log, work or job(), **over)
    try:
        yield process
    finally:
        if not process.task.done():
            await process.end()


async def test_a_restart_reads_one_snapshot_and_not_the_input_again(log: MemoryLog) -> None:
    async with running(log):
        await put(log, 1, 2, 3)
        await summed(log, 1, 3, 6)
    assert await manifests(log) == 1  # saved at the end
    log.trim(CONTACTS, 0, 3)  # nothing before the snapshot is needed
    async with running(log):
        await put(log, 4)
        await summed(log, 1, 3, 6, 10)


async def test_killed_after_a_snapshot_it_replays_and_tells_nothing_twice(log: MemoryLog) -> None:
    process = Process(log, job(), snapshot_seconds=0.01)
    await put(log, 1, 2)
    await summed(log, 1, 3)

    async def saved() -> bool:
        return await manifests(log) >= 1

    await until(saved)
    process.processing._snapshot_seconds = 3600.0
    for owned in process.processing._owned.values():
        owned.save_after = float("inf")
    await put(log, 3, 4)
    await summed(log, 1, 3, 6, 10)
    await process.kill()
    written = (await log.bounds(COUNTS))[0].end
    async with running(log) as next_one:
        await until(lambda: next_one.probe.waiting_for is None)
        assert (await log.bounds(COUNTS))[0].end == written + 2  # a claim of each partition, and no output
        await put(log, 5)
        await summed(log, 1, 3, 6, 10, 15)


async def test_snapshots_are_saved_while_it_works(log: MemoryLog) -> None:
    async with running(log, snapshot_seconds=0.02):
        for number in range(1, 4):
            await put(log, number)

            async def saved(at_least: int = number) -> bool:
                return await manifests(log) >= at_least

            await until(saved)
        await summed(log, 1, 3, 6)


async def test_a_snapshot_that_fails_is_told_and_counting_goes_on(log: MemoryLog, monkeypatch: Any) -> None:
    append = log.append
    broken = True

    async def failing(stream: str, partition: int, new: Sequence[NewRecord]) -> Any:
        if broken and stream == STATE and new[0].headers:
            raise LogUnavailable("the disk of state is full")
        return await append(stream, partition, new)

    monkeypatch.setattr(log, "append", failing)
    before = metrics.SNAPSHOTS_FAILED.labels("adder")._value.get()
    async with running(log, snapshot_seconds=0.02) as process:
        await put(log, 1, 2)
        await until(lambda: metrics.SNAPSHOTS_FAILED.labels("adder")._value.get() > before)
        await put(log, 3)
        await summed(log, 1, 3, 6)
        broken = False

        async def saved() -> bool:
            return await manifests(log) >= 1

        await until(saved)
        assert not process.task.done()


async def test_a_log_that_is_away_for_a_while_costs_no_restore_and_no_output(log: MemoryLog) -> None:
    async with running(log) as process:
        await put(log, 1)
        await summed(log, 1)
        claims = (await log.bounds(STATE))[0].end
        log.unavailable = "the broker is away"
        await until(lambda: process.probe.dependencies.get("log"))
        assert process.probe.health()[0] == 200
        log.unavailable = None
        await put(log, 2, 3)
        await summed(log, 1, 3, 6)
        assert (await log.bounds(STATE))[0].end == claims


@pytest.mark.parametrize("got_in", [True, False])
async def test_an_append_of_which_nobody_knows_whether_it_got_in_is_made_again(
    log: MemoryLog, monkeypatch: Any, got_in: bool
) -> None:
    append, failures = log.append, 2

    async def uncertain(stream: str, partition: int, new: Sequence[NewRecord]) -> Any:
        nonlocal failures
        if stream == COUNTS and b'"sum"' in new[0].value and failures:
            failures -= 1
            if got_in:
                await append(stream, partition, new)
            raise LogUnavailable("no answer")
        return await append(stream, partition, new)

    monkeypatch.setattr(log, "append", uncertain)
    async with running(log):
        await put(log, 1, 2)
        await put(log, 10, partition=1)
        await summed(log, 1, 3)
        await summed(log, 10, partition=1)
        await put(log, 3)
        await summed(log, 1, 3, 6)


async def test_two_share_the_partitions_and_one_goes_on_when_the_other_dies(log: MemoryLog) -> None:
    async with running(log) as first:
        await put(log, 1)
        await put(log, 100, partition=1)
        await summed(log, 1)
        await summed(log, 100, partition=1)
        second = Process(log, job())
        await until(lambda: first.partitions == {0} and second.partitions == {1})
        await put(log, 2)
        await put(log, 200, partition=1)
        await summed(log, 1, 3)
        await summed(log, 100, 300, partition=1)
        await second.kill()
        await until(lambda: first.partitions == {0, 1})
        await put(log, 300, partition=1)
        await summed(log, 100, 300, 600, partition=1)


def the_member(process: Process, log: MemoryLog) -> Member:
    """The newest member of the group."""
    return log._groups[CONTACTS, "adders"][-1]


async def test_a_zombie_that_adds_wrongly_changes_nothing(log: MemoryLog) -> None:
    zombie = Process(log, job(wrong=1000))
    await until(lambda: zombie.partitions == {0, 1})
    member = the_member(zombie, log)
    # It sleeps: the group gives its partitions to another, and it is not told.
    log.die(member)
    async with running(log) as owner:
        await until(lambda: owner.partitions == {0, 1})
        for number in range(1, 6):
            await put(log, number)  # both read it, both write
        await summed(log, 1, 3, 6, 10, 15)
        # It sees the other's claim, asks the group, and does not claim again.
        await until(lambda: zombie.partitions == set(), 10)
        await put(log, 6)
        await summed(log, 1, 3, 6, 10, 15, 21)
        assert owner.partitions == {0, 1}
        await zombie.kill()


async def test_whoever_is_rightful_claims_again(log: MemoryLog) -> None:
    """A member that lost a partition while it restored claims it after its new owner did."""
    async with running(log) as owner:
        await put(log, 1)
        await summed(log, 1)
        before = metrics.CONTESTED.labels("adder")._value.get()
        await log.append(STATE, 0, [NewRecord(b'{"kind":"claim","v":1,"producer":"adder/0","owner":"late"}')])
        at = (await log.bounds(STATE))[0].end - 1
        late = b'{"kind":"claim","v":1,"producer":"adder/0","owner":"late","epoch":%d}' % at
        await log.append(COUNTS, 0, [NewRecord(late)])
        await until(lambda: metrics.CONTESTED.labels("adder")._value.get() > before, 10)
        await put(log, 2)
        await summed(log, 1, 3)
        assert owner.partitions == {0, 1}


async def test_over_the_limit_of_unreadable_records_it_stops_with_its_reason(log: MemoryLog) -> None:
    process = Process(log, job(), unreadable_max=3)
    await log.append(CONTACTS, 0, [NewRecord(b"?")] * 3)
    await put(log, 1)
    await summed(log, 1)
    await log.append(CONTACTS, 0, [NewRecord(b"?")])
    with pytest.raises(OperationalError, match=r"contacts/0: 4 records.*PEGEL_UNREADABLE_MAX=3"):
        await process.task


async def test_an_error_while_restoring_ends_the_process_with_its_reason(log: MemoryLog, monkeypatch: Any) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    process = Process(log, job())
    monkeypatch.setattr(process.processing._restorer, "restore", broken)
    with pytest.raises(RuntimeError, match="a defect"):
        await process.task


async def test_a_snapshot_that_it_can_not_take_is_passed_over(log: MemoryLog) -> None:
    async with running(log):
        await put(log, 1, 2)
        await summed(log, 1, 3)
    async with running(log, job()) as process:
        await put(log, 3)
        await summed(log, 1, 3, 6)
        # The newest is bytes that the machine does not understand.
        process.processing._job = Job(**{**vars_of(process.processing._job), "encode": lambda _: b"[nonsense"})
    async with running(log):
        await put(log, 4)
        await summed(log, 1, 3, 6, 10)


def vars_of(work: Job) -> dict[str, Any]:
    return {name: getattr(work, name) for name in Job.__slots__}


async def test_another_version_counts_all_again_and_repeats_nothing(log: MemoryLog) -> None:
    async with running(log):
        await put(log, 1, 2)
        await summed(log, 1, 3)
    async with running(log, job(version="adder/2")):
        await put(log, 3)
        await summed(log, 1, 3, 6)


async def test_input_that_is_kept_no_more_stops_the_start_until_the_loss_is_accepted(log: MemoryLog) -> None:
    async with running(log):
        await put(log, 1, 2)
        await summed(log, 1, 3)
    await put(log, 3, 4, 5)
    log.trim(CONTACTS, 0, 4)
    with pytest.raises(ConfigurationError, match=r"(?s)adder/0.*offset 2.*4 to 5.*accept-loss contacts --partition 0"):
        await Process(log, job()).task
    loss = LossRecord(
        id="00000000-0000-4000-8000-000000000001", stream="contacts", partition=0, before=4, reason="we know"
    )
    await log.append(META, 0, [NewRecord(loss.encode())])
    async with running(log):
        await summed(log, 1, 3, 8)


async def test_snapshots_of_another_version_and_input_that_is_gone_name_both(log: MemoryLog) -> None:
    async with running(log):
        await put(log, 1, 2)
        await summed(log, 1, 3)
    log.trim(CONTACTS, 0, 1)
    with pytest.raises(ConfigurationError, match=r"(?s)version adder/1, and this is adder/2"):
        await Process(log, job(version="adder/2")).task


async def test_a_stream_that_is_shorter_than_the_snapshot_is_anothers(log: MemoryLog) -> None:
    async with running(log):
        await put(log, 1, 2)
        await summed(log, 1, 3)
    log._streams[CONTACTS][0].records.clear()
    with pytest.raises(ConfigurationError, match=r"(?s)the stream is another's, or lost"):
        await Process(log, job()).task
