"""The simulated log: pegel's log in memory behind a network that delays, cuts, loses and repeats, and groups whose
members are told late, expelled, and come back.
"""

import asyncio
import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pegel.eventlog.memory import MemoryLog
from pegel.eventlog.port import (
    CONTACTS,
    STATE,
    Appended,
    Bounds,
    EventLog,
    LogError,
    LogUnavailable,
    Member,
    NewRecord,
    Reader,
    Record,
    StreamSpec,
)
from support.simulation.loop import PROCESS, Process
from support.simulation.rogue import altered
from support.simulation.world import World

DEADLINE_SECONDS: Final = 5.0
AWAY: Final = "the simulated log is away"


class Cluster(MemoryLog):
    """What the brokers keep. `log_of` gives a process its own way to it."""

    def __init__(self, world: World) -> None:
        super().__init__(world.clock_ms)
        self.world = world
        self.away = False
        self.waiting: dict[str, list[asyncio.Future[None]]] = {}
        self.groups: dict[tuple[str, str], Group] = {}
        self._all: dict[str, list[list[Record]]] = {}
        """Also what retention took away."""

    def log_of(self, process: Process) -> "ProcessLog":
        return ProcessLog(self, process)

    def put(self, stream: str, partition: int, records: Sequence[NewRecord]) -> list[Appended]:
        """Append, at once."""
        kept = self._partition(stream, partition)
        time_ms = max(self.clock_ms(), kept.records[-1].time_ms if kept.records else 0)
        first = kept.bounds.end
        new = [
            Record(partition, offset, time_ms, record.key, record.value, record.headers)
            for offset, record in enumerate(records, first)
        ]
        kept.records.extend(new)
        self._all[stream][partition].extend(new)
        for waiting in self.waiting.pop(stream, ()):
            if not waiting.done():
                waiting.set_result(None)
        return [Appended(offset, time_ms) for offset in range(first, kept.bounds.end)]

    def stored(self, stream: str) -> list[list[Record]]:
        """Everything that was ever appended, by partition."""
        return self._all[stream]

    def spoil(self, stream: str, partition: int, offset: int) -> None:
        """A record is not what it was."""
        kept = self._partition(stream, partition)
        old = kept.records[offset - kept.begin]
        kept.records[offset - kept.begin] = old._replace(value=bytes([old.value[0] ^ 1]) + old.value[1:])

    def read(self, stream: str, partition: int, offset: int, limit: int) -> Sequence[Record]:
        return self._read(stream, partition, offset, limit)

    def ends(self, stream: str) -> dict[int, Bounds]:
        return {number: kept.bounds for number, kept in enumerate(self._stream(stream))}

    def count(self, stream: str) -> int:
        return len(self._streams.get(stream, ()))

    def make(self, streams: Sequence[StreamSpec]) -> list[str]:
        """create, at once."""
        made = [spec for spec in streams if not self.count(spec.name)]
        for spec in made:
            # MemoryLog.create does no more than this when nobody is in a group yet.
            coroutine = super().create([spec])
            with contextlib.suppress(StopIteration):
                coroutine.send(None)
            self._all[spec.name] = [[] for _ in range(spec.partitions)]
            for group in self.groups.values():
                group.rebalance()
        return [spec.name for spec in made]

    def expire(self, process: Process) -> None:
        """The group's coordinator has not heard of the process for too long."""
        for group in self.groups.values():
            for member in [m for m in group.members if m.process is process]:
                group.remove(member)
                member.expelled = True

    def returned(self, process: Process) -> None:
        """A process that was held for dead is not: it learns so, and joins again."""
        for group in self.groups.values():
            for member in [m for m in group.known if m.process is process and m.expelled and not m.closed]:
                member.expelled = False
                self.world.later(self.world.between(0.3, 4.0), member.told, frozenset(), group.next_round(), True)
                self.world.later(self.world.between(4.0, 5.0), group.add, member)


@dataclass(eq=False)
class Group:
    """A consumer group on a stream. Members are told of a rebalance one by one, some later than others."""

    cluster: Cluster
    stream: str
    members: "list[SimulatedMember]" = field(default_factory=list)
    known: "list[SimulatedMember]" = field(default_factory=list)
    round: int = 0
    assignment: "dict[SimulatedMember, tuple[int, frozenset[int]]]" = field(default_factory=dict)
    """What each member was given last, and in which round."""

    def has(self, member: "SimulatedMember", partitions: Collection[int]) -> bool:
        """Whether these are the member's, and it knows of the last round."""
        number, mine = self.assignment.get(member, (-1, frozenset()))
        return member in self.members and number == member.round and mine.issuperset(partitions)

    def next_round(self) -> int:
        self.round += 1
        return self.round

    def add(self, member: "SimulatedMember") -> None:
        if member.process.alive and not member.closed and member not in self.members:
            self.members.append(member)
            if member not in self.known:
                self.known.append(member)
            self.rebalance()

    def remove(self, member: "SimulatedMember") -> None:
        if member in self.members:
            self.members.remove(member)
            self.rebalance()

    def rebalance(self) -> None:
        world, count = self.cluster.world, self.cluster.count(self.stream)
        number, shift = self.next_round(), world.below(max(1, len(self.members)))
        for place, member in enumerate(self.members):
            turn = (place + shift) % len(self.members)
            mine = frozenset(range(turn, count, len(self.members)))
            self.assignment[member] = (number, mine)
            again = world.below(2) == 0
            delay = world.between(0.01, 0.3 if world.healed else 1.5)
            world.later(delay, member.told, mine, number, again)


class ProcessLog(EventLog):
    """A process's client of the log."""

    def __init__(self, cluster: Cluster, process: Process) -> None:
        self._cluster, self._process, self._world = cluster, process, cluster.world

    async def create(self, streams: Sequence[StreamSpec]) -> Sequence[str]:
        await self._ask()
        return self._cluster.make(streams)

    async def partitions(self, stream: str) -> int:
        await self._ask()
        return self._cluster.count(stream)

    async def bounds(self, stream: str) -> Mapping[int, Bounds]:
        await self._ask()
        found = self._cluster.ends(stream)
        await self._travel()
        return found

    async def append(self, stream: str, partition: int, records: Sequence[NewRecord]) -> Sequence[Appended]:
        self._check()
        world, process = self._world, self._process
        rare = stream == CONTACTS and world.below(5) > 0  # most appends are ticks
        if not rare and world.mortal("die_at_append"):
            await world.dead(process, f"before an append to {stream}/{partition}")
        reply: asyncio.Future[Sequence[Appended]] = world.loop.create_future()
        world.later(world.travel_seconds(), self._arrive, stream, partition, tuple(records), reply)
        found = await reply
        if not rare and world.mortal("die_at_append"):
            await world.dead(process, f"after an append to {stream}/{partition}")
        return found

    def reader(self, stream: str, positions: Mapping[int, int]) -> Reader:
        return SimulatedReader(self._cluster, self._process, stream, positions)

    def member(self, stream: str, group: str) -> Member:
        key = (stream, group)
        if key not in self._cluster.groups:
            self._cluster.groups[key] = Group(self._cluster, stream)
        found = self._cluster.groups[key]
        member = SimulatedMember(self._cluster, self._process, stream, found)
        self._world.later(self._world.between(0.05, 1.0), found.add, member)
        return member

    async def close(self) -> None:
        """What was appended stays."""

    def _check(self) -> None:
        if self._world.loop.burying or not self._process.alive:
            raise asyncio.CancelledError

    async def _travel(self) -> None:
        self._check()
        await asyncio.sleep(self._world.travel_seconds())
        self._check()

    async def _ask(self) -> None:
        """A question that changes nothing."""
        await self._travel()
        if self._cluster.away or self._world.chance("fetch_fails"):
            await asyncio.sleep(self._world.between(0.2, DEADLINE_SECONDS))
            if self._cluster.away or self._world.below(2):
                raise LogUnavailable(AWAY)

    def _arrive(
        self, stream: str, partition: int, records: tuple[NewRecord, ...], reply: "asyncio.Future[Sequence[Appended]]"
    ) -> None:
        """At the broker."""
        world, cluster = self._world, self._cluster

        def put(some: Sequence[NewRecord]) -> list[Appended]:
            if self._process.rogue:
                some = altered(cluster.stored(stream)[partition], some, self._process.name) if stream != STATE else some
            return cluster.put(stream, partition, some)

        def fail(text: str) -> None:
            world.later(world.between(0.1, DEADLINE_SECONDS), _unavailable, reply, text)

        if not 0 <= partition < cluster.count(stream):
            reply.set_exception(LogError(f"stream {stream} has no partition {partition}"))
        elif cluster.away or world.chance("append_lost"):
            self._say("lost", stream, partition, records)
            fail(AWAY)
        elif world.chance("append_unanswered"):
            self._say("unanswered", stream, partition, records)
            put(records)
            fail("no answer came")
        elif len(records) > 1 and world.chance("append_part"):
            self._say("taken in part", stream, partition, records)
            put(records[: 1 + world.below(len(records) - 1)])
            fail("no answer came")
        elif world.chance("append_late"):
            self._say("late", stream, partition, records)
            fail("no answer came")
            world.later(world.between(DEADLINE_SECONDS, 2 * DEADLINE_SECONDS), put, records)
        else:
            world.later(world.travel_seconds(), _answer, reply, put(records))

    def _say(self, what: str, stream: str, partition: int, records: tuple[NewRecord, ...]) -> None:
        self._world.say(f"append of {self._process.name} to {stream}/{partition} {what} ({len(records)} records)")


def _answer(reply: "asyncio.Future[Sequence[Appended]]", found: Sequence[Appended]) -> None:
    if not reply.done():
        reply.set_result(found)


def _unavailable(reply: "asyncio.Future[Sequence[Appended]]", text: str) -> None:
    if not reply.done():
        reply.set_exception(LogUnavailable(text))


class SimulatedReader(Reader):
    """Reads what is there; sometimes little of it, sometimes late."""

    def __init__(self, cluster: Cluster, process: Process, stream: str, positions: Mapping[int, int]) -> None:
        self.process, self.closed = process, False
        self._cluster, self._world, self._stream = cluster, cluster.world, stream
        self._positions = dict(positions)

    async def fetch(self, *, max_records: int = 10_000, wait_seconds: float = 1.0) -> Mapping[int, Sequence[Record]]:
        self._check()
        world, clock = self._world, self._world.loop.time
        until, state = clock() + wait_seconds, self._state()
        await asyncio.sleep(world.travel_seconds())
        while True:
            self._check()
            if self._cluster.away or world.chance("fetch_fails"):
                await asyncio.sleep(max(0.0, until - clock()))
                if world.below(2):
                    raise LogUnavailable(AWAY)
                return {}
            if found := self._take(max_records):
                return found
            left = until - clock()
            if left <= 0 or self._state() != state:
                return {}
            await self._wait(left)

    def seek(self, partition: int, offset: int) -> None:
        self._positions[partition] = offset

    def positions(self) -> Mapping[int, int]:
        return dict(self._positions)

    async def close(self) -> None:
        self.closed = True
        self._positions.clear()

    def _check(self) -> None:
        if self._world.loop.burying or not self.process.alive:
            raise asyncio.CancelledError
        if self.closed:
            raise LogError(f"the reader of {self._stream} was closed")

    def _state(self) -> int:
        """What makes fetch return early when it changes."""
        return 0

    async def _wait(self, seconds: float) -> None:
        waiting: asyncio.Future[None] = self._world.loop.create_future()
        self._cluster.waiting.setdefault(self._stream, []).append(waiting)
        await asyncio.wait([waiting], timeout=seconds)

    def _take(self, limit: int) -> Mapping[int, Sequence[Record]]:
        found: dict[int, Sequence[Record]] = {}
        for partition, offset in self._positions.items():
            if limit <= 0:
                break
            records = self._cluster.read(self._stream, partition, offset, limit)
            if records and self._world.chance("fetch_short"):
                records = records[: 1 + self._world.below(len(records))]
            if records:
                found[partition] = list(records)
                limit -= len(records)
        for partition, records in found.items():
            self._positions[partition] = records[-1].offset + 1
        return found


class SimulatedMember(SimulatedReader, Member):
    """Shares partitions; learns of a rebalance when its process runs."""

    def __init__(self, cluster: Cluster, process: Process, stream: str, group: Group) -> None:
        super().__init__(cluster, process, stream, {})
        self.expelled = False
        self._group = group
        self._assigned: frozenset[int] = frozenset()
        self._generation = 0
        self.round = 0

    @property
    def assigned(self) -> frozenset[int]:
        return self._assigned

    @property
    def joined(self) -> bool:
        return self.round > 0

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
        self._check()
        await asyncio.sleep(self._world.travel_seconds())
        self._check()
        if self._cluster.away or self._world.chance("fetch_fails"):
            await asyncio.sleep(self._world.between(0.2, DEADLINE_SECONDS))
            raise LogUnavailable(AWAY)
        return self._group.has(self, positions.keys()) and positions.keys() <= self._assigned

    async def close(self) -> None:
        await super().close()
        self._assigned = frozenset()
        self._world.later(self._world.travel_seconds(), self._group.remove, self)

    def told(self, partitions: frozenset[int], number: int, again: bool) -> None:
        """By the coordinator. A process that is stopped hears of it when it goes on."""
        context = self._world.context.copy()
        context.run(PROCESS.set, self.process)
        self._world.loop.call_soon(self._hear, partitions, number, again, context=context)

    def _hear(self, partitions: frozenset[int], number: int, again: bool) -> None:
        if number <= self.round or self.closed:
            return
        self.round = number
        if partitions != self._assigned or again:
            self._assigned = partitions
            self._generation += 1
            self._positions.clear()
            self._wake()

    def _wake(self) -> None:
        for waiting in self._cluster.waiting.pop(self._stream, ()):
            if not waiting.done():
                waiting.set_result(None)

    def _state(self) -> int:
        return self._generation
