"""Answers as rows. Every function works in the transaction of the connection it is given."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Row, Select, exists, func, insert, select, update

from pegel.alerter.database import counts_outbox, positions
from pegel.alerter.database.tables import cost_hours, feedback, incidents, outbox, spikes
from pegel.alerter.database.tables import counts_outbox as sending
from pegel.alerter.feedback.domain.promise import WINDOW, promise, weeks_of
from pegel.schemas.detection import FeedbackRecord
from pegel.schemas.feedback import BAR_DAYS, Promise, Verdict, bar_raised

CONSUMER: Final = "incidents"
"""Of what it has applied an answer's bucket is made."""
PAGED: Final = ("opened", "reopened")
"""Kinds of pages that are answered."""
BAR_LASTS: Final = timedelta(days=BAR_DAYS)


class UnknownIncident(Exception):  # noqa: N818
    """There is no incident with this id."""


class NothingToUndo(Exception):  # noqa: N818
    """The incident has no answer that stands."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a team said of a page. sent: the log has it, and that it was taken back."""

    id: str
    incident_id: str
    page_id: str | None
    spike_id: str
    segment: tuple[str, ...]
    verdict: Verdict
    given_by: str
    given_at: datetime
    holds_from: datetime
    undone_at: datetime | None
    sent: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """How an answer is given. given_by: a team; None: the incident's owner. new_id: a fresh UUID at each call."""

    given_by: str | None
    bucket_seconds: int
    new_id: Callable[[], str]
    now: datetime


@dataclass(frozen=True, slots=True)
class Bar:
    """A line whose bar is raised by so many powers of ten; until: when it is lowered next."""

    segment: tuple[str, ...]
    raised: float
    until: datetime


def give(connection: Connection, incident_id: str, verdict: Verdict, asked: Asked) -> Answer:
    """Answer the incident's newest page. Raises UnknownIncident.

    A page has one answer: another one takes the first back, and the same one again changes nothing.
    """
    incident = _incident(connection, incident_id)
    page_id = _newest_page(connection, incident_id)
    before = [its for its in _standing(connection, incident_id) if its.page_id == page_id]
    if before and before[0].verdict == verdict:
        return before[0]
    team = asked.given_by or incident.team
    for answer in before:
        _take_back(connection, answer, team, asked)
    of_incident = select(spikes).where(spikes.c.incident_id == incident_id)
    spike = connection.execute(of_incident.order_by(spikes.c.opened_at.desc(), spikes.c.id).limit(1)).one()
    bucket = _next_bucket(connection, asked)
    record = FeedbackRecord(
        id=asked.new_id(),
        verdict=verdict,
        bucket=bucket,
        segment=tuple(orjson.loads(incident.segment)),
        spike_id=spike.id,
        since=spike.onset,
        given_by=team,
    )
    counts_outbox.write(connection, record, asked.now)
    connection.execute(
        insert(feedback).values(
            id=record.id,
            incident_id=incident_id,
            page_id=page_id,
            spike_id=spike.id,
            segment=incident.segment,
            verdict=verdict,
            given_by=team,
            given_at=asked.now,
            holds_from=_begins(bucket, asked),
        )
    )
    return get(connection, record.id)


def undo(connection: Connection, incident_id: str, asked: Asked) -> Answer:
    """Take the incident's newest answer that stands back, from now on. Raises UnknownIncident, NothingToUndo."""
    incident = _incident(connection, incident_id)
    standing = _standing(connection, incident_id)
    if not standing:
        raise NothingToUndo(incident_id)
    _take_back(connection, standing[0], asked.given_by or incident.team, asked)
    return get(connection, standing[0].id)


def get(connection: Connection, answer_id: str) -> Answer:
    """One that there is."""
    return _answer(connection.execute(_answers().where(feedback.c.id == answer_id)).one())


def newest(connection: Connection, limit: int) -> list[Answer]:
    """The newest answers, whether they stand or not."""
    rows = _answers().order_by(feedback.c.given_at.desc(), feedback.c.id).limit(limit)
    return [_answer(row) for row in connection.execute(rows)]


def bars(connection: Connection, as_of: datetime) -> list[Bar]:
    """The bars that are raised at that time of the data."""
    rows = (
        select(feedback.c.segment, func.count().label("answers"), func.min(feedback.c.holds_from).label("first"))
        .where(feedback.c.verdict == "not_useful", feedback.c.undone_at.is_(None))
        .where(feedback.c.holds_from > as_of - BAR_LASTS)
        .group_by(feedback.c.segment)
        .order_by(feedback.c.segment)
    )
    return [
        Bar(tuple(orjson.loads(row.segment)), bar_raised(row.answers), row.first + BAR_LASTS)
        for row in connection.execute(rows)
    ]


def promise_of(connection: Connection, promised: float) -> Promise:
    """Of the last four weeks of data."""
    position = positions.load(connection, CONSUMER)
    if position is None or position.as_of is None:
        return promise(promised, (), weeks=1.0)
    begin = position.as_of - WINDOW
    pages = (
        select(outbox.c.page_id)
        .join(incidents, incidents.c.id == outbox.c.incident_id)
        .where(incidents.c.updated_at >= begin, outbox.c.state != "withheld")
        .where(outbox.c.payload["kind"].as_string().in_(PAGED))
        .where(outbox.c.payload["at"].as_string() >= f"{begin:%Y-%m-%dT%H:%M:%SZ}")
        .distinct()
    )
    said = select(feedback.c.page_id, feedback.c.verdict).where(feedback.c.undone_at.is_(None))
    verdicts: dict[str, Verdict] = {row.page_id: row.verdict for row in connection.execute(said)}
    first = connection.execute(select(func.min(cost_hours.c.hour))).scalar()
    return promise(
        promised,
        [verdicts.get(page) for page in connection.execute(pages).scalars()],
        weeks_of(position.as_of, None if first is None else datetime.fromtimestamp(first * 3600, UTC)),
    )


def of_incidents(connection: Connection, incident_ids: Sequence[str]) -> dict[str, Verdict]:
    """What was said last of each of these incidents, and stands."""
    rows = _answers().where(feedback.c.incident_id.in_(incident_ids), feedback.c.undone_at.is_(None))
    return {row.incident_id: row.verdict for row in connection.execute(rows.order_by(feedback.c.given_at))}


def _answers() -> Select[tuple[Any, ...]]:
    of_it = sending.c.record_id.in_((feedback.c.id, feedback.c.undo_id))
    waits = exists().where(of_it, sending.c.sent_at.is_(None))
    return select(*feedback.c, waits.label("waits"))


def _answer(row: Row[tuple[Any, ...]]) -> Answer:
    return Answer(
        id=row.id,
        incident_id=row.incident_id,
        page_id=row.page_id,
        spike_id=row.spike_id,
        segment=tuple(orjson.loads(row.segment)),
        verdict=row.verdict,
        given_by=row.given_by,
        given_at=row.given_at,
        holds_from=row.holds_from,
        undone_at=row.undone_at,
        sent=not row.waits,
    )


def _incident(connection: Connection, incident_id: str) -> Row[tuple[Any, ...]]:
    row = connection.execute(select(incidents).where(incidents.c.id == incident_id).with_for_update()).one_or_none()
    if row is None:
        raise UnknownIncident(incident_id)
    return row


def _newest_page(connection: Connection, incident_id: str) -> str | None:
    rows = select(outbox.c.page_id, outbox.c.payload["kind"].as_string().label("kind"))
    rows = rows.where(outbox.c.incident_id == incident_id, outbox.c.state != "withheld").order_by(outbox.c.id.desc())
    return next((row.page_id for row in connection.execute(rows) if row.kind in PAGED), None)


def _standing(connection: Connection, incident_id: str) -> list[Answer]:
    """Newest first."""
    rows = _answers().where(feedback.c.incident_id == incident_id, feedback.c.undone_at.is_(None))
    return [_answer(row) for row in connection.execute(rows.order_by(feedback.c.given_at.desc(), feedback.c.id))]


def _take_back(connection: Connection, answer: Answer, given_by: str, asked: Asked) -> None:
    bucket = _next_bucket(connection, asked)
    record = FeedbackRecord(id=asked.new_id(), verdict="undo", bucket=bucket, undoes=answer.id, given_by=given_by)
    counts_outbox.write(connection, record, asked.now)
    undone = {"undone_at": _begins(bucket, asked), "undo_id": record.id}
    connection.execute(update(feedback).where(feedback.c.id == answer.id).values(undone))


def _next_bucket(connection: Connection, asked: Asked) -> int:
    """The first bucket that is not applied here; the judge may be further, and lets it hold from its next."""
    position = positions.load(connection, CONSUMER)
    if position is None or position.bucket_to is None:
        return int(asked.now.timestamp()) // asked.bucket_seconds
    return position.bucket_to


def _begins(bucket: int, asked: Asked) -> datetime:
    return datetime.fromtimestamp(bucket * asked.bucket_seconds, UTC)
