"""Claims and snapshots on every log: the newest whole one that is not void is found, from the end.

A line in a comment is the partition of state: c claim, k chunk, m manifest; letters after it say whose.
"""

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path

import pytest

from pegel.eventlog.fencing import Seen
from pegel.eventlog.port import COUNTS, STATE, EventLog, NewRecord, StreamSpec
from pegel.eventlog.snapshots import CHUNK_BYTES_MAX, Claim, Overtaken, Snapshot, highest_seen, snapshots
from pegel.runtime.settings import ConfigurationError
from pegel.schemas.base import Origin
from pegel.schemas.detection import Additions, CountsRecord, OutputMark, PartitionTotals
from support.eventlogs import KafkaWorld, MemoryWorld, SqliteWorld, World

LOG_ID = "6f2c8b1e-2f6f-4f0f-8d52-0c1b5f1f3a01"
PARTITION = 1
MARKS: Mapping[str, OutputMark] = {COUNTS: OutputMark(next_offset=0, offset=-1, place=-1)}


@pytest.fixture(params=["memory", "sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    if request.param == "memory":
        return MemoryWorld()
    if request.param == "sqlite":
        return SqliteWorld(tmp_path / "log")
    return KafkaWorld(request.getfixturevalue("kafka_bootstrap"), f"t{secrets.token_hex(6)}")


@pytest.fixture
async def log(world: World) -> AsyncIterator[EventLog]:
    log = world.open()
    await log.create([StreamSpec(STATE, 2), StreamSpec(COUNTS, 1)])
    yield log
    await log.close()


async def claimed(log: EventLog, owner: str = "a", log_id: str = LOG_ID) -> Claim:
    claim = Claim(log, PARTITION, "counter/1", log_id)
    await claim.take((COUNTS,), owner)
    return claim


async def save(claim: Claim, body: bytes, position: int = 0) -> None:
    await claim.save(body, "test/1", position, MARKS)


async def found(claim: Claim) -> list[Snapshot]:
    async with aclosing(claim.snapshots()) as all_of_them:
        return [snapshot async for snapshot in all_of_them]


async def newest(log: EventLog, owner: str = "next") -> bytes | None:
    """What the next owner begins with."""
    bodies = [snapshot.body for snapshot in await found(await claimed(log, owner))]
    return bodies[0] if bodies else None


async def test_there_is_none_before_the_first(log: EventLog) -> None:
    assert await newest(log) is None
    assert await newest(log) is None


async def test_the_newest_is_found_first_and_the_older_ones_after_it(log: EventLog) -> None:
    # c k m k m k m c
    claim = await claimed(log)
    for number in range(3):
        await save(claim, b"state %d" % number, position=10 * number)
    after = await claimed(log, "b")
    snapshots_found = await found(after)
    assert [s.body for s in snapshots_found] == [b"state 2", b"state 1", b"state 0"]
    assert [s.manifest.position for s in snapshots_found] == [20, 10, 0]
    assert {s.manifest.epoch for s in snapshots_found} == {claim.epoch}


async def test_a_large_state_is_many_chunks_and_comes_back_as_it_was(log: EventLog) -> None:
    body = bytes(range(256)) * (4 * CHUNK_BYTES_MAX // 256 + 1)
    claim = await claimed(log)
    manifest = await claim.save(body, "test/1", 7, MARKS)
    assert len(manifest.chunks) == 5
    assert await newest(log) == body


async def test_a_manifest_that_got_in_after_the_next_one_is_the_older_one(log: EventLog) -> None:
    # c k m k m m(the first again: its append was given up, and the log took it all the same) c
    claim = await claimed(log)
    late = await claim.save(b"older", "test/1", 10, MARKS)
    await save(claim, b"newer", position=20)
    await log.append(STATE, PARTITION, [NewRecord(late.encode())])
    assert await newest(log) == b"newer"


async def test_one_that_was_not_finished_counts_for_nothing(log: EventLog) -> None:
    # c k m k k (crash) c
    claim = await claimed(log)
    await save(claim, b"whole")
    whole = (await log.bounds(STATE))[PARTITION].end - 1
    headers = (("kind", b"chunk"), ("epoch", str(claim.epoch).encode()), ("previous_manifest", str(whole).encode()))
    await log.append(STATE, PARTITION, [NewRecord(b"half", headers=headers), NewRecord(b"of it", headers=headers)])
    assert await newest(log) == b"whole"


async def test_one_that_stands_after_a_newer_claim_is_void(log: EventLog) -> None:
    # c(a) k m(a) c(b) k m(zombie a) k m(b) k m(zombie a)
    old = await claimed(log, "a")
    await save(old, b"of a")
    zombie = Claim(log, PARTITION, "counter/1", LOG_ID)
    zombie.__dict__.update(old.__dict__)
    new = await claimed(log, "b")
    assert [s.body for s in await found(new)] == [b"of a"]
    with pytest.raises(Overtaken):
        await save(zombie, b"of a zombie")
    await write_as_if_not_overtaken(log, zombie, b"of a zombie that does not look")
    await save(new, b"of b")
    await write_as_if_not_overtaken(log, zombie, b"of a zombie that does not look, the last record")
    assert await newest(log) == b"of b"


async def write_as_if_not_overtaken(log: EventLog, zombie: Claim, body: bytes) -> None:
    """A snapshot of one who never looks whether another has claimed."""

    class Blind(Claim):
        async def _claimed_before(self, end: int) -> bool:
            return False

    blind = Blind(log, PARTITION, "counter/1", LOG_ID)
    blind.__dict__.update(zombie.__dict__)
    await save(blind, body)


async def test_a_zombie_alone_after_the_claim_changes_nothing(log: EventLog) -> None:
    # c(a) k m(a) c(b) k m(zombie a): b crashes before it saves anything
    old = await claimed(log, "a")
    await save(old, b"of a")
    await claimed(log, "b")
    await write_as_if_not_overtaken(log, old, b"of a zombie")
    assert await newest(log) == b"of a"


async def test_a_claim_is_noticed(log: EventLog) -> None:
    first = await claimed(log, "a")
    assert not await first.contested()
    await save(first, b"mine")
    assert not await first.contested()
    second = await claimed(log, "b")
    assert await first.contested()
    assert not await second.contested()


async def test_what_a_zombie_writes_is_no_claim(log: EventLog) -> None:
    first = await claimed(log, "a")
    second = await claimed(log, "b")
    await write_as_if_not_overtaken(log, first, b"of a zombie")
    assert not await second.contested()
    await save(second, b"of b")
    assert await newest(log) == b"of b"


async def test_a_corrupt_one_is_passed_over_for_the_one_before(log: EventLog) -> None:
    claim = await claimed(log)
    await save(claim, b"good")
    manifest = await claim.save(b"to be broken", "test/1", 5, MARKS)
    other = manifest.chunks[0].model_copy(update={"sha256": "0" * 64})
    broken = manifest.model_copy(update={"chunks": (other,)})
    await log.append(STATE, PARTITION, [NewRecord(broken.encode())])
    assert [s.body for s in await found(await claimed(log, "b"))] == [b"to be broken", b"good"]


async def test_what_is_none_of_ours_is_passed_over(log: EventLog) -> None:
    claim = await claimed(log)
    await save(claim, b"good")
    chunk = (("kind", b"chunk"), ("epoch", b"999999999"), ("previous_manifest", b"999999998"))
    junk = [
        NewRecord(b"\xff\x00"),
        NewRecord(b'{"kind":"manifest","v":1,"producer":"counter/1","epoch":0}'),
        NewRecord(b"x", headers=chunk),
        NewRecord(b"x", headers=(("kind", b"chunk"), ("epoch", b"nine"))),
        NewRecord(b'{"kind":"manifest","v":1,"epoch":0,"previous_manifest":999999}'),
    ]
    await log.append(STATE, PARTITION, junk)
    assert await newest(log) == b"good"


async def test_a_restart_after_another_without_a_snapshot_in_between_finds_it_too(log: EventLog) -> None:
    # c k m c c c c
    await save(await claimed(log), b"good")
    for _ in range(3):
        await claimed(log)
    assert await newest(log) == b"good"


async def test_a_foreign_snapshot_is_named(log: EventLog) -> None:
    await save(await claimed(log, log_id="00000000-0000-0000-0000-000000000000"), b"of another log")
    with pytest.raises(ConfigurationError, match=f"(?s)state/1.*00000000-.*{LOG_ID}"):
        await found(await claimed(log))


async def test_partitions_of_state_are_apart(log: EventLog) -> None:
    await save(await claimed(log), b"mine")
    assert [s async for s in snapshots(log, 0, (await log.bounds(STATE))[0].end)] == []


def counts(epoch: int, offset: int, producer: str = "counter/1") -> NewRecord:
    """An output, as a counter writes it."""
    origin = Origin(producer=producer, epoch=epoch, partition=1, offset=offset, place=0)
    record = CountsRecord(
        origin=origin,
        closed_from=1,
        closed_to=2,
        gap_from=1,
        gap_to=1,
        additions=Additions(),
        totals=PartitionTotals(),
    )
    return NewRecord(record.encode())


async def test_the_highest_output_before_a_claim(log: EventLog) -> None:
    first = Claim(log, PARTITION, "counter/1", LOG_ID)
    at_first = (await first.take((COUNTS,), "a"))[COUNTS]
    await log.append(COUNTS, 0, [counts(first.epoch, 5), counts(first.epoch, 9), counts(0, 50, "counter/0")])
    second = Claim(log, PARTITION, "counter/1", LOG_ID)
    at_second = (await second.take((COUNTS,), "b"))[COUNTS]
    await log.append(COUNTS, 0, [NewRecord(b"\xff"), counts(first.epoch, 90), counts(second.epoch, 12)])
    third = Claim(log, PARTITION, "counter/1", LOG_ID)
    at_third = (await third.take((COUNTS,), "c"))[COUNTS]
    await log.append(COUNTS, 0, [counts(third.epoch, 33)])

    async def highest(claim: Claim, before: int, since: tuple[int, Seen] | None = None) -> tuple[int, int]:
        return (await highest_seen(log, COUNTS, "counter/1", claim.epoch, before=before, since=since)).id

    assert await highest(first, at_first) == (-1, -1)
    assert await highest(second, at_second) == (9, 0)
    assert await highest(third, at_third) == (12, 0)
    # With the claims gone nobody can say whose outputs count: all are told again, and readers know them.
    assert await highest(third, at_third, (-1, Seen(second.epoch, (9, 0)))) == (9, 0)
    # From a snapshot of the second owner: what the zombie wrote is still not taken.
    assert await highest(third, at_third, (at_second + 1, Seen(second.epoch, (9, 0)))) == (12, 0)
