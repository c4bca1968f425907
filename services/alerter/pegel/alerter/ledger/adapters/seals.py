"""Seals in the database."""

from typing import Any

from sqlalchemy import Connection, Row, insert, select

from pegel.alerter.database.tables import seals
from pegel.alerter.ledger.domain.seals import Seal
from pegel.alerter.ledger.domain.sums import Sums


def newest_sha256(connection: Connection) -> str:
    """'' when there is no seal."""
    newest = select(seals.c.sha256).order_by(seals.c.bucket_to.desc()).limit(1)
    return connection.execute(newest).scalar() or ""


def write(connection: Connection, seal: Seal) -> None:
    """In the transaction of what begins the day after."""
    connection.execute(
        insert(seals).values(
            day=seal.day,
            bucket_to=seal.bucket_to,
            as_of=seal.as_of,
            windows_next_offset=seal.windows_next_offset,
            windows_contacts=seal.windows_contacts,
            producers={name: list(seen) for name, seen in seal.producers.items()},
            covered=[dict(partition) for partition in seal.covered],
            ledger_contacts=seal.ledger.contacts,
            ledger_micros=dict(seal.ledger.micros),
            ledger_digest=seal.ledger.digest_text,
            previous=seal.previous,
            sha256=seal.sha256,
        )
    )


def all_of(connection: Connection) -> list[tuple[Seal, str]]:
    """Oldest first, each with the hash that stands beside it."""
    return [(_seal(row), row.sha256) for row in connection.execute(select(seals).order_by(seals.c.bucket_to))]


def _seal(row: Row[Any]) -> Seal:
    return Seal(
        row.day,
        row.bucket_to,
        row.as_of,
        row.windows_next_offset,
        row.windows_contacts,
        row.producers,
        row.covered,
        Sums(row.ledger_contacts, row.ledger_micros, int(row.ledger_digest, 16)),
        row.previous,
    )
