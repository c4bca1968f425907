"""Catching up: buckets a second through counter, judge, incidents and ledger, from the embedded log to SQLite.

Contacts of the past (data mode, 50 segments, buckets of 5 minutes) are put into the log first; then the real services'
loops run in this process until the ledger has booked the last bucket. Prints one JSON line: name, value, unit, and the
ratio to the limit asked for.

    python benchmarks/catching_up.py [--days 14]
"""

import argparse
import asyncio
import json
import resource
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from sqlalchemy import text

from pegel.alerter.app import build as build_alerter
from pegel.alerter.database import Database, check_schema
from pegel.detector.app import build as build_detector
from pegel.eventlog.connect import connect
from pegel.eventlog.identity import open_identity
from pegel.eventlog.keys import contact_key, partition_of
from pegel.eventlog.port import CONTACTS, NewRecord
from pegel.runtime import logs
from pegel.runtime.settings import Settings, load
from pegel.schemas.contact import ContactRecord, TickRecord

START = datetime(2026, 1, 5, tzinfo=UTC)
BUCKET_SECONDS = 300
BATCH_HOURS = 6
COUNTRIES = ("ES", "PT", "GB", "PL", "DE")
TOPICS = ("atm", "cards", "login", "transfer", "loan", "account", "app", "fraud", "fees", "invest")
LIMIT = 200


async def fill(settings: Settings, days: int) -> int:
    """Contacts at the demonstration's rate (100,000 a week), with a tick after each batch; the number of buckets."""
    log = connect(settings)
    await open_identity(log, settings)
    rng = np.random.default_rng(1)
    number = 0

    async def tick(at: datetime) -> None:
        record = NewRecord(TickRecord(at=at).encode())
        await asyncio.gather(*(log.append(CONTACTS, p, [record]) for p in range(settings.partitions)))

    await tick(START)
    for batch in range(days * 24 // BATCH_HOURS):
        begin = START + timedelta(hours=batch * BATCH_HOURS)
        parts: dict[int, list[NewRecord]] = {p: [] for p in range(settings.partitions)}
        for second in np.sort(rng.uniform(0, BATCH_HOURS * 3600, rng.poisson(100_000 / 168 * BATCH_HOURS))):
            contact = ContactRecord.model_validate(
                {
                    "event_id": f"c{number}",
                    "source": "bench",
                    "occurred_at": begin + timedelta(seconds=float(second)),
                    "country": COUNTRIES[rng.integers(len(COUNTRIES))],
                    "topic": TOPICS[rng.integers(len(TOPICS))],
                    "channel": ("phone", "chat", "email")[rng.integers(3)],
                }
            )
            key = contact_key(contact.source, contact.event_id)
            parts[partition_of(key, settings.partitions)].append(NewRecord(contact.encode(), key))
            number += 1
        for partition, records in parts.items():
            await log.append(CONTACTS, partition, records)
        await tick(begin + timedelta(hours=BATCH_HOURS))
    await tick(START + timedelta(days=days, seconds=BUCKET_SECONDS + settings.delay_seconds))
    await log.close()
    return days * 86_400 // BUCKET_SECONDS


async def catch_up(settings: Settings, buckets: int) -> float:
    """Seconds until the ledger has booked the last bucket."""
    database = Database(settings.resolved_database_url)
    check_schema(database)
    stop = asyncio.Event()
    last = int(START.timestamp()) // BUCKET_SECONDS + buckets
    begin = time.perf_counter()
    services = (build_detector(settings), build_alerter(settings))
    loops = [asyncio.ensure_future(service.run(stop)) for service in services]

    def booked() -> int:
        with database.read() as connection:
            found = connection.execute(text("SELECT MIN(bucket_to) FROM positions")).scalar_one_or_none()
            return int(found or 0)

    while any(not loop.done() for loop in loops):
        await asyncio.sleep(0.1)
        if await asyncio.to_thread(booked) >= last:
            break
    seconds = time.perf_counter() - begin
    stop.set()
    await asyncio.gather(*loops)
    return seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=14)
    days = parser.parse_args().days
    logs.configure("bench", level="error")
    with tempfile.TemporaryDirectory() as folder:
        settings = load({}, data_dir=Path(folder), clock="data", bucket_seconds=BUCKET_SECONDS)
        buckets = asyncio.run(fill(settings, days))
        before = resource.getrusage(resource.RUSAGE_SELF)
        seconds = asyncio.run(catch_up(settings, buckets))
        after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    rate = buckets / seconds
    line = {
        "name": "catching_up_50_segments",
        "value": round(rate),
        "unit": "buckets/s",
        "ratio": round(rate / LIMIT, 2),
        "ratio_to": f"the {LIMIT} buckets/s asked for",
        "per_cpu_second": round(buckets / cpu),
        "buckets": buckets,
    }
    print(json.dumps(line))
    return 0 if rate >= LIMIT else 1


if __name__ == "__main__":
    raise SystemExit(main())
