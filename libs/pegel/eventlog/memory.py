"""A log in memory, for tests: several members share a group's partitions, and one that closes hands its own over."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pegel.eventlog.port import (
    Appended,
    Bounds,
    EventLog,
    LogError,
    LogUnavailable,
    Member,
    NewRecord,
    PositionOutOfRange,
    Reader,
    Record,
    StreamSpec,
)


def wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class _Partition:
    begin: int = 0
    records: list[Record] = field(default_factory=list)

    @property
    def bounds(self) -> Bounds:
        return Bounds(self.begin, self.begin + len(self.records))


class MemoryLog(EventLog):
    """Everything is lost with the process. clock_ms: where append times come from (running maxima are made of it).

    unavailable: while it is set, every coroutine raises LogUnavailable with this text.
    """

    def __init__(self, clock_ms: Callable[[], int] = wall_clock_ms) -> None:
        self.clock_ms = clock_ms
        self.unavailable: str | None = None
        self.committed: dict[tuple[str, str], dict[int, int]] = {}
        self._streams: dict[str, list[_Partition]] = {}
        self._groups: dict[tuple[str, str], list[_MemoryMember]] = {}
        self._waiting: set[asyncio.Future[None]] = set()

    async def create(self, streams: Sequence[StreamSpec]) -> Sequence[str]:
        self._check()
        made = [spec for spec in streams if spec.name not in self._streams]
        for spec in made:
            self._streams[spec.name] = [_Partition() for _ in range(spec.partitions)]
            for stream, group in list(self._groups):
                if stream == spec.name:
                    self._rebalance(stream, group)
        return [spec.name for spec in made]

    async def partitions(self, stream: str) -> int:
        self._check()
        return len(self._streams.get(stream, ()))

    async def append(self, stream: str, partition: int, records: Sequence[NewRecord]) -> Sequence[Appended]:
        await asyncio.sleep(0)  # as every real log, it lets others run in between
        self._check()
        kept = self._partition(stream, partition)
        time_ms = max(self.clock_ms(), kept.records[-1].time_ms if kept.records else 0)
        first = kept.bounds.end
        kept.records.extend(
            Record(partition, offset, time_ms, new.key, new.value, new.headers)
            for offset, new in enumerate(records, first)
        )
        self._wake()
        return [Appended(offset, time_ms) for offset in range(first, kept.bounds.end)]

    async def bounds(self, stream: str) -> Mapping[int, Bounds]:
        self._check()
        return {number: partition.bounds for number, partition in enumerate(self._stream(stream))}

    def reader(self, stream: str, positions: Mapping[int, int]) -> Reader:
        return _MemoryReader(self, stream, positions)

    def member(self, stream: str, group: str) -> Member:
        member = _MemoryMember(self, stream, group)
        self._groups.setdefault((stream, group), []).append(member)
        self._rebalance(stream, group)
        return member

    async def close(self) -> None:
        """What was appended stays for those who hold the log."""

    def trim(self, stream: str, partition: int, begin: int) -> None:
        """Forget the records before begin, as retention would."""
        kept = self._partition(stream, partition)
        del kept.records[: begin - kept.begin]
        kept.begin = begin

    def die(self, member: Member) -> None:
        """The member's process is gone: others take over what it had, and it is not told."""
        assert isinstance(member, _MemoryMember)  # noqa: S101 (for mypy)
        self._leave(member)

    def _check(self) -> None:
        if self.unavailable is not None:
            raise LogUnavailable(self.unavailable)

    def _stream(self, stream: str) -> list[_Partition]:
        if stream not in self._streams:
            raise LogError(f"the log has no stream {stream}")
        return self._streams[stream]

    def _partition(self, stream: str, partition: int) -> _Partition:
        kept = self._stream(stream)
        if not 0 <= partition < len(kept):
            raise LogError(f"stream {stream} has no partition {partition}, only {len(kept)}")
        return kept[partition]

    def _read(self, stream: str, partition: int, offset: int, limit: int) -> Sequence[Record]:
        kept = self._partition(stream, partition)
        begin, end = kept.bounds
        if not begin <= offset <= end:
            raise PositionOutOfRange(stream, partition, offset, begin, end)
        return kept.records[offset - begin : offset - begin + limit]

    async def _wait(self, seconds: float) -> None:
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await asyncio.wait([waiting], timeout=seconds)
        finally:
            self._waiting.discard(waiting)

    def _wake(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        self._waiting.clear()

    def _rebalance(self, stream: str, group: str) -> None:
        members = self._groups[stream, group]
        for place, member in enumerate(members):
            count = len(self._streams.get(stream, ()))
            member.assign(frozenset(range(place, count, len(members))))
        self._wake()

    def _leave(self, member: "_MemoryMember") -> None:
        members = self._groups[member.stream, member.group]
        if member in members:
            members.remove(member)
            self._rebalance(member.stream, member.group)


class _MemoryReader(Reader):
    def __init__(self, log: MemoryLog, stream: str, positions: Mapping[int, int]) -> None:
        self._log, self.stream = log, stream
        self._positions = dict(positions)
        self._closed = False

    async def fetch(self, *, max_records: int = 10_000, wait_seconds: float = 1.0) -> Mapping[int, Sequence[Record]]:
        if self._closed:
            raise LogError(f"the reader of {self.stream} was closed")
        clock = asyncio.get_running_loop().time
        until = clock() + wait_seconds
        state = self._state()
        while not (found := self._take(max_records)):
            left = until - clock()
            if left <= 0 or self._state() != state:
                await asyncio.sleep(0)  # who asks again and again without waiting shall not stop the others
                return {}
            await self._log._wait(left)
        return found

    def seek(self, partition: int, offset: int) -> None:
        self._positions[partition] = offset

    def positions(self) -> Mapping[int, int]:
        return dict(self._positions)

    async def close(self) -> None:
        self._closed = True
        self._positions.clear()

    def _state(self) -> int:
        """What makes fetch return early when it changes."""
        return 0

    def _take(self, limit: int) -> Mapping[int, Sequence[Record]]:
        self._log._check()
        self._log._stream(self.stream)
        found: dict[int, Sequence[Record]] = {}
        for partition, offset in self._positions.items():
            records = self._log._read(self.stream, partition, offset, limit)
            if records:
                found[partition] = records
                limit -= len(records)
        for partition, records in found.items():
            self._positions[partition] = records[-1].offset + 1
        return found


class _MemoryMember(_MemoryReader, Member):
    def __init__(self, log: MemoryLog, stream: str, group: str) -> None:
        super().__init__(log, stream, {})
        self.group = group
        self._assigned: frozenset[int] = frozenset()
        self._generation = 0

    @property
    def assigned(self) -> frozenset[int]:
        return self._assigned

    @property
    def joined(self) -> bool:
        return True

    @property
    def generation(self) -> int:
        return self._generation

    def start(self, partition: int, offset: int) -> None:
        if partition in self._assigned:
            self._positions[partition] = offset

    def seek(self, partition: int, offset: int) -> None:
        if partition in self._positions:
            self._positions[partition] = offset

    async def commit(self, positions: Mapping[int, int]) -> bool:
        await asyncio.sleep(0)
        self._log._check()
        if self not in self._log._groups[self.stream, self.group] or not positions.keys() <= self._assigned:
            return False
        self._log.committed.setdefault((self.stream, self.group), {}).update(positions)
        return True

    async def close(self) -> None:
        await super().close()
        self.assign(frozenset())
        self._log._leave(self)

    def assign(self, partitions: frozenset[int]) -> None:
        """As in Kafka's eager rebalance all is given back first: nothing is read until it is started again."""
        if partitions != self._assigned:
            self._assigned = partitions
            self._generation += 1
            self._positions.clear()

    def _state(self) -> int:
        return self._generation
