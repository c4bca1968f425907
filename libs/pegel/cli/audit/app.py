"""Reads the three sources and says where they differ: as a table, or as JSON."""

import asyncio
import json
import sys
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from pegel.alerter.database import Database, DatabaseUnavailable, check_schema
from pegel.alerter.ledger.domain.seals import Seal
from pegel.cli.audit.books import Books, read_books
from pegel.cli.audit.compare import Sources, differences
from pegel.cli.audit.recount import Cut, recount
from pegel.cli.audit.start import NoSealFits, cut_of, find_start
from pegel.cli.audit.stream import read_windows
from pegel.cli.log import opened
from pegel.eventlog.identity import Loss, losses, read_identity
from pegel.runtime.settings import ConfigurationError, Settings

SHOWN_MAX = 50


@dataclass(slots=True)
class Audit:
    """What was found. sources: None where nothing could be compared; found: every difference."""

    books: Books
    losses: list[Loss]
    sources: Sources | None = None
    found: list[str] = field(default_factory=list)

    @property
    def sealed(self) -> Seal | None:
        return self.sources.seal if self.sources else None

    def numbers(self) -> dict[str, int | None]:
        """What stands in each source up to the cut, and what is open."""
        its = self.sources
        base = self.sealed.windows_contacts if self.sealed else 0
        return {
            "accepted": base + sum(its.contacts.counted.values()) if its else None,
            "windows": base + its.windows.contacts if its else None,
            "ledger": self.books.contacts,
            "open": its.contacts.open if its else None,
        }

    def document(self) -> dict[str, Any]:
        newest = self.books.newest_seal
        return {
            **self.numbers(),
            "as_of": self.books.cut.as_of.isoformat() if self.books.cut else None,
            "from_seal": self.sealed.day if self.sealed else None,
            "newest_seal": {"day": newest.day, "sha256": newest.sha256} if newest else None,
            "accepted_losses": [
                {
                    "stream": loss.record.stream,
                    "partition": loss.record.partition,
                    "before": loss.record.before,
                    "reason": loss.record.reason,
                }
                for loss in self.losses
            ],
            "quarantined": sum(its.kind == "unreadable" for its in self.books.passed_over),
            "differences": self.found,
        }


def audit(settings: Settings, as_json: bool) -> int:
    """Compare; 0 when nothing differs, 1 otherwise. Raises ConfigurationError when a source can't be reached."""
    its = asyncio.run(_read(settings))
    if as_json:
        print(json.dumps(its.document()))
    else:
        _show(its)
    return 1 if its.found else 0


def _show(its: Audit) -> None:
    cut = its.books.cut
    table = Table(title=f"Audit as of {cut.as_of:%Y-%m-%d %H:%M:%S} UTC" if cut else "Audit: nothing booked yet")
    numbers = its.numbers()
    for name in numbers:
        table.add_column(name, justify="right")
    table.add_row(*("?" if number is None else f"{number:,}" for number in numbers.values()))
    Console().print(table)
    if its.sealed:
        print(f"Counted again from the seal of {its.sealed.day}; what is older was taken from it.")
    if its.books.newest_seal:
        print(f"Newest seal: {its.books.newest_seal.day}, SHA-256 {its.books.newest_seal.sha256}")
    for loss in its.losses:
        record = loss.record
        print(f"Accepted as lost: {record.stream}/{record.partition} below offset {record.before}: {record.reason}")
    for line in its.found[:SHOWN_MAX]:
        print(line, file=sys.stderr)
    if len(its.found) > SHOWN_MAX:
        print(f"and {len(its.found) - SHOWN_MAX} more (--json names them all)", file=sys.stderr)
    print("Nothing differs." if not its.found else f"{len(its.found)} differences.")


async def _read(settings: Settings) -> Audit:
    # The ledger first: contacts and windows only grow, so what it has booked is in them.
    books = await asyncio.to_thread(_books, settings)
    async with opened(settings) as log:
        identity = await read_identity(log)
        if books.log_id is not None and books.log_id != identity.meta.log_id:
            raise ConfigurationError(
                [f"the database belongs to log {books.log_id}, but PEGEL_LOG_URL leads to log {identity.meta.log_id}"]
            )
        its = Audit(books, await losses(log))
        try:
            seal = await find_start(log, identity, settings.dedup_horizon_hours, books.seals)
        except NoSealFits as error:
            its.found = [str(error), *books.faults]
            return its
        windows = await read_windows(
            log,
            books.cut_offset,
            books.cut,
            seal.windows_next_offset if seal else 0,
            seal.producers if seal else None,
        )
        cut = Cut({part.partition: part.offset for part in books.cut.covered}, books.cut.to) if books.cut else None
        contacts = await recount(log, identity, settings.dedup_horizon_hours, cut, cut_of(seal) if seal else None)
    its.sources = Sources(contacts, windows, seal, identity.meta.bucket_seconds)
    its.found = differences(its.sources, books, [loss.record for loss in its.losses])
    return its


def _books(settings: Settings) -> Books:
    database = Database(settings.resolved_database_url)
    try:
        check_schema(database)
        return read_books(database)
    except DatabaseUnavailable as error:
        raise ConfigurationError([f"PEGEL_DATABASE_URL={database.shown}: {error}"]) from None
    finally:
        database.close()
