"""Unpacking what was fetched gives what aiokafka itself would give, record by record and position by position."""

from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from pegel.eventlog.kafka.unpacking import _Fetched
from pegel.eventlog.port import Record

PLACE = TopicPartition("a.contacts", 3)


@dataclass
class State:
    """The part of aiokafka's subscription that a result looks at."""

    position: int
    paused: bool = False
    active: bool = True

    def state_value(self, _: TopicPartition) -> "State":
        return self

    def consumed_to(self, position: int) -> None:
        self.position = position


def batch(base: int, count: int, codec: int) -> bytes:
    """Records base to base + count - 1."""
    builder = DefaultRecordBatchBuilder(2, codec, False, -1, -1, -1, 1 << 20)
    for n in range(count):
        key = None if n % 5 == 4 else b"k%d" % (base + n)
        value = None if n % 7 == 6 else b"v%d" % (base + n)
        builder.append(n, 1000 + n, key, value, [("h", b"x")] if n % 3 == 2 else [])
    data = bytearray(builder.build())
    data[:8] = base.to_bytes(8, "big")  # the checksum begins behind it
    return bytes(data)


def result(data: bytes, position: int) -> tuple[Any, State]:
    """What aiokafka makes of fetched bytes."""
    state = State(position)
    records = PartitionRecords(PLACE, MemoryRecords(data), [], position, None, None, True, 0)
    return FetchResult(PLACE, assignment=state, partition_records=records, backoff=0), state


def story(data: bytes, position: int, sizes: list[int], *, ours: bool) -> list[tuple[list[Record], int, bool]]:
    """What each call gives, and the position and whether there is more after it."""
    fetched, state = result(data, position)
    if ours:
        buffer = _Fetched()
        buffer[PLACE] = fetched
        fetched = buffer[PLACE]
    told = []
    for size in [*sizes, None]:
        records = fetched.getall(size)
        if not ours:
            records = [
                Record(r.partition, r.offset, r.timestamp, r.key, r.value or b"", tuple(r.headers)) for r in records
            ]
        told.append((records, state.position, fetched.has_more()))
        if not fetched.has_more():
            break
    return told


@given(
    st.lists(
        st.tuples(st.integers(1, 12), st.integers(0, 3), st.sampled_from([0, 1, 2, 3, 4])), min_size=1, max_size=5
    ),
    st.integers(0, 15),
    st.lists(st.integers(1, 20), max_size=8),
)
def test_it_gives_what_aiokafka_gives(batches: list[tuple[int, int, int]], skip: int, sizes: list[int]) -> None:
    data, base = b"", 100
    for count, gap, codec in batches:
        base += gap
        data += batch(base, count, codec)
        base += count
    # Kafka gives whole batches: the first may begin before the position that was asked for.
    position = min(100 + skip, base)
    assert story(data, position, sizes, ours=True) == story(data, position, sizes, ours=False)


def test_a_corrupt_batch_is_an_error_and_is_fetched_again_from_where_the_position_is() -> None:
    whole, corrupt = batch(0, 4, 0), bytearray(batch(4, 4, 0))
    corrupt[-1] ^= 1
    fetched, state = result(whole + bytes(corrupt), 0)
    buffer = _Fetched()
    buffer[PLACE] = fetched
    assert [record.offset for record in fetched.getall(3)] == [0, 1, 2]
    with pytest.raises(CorruptRecordException):
        fetched.getall(10)
    assert (fetched.getall(10), fetched.has_more(), state.position) == ([], False, 3)


@pytest.mark.parametrize("moved", ["paused", "sought", "revoked"])
def test_what_is_not_wanted_any_more_is_dropped(moved: str) -> None:
    fetched, state = result(batch(0, 4, 0), 0)
    buffer = _Fetched()
    buffer[PLACE] = fetched
    state.paused, state.active = moved == "paused", moved != "revoked"
    state.position = 2 if moved == "sought" else 0
    assert (fetched.getall(), fetched.has_more()) == ([], False)
