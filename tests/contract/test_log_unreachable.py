"""A broker that is not there: every question ends within the deadline, with a sentence that names the address."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from pegel.eventlog.kafka import KafkaLog
from pegel.eventlog.port import CONTACTS, EventLog, LogUnavailable, NewRecord, StreamSpec
from support.servers import free_port

DEADLINE_SECONDS = 0.5

QUESTIONS: dict[str, Callable[[EventLog], Awaitable[object]]] = {
    "create": lambda log: log.create([StreamSpec(CONTACTS, 1)]),
    "partitions": lambda log: log.partitions(CONTACTS),
    "append": lambda log: log.append(CONTACTS, 0, [NewRecord(b"x")]),
    "bounds": lambda log: log.bounds(CONTACTS),
    "read": lambda log: log.reader(CONTACTS, {0: 0}).fetch(),
    "member": lambda log: log.member(CONTACTS, "group").fetch(),
}


@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_broker_that_is_not_there(question: str) -> None:
    port = free_port()
    log = KafkaLog([f"127.0.0.1:{port}"], "p", deadline_seconds=DEADLINE_SECONDS)
    began = time.monotonic()
    with pytest.raises(
        LogUnavailable, match=rf"^Kafka at 127\.0\.0\.1:{port} did not answer within 0\.5 s: .*Connect call failed"
    ):
        await QUESTIONS[question](log)
    assert time.monotonic() - began < DEADLINE_SECONDS + 2
    await log.close()


async def test_a_broker_that_takes_connections_and_says_nothing() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    log = KafkaLog([f"127.0.0.1:{port}"], "p", deadline_seconds=DEADLINE_SECONDS)
    with pytest.raises(LogUnavailable, match="did not answer within"):
        await log.append(CONTACTS, 0, [NewRecord(b"x")])
    await log.close()
    server.close()
