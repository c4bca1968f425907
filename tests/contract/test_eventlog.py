"""What the log's port promises, on each of its implementations."""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from pegel.eventlog.identity import Identity, accepted_losses, losses, open_identity, read_identity, stream_specs
from pegel.eventlog.port import (
    CONTACTS,
    COUNTS,
    LINKED,
    META,
    STATE,
    WINDOWS,
    Appended,
    EventLog,
    LogError,
    Member,
    NewRecord,
    PositionOutOfRange,
    Reader,
    Record,
    StreamSpec,
)
from pegel.eventlog.sqlite import SqliteLog
from pegel.runtime.settings import ConfigurationError, load
from pegel.schemas.detection import ClaimRecord, LossRecord, MetaRecord
from support.eventlogs import KafkaWorld, MemoryWorld, SqliteWorld, World
from support.wait import until

PARTITIONS = 3
STREAM = StreamSpec(CONTACTS, PARTITIONS)
TAKEOVER_SECONDS = 20.0
"""Kafka takes a member for dead after 10 s without a heartbeat."""

Opener = Callable[[], EventLog]


@pytest.fixture(params=["memory", "sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    if request.param == "memory":
        return MemoryWorld()
    if request.param == "sqlite":
        return SqliteWorld(tmp_path / "log")
    return KafkaWorld(request.getfixturevalue("kafka_bootstrap"), f"t{secrets.token_hex(6)}")


@pytest.fixture
async def opener(world: World) -> AsyncIterator[Opener]:
    """Opens the log, each time as another process would."""
    opened: list[EventLog] = []

    def open_another() -> EventLog:
        opened.append(world.open())
        return opened[-1]

    yield open_another
    for log in opened:
        await log.close()


@pytest.fixture
async def log(opener: Opener) -> EventLog:
    """The log, with one stream of three partitions."""
    log = opener()
    await log.create([STREAM])
    return log


def values(*numbers: int) -> list[NewRecord]:
    return [NewRecord(f"{number}".encode()) for number in numbers]


async def read(reader: Reader, count: int) -> dict[int, list[Record]]:
    """Fetch until `count` records have come; AssertionError if they don't."""
    found: dict[int, list[Record]] = {}

    async def enough() -> bool:
        for partition, records in (await reader.fetch(wait_seconds=0.2)).items():
            found.setdefault(partition, []).extend(records)
        return sum(map(len, found.values())) >= count

    await until(enough)
    return found


async def held(member: Member) -> frozenset[int]:
    """Fetches until the member has partitions."""

    async def some() -> frozenset[int]:
        assert await member.fetch(wait_seconds=0.2) == {}, "nothing was started"
        return member.assigned

    return await until(some, TAKEOVER_SECONDS)


def texts(records: Mapping[int, Sequence[Record]]) -> dict[int, list[str]]:
    return {partition: [record.value.decode() for record in found] for partition, found in records.items()}


# Streams


async def test_create_makes_only_what_is_missing(log: EventLog) -> None:
    assert await log.create([StreamSpec(CONTACTS, 7), StreamSpec(META, 1)]) == [META]
    assert await log.partitions(CONTACTS) == PARTITIONS
    assert await log.partitions(META) == 1


async def test_create_by_many_at_once_makes_each_stream_once(opener: Opener) -> None:
    specs = [StreamSpec(CONTACTS, 2), StreamSpec(META, 1)]
    made = await asyncio.gather(*(opener().create(specs) for _ in range(4)))
    assert Counter(name for names in made for name in names) == {CONTACTS: 1, META: 1}


async def test_a_stream_that_is_not_there(log: EventLog) -> None:
    assert await log.partitions("nothing") == 0
    for attempt in (
        log.append("nothing", 0, values(1)),
        log.bounds("nothing"),
        log.reader("nothing", {0: 0}).fetch(),
        log.member("nothing", "group").fetch(),
    ):
        with pytest.raises(LogError, match="nothing"):
            await attempt


async def test_a_partition_that_is_not_there(log: EventLog) -> None:
    with pytest.raises(LogError, match=f"{CONTACTS}.*{PARTITIONS}"):
        await log.append(CONTACTS, PARTITIONS, values(1))
    with pytest.raises(LogError, match=f"{CONTACTS}.*{PARTITIONS}"):
        await log.reader(CONTACTS, {PARTITIONS: 0}).fetch()


# Appending


async def test_a_record_is_read_as_it_was_appended(log: EventLog) -> None:
    new = [
        NewRecord(b"\x00value", b"key\xff", (("traceparent", b"00-ab"), ("traceparent", b""))),
        NewRecord(b"", None),
        NewRecord(b"large" * 100_000, b""),
    ]
    placed = await log.append(CONTACTS, 1, new)
    found = await read(log.reader(CONTACTS, {1: 0}), 3)
    assert found == {
        1: [
            Record(1, place.offset, place.time_ms, record.key, record.value, record.headers)
            for record, place in zip(new, placed, strict=True)
        ]
    }


async def test_appending_nothing_is_nothing(log: EventLog) -> None:
    assert list(await log.append(CONTACTS, 0, [])) == []
    assert (await log.bounds(CONTACTS))[0] == (0, 0)


async def test_what_is_acknowledged_is_in_the_log_in_one_dense_order(opener: Opener, log: EventLog) -> None:
    logs = [log, opener(), opener()]
    appends = await asyncio.gather(
        *(logs[number % 3].append(CONTACTS, number % 2, values(10 * number, 10 * number + 1)) for number in range(60))
    )
    found = await read(log.reader(CONTACTS, {0: 0, 1: 0, 2: 0}), 120)
    assert {partition: [record.offset for record in records] for partition, records in found.items()} == {
        0: list(range(60)),
        1: list(range(60)),
    }
    for number, placed in enumerate(appends):
        there = found[number % 2]
        assert [there[place.offset].value for place in placed] == [b"%d" % (10 * number), b"%d" % (10 * number + 1)]
        assert placed[0].offset < placed[1].offset, "records of one append keep their order"


async def test_appends_that_follow_one_another_keep_their_order(log: EventLog) -> None:
    for number in range(20):
        await log.append(CONTACTS, 0, values(number))
    assert texts(await read(log.reader(CONTACTS, {0: 0}), 20)) == {0: [str(number) for number in range(20)]}


async def test_times_never_fall_and_are_those_acknowledged(opener: Opener, log: EventLog) -> None:
    other = opener()
    placed: list[Appended] = []
    for number in range(10):
        placed += await (log, other)[number % 2].append(CONTACTS, 0, values(number, number))
    assert [place.time_ms for place in placed] == sorted(place.time_ms for place in placed)
    found = (await read(log.reader(CONTACTS, {0: 0}), 20))[0]
    assert [record.time_ms for record in found] == [place.time_ms for place in placed]


async def test_an_append_whose_caller_left_harms_no_other(log: EventLog) -> None:
    left = asyncio.ensure_future(log.append(CONTACTS, 0, values(1)))
    await asyncio.sleep(0)
    left.cancel()
    (placed,) = await log.append(CONTACTS, 0, values(2))
    found = await read(log.reader(CONTACTS, {0: placed.offset}), 1)
    assert texts(found) == {0: ["2"]}


async def test_a_closed_log_takes_nothing_more(world: World) -> None:
    if isinstance(world, MemoryWorld):
        return  # what it holds is gone with it
    log = world.open()
    await log.create([STREAM])
    await log.append(CONTACTS, 0, values(1))
    await log.close()
    with pytest.raises(LogError, match="was closed"):
        await log.append(CONTACTS, 0, values(2))


# Reading


async def test_bounds_say_what_there_is(world: World, log: EventLog) -> None:
    await log.append(CONTACTS, 1, values(1, 2, 3))
    await world.forget(CONTACTS, 1, 2)
    assert dict(await log.bounds(CONTACTS)) == {0: (0, 0), 1: (2, 3), 2: (0, 0)}


async def test_readers_do_not_disturb_one_another(opener: Opener, log: EventLog) -> None:
    await log.append(CONTACTS, 0, values(1, 2, 3))
    first, second, elsewhere = (
        log.reader(CONTACTS, {0: 0}),
        log.reader(CONTACTS, {0: 2}),
        opener().reader(CONTACTS, {0: 1}),
    )
    assert texts(await read(first, 3)) == {0: ["1", "2", "3"]}
    assert texts(await read(second, 1)) == {0: ["3"]}
    assert texts(await read(elsewhere, 2)) == {0: ["2", "3"]}


async def test_a_reader_waits_for_what_another_process_appends(opener: Opener, log: EventLog) -> None:
    reader = log.reader(CONTACTS, {0: 0, 1: 0})
    assert await reader.fetch(wait_seconds=0.05) == {}
    waiting = asyncio.ensure_future(read(reader, 1))
    await opener().append(CONTACTS, 1, values(7))
    assert texts(await waiting) == {1: ["7"]}


async def test_positions_are_those_of_the_next_records(log: EventLog) -> None:
    await log.append(CONTACTS, 0, values(1, 2))
    reader = log.reader(CONTACTS, {0: 0, 2: 0})
    await read(reader, 2)
    assert reader.positions() == {0: 2, 2: 0}


async def test_fetch_keeps_to_its_limit_and_loses_nothing(log: EventLog) -> None:
    for partition in range(PARTITIONS):
        await log.append(CONTACTS, partition, values(*range(10)))
    reader = log.reader(CONTACTS, dict.fromkeys(range(PARTITIONS), 0))
    found: dict[int, list[str]] = {partition: [] for partition in range(PARTITIONS)}

    async def all_there() -> bool:
        fetched = await reader.fetch(max_records=4, wait_seconds=0.2)
        assert sum(map(len, fetched.values())) <= 4
        for partition, records in texts(fetched).items():
            found[partition] += records
        return sum(map(len, found.values())) == 30

    await until(all_there)
    assert found == {partition: [str(number) for number in range(10)] for partition in range(PARTITIONS)}


async def test_seek_goes_back_and_forth(log: EventLog) -> None:
    await log.append(CONTACTS, 0, values(*range(5)))
    reader = log.reader(CONTACTS, {0: 0})
    await read(reader, 5)
    reader.seek(0, 3)
    assert texts(await read(reader, 2)) == {0: ["3", "4"]}
    reader.seek(0, 1)
    reader.seek(0, 4)
    assert texts(await read(reader, 1)) == {0: ["4"]}


@pytest.mark.parametrize("position", [1, 6])
async def test_a_position_that_the_log_does_not_have(world: World, log: EventLog, position: int) -> None:
    await log.append(CONTACTS, 1, values(*range(5)))
    await world.forget(CONTACTS, 1, 2)
    reader = log.reader(CONTACTS, {1: position})
    with pytest.raises(PositionOutOfRange) as caught:
        await read(reader, 1)
    error = caught.value
    assert (error.stream, error.partition, error.offset, error.begin, error.end) == (CONTACTS, 1, position, 2, 5)
    reader.seek(1, 2)
    assert texts(await read(reader, 3)) == {1: ["2", "3", "4"]}


async def test_the_end_is_a_position_and_waits(log: EventLog) -> None:
    await log.append(CONTACTS, 0, values(1))
    reader = log.reader(CONTACTS, {0: 1})
    assert await reader.fetch(wait_seconds=0.3) == {}
    await log.append(CONTACTS, 0, values(2))
    assert texts(await read(reader, 1)) == {0: ["2"]}


async def test_a_closed_reader_says_so(log: EventLog) -> None:
    for reader in (log.reader(CONTACTS, {0: 0}), log.member(CONTACTS, "group")):
        await reader.fetch(wait_seconds=0)
        await reader.close()
        await reader.close()
        with pytest.raises(LogError, match=f"reader of {CONTACTS} was closed"):
            await reader.fetch()


# Groups


async def test_a_member_reads_nothing_before_it_is_told_where(log: EventLog) -> None:
    await log.append(CONTACTS, 1, values(1, 2))
    member = log.member(CONTACTS, "group")
    assert await held(member) == {0, 1, 2}
    assert member.generation >= 1
    assert await member.fetch(wait_seconds=0.3) == {}
    member.start(1, 1)
    assert texts(await read(member, 1)) == {1: ["2"]}
    assert member.positions() == {1: 2}
    await member.commit(member.positions())


async def test_a_member_knows_that_the_group_has_answered(log: EventLog, opener: Opener) -> None:
    """Also one that gets nothing: a standby."""
    await log.create([StreamSpec(COUNTS, 1)])
    members = [opener().member(COUNTS, "g") for _ in range(2)]

    async def all_joined() -> bool:
        for member in members:
            await member.fetch(wait_seconds=0.2)
        return all(member.joined for member in members)

    await until(all_joined, TAKEOVER_SECONDS)
    await until(lambda: sorted(len(member.assigned) for member in members) == [0, 1], TAKEOVER_SECONDS)
    for member in members:
        await member.close()


async def test_what_was_taken_back_is_not_being_read(opener: Opener) -> None:
    """Without a fetch in between: who asks what it reads is not told of what it had before a rebalance."""
    log = opener()
    await log.create([STREAM])
    member = log.member(CONTACTS, "g")
    await held(member)
    for partition in member.assigned:
        member.start(partition, 0)
    assert member.positions().keys() == member.assigned
    before = member.generation
    other = opener().member(CONTACTS, "g")
    joining = asyncio.create_task(other.fetch(wait_seconds=TAKEOVER_SECONDS))
    try:
        if not isinstance(log, SqliteLog):  # there the lock's owner keeps it
            await until(lambda: member.generation != before, TAKEOVER_SECONDS)
            assert member.positions() == {}
    finally:
        joining.cancel()
        await asyncio.gather(joining, return_exceptions=True)
        await member.close()
        await other.close()


async def test_another_takes_over_what_a_member_leaves(opener: Opener, log: EventLog) -> None:
    await log.append(CONTACTS, 0, values(1))
    first, second = log.member(CONTACTS, "group"), opener().member(CONTACTS, "group")
    await held(first)
    before = second.generation

    async def both() -> bool:
        # Kafka shares the partitions, the embedded log has a second one wait: either way no two have the same.
        await asyncio.gather(first.fetch(wait_seconds=0.2), second.fetch(wait_seconds=0.2))
        return len(first.assigned) + len(second.assigned) == PARTITIONS and not first.assigned & second.assigned

    await until(both, TAKEOVER_SECONDS)
    await first.close()
    assert first.assigned == frozenset()

    async def all_taken() -> bool:
        await second.fetch(wait_seconds=0.2)
        return second.assigned == {0, 1, 2}

    await until(all_taken, TAKEOVER_SECONDS)
    assert second.generation > before
    second.start(0, 0)
    assert texts(await read(second, 1)) == {0: ["1"]}


@pytest.mark.timeout(60)
async def test_another_takes_over_when_the_owner_is_killed(world: World, log: EventLog) -> None:
    with world.other_member(CONTACTS, "group"):
        member = log.member(CONTACTS, "group")
        await member.fetch(wait_seconds=0.2)
        assert member.assigned != {0, 1, 2}, "the other one has them, or some"

    async def all_taken() -> bool:
        await member.fetch(wait_seconds=0.2)
        return member.assigned == {0, 1, 2}

    await until(all_taken, TAKEOVER_SECONDS)


async def test_groups_do_not_disturb_one_another(log: EventLog) -> None:
    one, other = log.member(CONTACTS, "one"), log.member(CONTACTS, "other")
    assert await held(one) == await held(other) == {0, 1, 2}


# Claims and identity


async def test_each_claim_gets_a_higher_epoch(opener: Opener, log: EventLog) -> None:
    await log.create([StreamSpec(STATE, 2)])
    epochs = []
    for owner in ("a", "b", "c"):
        claim = ClaimRecord(producer="counter/1", owner=owner)
        (placed,) = await opener().append(STATE, 1, [NewRecord(claim.encode())])
        epochs.append(placed.offset)
    assert epochs == sorted(set(epochs))
    found = (await read(log.reader(STATE, {1: 0}), 3))[1]
    assert [(record.offset, ClaimRecord.decode(record.value).owner) for record in found] == list(
        zip(epochs, "abc", strict=True)
    )


async def test_the_first_identity_wins(opener: Opener) -> None:
    settings = load({})
    logs = [opener() for _ in range(4)]
    identities = await asyncio.gather(*(open_identity(log, settings) for log in logs))
    assert len({identity.meta.log_id for identity in identities}) == 1
    (record, *_) = (await read(logs[0].reader(META, {0: 0}), 1))[0]
    assert identities[0] == Identity(MetaRecord.decode(record.value), record.time_ms)
    assert await read_identity(opener()) == identities[0]
    for spec in stream_specs(settings):
        assert await logs[0].partitions(spec.name) == spec.partitions


async def test_a_log_made_otherwise_names_each_difference_and_the_ways_out(opener: Opener) -> None:
    log = opener()
    made = await open_identity(log, load({}))
    other = {"PEGEL_CLOCK": "data", "PEGEL_PARTITIONS": "9", "PEGEL_DIMENSIONS": "country,topic,attributes.region"}
    with pytest.raises(ConfigurationError) as caught:
        await open_identity(opener(), load(other))
    faults = caught.value.faults
    assert len(faults) == 4
    for fault, name in zip(faults, other, strict=False):
        assert fault.startswith(f"{name}={other[name]}, but the log ")
    assert "PEGEL_CLOCK=wall PEGEL_PARTITIONS=4 PEGEL_DIMENSIONS=country,topic" in faults[3]
    assert await read_identity(log) == made, "commands take what the log says"


async def test_commands_need_a_log_that_was_made(opener: Opener) -> None:
    with pytest.raises(ConfigurationError, match="no log was made"):
        await read_identity(opener())


@pytest.mark.parametrize(("stream", "partitions"), [(CONTACTS, 4), (STATE, 5), (COUNTS, 1), (LINKED, 1), (META, 1)])
async def test_a_stream_with_other_partitions_stops_the_start(opener: Opener, stream: str, partitions: int) -> None:
    log = opener()
    await log.create([StreamSpec(stream, partitions + 2)])
    with pytest.raises(ConfigurationError) as caught:
        await open_identity(log, load({}))
    difference, way_out = caught.value.faults
    assert difference == f"stream {stream} has {partitions + 2} partitions, but the log was made with {partitions}"
    assert "make another log by another" in way_out


@pytest.mark.kafka
async def test_partitions_that_an_operator_adds_stop_the_next_start(kafka_bootstrap: str) -> None:
    """All streams that differ are named at once, and the way out, which is another prefix."""
    world = KafkaWorld(kafka_bootstrap, f"t{secrets.token_hex(6)}")
    log, settings = world.open(), load({"PEGEL_LOG_URL": world.url})
    try:
        await open_identity(log, settings)
        await world.add_partitions({CONTACTS: 6, WINDOWS: 2})

        async def refused() -> list[str]:
            try:
                await open_identity(log, settings)
            except ConfigurationError as error:
                return error.faults if len(error.faults) == 3 else []
            return []

        contacts, windows, way_out = await until(refused)  # brokers learn of partitions a moment later
        assert contacts == "stream contacts has 6 partitions, but the log was made with 4"
        assert windows == "stream windows has 2 partitions, but the log was made with 1"
        assert "another prefix in PEGEL_LOG_URL" in way_out
        assert "replay" in way_out
    finally:
        await log.close()


NEWER = b'{"kind":"meta","v":2,"log_id":"7d1c1a9e-0c5b-4f0e-9a59-5a1f2f6d0f0a","clock":"sun"}'


@pytest.mark.parametrize(
    ("first", "error", "said"),
    [
        (
            NEWER,
            ConfigurationError,
            "made by a newer version of Pegel: its first record is of version 2, .* reads 1: run",
        ),
        (b'{"kind":"claim","v":1}', LogError, "not one this version reads: kind"),
        (b"[1]", LogError, "not one this version reads"),
    ],
    ids=["newer", "another kind", "no object"],
)
async def test_a_log_of_another_version_stops_the_start(
    opener: Opener, first: bytes, error: type[Exception], said: str
) -> None:
    log = opener()
    await log.create([StreamSpec(META, 1)])
    await log.append(META, 0, [NewRecord(first)])
    for opening in (open_identity(log, load({})), read_identity(log)):
        with pytest.raises(error, match=said):
            await opening
    assert (await log.bounds(META))[0].end == 1, "nothing is written into it"
    assert not await log.partitions(CONTACTS)


def loss(stream: Any, partition: int, before: int) -> NewRecord:
    record = LossRecord(id=str(uuid4()), stream=stream, partition=partition, before=before, reason="a disk died")
    return NewRecord(record.encode())


async def test_accepted_losses_are_read_from_behind_the_identity(opener: Opener) -> None:
    """What else stands on meta, of this version or a newer one, changes nothing."""
    log = opener()
    assert await open_identity(log, load({}))
    assert await accepted_losses(log) == {}
    (identity,) = (await read(log.reader(META, {0: 0}), 1))[0]
    newer = loss(CONTACTS, 1, 99).value.replace(b'"v":1', b'"v":2')
    others = [NewRecord(identity.value), NewRecord(b"{}"), NewRecord(b"\xff"), NewRecord(newer)]
    await log.append(META, 0, [loss(CONTACTS, 1, 5), *others, loss(CONTACTS, 1, 9), loss(CONTACTS, 1, 7)])
    await log.append(META, 0, [loss(WINDOWS, 0, 3)])
    assert await accepted_losses(log) == {(CONTACTS, 1): 9, (WINDOWS, 0): 3}
    found = await losses(opener())
    assert [loss.record.before for loss in found] == [5, 9, 7, 3]
    assert all(loss.time_ms >= identity.time_ms for loss in found)
