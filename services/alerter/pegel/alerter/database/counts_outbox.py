"""Records on their way to the stream counts: written with what they tell, sent in order.

Who sends needs no lease: each record has a UUID, the judge drops a repeated one, and every sender begins with the
oldest that is not noted as sent. So several may send at once, and again after a crash.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, func, insert, select, update

from pegel.alerter.database.tables import counts_outbox
from pegel.schemas.detection import FeedbackRecord


class Waiting(NamedTuple):
    """A record that is not noted as sent. value: its bytes."""

    row_id: int
    value: bytes


def write(connection: Connection, record: FeedbackRecord, now: datetime) -> None:
    """In the transaction of what the record tells."""
    values = {"record_id": record.id, "record": record.encode().decode(), "written_at": now}
    connection.execute(insert(counts_outbox).values(**values))


def unsent(connection: Connection, limit: int) -> list[Waiting]:
    """The oldest, in order."""
    rows = select(counts_outbox.c.id, counts_outbox.c.record).where(counts_outbox.c.sent_at.is_(None))
    found = connection.execute(rows.order_by(counts_outbox.c.id).limit(limit))
    return [Waiting(row.id, row.record.encode()) for row in found]


def note_sent(connection: Connection, row_ids: Sequence[int], now: datetime) -> None:
    """The log has them; noting it twice changes nothing."""
    rows = counts_outbox.c.id.in_(row_ids) & counts_outbox.c.sent_at.is_(None)
    connection.execute(update(counts_outbox).where(rows).values(sent_at=now))


def waiting(connection: Connection) -> int:
    """How many are not noted as sent."""
    rows = select(func.count()).select_from(counts_outbox).where(counts_outbox.c.sent_at.is_(None))
    return int(connection.execute(rows).scalar_one())
