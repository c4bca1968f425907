"""Ingest on a real Apache Kafka; and a broker that is not there."""

import asyncio
import uuid
from pathlib import Path

import httpx
import pytest

from pegel.eventlog.connect import connect
from pegel.eventlog.keys import contact_key, partition_of
from pegel.eventlog.port import CONTACTS, REJECTED, Record
from pegel.ingest.app import build
from pegel.runtime.settings import ConfigurationError, Settings, load
from pegel.schemas.contact import ContactRecord
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
