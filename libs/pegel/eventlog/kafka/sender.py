"""Appending: one task a partition fills batches for all who append, and waits for the broker's answer to each.

aiokafka's send_batch must not be called twice at a time for a partition (false time-outs). While one batch is on its
way, what comes waits for the next, so nothing lingers and load makes batches large.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder

from pegel.eventlog.kafka.cluster import Cluster, bootstrap
from pegel.eventlog.port import Appended, LogError, LogUnavailable, NewRecord

BATCH_BYTES_MAX = 900_000
"""Uncompressed: below the broker's message.max.bytes (1 MiB) whatever the compression does."""

log = logging.getLogger(__name__)


class Producers:
    """The process's one producer: idempotent, acks of all replicas, lz4. Another is made when it can't go on.

    After a batch that failed for good an idempotent producer's sequence has a hole, and its broker refuses all that
    follows; a new one begins a sequence of its own.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._starting = asyncio.Lock()
        self._producer: AIOKafkaProducer | None = None
        self._stopping: set[asyncio.Task[None]] = set()

    async def get(self) -> AIOKafkaProducer:
        """Raises LogUnavailable after the deadline."""
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **self._cluster.options,
                    acks="all",
                    enable_idempotence=True,
                    compression_type="zstd",  # aiokafka's lz4 is at level 9: four times the work for a third more bytes
                    max_batch_size=BATCH_BYTES_MAX,
                    linger_ms=0,
                )
                try:
                    async with self._cluster.within_deadline():
                        await bootstrap(producer)
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer

    def give_up(self, producer: AIOKafkaProducer) -> None:
        """Let go of a producer that failed; what others have under way with it ends first."""
        if self._producer is producer:
            self._producer = None
            task = asyncio.create_task(self._stop(producer))
            self._stopping.add(task)
            task.add_done_callback(self._stopping.discard)

    async def close(self) -> None:
        if self._producer is not None:
            self.give_up(self._producer)
        await asyncio.gather(*self._stopping)

    async def _stop(self, producer: AIOKafkaProducer) -> None:
        try:
            async with asyncio.timeout(self._cluster.deadline_seconds):
                await producer.stop()
        except TimeoutError:
            # With the broker away its flush would wait for ever.
            log.warning("%s is away: the producer was stopped with records under way", self._cluster.text)
            producer._sender.sender_task.cancel()
            await producer.client.close()
        except KafkaError as error:
            log.warning("the producer could not be stopped: %s", error)


@dataclass(slots=True, eq=False)
class _Append:
    records: Sequence[NewRecord]
    done: asyncio.Future[Sequence[Appended]]
    sent: int = 0
    placed: list[Appended] = field(default_factory=list)


class PartitionSender:
    """The task that appends to one partition. Its queue holds only what somebody still waits for."""

    def __init__(self, cluster: Cluster, producers: Producers, stream: str, partition: int) -> None:
        self._cluster, self._producers = cluster, producers
        self._stream, self._topic, self._partition = stream, cluster.topic(stream), partition
        self._queue: deque[_Append] = deque()
        self._filled = asyncio.Event()
        self._exists = False
        self._task = asyncio.create_task(self._run(), name=f"append {stream}/{partition}")

    async def append(self, records: Sequence[NewRecord]) -> Sequence[Appended]:
        """Raises LogUnavailable after the deadline: the records may be in the log, or get there later, or never."""
        if self._task.done():
            raise LogError(f"the connection to {self._cluster.text} was closed")
        done: asyncio.Future[Sequence[Appended]] = asyncio.get_running_loop().create_future()
        append = _Append(records, done)
        self._queue.append(append)
        self._filled.set()
        try:
            async with asyncio.timeout(self._cluster.deadline_seconds):
                return await done
        except TimeoutError as error:
            raise self._cluster.explain(error) from None
        finally:
            append.records = ()  # a batch under way may keep the queue for longer than anybody waits for what is in it

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        self._fail(self._queue, LogUnavailable(f"the connection to {self._cluster.text} was closed"))

    async def _run(self) -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._queue:
                await self._send()

    async def _send(self) -> None:
        parts: list[tuple[_Append, int]] = []
        producer = None
        try:
            if not self._exists:
                await self._check()
            producer = await self._producers.get()
            batch = producer.create_batch()
            parts = self._fill(batch)
            if not parts:
                return
            answer = await (await producer.send_batch(batch, self._topic, partition=self._partition))
        except Exception as error:  # noqa: BLE001 (told to those who append; the task must go on)
            if producer is not None and parts:
                self._producers.give_up(producer)
            self._fail([append for append, _ in parts] or self._take_all(), self._cluster.explain(error))
        else:
            self._settle(parts, answer.offset, answer.timestamp, answer.timestamp_type)

    async def _check(self) -> None:
        """aiokafka would wait for a stream that does not exist, and would not say that it is missing."""
        async with self._cluster.within_deadline():
            count = await self._cluster.existing_partitions(self._stream)
        if not 0 <= self._partition < count:
            raise LogError(f"stream {self._topic} has no partition {self._partition}, only {count}")
        self._exists = True

    def _fill(self, batch: BatchBuilder) -> list[tuple[_Append, int]]:
        """Move what fits from the queue into the batch: (append, number of its records), in order."""
        parts = []
        while self._queue:
            append = self._queue[0]
            if append.done.done():  # its caller gave up
                self._queue.popleft()
                continue
            first = append.sent
            for value, key, headers in append.records[first:]:
                if batch.append(timestamp=None, key=key, value=value, headers=list(headers)) is None:
                    break
                append.sent += 1
            if append.sent > first:
                parts.append((append, append.sent - first))
            if append.sent < len(append.records):
                break
            self._queue.popleft()
        return parts

    def _settle(self, parts: Sequence[tuple[_Append, int]], offset: int, time_ms: int, timestamp_type: int) -> None:
        appends = [append for append, _ in parts]
        if offset < 0:  # sent again, and the broker has forgotten where it put the first one
            self._fail(appends, LogUnavailable(f"{self._cluster.text} does not say where the records are"))
            return
        if timestamp_type != 1:
            text = f"stream {self._topic} does not have message.timestamp.type=LogAppendTime"
            self._fail(appends, LogError(f"{text}: let `pegel streams create` make the streams"))
            return
        for append, count in parts:
            append.placed.extend(Appended(place, time_ms) for place in range(offset, offset + count))
            offset += count
            if len(append.placed) == len(append.records) and not append.done.done():
                append.done.set_result(append.placed)

    def _take_all(self) -> list[_Append]:
        appends = list(self._queue)
        self._queue.clear()
        return appends

    def _fail(self, appends: Sequence[_Append] | deque[_Append], error: LogError) -> None:
        for append in appends:
            if not append.done.done():
                append.done.set_exception(error)
