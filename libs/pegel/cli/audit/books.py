"""The third source: the ledger's entries, row by row, with its cut, its running sums, its seals, and its quarantine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson
from sqlalchemy import select, text

from pegel.alerter.database import Database, quarantine
from pegel.alerter.database.quarantine import PassedOver
from pegel.alerter.database.tables import ledger_entries
from pegel.alerter.ledger.adapters import seals
from pegel.alerter.ledger.adapters.sql import SqlLedger
from pegel.alerter.ledger.domain.seals import Seal
from pegel.alerter.ledger.domain.sums import Sums, row_digest
from pegel.schemas.detection import BucketRecord


class Entry(NamedTuple):
    """What counts of a ledger entry. digest: of all it says."""

    quantity: int
    currency: str
    amount_micros: int
    digest: int


@dataclass(slots=True)
class Books:
    """What the ledger says: its cut, its entries by id, its seals (oldest first), and what is wrong with these.

    totals: the sum that was kept while booking.
    """

    cut_offset: int | None = None
    cut: BucketRecord | None = None
    log_id: str | None = None
    contacts: int = 0
    totals: Sums = field(default_factory=Sums)
    entries: dict[str, Entry] = field(default_factory=dict)
    seals: list[Seal] = field(default_factory=list)
    passed_over: list[PassedOver] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def newest_seal(self) -> Seal | None:
        return self.seals[-1] if self.seals else None


def read_books(database: Database) -> Books:
    """Every entry, in one state of the database. Raises DatabaseUnavailable."""
    books = Books()
    with database.read() as connection:
        ledger = SqlLedger(connection)
        cut = ledger.cut()
        if cut is not None:
            books.cut_offset, books.cut = cut.record_offset, cut.record
        books.totals = ledger.totals()
        books.log_id = connection.execute(text("SELECT log_id FROM positions LIMIT 1")).scalar_one_or_none()
        books.passed_over = quarantine.all_of(connection)
        stored = seals.all_of(connection)
        for row in connection.execute(select(ledger_entries).execution_options(yield_per=5_000)):
            books.entries[row.id] = Entry(row.quantity, row.currency, row.amount_micros, row_digest(row))
            books.contacts += row.quantity
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
    books.seals = [seal for seal, _ in stored]
    books.faults += broken_chain(stored)
    sums = sums_of(books.entries)
    books.faults += unlike("the ledger's entries", sums, "its running sum", books.totals)
    micros = sum(sums.micros.values())
    if (int(summed.contacts), int(summed.micros)) != (sums.contacts, micros):
        books.faults.append(
            f"sums by hour: {summed.contacts} contacts and {summed.micros} millionths, but the entries add up to "
            f"{sums.contacts} and {micros}"
        )
    return books


def sums_of(entries: Mapping[str, Entry]) -> Sums:
    return Sums().plus(entries.values())


def unlike(what: str, found: Sums, other: str, expected: Sums) -> list[str]:
    """A line for each sum in which the two differ; where only the digest does, an entry's words were changed."""
    told = []
    if found.contacts != expected.contacts:
        told.append(f"{what}: {found.contacts} contacts, {other} says {expected.contacts}")
    told += [
        f"{what}: {found.micros.get(currency, 0)} millionths of {currency}, {other} says "
        f"{expected.micros.get(currency, 0)}"
        for currency in sorted(found.micros.keys() | expected.micros.keys())
        if found.micros.get(currency, 0) != expected.micros.get(currency, 0)
    ]
    if not told and found.digest != expected.digest:
        told.append(f"{what}: one was changed since it was booked (their digest is not that of {other})")
    return told


def broken_chain(stored: list[tuple[Seal, str]]) -> list[str]:
    """Seals that are not what they were when they were made, or don't follow the one before."""
    faults = []
    before = ""
    for seal, sha256 in stored:
        if seal.sha256 != sha256:
            faults.append(f"seal of {seal.day}: it was changed (its content has SHA-256 {seal.sha256}, not {sha256})")
        if seal.previous != before:
            faults.append(f"seal of {seal.day}: the seal before it is gone or was made anew")
        before = sha256
    return faults
