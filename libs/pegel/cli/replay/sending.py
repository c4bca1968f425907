"""Sends a file's contacts in order of time, paced, with the ticks that data mode needs."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from pegel.cli.ingest import IngestClient
from pegel.cli.replay.contacts import BATCH_ROWS_MAX, BATCH_SPAN_SECONDS_MAX, Contacts
from pegel.cli.replay.speed import Speed
from pegel.schemas.detection import MetaRecord

Mode = Literal["data", "late", "shift"]
"""data: the file's times, and time moves by ticks; late: the file's times on a log in wall mode; shift: dated now."""

PACED_BATCHES_A_SECOND: Final = 10.0


@dataclass(slots=True)
class Sent:
    """What ingest has said so far. reasons: of the rejected."""

    accepted: int = 0
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def rows(self) -> int:
        return self.accepted + self.rejected


async def send(
    contacts: Contacts,
    ingest: IngestClient,
    meta: MetaRecord,
    mode: Mode,
    speed: Speed,
    sent: Sent,
    progress: Callable[[], None],
) -> None:
    """Send all; `sent` says how far it came, also when this raises (IngestAwayError, ConfigurationError).

    Data mode: a tick of the first row's time, after each acknowledged batch one with its last row's time, and one at
    the end of the last bucket plus the log's delay, so that it closes too.
    """
    rows_max, span_seconds_max = limits(speed)
    first: datetime | None = None
    last: datetime | None = None
    began = time.monotonic()
    # A tick goes its way together with the next batch: none of that is as early as what the tick closes.
    ticking: asyncio.Task[None] | None = None
    try:
        for begin, end in contacts.batches(rows_max, span_seconds_max):
            at = contacts.time_of(begin)
            if first is None and at is not None:
                first = at
                if mode == "data":
                    await ingest.tick(at)
            last = contacts.time_of(end - 1) or last
            await _until(began + due_seconds(speed, begin, first, last))
            dated = datetime.now(UTC).isoformat() if mode == "shift" else None
            answer = await ingest.contacts(contacts.of(begin, end, dated=dated))
            sent.accepted += answer.accepted
            sent.rejected += answer.rejected
            sent.reasons.update(answer.refused)
            if ticking is not None:
                await ticking
            if mode == "data" and last is not None:
                ticking = asyncio.create_task(ingest.tick(last))
            progress()
        if ticking is not None:
            await ticking
    finally:
        if ticking is not None:
            ticking.cancel()
    if mode == "data" and last is not None:
        await ingest.tick(closing_time(last, meta))


def limits(speed: Speed) -> tuple[int, float]:
    """The most rows and seconds of a batch, so that it is sent in about one go at this speed."""
    if speed.contacts_a_second is not None:
        rows = int(speed.contacts_a_second / PACED_BATCHES_A_SECOND)
        return min(max(rows, 1), BATCH_ROWS_MAX), BATCH_SPAN_SECONDS_MAX
    if speed.factor is not None:
        return BATCH_ROWS_MAX, min(speed.factor / PACED_BATCHES_A_SECOND, BATCH_SPAN_SECONDS_MAX)
    return BATCH_ROWS_MAX, BATCH_SPAN_SECONDS_MAX


def due_seconds(speed: Speed, rows_before: int, first: datetime | None, last: datetime | None) -> float:
    """When a batch is due, after the beginning: by the rows before it, or by its last row's time."""
    if speed.contacts_a_second is not None:
        return rows_before / speed.contacts_a_second
    if speed.factor is not None and first is not None and last is not None:
        return (last - first).total_seconds() / speed.factor
    return 0.0


def closing_time(last: datetime, meta: MetaRecord) -> datetime:
    """The tick at which the bucket of the last contact closes."""
    bucket = int(last.timestamp()) // meta.bucket_seconds
    end = datetime.fromtimestamp((bucket + 1) * meta.bucket_seconds, UTC)
    return end + timedelta(seconds=meta.delay_seconds)


async def _until(moment: float) -> None:
    left = moment - time.monotonic()
    if left > 0:
        await asyncio.sleep(left)
