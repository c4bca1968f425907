"""The loop of counter and judge where it was found weak: each of these was once a hole."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from pegel.eventlog import metrics, processing
from pegel.eventlog.jobs import Job
from pegel.eventlog.memory import MemoryLog
from pegel.eventlog.port import (
    CONTACTS,
    COUNTS,
    META,
    STATE,
    Appended,
    LogUnavailable,
    NewRecord,
    Record,
    StreamSpec,
)
from pegel.eventlog.snapshots import CHUNKS_HELD_MAX, Claim, snapshots
from pegel.runtime.probes import Probe
from pegel.runtime.settings import ConfigurationError
from pegel.schemas.detection import ClaimRecord
from scenario.test_processing import LOG_ID, Adding, Process, Sum, job, put, running, summed, sums, the_member, vars_of
from support.wait import until


@pytest.fixture
async def log() -> MemoryLog:
    memory = MemoryLog()
    await memory.create([StreamSpec(CONTACTS, 2), StreamSpec(STATE, 2), StreamSpec(COUNTS, 1), StreamSpec(META, 1)])
    await memory.append(META, 0, [NewRecord(b'{"kind":"meta","v":1}')])
    return memory


def like_kafkas(member: Any) -> Any:
    """The group speaks in the background: what is read is forgotten only when the member is next asked to read."""
    forgotten = member._generation

    def assign(partitions: frozenset[int]) -> None:
        if partitions != member._assigned:
            member._assigned = partitions
            member._generation += 1
            member._log._wake()

    def forget() -> bool:
        nonlocal forgotten
        changed = bool(forgotten != member._generation)
        forgotten = member._generation
        if changed:
            member._positions.clear()
        return changed

    fetch, start = member.fetch, member.start

    async def fetch_as_kafka(**how: Any) -> Any:
        if forget():
            return {}
        found = await fetch(**how)
        return {} if forget() else found

    def start_as_kafka(partition: int, offset: int) -> None:
        forget()
        start(partition, offset)

    member.assign, member.fetch, member.start = assign, fetch_as_kafka, start_as_kafka
    return member


async def test_what_comes_back_while_outputs_are_appended_is_read_on(log: MemoryLog, monkeypatch: Any) -> None:
    """Kafka: all is taken back and given again while the loop waits for an append, and not for records."""
    append, rebalance = log.append, False

    async def during(stream: str, partition: int, new: Sequence[NewRecord]) -> Any:
        nonlocal rebalance
        placed = await append(stream, partition, new)
        if rebalance and stream == COUNTS and b'"sum"' in new[0].value:
            rebalance = False
            member.assign(frozenset())
            member.assign(frozenset({0, 1}))
        return placed

    monkeypatch.setattr(log, "append", during)
    async with running(log) as process:
        await until(lambda: process.partitions == {0, 1})
        member = like_kafkas(the_member(process, log))
        await put(log, 1)
        await put(log, 10, partition=1)
        await summed(log, 1)
        rebalance = True
        await put(log, 2)
        await summed(log, 1, 3)
        await put(log, 3)
        await put(log, 20, partition=1)
        await summed(log, 1, 3, 6)
        await summed(log, 10, 30, partition=1)


async def test_a_partition_that_is_new_takes_nothing_from_one_that_came_back(log: MemoryLog, monkeypatch: Any) -> None:
    append, rebalance = log.append, False

    async def during(stream: str, partition: int, new: Sequence[NewRecord]) -> Any:
        nonlocal rebalance
        placed = await append(stream, partition, new)
        if rebalance and stream == COUNTS and b'"sum"' in new[0].value:
            rebalance = False
            member.assign(frozenset())
            member.assign(frozenset({0, 1}))
        return placed

    monkeypatch.setattr(log, "append", during)
    async with running(log) as process:
        await until(lambda: process.partitions == {0, 1})
        member = like_kafkas(the_member(process, log))
        member.assign(frozenset({0}))
        await until(lambda: process.partitions == {0})
        rebalance = True
        await put(log, 1)
        await until(lambda: process.partitions == {0, 1})
        await put(log, 2)
        await put(log, 20, partition=1)
        await summed(log, 1, 3)
        await summed(log, 20, partition=1)


async def test_a_rebalance_that_gives_back_what_it_took_costs_no_restore(log: MemoryLog) -> None:
    """Kafka takes everything from everybody first, and most of it comes back."""
    async with running(log) as process:
        await put(log, 1)
        await summed(log, 1)
        claims = (await log.bounds(STATE))[0].end
        member: Any = the_member(process, log)
        member.assign(frozenset())
        log._wake()
        await until(lambda: process.partitions == set())
        member.assign(frozenset({0, 1}))
        log._wake()
        await put(log, 2)
        await summed(log, 1, 3)
        assert (await log.bounds(STATE))[0].end == claims


async def test_what_another_had_meanwhile_is_restored(log: MemoryLog) -> None:
    async with running(log) as process:
        await put(log, 1)
        await summed(log, 1)
        member: Any = the_member(process, log)
        log.die(member)  # the group believes it dead
        member.assign(frozenset())
        log._wake()
        await until(lambda: process.partitions == set())
        async with running(log):
            await put(log, 2)
            await summed(log, 1, 3)
        log._groups[CONTACTS, "adders"].append(member)
        log._rebalance(CONTACTS, "adders")
        await put(log, 3)
        await summed(log, 1, 3, 6)


async def test_much_output_is_appended_in_parts_that_the_log_takes_in_time(log: MemoryLog, monkeypatch: Any) -> None:
    """Else an append of an hour's windows never ends before its deadline, and is made again for ever."""
    append = log.append

    async def slow(stream: str, partition: int, new: Sequence[NewRecord]) -> Sequence[Appended]:
        placed = await append(stream, partition, new)
        if sum(len(record.value) for record in new) > 8 * 1024 * 1024:
            raise LogUnavailable("no answer within 5 s")
        return placed

    class Wordy(Sum):
        words: str

    class Talking(Adding):
        def apply(self, records: Sequence[Record]) -> list[Sum]:
            words = "x" * 400_000
            return [Wordy(**output.model_dump(), words=words) for output in super().apply(records)]

    monkeypatch.setattr(log, "append", slow)
    await put(log, *range(1, 61))
    talking = Job_with(fresh=Talking)
    async with running(log, talking):
        await summed(log, *(n * (n + 1) // 2 for n in range(1, 61)))
        await put(log, 61)  # is taken once all of that is acknowledged
        await summed(log, *(n * (n + 1) // 2 for n in range(1, 62)))


def Job_with(**over: Any) -> Any:  # noqa: N802
    return Job(**{**vars_of(job()), **over})


async def test_others_get_their_turn_while_much_is_worked_off(log: MemoryLog) -> None:
    """Heartbeats to the group run on the same loop: who works for longer than a session is thrown out, for ever."""
    turns, seen = 0, []

    class Slow(Adding):
        def apply(self, records: Sequence[Record]) -> list[Sum]:
            seen.append((len(records), turns))
            return super().apply(records)

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    await put(log, *[1] * 100)
    task = asyncio.create_task(others())
    slow = Job_with(fresh=Slow, records_at_once=10)
    async with running(log, slow):
        await summed(log, *range(1, 101))
    task.cancel()
    assert max(count for count, _ in seen) == 10
    assert len({turn for _, turn in seen}) == len(seen) >= 10


async def test_one_partition_that_stands_still_is_seen_beside_one_that_moves(log: MemoryLog, monkeypatch: Any) -> None:
    monkeypatch.setattr(processing, "LOOK_SECONDS", 0.01)
    async with running(log) as process:
        await until(lambda: process.partitions == {0, 1})
        member: Any = the_member(process, log)
        del member._positions[1]  # it is not read, whatever the reason
        await put(log, 1, partition=1)
        beats = 0

        def progress(*_: object) -> None:
            nonlocal beats
            beats += 1

        looks, bounds = 0, log.bounds

        async def looked(stream: str) -> Any:
            nonlocal looks
            looks += stream == CONTACTS
            return await bounds(stream)

        monkeypatch.setattr(log, "bounds", looked)
        monkeypatch.setattr(Probe, "progress", progress)
        for number in range(1, 20):
            await put(log, number)
            moved, looked_before = number * (number + 1) // 2, looks

            def worked(moved: int = moved, before: int = looked_before) -> bool:
                return _last(process) == moved and looks > before

            await until(worked)
        assert looks >= 19
        assert beats <= 2


def _last(process: Process) -> int:
    work = process.processing.owned[0]
    assert isinstance(work, Adding)
    return work.total


async def test_a_lost_stream_of_claims_stops_the_start_instead_of_writing_in_vain(log: MemoryLog) -> None:
    """Epochs are its offsets: from 0 again, and every reader drops all that is written."""
    async with running(log):
        for number in range(1, 6):
            await put(log, number)
        await summed(log, 1, 3, 6, 10, 15)
    async with running(log):
        await put(log, 6)
        await summed(log, 1, 3, 6, 10, 15, 21)
    del log._streams[STATE]
    await log.create([StreamSpec(STATE, 2)])
    with pytest.raises(ConfigurationError, match=r"(?s)state/\d.*epoch.*adder"):
        await Process(log, job()).task
    assert await sums(log) == [1, 3, 6, 10, 15, 21]


async def test_an_older_claim_that_comes_later_is_no_lost_stream(log: MemoryLog) -> None:
    """Another claimed on state after us, and on the output before us."""
    processes: list[Process] = []
    take = Claim.take
    overtaken = False

    async def slow(self: Claim, outputs: Sequence[str], owner: str) -> Any:
        nonlocal overtaken
        if self._partition == 0 and not overtaken:
            overtaken = True
            append = self._log.append

            async def between(stream: str, partition: int, new: Sequence[NewRecord]) -> Any:
                if stream == COUNTS:
                    (at,) = await append(STATE, 0, [NewRecord(ClaimRecord(producer="adder/0", owner="x").encode())])
                    named = ClaimRecord(producer="adder/0", owner="x", epoch=at.offset)
                    await append(COUNTS, 0, [NewRecord(named.encode())])
                return await append(stream, partition, new)

            object.__setattr__(self._log, "append", between)
            try:
                return await take(self, outputs, owner)
            finally:
                object.__setattr__(self._log, "append", append)
        return await take(self, outputs, owner)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Claim, "take", slow)
        processes.append(Process(log, job()))
        await put(log, 1, 2)
        await summed(log, 1, 3)
    await processes[0].end()


async def test_a_snapshot_that_breaks_what_reads_it_is_passed_over(log: MemoryLog) -> None:
    async with running(log):
        await put(log, 1, 2)
        await summed(log, 1, 3)

    def broken(partition: int, epoch: int, body: bytes) -> Any:
        raise AttributeError("'list' object has no attribute 'shape'")

    async with running(log, Job_with(restored=broken)):
        await put(log, 3)
        await summed(log, 1, 3, 6)


async def test_snapshots_that_were_begun_and_never_finished_are_not_kept_in_memory(
    log: MemoryLog, monkeypatch: Any
) -> None:
    """A disk of state that fails near the end of each attempt leaves chunks, attempt after attempt."""
    claim = Claim(log, 0, "adder/0", LOG_ID)
    await claim.take((COUNTS,), "a")
    await claim.save(b"good", "v", 3, {})
    headers = (("kind", b"chunk"), ("epoch", b"%d" % claim.epoch), ("previous_manifest", b"2"))
    await log.append(STATE, 0, [NewRecord(b"%d" % n, headers=headers) for n in range(3 * CHUNKS_HELD_MAX)])
    held = 0
    from pegel.eventlog import snapshots as module  # noqa: PLC0415

    body = module._body

    async def look(eventlog: Any, partition: int, manifest: Any, at_hand: dict[int, bytes], beat: Any) -> Any:
        nonlocal held
        held = max(held, len(at_hand))
        return await body(eventlog, partition, manifest, at_hand, beat)

    monkeypatch.setattr(module, "_body", look)
    end = (await log.bounds(STATE))[0].end
    assert [each.body async for each in snapshots(log, 0, end)] == [b"good"]
    assert held <= CHUNKS_HELD_MAX
    monkeypatch.setattr(module, "CHUNK_BYTES_MAX", 10)
    large = b"0123456789" * (CHUNKS_HELD_MAX + 50)
    await claim.save(large, "v", 4, {})
    end = (await log.bounds(STATE))[0].end
    assert [each.body async for each in snapshots(log, 0, end)] == [large, b"good"]
    assert held <= CHUNKS_HELD_MAX


async def test_metrics_of_a_partition_go_with_it(log: MemoryLog) -> None:
    """Else its old snapshot rings an alarm where nobody works on it."""

    def told(metric: Any) -> set[str]:
        return {partition for part, partition in metric._metrics if part == "adder"}

    metrics.SNAPSHOT_TIME.clear()
    metrics.LAG.clear()
    async with running(log, snapshot_seconds=0.01) as process:
        await put(log, 1)
        await put(log, 1, partition=1)
        await until(lambda: told(metrics.SNAPSHOT_TIME) == told(metrics.LAG) == {"0", "1"})
        member: Any = the_member(process, log)
        member.assign(frozenset({0}))
        log._wake()
        await until(lambda: process.partitions == {0})
        assert told(metrics.SNAPSHOT_TIME) == told(metrics.LAG) == {"0"}
