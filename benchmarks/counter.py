"""Speed of the counter: contacts a CPU second from a real Kafka to counts, de-duplicated, beside a bare loop.

    PYTHONPATH=tests python benchmarks/counter.py [--contacts 400000] [--rounds 3]

The counter's own loop runs in this process over a stream that was filled before; the bare loop is aiokafka's getmany
over the same stream under the same garbage collector settings. CPU seconds by getrusage; best of the rounds. Prints one
JSON line; exit code 1 when the requirement is missed.
"""

import argparse
import asyncio
import gc
import json
import resource
import tempfile
from datetime import UTC, datetime, timedelta

from aiokafka import AIOKafkaConsumer, TopicPartition

from pegel.detector.app import halves
from pegel.eventlog.connect import connect
from pegel.eventlog.identity import open_identity
from pegel.eventlog.keys import contact_key, partition_of
from pegel.eventlog.port import CONTACTS, COUNTS, EventLog, NewRecord
from pegel.runtime import logs
from pegel.runtime.probes import Probe
from pegel.runtime.settings import Settings, load
from pegel.schemas.contact import ContactRecord, TickRecord
from support import servers

REQUIRED = 60_000
TOPICS = ("atm", "cards", "login", "transfer", "loan", "account", "app", "fraud")
COUNTRIES = ("ES", "PT", "GB", "PL", "DE", "TR", "US", "MX", "BR", "AR", "CL", "CO")
CHANNELS = ("phone", "chat", "email", "app")
START = datetime(2026, 1, 5, tzinfo=UTC)
BATCH = 5_000


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def fill(log: EventLog, settings: Settings, contacts: int) -> None:
    """Contacts of one day, in order, with a tick at its beginning and at its end."""

    async def tick(at: datetime) -> None:
        for partition in range(settings.partitions):
            await log.append(CONTACTS, partition, [NewRecord(TickRecord(at=at).encode())])

    await tick(START)
    for first in range(0, contacts, BATCH):
        parts: dict[int, list[NewRecord]] = {}
        for n in range(first, first + BATCH):
            contact = ContactRecord.model_validate(
                {
                    "event_id": f"{n:08d}-0c5b-4f0e-9a59-5a1f2f6d0f0a",
                    "source": "bench",
                    "occurred_at": START + timedelta(seconds=n * 86_000 / contacts),
                    "country": COUNTRIES[n % 12],
                    "topic": TOPICS[n * 7 % 8],
                    "channel": CHANNELS[n * 3 % 4],
                    "handler": "in_house",
                    "handled_seconds": 60 + n % 300,
                }
            )
            key = contact_key("bench", contact.event_id)
            parts.setdefault(partition_of(key, settings.partitions), []).append(NewRecord(contact.encode(), key))
        await asyncio.gather(*(log.append(CONTACTS, partition, records) for partition, records in parts.items()))
    await tick(START + timedelta(days=1, minutes=2))


async def counted(settings: Settings, contacts: int) -> float:
    """CPU seconds of a counter that starts with nothing until all contacts stand in counts."""
    log = connect(settings)
    identity = await open_identity(log, settings)
    stop = asyncio.Event()
    before = cpu_seconds()
    loop = asyncio.gather(*halves(log, identity, settings, Probe("detector", parts=("counter",)), "counter", stop))
    reader = log.reader(COUNTS, {0: (await log.bounds(COUNTS))[0].end})
    found = 0
    while found < contacts and not loop.done():
        for record in (await reader.fetch(wait_seconds=0.5)).get(0, ()):
            document = json.loads(record.value)
            if document["kind"] == "counts":
                found += sum(document["additions"]["contacts"])
    used = cpu_seconds() - before
    stop.set()
    await reader.close()
    await loop
    await log.close()
    return used


async def bare(bootstrap: str, topic: str, records: int) -> float:
    """CPU seconds of a loop that does nothing but getmany."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    partitions = [TopicPartition(topic, p) for p in range(4)]
    consumer.assign(partitions)
    read, before = 0, cpu_seconds()
    while read < records:
        for batch in (await consumer.getmany(timeout_ms=500, max_records=20_000)).values():
            read += len(batch)
    used = cpu_seconds() - before
    await consumer.stop()
    return used


async def measure(bootstrap: str, contacts: int, rounds: int) -> tuple[float, float]:
    """Best contacts a CPU second of the counter and of the bare loop, in turn."""
    best = [0.0, 0.0]
    for number in range(rounds):
        prefix = f"bench{number}"
        settings = load({}, log_url=f"kafka://{bootstrap}/{prefix}", clock="data", data_dir=tempfile.gettempdir())
        log = connect(settings)
        await open_identity(log, settings)
        await fill(log, settings, contacts)
        await log.close()
        gc.collect()
        best[0] = max(best[0], contacts / await counted(settings, contacts))
        gc.collect()
        best[1] = max(best[1], contacts / await bare(bootstrap, f"{prefix}.{CONTACTS}", contacts))
    return best[0], best[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contacts", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    logs.configure("bench", level="error")
    gc.set_threshold(50_000, 20, 20)
    contacts = arguments.contacts // BATCH * BATCH
    with servers.kafka() as bootstrap:
        own, limit = asyncio.run(measure(bootstrap, contacts, arguments.rounds))
    line = {
        "name": "counter_contacts_per_cpu_second",
        "value": round(own),
        "unit": "contacts/CPU s",
        "ratio": round(own / limit, 3),
        "ratio_to": "a bare getmany loop, same run",
        "required": REQUIRED,
    }
    print(json.dumps(line))
    return 0 if own >= REQUIRED else 1


if __name__ == "__main__":
    raise SystemExit(main())
