"""What a reader of the log passed over: records it can't read, and records that are lost, which somebody accepted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, insert, select

from pegel.alerter.database.tables import quarantine


@dataclass(frozen=True, slots=True)
class PassedOver:
    """Records [record_offset, next_offset) of a partition. reason: holds nothing of their content."""

    consumer: str
    stream: str
    partition: int
    record_offset: int
    next_offset: int
    kind: Literal["unreadable", "lost"]
    reason: str


def note(connection: Connection, passed_over: Sequence[PassedOver], now: datetime) -> None:
    """In the transaction that moves the position past them."""
    for its in passed_over:
        connection.execute(
            insert(quarantine).values(
                consumer=its.consumer,
                stream=its.stream,
                partition=its.partition,
                record_offset=its.record_offset,
                next_offset=its.next_offset,
                kind=its.kind,
                reason=its.reason,
                noted_at=now,
            )
        )


def all_of(connection: Connection) -> list[PassedOver]:
    """In the order of the log."""
    columns = [column for column in quarantine.c if column.name != "noted_at"]
    rows = connection.execute(
        select(*columns).order_by(quarantine.c.stream, quarantine.c.partition, quarantine.c.record_offset)
    )
    return [PassedOver(*row) for row in rows]
