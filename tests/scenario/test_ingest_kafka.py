"""Ingest on a real Apache Kafka; and a broker that is not there."""

import asyncio
import gc
import time
import uuid
import weakref
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pegel.detector.counter.domain.counting import In, PartitionCounter
from pegel.eventlog.connect import connect
from pegel.eventlog.kafka import KafkaLog
from pegel.eventlog.keys import contact_key, partition_of
from pegel.eventlog.port import CONTACTS, REJECTED, LogUnavailable, NewRecord, Record, StreamSpec
from pegel.ingest.app import build
from pegel.runtime.settings import ConfigurationError, Settings, load
from pegel.schemas.contact import ContactRecord
from support import servers
from support.detecting import rules
from support.faults_servers import Broker
from support.ingests import contact
from support.servers import free_port
from support.wait import until


def settings_for(bootstrap: str, folder: Path, **over: object) -> Settings:
    key = folder / "key"
    key.write_text("k" * 64)
    prefix = f"ingest-{uuid.uuid4().hex[:8]}"
    return load({}, data_dir=folder, log_url=f"kafka://{bootstrap}/{prefix}", pseudonym_key_file=key, **over)


async def records(settings: Settings, stream: str) -> list[Record]:
    log = connect(settings)
    reader = log.reader(stream, dict.fromkeys(range(await log.partitions(stream)), 0))
    found: list[Record] = []
    while more := await reader.fetch(wait_seconds=0.5):
        found += [record for partition in more.values() for record in partition]
    await reader.close()
    await log.close()
    return found


async def test_contacts_and_ticks_are_on_kafka(kafka_bootstrap: str, tmp_path: Path) -> None:
    settings = settings_for(kafka_bootstrap, tmp_path, tick_seconds=0.1)
    service = build(settings)
    stop = asyncio.Event()
    loop = asyncio.ensure_future(service.run(stop))
    await until(lambda: loop.done() or service.probe.waiting_for is None, 30)
    sent = [contact(event_id=f"e{number}") for number in range(200)]
    trace = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    transport = httpx.ASGITransport(app=service.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://ingest", headers=trace) as client:
        answers = await asyncio.gather(
            *(client.post("/v1/contacts", json=sent[place : place + 20]) for place in range(0, 200, 20))
        )
        assert {answer.status_code for answer in answers} == {202}
        assert (await client.post("/v1/contacts", json=contact(country="XX"))).status_code == 422
    stop.set()
    await loop

    found = await records(settings, CONTACTS)
    ticks = {record.partition for record in found if record.value.startswith(b'{"kind":"tick"')}
    assert ticks == set(range(settings.partitions))
    contacts = [record for record in found if record.key is not None]
    assert {record.key for record in contacts} == {contact_key("local", f"e{number}") for number in range(200)}
    assert len(contacts) == 200
    for record in contacts:
        assert record.key is not None
        assert record.partition == partition_of(record.key, settings.partitions)
        assert record.headers == (("traceparent", trace["traceparent"].encode()),)
        ContactRecord.decode(record.value)
    assert len(await records(settings, REJECTED)) == 1


async def test_a_broker_that_is_not_there_stops_the_start_and_is_named(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    settings = settings_for(address, tmp_path, ingest_deadline_seconds=1)
    with pytest.raises(ConfigurationError) as raised:
        await asyncio.wait_for(build(settings).run(asyncio.Event()), 20)
    (fault,) = raised.value.faults
    assert fault.startswith(f"PEGEL_LOG_URL=kafka://{address}/")
    assert "\n" not in fault


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker of this test's own."""
    servers.command("java", "Java 17", "openjdk-17-jre-headless")
    port = free_port(3)
    broker = Broker(tmp_path / "kafka", port, port + 2)
    broker.start()
    yield broker
    broker.stop()


DEADLINE_SECONDS = 2.0
SENDERS, EACH, BATCH = 12, 40, 10
REQUESTS_MAX = 8


@pytest.mark.kafka
@pytest.mark.timeout(180)
async def test_with_the_broker_away_senders_come_again_and_every_contact_counts_once(
    broker: Broker, tmp_path: Path
) -> None:
    settings = settings_for(
        broker.bootstrap, tmp_path, ingest_deadline_seconds=DEADLINE_SECONDS, ingest_requests_max=REQUESTS_MAX
    )
    service, stop = build(settings), asyncio.Event()
    loop = asyncio.ensure_future(service.run(stop))
    await until(lambda: loop.done() or service.probe.waiting_for is None, 30)
    acknowledged: set[str] = set()
    answers: Counter[int] = Counter()
    slowest = 0.0

    async def post(client: httpx.AsyncClient, batch: list[dict[str, Any]]) -> int:
        nonlocal slowest
        begun = time.monotonic()
        answer = await client.post("/v1/contacts", json=batch)
        answers[answer.status_code] += 1
        if answer.status_code == 503:
            slowest = max(slowest, time.monotonic() - begun)
        if answer.status_code != 202:
            assert int(answer.headers["retry-after"]) > 0
        return answer.status_code

    async def send(client: httpx.AsyncClient, name: int) -> None:
        for number in range(EACH):
            batch = [contact(event_id=f"{name}.{number}.{place}") for place in range(BATCH)]
            while await post(client, batch) != 202:  # noqa: ASYNC110 (so does a client)
                await asyncio.sleep(0.1)
            acknowledged.update(each["event_id"] for each in batch)

    transport = httpx.ASGITransport(app=service.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://ingest", timeout=60) as client:
        senders = asyncio.gather(*(send(client, name) for name in range(SENDERS)))
        await until(lambda: len(acknowledged) >= 40 * BATCH, 30)
        # there | gone: 503 within the deadline, 429 for those above the bound | there again
        await asyncio.to_thread(broker.kill)
        await until(lambda: answers[503] >= 2 * REQUESTS_MAX, 30)
        metrics = (await client.get("/metrics")).text.splitlines()
        held = next(line for line in metrics if line.startswith("pegel_ingest_bodies "))
        assert float(held.split()[1]) <= REQUESTS_MAX
        assert (await client.get("/readyz")).json()["dependencies"]["log"] != "ok"
        await asyncio.to_thread(broker.start)
        await asyncio.wait_for(senders, 90)
    stop.set()
    await loop
    assert answers.keys() == {202, 429, 503}
    assert slowest < DEADLINE_SECONDS + 1

    found = await records(settings, CONTACTS)
    there = Counter(ContactRecord.decode(record.value).event_id for record in found if record.key is not None)
    assert there.keys() == acknowledged
    assert len(acknowledged) == SENDERS * EACH * BATCH
    counters = [PartitionCounter(partition, 0, rules("wall", 60)) for partition in range(settings.partitions)]
    for record in found:
        counters[record.partition].apply([In(record.offset, record.time_ms, record.key, record.value)])
    contacts, copies = (sum(counter.read[place] for counter in counters) for place in (0, 1))
    assert contacts == there.total()
    assert contacts - copies == len(acknowledged), "whoever came again made no second contact"


class Weighed(list[NewRecord]):
    """Records of which one can tell whether anybody still holds them."""


async def given_up(log: KafkaLog) -> "weakref.ref[Weighed]":
    """An append that the log did not acknowledge in time."""
    new = Weighed([NewRecord(b"x" * 1000)] * 100)
    with pytest.raises(LogUnavailable):
        await log.append(CONTACTS, 0, new)
    return weakref.ref(new)


@pytest.mark.kafka
async def test_a_broker_that_hangs_holds_no_records_that_nobody_waits_for(broker: Broker) -> None:
    log = KafkaLog([broker.bootstrap], "hung", deadline_seconds=3)
    await log.create([StreamSpec(CONTACTS, 1)])
    await log.append(CONTACTS, 0, [NewRecord(b"first")])
    broker.pause()
    try:
        # The first is on its way, the other waits behind it, and the broker is given 10 s for its answer.
        kept = [await asyncio.create_task(given_up(log)) for _ in range(2)]
        gc.collect()
        assert [found() for found in kept] == [None] * 2
    finally:
        broker.resume()
    await log.close()
