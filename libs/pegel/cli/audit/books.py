"""The other two sources: the windows up to the ledger's cut, and the ledger's entries, row by row."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson
from sqlalchemy import text

from pegel.alerter.database import Database
from pegel.cli.audit.recount import Place
from pegel.eventlog.fencing import Fence, head
from pegel.eventlog.port import WINDOWS, EventLog
from pegel.schemas.detection import BucketRecord, WindowRecord


class Addition(NamedTuple):
    """One addition of a window record, as the ledger must have booked it."""

    place: Place
    contacts: int


@dataclass(slots=True)
class Windows:
    """additions: by the ledger entry's id ('judge/0:812.3#0')."""

    additions: dict[str, Addition] = field(default_factory=dict)
    contacts: int = 0
    told: int = 0
    """What the bucket record of the cut says of the sum."""

    def by_place(self) -> Counter[Place]:
        found: Counter[Place] = Counter()
        for addition in self.additions.values():
            found[addition.place] += addition.contacts
        return found


async def read_windows(log: EventLog, cut_offset: int | None, cut: BucketRecord | None) -> Windows:
    """Every addition that readers take, up to the bucket record at cut_offset."""
    windows = Windows(told=cut.windows_contacts if cut else 0)
    if cut_offset is None:
        return windows
    begin = (await log.bounds(WINDOWS))[0].begin
    fence = Fence()
    reader = log.reader(WINDOWS, {0: begin})
    try:
        while reader.positions()[0] <= cut_offset:
            records = (await reader.fetch(wait_seconds=0.1)).get(0, ())
            if not records:
                break  # the stream ends before the cut: what is missing shows in the sums
            for record in records:
                if record.offset > cut_offset:
                    break
                found = head(record.value)
                if found.kind == "claim" and found.producer is not None and found.epoch is not None:
                    fence.claim(found.producer, found.epoch)
                elif found.origin is not None:
                    taken = fence.passes(
                        found.origin.producer, found.origin.epoch, (found.origin.offset, found.origin.place)
                    )
                    if taken and found.kind == "window":
                        _add(windows, WindowRecord.decode(record.value))
    finally:
        await reader.close()
    return windows


def _add(windows: Windows, window: WindowRecord) -> None:
    rows = window.additions
    for k, (cell, contacts) in enumerate(zip(rows.cell, rows.contacts, strict=True)):
        words = rows.cells[cell]
        place = Place(window.bucket, words["country"], words["topic"], words["channel"])
        windows.additions[f"{window.origin.text}#{k}"] = Addition(place, contacts)
        windows.contacts += contacts


@dataclass(slots=True)
class Books:
    """What the ledger says: its cut, the sum of its quantities, and what is wrong with single entries."""

    cut_offset: int | None = None
    cut: BucketRecord | None = None
    log_id: str | None = None
    contacts: int = 0
    entries: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def read_books(database: Database) -> Books:
    """Every entry, in one state of the database. Raises DatabaseUnavailable."""
    books = Books()
    with database.read() as connection:
        cut = connection.execute(text("SELECT record_offset, record FROM ledger_cut")).one_or_none()
        if cut is not None:
            books.cut_offset, books.cut = cut.record_offset, BucketRecord.decode(cut.record.encode())
        books.log_id = connection.execute(text("SELECT log_id FROM positions LIMIT 1")).scalar_one_or_none()
        rows = connection.execution_options(yield_per=5_000).execute(
            text("SELECT id, quantity, unit_price_micros, amount_micros, status, segment, bucket FROM ledger_entries")
        )
        micros = 0
        for row in rows:
            books.entries[row.id] = row.quantity
            books.contacts += row.quantity
            micros += row.amount_micros
            due = row.quantity * row.unit_price_micros if row.status != "unpriced" else 0
            if row.amount_micros != due:
                segment = "/".join(orjson.loads(row.segment))
                books.faults.append(
                    f"ledger entry {row.id} ({segment}, bucket {row.bucket}): amount {row.amount_micros}, but quantity "
                    f"x unit price is {row.quantity} x {row.unit_price_micros} = {due} millionths"
                )
        summed = connection.execute(
            text("SELECT COALESCE(SUM(contacts), 0) contacts, COALESCE(SUM(amount_micros), 0) micros FROM cost_hours")
        ).one()
        if (int(summed.contacts), int(summed.micros)) != (books.contacts, micros):
            books.faults.append(
                f"sums by hour: {summed.contacts} contacts and {summed.micros} millionths, but the entries add up to "
                f"{books.contacts} and {micros}"
            )
    return books
