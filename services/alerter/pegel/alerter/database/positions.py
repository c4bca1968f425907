"""How far each reader of the stream windows has come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from pegel.alerter.database.tables import positions
from pegel.eventlog.fencing import Seen


class NotInCharge(Exception):  # noqa: N818 (it tells who is in charge)
    """Another alerter moved the position: what was done since must be rolled back."""


class OtherLog(Exception):  # noqa: N818
    """The database belongs to another log."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"the database is of log {found}, this log is {expected}")
        self.expected, self.found = expected, found


@dataclass(frozen=True, slots=True)
class Position:
    """next_offset: first record not applied. seen: per producer. as_of, bucket_to: end of the last bucket applied."""

    next_offset: int = 0
    seen: dict[str, Seen] | None = None
    bucket_to: int | None = None
    as_of: datetime | None = None


def load(connection: Connection, consumer: str) -> Position | None:
    """Where a reader stands; None before its first start."""
    row = connection.execute(select(positions).where(positions.c.consumer == consumer)).one_or_none()
    if row is None:
        return None
    return Position(row.next_offset, producers(row.producers), row.bucket_to, row.as_of)


def producers(stored: Mapping[str, Sequence[int]]) -> dict[str, Seen]:
    """What `stored_producers` made."""
    return {name: Seen(epoch, (offset, place)) for name, (epoch, offset, place) in stored.items()}


def stored_producers(seen: Mapping[str, Seen]) -> dict[str, list[int]]:
    """Per producer: highest epoch and highest id, as JSON."""
    return {name: [its.epoch, *its.id] for name, its in seen.items()}


def start(connection: Connection, consumer: str, log_id: str) -> Position:
    """The reader's position, made at offset 0 if there is none. Raises OtherLog."""
    for other in connection.execute(select(positions.c.log_id).distinct()).scalars():
        if other != log_id:
            raise OtherLog(log_id, other)
    found = load(connection, consumer)
    if found is None:
        connection.execute(insert(positions).values(consumer=consumer, log_id=log_id, next_offset=0, producers={}))
        return Position(seen={})
    return found


def move(connection: Connection, consumer: str, log_id: str, before: int, to: Position) -> None:
    """Compare and set, in the transaction of the effect. Raises NotInCharge when the position is not at `before`."""
    moved = connection.execute(
        update(positions)
        .where(positions.c.consumer == consumer, positions.c.log_id == log_id, positions.c.next_offset == before)
        .values(
            next_offset=to.next_offset,
            producers=stored_producers(to.seen or {}),
            bucket_to=to.bucket_to,
            as_of=to.as_of,
        )
    )
    if moved.rowcount != 1:
        raise NotInCharge(consumer)


def catching_up(connection: Connection, consumer: str) -> bool:
    """Whether the reader was far behind the log's end and has not reached it yet."""
    return bool(connection.execute(select(positions.c.catching_up).where(positions.c.consumer == consumer)).scalar())


def set_catching_up(connection: Connection, consumer: str, catching_up: bool) -> None:
    """In the transaction of the effect, or before the first."""
    connection.execute(update(positions).where(positions.c.consumer == consumer).values(catching_up=catching_up))
