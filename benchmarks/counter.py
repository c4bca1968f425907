"""Speed of the counter: contacts a CPU second from a real Kafka to counts, beside a bare loop and beside Quix Streams.

    PYTHONPATH=tests python benchmarks/counter.py [--contacts 1000000] [--rounds 3] [--quix-contacts 60000]

The counter's own loop runs in this process over a stream that was filled before, de-duplicating and saving snapshots;
the bare loop is aiokafka's getmany over the same stream under the same garbage collector settings. Quix Streams counts
the first of the same contacts, keyed by segment before, by the minute, in an environment of its own that is installed
on first use from benchmarks/quix/requirements.lock, which is made by
`echo quixstreams | uv pip compile - --universal --python-version 3.11 --generate-hashes --no-header --no-annotate`.

CPU seconds by getrusage, each best of its rounds. One JSON line a figure; exit code 1 when one is missed.
"""

import argparse
import asyncio
import gc
import json
import resource
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from pegel.detector.app import halves
from pegel.eventlog import metrics
from pegel.eventlog.connect import connect
from pegel.eventlog.identity import open_identity
from pegel.eventlog.keys import contact_key, partition_of
from pegel.eventlog.port import CONTACTS, COUNTS, EventLog, NewRecord
from pegel.runtime import logs
from pegel.runtime.probes import Probe
from pegel.runtime.settings import Settings, load
from pegel.schemas.contact import ContactRecord, TickRecord
from support import servers

ROOT: Final = Path(__file__).resolve().parents[1]
QUIX: Final = ROOT / "benchmarks/quix"
QUIX_VENV: Final = ROOT / ".cache/quix-venv"
REQUIRED: Final = 100_000
REQUIRED_OF_BARE: Final = 0.25
REQUIRED_OF_QUIX: Final = 5
TOPICS = ("atm", "cards", "login", "transfer", "loan", "account", "app", "fraud")
COUNTRIES = ("ES", "PT", "GB", "PL", "DE", "TR", "US", "MX", "BR", "AR", "CL", "CO")
CHANNELS = ("phone", "chat", "email", "app")
START = datetime(2026, 1, 5, tzinfo=UTC)
BATCH = 5_000
SNAPSHOT_SECONDS: Final = 2.0
"""Thirty times as often as is usual, so that a run of seconds has some."""


class Totals(msgspec.Struct):
    """Of a record of counts, what tells how far the counter is."""

    counted: int


class Origin(msgspec.Struct):
    partition: int


class Told(msgspec.Struct):
    kind: str
    origin: Origin | None = None
    totals: Totals | None = None


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def contact(n: int, contacts: int) -> tuple[datetime, str, bytes]:
    """When the n-th contact of a day's happened, its event_id, and its bytes as ingest writes them."""
    at, event_id = START + timedelta(seconds=n * 86_000 / contacts), f"{n:08d}-0c5b-4f0e-9a59-5a1f2f6d0f0a"
    value = (
        f'{{"kind":"contact","v":1,"handler":"in_house","handled_seconds":{60 + n % 300},"event_id":"{event_id}",'
        f'"occurred_at":"{at.isoformat().removesuffix("+00:00")}Z","country":"{COUNTRIES[n % 12]}",'
        f'"topic":"{TOPICS[n * 7 % 8]}","channel":"{CHANNELS[n * 3 % 4]}","source":"bench"}}'
    ).encode()
    if n % BATCH == 0:
        assert ContactRecord.decode(value).encode() == value
    return at, event_id, value


async def fill(log: EventLog, settings: Settings, contacts: int) -> None:
    """Contacts of one day, in order, with a tick at its beginning and at its end."""

    async def tick(at: datetime) -> None:
        for partition in range(settings.partitions):
            await log.append(CONTACTS, partition, [NewRecord(TickRecord(at=at).encode())])

    await tick(START)
    for first in range(0, contacts, BATCH):
        parts: dict[int, list[NewRecord]] = {}
        for n in range(first, first + BATCH):
            _, event_id, value = contact(n, contacts)
            key = contact_key("bench", event_id)
            parts.setdefault(partition_of(key, settings.partitions), []).append(NewRecord(value, key))
        await asyncio.gather(*(log.append(CONTACTS, partition, records) for partition, records in parts.items()))
    await tick(START + timedelta(days=1, minutes=2))


async def counted(settings: Settings, contacts: int) -> float:
    """CPU seconds of a counter that starts with nothing until all contacts stand in counts."""
    log = connect(settings)
    identity = await open_identity(log, settings)
    stop, decode = asyncio.Event(), msgspec.json.Decoder(Told).decode
    before = cpu_seconds()
    loop = asyncio.gather(*halves(log, identity, settings, Probe("detector", parts=("counter",)), "counter", stop))
    reader = log.reader(COUNTS, {0: (await log.bounds(COUNTS))[0].end})
    found: dict[int, int] = {}
    while sum(found.values()) < contacts and not loop.done():
        for record in (await reader.fetch(wait_seconds=0.5)).get(0, ()):
            told = decode(record.value)
            if told.origin is not None and told.totals is not None:
                found[told.origin.partition] = told.totals.counted
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


async def measure(bootstrap: str, contacts: int, rounds: int) -> tuple[float, float, int]:
    """Best contacts a CPU second of the counter and of the bare loop, in turn; snapshots saved on the way."""
    best = [0.0, 0.0]
    for number in range(rounds):
        prefix = f"bench{number}"
        settings = load(
            {},
            log_url=f"kafka://{bootstrap}/{prefix}",
            clock="data",
            data_dir=tempfile.gettempdir(),
            snapshot_seconds=SNAPSHOT_SECONDS,
        )
        log = connect(settings)
        await open_identity(log, settings)
        await fill(log, settings, contacts)
        await log.close()
        gc.collect()
        best[0] = max(best[0], contacts / await counted(settings, contacts))
        gc.collect()
        best[1] = max(best[1], contacts / await bare(bootstrap, f"{prefix}.{CONTACTS}", contacts))
    return best[0], best[1], round(metrics.SNAPSHOTS.labels("counter")._value.get())


def quix_environment() -> Path:
    """The Python that has Quix Streams, installed if it is not there as locked. Raises CalledProcessError."""
    lock, stamp = QUIX / "requirements.lock", QUIX_VENV / "installed"
    wanted = sha256(lock.read_bytes()).hexdigest()
    python = QUIX_VENV / "bin/python"
    if not (stamp.exists() and stamp.read_text("ascii") == wanted):
        subprocess.run([sys.executable, "-m", "venv", "--clear", QUIX_VENV], check=True)
        pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--require-hashes", "-r", lock], check=True)
        stamp.write_text(wanted, "ascii")
    return python


async def fill_keyed(bootstrap: str, topic: str, contacts: int, of: int) -> None:
    """The first contacts of the same day, keyed by segment, with the time at which they happened as Kafka's."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 4, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, compression_type="lz4", linger_ms=5) as producer:
        for n in range(contacts):
            at, _, value = contact(n, of)
            segment = f"{COUNTRIES[n % 12]}/{TOPICS[n * 7 % 8]}".encode()
            await producer.send(topic, value, key=segment, timestamp_ms=int(at.timestamp() * 1000))


def quix(python: Path, bootstrap: str, contacts: int, of: int) -> float:
    """Contacts a CPU second of Quix Streams, the better of two rounds. Raises CalledProcessError."""
    best = 0.0
    for number in range(2):
        topic = f"quix{number}"
        asyncio.run(fill_keyed(bootstrap, topic, contacts, of))
        command: list[str | Path] = [python, QUIX / "tumbling.py", bootstrap, topic, str(contacts)]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
        counted = json.loads(answer.splitlines()[-1])
        best = max(best, counted["messages"] / counted["cpu_seconds"])
    return best


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contacts", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quix-contacts", type=int, default=60_000)
    arguments = parser.parse_args()
    logs.configure("bench", level="critical")
    gc.set_threshold(50_000, 20, 20)
    contacts = arguments.contacts // BATCH * BATCH
    try:
        python = quix_environment()
        with servers.kafka() as bootstrap:
            own, limit, snapshots = asyncio.run(measure(bootstrap, contacts, arguments.rounds))
            other = quix(python, bootstrap, arguments.quix_contacts, contacts)
    except (subprocess.SubprocessError, OSError) as error:
        told = getattr(error, "stderr", None) or ""
        print(f"counter.py: Quix Streams could not be installed or run: {error}\n{told}", file=sys.stderr)
        return 1
    figures = [
        ("counter", own, own / REQUIRED, "what is required", 1.0),
        ("counter_beside_bare_loop", limit, own / limit, "a bare getmany loop, same run", REQUIRED_OF_BARE),
        ("counter_beside_quix", other, own / other, "Quix Streams' tumbling count, same run", REQUIRED_OF_QUIX),
    ]
    for name, value, ratio, ratio_to, required in figures:
        line = {
            "name": f"{name}_contacts_per_cpu_second",
            "value": round(value),
            "unit": "contacts/CPU s",
            "ratio": round(ratio, 3),
            "ratio_to": ratio_to,
            "required": REQUIRED if value is own else required,
        }
        if value is own:
            line["snapshots"] = snapshots
        print(json.dumps(line), flush=True)
    return 0 if snapshots and all(ratio >= required for _, _, ratio, _, required in figures) else 1


if __name__ == "__main__":
    raise SystemExit(main())
