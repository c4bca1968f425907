"""The log on Apache Kafka, by aiokafka: a stream is the topic PREFIX.stream, with the broker's append times."""

import asyncio
from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import TopicAlreadyExistsError, for_code

from pegel.eventlog.kafka.cluster import RETRY_SECONDS, Cluster, bootstrap, stop
from pegel.eventlog.kafka.quiet import keep_quiet
from pegel.eventlog.kafka.reader import KafkaMember, KafkaReader
from pegel.eventlog.kafka.security import KafkaSecurity
from pegel.eventlog.kafka.sender import PartitionSender, Producers
from pegel.eventlog.kafka.topics import check, topic
from pegel.eventlog.port import Appended, Bounds, EventLog, LogError, Member, NewRecord, Reader, StreamSpec


class KafkaLog(EventLog):
    """Used from one event loop; close it at the end. Nothing is reached before it is used.

    deadline_seconds: how long anything but reading waits for the broker before it raises LogUnavailable.
    """

    def __init__(
        self,
        servers: Sequence[str],
        prefix: str,
        security: KafkaSecurity | None = None,
        *,
        replication: int = 1,
        deadline_seconds: float = 5.0,
    ) -> None:
        keep_quiet()
        self._cluster = Cluster(servers, prefix, security or KafkaSecurity(), deadline_seconds)
        self._replication = replication
        self._producers = Producers(self._cluster)
        self._senders: dict[tuple[str, int], PartitionSender] = {}
        self._readers: list[KafkaReader] = []
        self._asking = asyncio.Lock()
        self._asker: AIOKafkaConsumer | None = None

    async def create(self, streams: Sequence[StreamSpec]) -> Sequence[str]:
        async with self._cluster.within_deadline(), self._cluster.admin() as admin:
            answer = await admin.create_topics(
                [topic(self._cluster, spec, self._replication) for spec in streams],
                timeout_ms=int(self._cluster.deadline_seconds * 1000),
            )
            made = []
            for name, code, *rest in answer.topic_errors:
                error = for_code(code)
                if code == 0:
                    made.append(name.removeprefix(f"{self._cluster.prefix}."))
                elif error is not TopicAlreadyExistsError:
                    raise LogError(f"{self._cluster.text} does not make stream {name}: {' '.join(map(str, rest))}")
            for spec in streams:  # the brokers learn of a new stream a moment later
                while not await self._cluster.partitions(spec.name):  # noqa: ASYNC110 (nothing tells when)
                    await asyncio.sleep(RETRY_SECONDS)
            if found := [spec for spec in streams if spec.name not in made]:
                await check(self._cluster, admin, found)
            return made

    async def partitions(self, stream: str) -> int:
        async with self._cluster.within_deadline():
            return await self._cluster.partitions(stream)

    async def append(self, stream: str, partition: int, records: Sequence[NewRecord]) -> Sequence[Appended]:
        if not records:
            return []
        sender = self._senders.get((stream, partition))
        if sender is None:
            sender = self._senders[stream, partition] = PartitionSender(
                self._cluster, self._producers, stream, partition
            )
        return await sender.append(records)

    async def bounds(self, stream: str) -> Mapping[int, Bounds]:
        async with self._cluster.within_deadline():
            count = await self._cluster.existing_partitions(stream)
            places = [TopicPartition(self._cluster.topic(stream), number) for number in range(count)]
            asker = await self._ask()
            # The beginning first: it only rises, so begin <= end holds whatever happens in between.
            begins = await asker.beginning_offsets(places)
            ends = await asker.end_offsets(places)
            return {place.partition: Bounds(begins[place], ends[place]) for place in places}

    def reader(self, stream: str, positions: Mapping[int, int]) -> Reader:
        reader = KafkaReader(self._cluster, stream, positions)
        self._readers.append(reader)
        return reader

    def member(self, stream: str, group: str) -> Member:
        member = KafkaMember(self._cluster, stream, group)
        self._readers.append(member)
        return member

    async def close(self) -> None:
        """Waits for nothing but the end of what aiokafka has under way; who must know of an append awaits it."""
        for reader in self._readers:
            await reader.close()
        for sender in self._senders.values():
            await sender.close()
        await self._producers.close()
        if self._asker is not None:
            await stop(self._asker)

    async def _ask(self) -> AIOKafkaConsumer:
        async with self._asking:
            if self._asker is None:
                asker = AIOKafkaConsumer(**self._cluster.options, enable_auto_commit=False)
                try:
                    await bootstrap(asker)
                except BaseException:
                    await stop(asker)
                    raise
                self._asker = asker
            return self._asker
