"""How the brokers are reached: options that all clients share, and what aiokafka's errors mean to a person."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from aiokafka import errors
from aiokafka.admin import AIOKafkaAdminClient

from pegel.eventlog.kafka.quiet import why_unable
from pegel.eventlog.kafka.security import KafkaSecurity
from pegel.eventlog.port import LogError, LogUnavailable

REQUEST_TIMEOUT_MS = 10_000
"""How long aiokafka waits for one answer; a log's deadline is kept by us, over all its attempts."""

RETRY_SECONDS = 0.2

_REFUSED = (
    errors.AuthenticationFailedError,
    errors.ClusterAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.IllegalSaslStateError,
    errors.SaslAuthenticationFailed,
    errors.TopicAuthorizationFailedError,
    errors.UnsupportedSaslMechanismError,
)


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where the brokers are, which streams there are ours, and how long to wait for an answer."""

    servers: Sequence[str]
    prefix: str
    security: KafkaSecurity
    deadline_seconds: float

    @property
    def options(self) -> dict[str, object]:
        """What every client of aiokafka is made with."""
        return {
            "bootstrap_servers": list(self.servers),
            "client_id": f"pegel-{self.prefix}",
            "request_timeout_ms": REQUEST_TIMEOUT_MS,
            **self.security.options,
        }

    @property
    def text(self) -> str:
        return f"Kafka at {','.join(self.servers)}"

    def topic(self, stream: str) -> str:
        """Kafka's name of the stream."""
        return f"{self.prefix}.{stream}"

    def explain(self, error: Exception) -> LogError:
        """The error as a sentence, and as LogUnavailable where trying again may help."""
        match error:
            case LogError():
                return error
            case TimeoutError():
                why = why_unable(self.servers, self.deadline_seconds)
                return LogUnavailable(
                    f"{self.text} did not answer within {self.deadline_seconds:g} s{': ' if why else ''}{why}"
                )
            case errors.MessageSizeTooLargeError():
                return LogError(f"{self.text} does not take records of this size: {error}")
        if isinstance(error, _REFUSED):
            return LogError(f"{self.text} refuses: {error} (PEGEL_KAFKA_SECURITY, _USERNAME, _PASSWORD)")
        if isinstance(error, errors.KafkaError | OSError):
            return LogUnavailable(f"{self.text} can't be used now: {error}")
        return LogError(f"{self.text}: {error!r}")

    @asynccontextmanager
    async def within_deadline(self) -> AsyncIterator[None]:
        """Errors and a deadline that passed leave as LogUnavailable or LogError."""
        try:
            async with asyncio.timeout(self.deadline_seconds):
                yield
        except (errors.KafkaError, TimeoutError, OSError) as error:
            raise self.explain(error) from error

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        """A client for questions about streams. To be used within the deadline."""
        client = AIOKafkaAdminClient(**self.options)
        try:
            await bootstrap(client)
            yield client
        finally:
            await client.close()

    async def partitions(self, stream: str) -> int:
        """The number of the stream's partitions, 0 when there is no such stream. To be used within the deadline."""
        async with self.admin() as admin:
            (found,) = await admin.describe_topics([self.topic(stream)])
        error = errors.for_code(found["error_code"])
        if error is errors.UnknownTopicOrPartitionError:
            return 0
        if error is not errors.NoError:
            raise error(found["topic"])
        return len(found["partitions"])

    async def existing_partitions(self, stream: str) -> int:
        """The same; LogError when there is no such stream."""
        count = await self.partitions(stream)
        if not count:
            raise LogError(f"{self.text} has no stream {self.topic(stream)}")
        return count


class _Client(Protocol):
    async def start(self) -> None: ...


class _Consumer(_Client, Protocol):
    _client: Any
    _fetcher: Any

    async def stop(self) -> None: ...


async def stop(consumer: _Consumer) -> None:
    """Stop a consumer. Where tasks of its own are under way, aiokafka's stop ends with a CancelledError of theirs.

    That must not reach the caller, whose own task would end by it without a word; and what is left open is closed.
    """
    await asyncio.sleep(0)
    stopping = asyncio.create_task(consumer.stop())
    await asyncio.wait([stopping])
    if not stopping.cancelled():
        stopping.result()
        return
    under_way = list(consumer._fetcher._pending_tasks) if consumer._fetcher else []
    for task in under_way:
        task.cancel()
    await asyncio.gather(*under_way, return_exceptions=True)
    await consumer._client.close()


async def bootstrap(client: _Client) -> None:
    """Start a client of aiokafka, again and again while no broker answers; whoever calls it sets the deadline."""
    _be_patient(getattr(client, "client", None) or client._client)  # type: ignore[attr-defined]
    while True:
        try:
            await client.start()
        except errors.KafkaConnectionError:
            await asyncio.sleep(RETRY_SECONDS)
        else:
            return


def _be_patient(client: Any) -> None:
    """While no broker answers, aiokafka 0.14 asks for metadata without a pause: 2,700 times a second, half a core."""
    ask = client._metadata_update

    async def ask_and_pause(cluster: object, topics: object) -> bool:
        answered: bool = await ask(cluster, topics)
        if not answered:
            await asyncio.sleep(RETRY_SECONDS)
        return answered

    client._metadata_update = ask_and_pause
