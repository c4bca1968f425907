"""Reading: a consumer without a group reads given partitions; a second one, which reads nothing, is in the group.

So a rebalance touches neither positions nor what was fetched ahead, and the group's offsets never decide where to read.
"""

import asyncio
from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError, OffsetOutOfRangeError

from pegel.eventlog.kafka.cluster import Cluster, bootstrap, stop
from pegel.eventlog.kafka.unpacking import unpack_at_once
from pegel.eventlog.port import Bounds, LogError, Member, PositionOutOfRange, Reader, Record

FETCH_WAIT_MS = 250
"""How long the broker holds a fetch that finds nothing; a partition that is added meanwhile waits for it."""

NOTICE_SECONDS = 0.1
HEARTBEAT_MS = 1_000
"""The others learn of a rebalance by the answer to a heartbeat."""

FOR_EVER_MS = 2**31 - 1


class KafkaReader(Reader):
    """All partitions of the stream are assigned, and those not asked for are paused: aiokafka's assignment is whole."""

    def __init__(self, cluster: Cluster, stream: str, positions: Mapping[int, int]) -> None:
        self._cluster, self._stream, self._topic = cluster, stream, cluster.topic(stream)
        self._positions = dict(positions)
        self._consumer: AIOKafkaConsumer | None = None
        self._closed = False

    async def fetch(self, *, max_records: int = 10_000, wait_seconds: float = 1.0) -> Mapping[int, Sequence[Record]]:
        if self._closed:
            raise LogError(f"the reader of {self._stream} was closed")
        consumer = self._consumer or await self._open()
        try:
            fetched = await consumer.getmany(timeout_ms=int(wait_seconds * 1000), max_records=max_records)
        except OffsetOutOfRangeError as error:
            raise await self._out_of_range(consumer, error) from None
        except KafkaError as error:
            raise self._cluster.explain(error) from error
        found: dict[int, Sequence[Record]] = {}
        for place, records in fetched.items():
            partition = place.partition
            position = self._positions.get(partition)
            if position is None or records[0].offset < position:
                continue  # let go of, or sought elsewhere, while it was on its way
            found[partition] = records
            self._positions[partition] = records[-1].offset + 1
        return found

    def seek(self, partition: int, offset: int) -> None:
        self._positions[partition] = offset
        if self._consumer is not None:
            self._consumer.seek(TopicPartition(self._topic, partition), offset)
            self._consumer.resume(TopicPartition(self._topic, partition))

    def positions(self) -> Mapping[int, int]:
        return dict(self._positions)

    async def close(self) -> None:
        self._closed = True
        self._positions.clear()
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await stop(consumer)

    async def _open(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            **self._cluster.options,
            auto_offset_reset="none",
            enable_auto_commit=False,
            fetch_max_wait_ms=FETCH_WAIT_MS,
        )
        try:
            async with self._cluster.within_deadline():
                count = await self._cluster.existing_partitions(self._stream)
                await bootstrap(consumer)
        except BaseException:
            await stop(consumer)
            raise
        if missing := self._positions.keys() - set(range(count)):
            await stop(consumer)
            raise LogError(f"stream {self._topic} has no partition {min(missing)}, only {count}")
        unpack_at_once(consumer)
        places = [TopicPartition(self._topic, partition) for partition in range(count)]
        consumer.assign(places)
        for place in places:
            consumer.seek(place, self._positions.get(place.partition, 0))
            if place.partition not in self._positions:
                consumer.pause(place)
        self._consumer = consumer
        return consumer

    async def _out_of_range(self, consumer: AIOKafkaConsumer, error: OffsetOutOfRangeError) -> LogError:
        ((place, offset),) = error.args[0].items()
        async with self._cluster.within_deadline():
            begin = (await consumer.beginning_offsets([place]))[place]
            end = (await consumer.end_offsets([place]))[place]
        return PositionOutOfRange(self._stream, place.partition, offset, *Bounds(begin, end))


class _Notes(ConsumerRebalanceListener):  # type: ignore[misc]
    """What the group says, written down and nothing more."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self.assigned: frozenset[int] = frozenset()
        self.generation = 0
        self.joined = False

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:  # noqa: ARG002
        if self.assigned:
            self.assigned = frozenset()
            self.generation += 1

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        for place in assigned:
            self._consumer.seek(place, 0)
        self._consumer.pause(*assigned)
        self.joined = True
        if assigned:
            self.assigned = frozenset(place.partition for place in assigned)
            self.generation += 1


class KafkaMember(KafkaReader, Member):
    """Membership is kept by heartbeats of this process. With each rebalance all is given back first (eager)."""

    def __init__(self, cluster: Cluster, stream: str, group: str) -> None:
        super().__init__(cluster, stream, {})
        self._group = f"{cluster.prefix}.{group}"
        self._membership: AIOKafkaConsumer | None = None
        self._notes: _Notes | None = None
        self._seen = 0

    @property
    def assigned(self) -> frozenset[int]:
        return self._notes.assigned if self._notes else frozenset()

    @property
    def joined(self) -> bool:
        return self._notes is not None and self._notes.joined

    @property
    def generation(self) -> int:
        return self._notes.generation if self._notes else 0

    async def fetch(self, *, max_records: int = 10_000, wait_seconds: float = 1.0) -> Mapping[int, Sequence[Record]]:
        if self._closed:
            return await super().fetch()
        membership = self._membership or await self._join()
        clock = asyncio.get_running_loop().time
        until = clock() + wait_seconds
        while True:
            try:
                # aiokafka tells of the group's errors only those who fetch, which this client never does.
                membership._coordinator.check_errors()
            except KafkaError as error:
                raise self._cluster.explain(error) from error
            if self._forget():
                return {}
            left = max(0.0, until - clock())
            found = await super().fetch(max_records=max_records, wait_seconds=min(left, NOTICE_SECONDS))
            if self._forget():
                return {}
            if found or clock() >= until:
                return found

    def positions(self) -> Mapping[int, int]:
        self._forget()  # what was given back since the last fetch is read no more
        return super().positions()

    def start(self, partition: int, offset: int) -> None:
        if partition in self.assigned:
            self._forget()
            super().seek(partition, offset)

    def seek(self, partition: int, offset: int) -> None:
        if partition in self._positions:
            super().seek(partition, offset)

    async def commit(self, positions: Mapping[int, int]) -> bool:
        if self._membership is None or not positions.keys() <= self.assigned:
            return False
        if not positions:
            return True
        async with self._cluster.within_deadline():
            try:
                await self._membership.commit(
                    {TopicPartition(self._topic, partition): offset for partition, offset in positions.items()}
                )
            except (CommitFailedError, IllegalStateError):
                return False  # a rebalance came in between; the partition's new owner commits
        return positions.keys() <= self.assigned

    async def close(self) -> None:
        await super().close()
        membership, self._membership = self._membership, None
        if membership is not None:
            await stop(membership)  # leaves the group, so that another takes over at once
        if self._notes is not None:
            self._notes.on_partitions_revoked(set())

    def _forget(self) -> bool:
        """Stop reading what was given back; whether there was a change since the last call."""
        if self.generation == self._seen:
            return False
        self._seen = self.generation
        if self._consumer is not None and self._positions:
            self._consumer.pause(*(TopicPartition(self._topic, partition) for partition in self._positions))
        self._positions.clear()
        return True

    async def _join(self) -> AIOKafkaConsumer:
        membership = AIOKafkaConsumer(
            **self._cluster.options,
            group_id=self._group,
            auto_offset_reset="none",
            enable_auto_commit=False,
            heartbeat_interval_ms=HEARTBEAT_MS,
            max_poll_interval_ms=FOR_EVER_MS,  # it never polls; heartbeats say that the process lives
        )
        try:
            async with self._cluster.within_deadline():
                await self._cluster.existing_partitions(self._stream)
                await bootstrap(membership)
        except BaseException:
            await stop(membership)
            raise
        self._notes = _Notes(membership)
        membership.subscribe(topics=[self._topic], listener=self._notes)
        self._membership = membership
        return membership
