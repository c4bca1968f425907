"""Detector and alerter on one log, in this process: fed with contacts of the past, run until all is booked."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import text

from pegel.alerter.app import build as build_alerter
from pegel.alerter.database import Database, check_schema
from pegel.detector.app import build as build_detector
from pegel.eventlog.connect import connect
from pegel.eventlog.identity import open_identity
from pegel.eventlog.keys import contact_key, partition_of
from pegel.eventlog.port import CONTACTS, EventLog, NewRecord
from pegel.runtime.settings import Settings, load
from pegel.schemas.contact import AmendmentRecord, ContactRecord, TickRecord
from support.wait import until

START = datetime(2026, 1, 5, tzinfo=UTC)
BUCKET_SECONDS = 300


def data_mode(folder: Path, **over: object) -> Settings:
    """Settings of a log of the past, with buckets of 5 minutes, in a folder of its own."""
    return load({}, data_dir=folder, clock="data", bucket_seconds=BUCKET_SECONDS, **over)


def contact(number: int, minutes: float, **fields: object) -> ContactRecord:
    """A contact so many minutes after START."""
    given = {"country": "ES", "topic": "atm", "channel": "phone", "source": "desk", **fields}
    return ContactRecord.model_validate(
        {"event_id": f"c{number}", "occurred_at": START + timedelta(minutes=minutes), **given}
    )


async def put(log: EventLog, partitions: int, records: Sequence[ContactRecord | AmendmentRecord]) -> None:
    """Append contacts and amendments to their partitions, in this order."""
    parts: dict[int, list[NewRecord]] = {}
    for record in records:
        key = contact_key(record.source, record.event_id)
        parts.setdefault(partition_of(key, partitions), []).append(NewRecord(record.encode(), key))
    for partition, new in parts.items():
        await log.append(CONTACTS, partition, new)


async def tick(log: EventLog, partitions: int, minutes: float) -> None:
    """Move the log's time to so many minutes after START."""
    record = NewRecord(TickRecord(at=START + timedelta(minutes=minutes)).encode())
    for partition in range(partitions):
        await log.append(CONTACTS, partition, [record])


async def feed(settings: Settings, records: Sequence[ContactRecord | AmendmentRecord], *, minutes: float) -> None:
    """A first tick at START, the records, and a tick so many minutes after it."""
    log = connect(settings)
    try:
        await open_identity(log, settings)
        await tick(log, settings.partitions, 0)
        await put(log, settings.partitions, records)
        await tick(log, settings.partitions, minutes)
    finally:
        await log.close()


async def run_until(settings: Settings, reached: Callable[[], bool], *, seconds: float = 20) -> None:
    """Run detector and alerter until `reached` (called in a thread); a loop that fails raises."""
    stop = asyncio.Event()
    services = (build_detector(settings), build_alerter(settings))
    loops = asyncio.gather(*(service.run(stop) for service in services))

    async def there() -> bool:
        return loops.done() or await asyncio.to_thread(reached)

    try:
        await until(there, seconds)
    finally:
        stop.set()
        await loops


def booked_to(settings: Settings) -> Callable[[], int]:
    """Asks both readers of windows how far they have come: the end of the last bucket, as a number since 1970."""

    def ask() -> int:
        database = Database(settings.resolved_database_url)
        try:
            check_schema(database)
            with database.read() as connection:
                rows = connection.execute(text("SELECT bucket_to FROM positions")).scalars().all()
        finally:
            database.close()
        return min((int(row or 0) for row in rows), default=0) if len(rows) == 2 else 0

    return ask


def bucket(minutes: float) -> int:
    """The number since 1970 of the bucket that begins so many minutes after START."""
    return (int(START.timestamp()) + round(minutes * 60)) // BUCKET_SECONDS
