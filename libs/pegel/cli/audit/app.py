"""Puts the three sources side by side and says where they differ."""

import asyncio
import json
import sys

from rich.console import Console
from rich.table import Table

from pegel.alerter.database import Database, DatabaseUnavailable, check_schema
from pegel.cli.audit.books import Books, Windows, read_books, read_windows
from pegel.cli.audit.recount import Recount, recount
from pegel.cli.log import opened
from pegel.eventlog.identity import read_identity
from pegel.runtime.settings import ConfigurationError, Settings

SHOWN_MAX = 50


def audit(settings: Settings, as_json: bool) -> int:
    """Compare; 0 when nothing differs, 1 otherwise. Raises ConfigurationError when a source can't be reached."""
    contacts, windows, books, bucket_seconds = asyncio.run(_read(settings))
    found = differences(contacts, windows, books, bucket_seconds)
    accepted = sum(contacts.counted.values())
    if as_json:
        document = {
            "accepted": accepted,
            "windows": windows.contacts,
            "ledger": books.contacts,
            "open": contacts.open,
            "as_of": books.cut.as_of.isoformat() if books.cut else None,
            "differences": found,
        }
        print(json.dumps(document))
        return 1 if found else 0
    table = Table(
        title=f"Audit as of {books.cut.as_of:%Y-%m-%d %H:%M:%S} UTC" if books.cut else "Audit: nothing booked yet"
    )
    for name in ("accepted", "windows", "ledger", "open"):
        table.add_column(name, justify="right")
    table.add_row(*(f"{n:,}" for n in (accepted, windows.contacts, books.contacts, contacts.open)))
    Console().print(table)
    for line in found[:SHOWN_MAX]:
        print(line, file=sys.stderr)
    if len(found) > SHOWN_MAX:
        print(f"and {len(found) - SHOWN_MAX} more (--json names them all)", file=sys.stderr)
    print("Nothing differs." if not found else f"{len(found)} differences.")
    return 1 if found else 0


async def _read(settings: Settings) -> tuple[Recount, Windows, Books, int]:
    # The ledger first: contacts and windows only grow, so what it has booked is in them.
    books = await asyncio.to_thread(_books, settings)
    async with opened(settings) as log:
        identity = await read_identity(log)
        if books.log_id is not None and books.log_id != identity.meta.log_id:
            raise ConfigurationError(
                [f"the database belongs to log {books.log_id}, but PEGEL_LOG_URL leads to log {identity.meta.log_id}"]
            )
        windows = await read_windows(log, books.cut_offset, books.cut)
        covered = {c.partition: c.offset for c in books.cut.covered} if books.cut else {}
        cut_to = books.cut.to if books.cut else None
        contacts = await recount(log, identity, settings.dedup_horizon_hours, covered, cut_to)
    return contacts, windows, books, identity.meta.bucket_seconds


def _books(settings: Settings) -> Books:
    database = Database(settings.resolved_database_url)
    try:
        check_schema(database)
        return read_books(database)
    except DatabaseUnavailable as error:
        raise ConfigurationError([f"PEGEL_DATABASE_URL={database.shown}: {error}"]) from None
    finally:
        database.close()


def differences(contacts: Recount, windows: Windows, books: Books, bucket_seconds: int) -> list[str]:
    """Every difference in a line that says where it lies."""
    found = []
    by_place = windows.by_place()
    for place in sorted(contacts.counted.keys() | by_place.keys()):
        accepted, stands = contacts.counted.get(place, 0), by_place.get(place, 0)
        if accepted != stands:
            found.append(f"{place.text(bucket_seconds)}: {accepted} contacts accepted, {stands} in windows")
    if windows.contacts != windows.told:
        found.append(f"windows: the additions sum to {windows.contacts}, the last bucket record says {windows.told}")
    for entry_id, addition in windows.additions.items():
        booked = books.entries.get(entry_id)
        where = addition.place.text(bucket_seconds)
        if booked is None:
            found.append(f"{where}: window addition {entry_id} of {addition.contacts} contacts is not in the ledger")
        elif booked != addition.contacts:
            found.append(f"{where}: ledger entry {entry_id} has {booked} contacts, its window {addition.contacts}")
    found += [
        f"ledger entry {entry_id} of {quantity} contacts has no window addition behind it"
        for entry_id, quantity in books.entries.items()
        if entry_id not in windows.additions
    ]
    return found + books.faults
