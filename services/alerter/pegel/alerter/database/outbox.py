"""Pages on their way out: written with what they tell, by whoever decides; read by who sends them.

Who claims a page has it for a lease, by the database's clock. Each claim has a number (the attempt); what is noted of
an attempt counts only while no other has claimed the page since.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Exists, Row, exists, func, insert, select, update

from pegel.alerter.database.engine import clock
from pegel.alerter.database.tables import incidents, outbox, positions
from pegel.schemas.page import Page

PageState = Literal["pending", "sent", "refused", "gave_up", "withheld"]


@dataclass(frozen=True, slots=True)
class Due:
    """A page that one receiver waits for. page_id: the same at each attempt; attempt: the number of this claim."""

    row_id: int
    page_id: str
    receiver: str
    page: Page
    written_at: datetime
    attempt: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """How far a page has come with one receiver."""

    incident_id: str
    receiver: str
    state: PageState
    said: str | None
    sent_at: datetime | None


def write(connection: Connection, page_id: str, page: Page, receivers: Sequence[str], now: datetime) -> None:
    """One row a receiver, in the transaction of what the page tells."""
    if receivers:
        common = {"page_id": page_id, "incident_id": page.incident_id, "payload": page.model_dump(mode="json")}
        pending = {"state": "pending", "written_at": now, "due_at": clock(connection, now), "attempts": 0}
        connection.execute(insert(outbox), [{"receiver": receiver, **common, **pending} for receiver in receivers])


def receivers_of(connection: Connection, incident_id: str) -> tuple[str, ...]:
    """Who was paged for an incident, in order."""
    rows = select(outbox.c.receiver).where(outbox.c.incident_id == incident_id).distinct().order_by(outbox.c.receiver)
    return tuple(connection.execute(rows).scalars())


def told(connection: Connection, incident_id: str) -> bool:
    """Whether any page of the incident was sent or tried, or will be."""
    row = select(outbox.c.id).where(outbox.c.incident_id == incident_id, outbox.c.state != "withheld")
    return connection.execute(row.limit(1)).first() is not None


def any_due(connection: Connection, receiver: str, now: datetime) -> bool:
    """Whether the receiver has a page that is due; none is while the alerter catches up."""
    row = select(outbox.c.id).where(outbox.c.state == "pending", outbox.c.receiver == receiver, outbox.c.due_at <= now)
    return connection.execute(row.where(~_catching_up()).limit(1)).first() is not None


def claim(connection: Connection, receiver: str, now: datetime, lease: timedelta) -> Due | None:
    """The oldest page that is due for the receiver; it is due to nobody else before the lease is over.

    now: the database's clock. A page waits for the earlier ones of its incident, so that no end is told before its
    beginning, and all wait while the alerter catches up.
    """
    row, earlier = outbox.alias(), outbox.alias()
    first = (
        select(row)
        .where(row.c.state == "pending", row.c.receiver == receiver, row.c.due_at <= now, ~_catching_up())
        .where(
            ~exists().where(
                earlier.c.state == "pending",
                earlier.c.receiver == receiver,
                earlier.c.incident_id == row.c.incident_id,
                earlier.c.id < row.c.id,
            )
        )
        .order_by(row.c.id)
        .limit(1)
    )
    found = connection.execute(first).one_or_none()
    if found is None:
        return None
    taken = connection.execute(
        update(outbox)
        .where(outbox.c.id == found.id, outbox.c.state == "pending", outbox.c.attempts == found.attempts)
        .values(due_at=now + lease, attempts=found.attempts + 1)
    )
    if taken.rowcount != 1:
        return None  # another alerter was faster; the next turn finds what is left
    page = Page.model_validate(found.payload, strict=False)
    return Due(found.id, found.page_id, receiver, page, found.written_at, found.attempts + 1)


def settle(connection: Connection, due: Due, state: PageState, said: str, at: datetime) -> bool:
    """Note how an attempt went; False, and nothing is noted, when another has claimed or settled the page since.

    at: when it was sent; of a pending one: when it is due again.
    """
    when = {"due_at": at} if state == "pending" else {"sent_at": at} if state == "sent" else {}
    noted = connection.execute(
        update(outbox)
        .where(outbox.c.id == due.row_id, outbox.c.state == "pending", outbox.c.attempts == due.attempt)
        .values(state=state, said=said, **when)
    )
    return noted.rowcount == 1


def withhold_what_is_over(connection: Connection, said: str) -> list[str]:
    """Pages that open incidents which are over by now, and that nobody tried to send yet, are not sent any more.

    Nor are the ends that such pages would have begun. The ids of their incidents.
    """
    over = select(incidents.c.id).where(incidents.c.state == "resolved")
    rows = connection.execute(
        select(outbox).where(outbox.c.state == "pending", outbox.c.incident_id.in_(over)).order_by(outbox.c.id)
    )
    waiting: dict[tuple[str, str], list[Row[Any]]] = {}
    for row in rows:
        waiting.setdefault((row.incident_id, row.receiver), []).append(row)
    untold = {
        key: [row.id for row in pages]
        for key, pages in waiting.items()
        if pages[0].attempts == 0 and pages[0].payload["kind"] != "resolved"
    }
    for ids in untold.values():
        connection.execute(update(outbox).where(outbox.c.id.in_(ids)).values(state="withheld", said=said))
    return sorted({incident for incident, _ in untold})


def _catching_up() -> Exists:
    return exists().where(positions.c.consumer == "incidents", positions.c.catching_up)


def deliveries(connection: Connection, incident_ids: Sequence[str]) -> list[Delivery]:
    """The latest page of each incident and receiver."""
    latest = (
        select(func.max(outbox.c.id))
        .where(outbox.c.incident_id.in_(incident_ids))
        .group_by(outbox.c.incident_id, outbox.c.receiver)
    )
    rows = connection.execute(select(outbox).where(outbox.c.id.in_(latest)).order_by(outbox.c.id))
    return [Delivery(row.incident_id, row.receiver, row.state, row.said, row.sent_at) for row in rows]


def waiting(connection: Connection) -> dict[str, int]:
    """Pages that are not settled, by receiver."""
    rows = select(outbox.c.receiver, func.count()).where(outbox.c.state == "pending").group_by(outbox.c.receiver)
    return {row[0]: row[1] for row in connection.execute(rows)}
