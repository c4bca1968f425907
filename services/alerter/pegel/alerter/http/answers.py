"""How incidents and costs are answered: API models made of rows, as_of, stale, ETag."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Annotated, Any, Final

from fastapi import Path, Request, Response
from pydantic import BaseModel
from sqlalchemy import Connection

from pegel.alerter.database import outbox, positions
from pegel.alerter.feedback.pipeline.store import of_incidents
from pegel.alerter.http.costs import booked_as_of, exact, incident_micros, rounded
from pegel.alerter.incidents.pipeline.store import Found
from pegel.alerter.ledger.adapters.sql import SqlLedger
from pegel.runtime.http import problem_responses
from pegel.runtime.settings import Settings
from pegel.schemas.feedback import Verdict
from pegel.schemas.incident import Incident, IncidentList
from pegel.schemas.ledger import CostList, CostRow

CONSUMER: Final = "incidents"
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)
NOT_MODIFIED: Final[dict[int | str, dict[str, Any]]] = {
    304: {"description": "The client has it already (If-None-Match)"}
}
READ: Final = {**NOT_MODIFIED, **problem_responses(401, 403, 422, 503)}
IncidentId = Annotated[str, Path(pattern=r"^[0-9a-f]{20}$")]


@dataclass(frozen=True, slots=True)
class Answers:
    """Makes answers out of a transaction's view of the database. now: the wall clock, for `stale` only."""

    settings: Settings

    def incidents(self, connection: Connection, found: Sequence[Found], now: datetime) -> IncidentList:
        as_of = self._incidents_as_of(connection)
        pages, said = _pages(connection, found), of_incidents(connection, [incident.id for incident in found])
        items = [
            self._incident(connection, incident, pages.get(incident.id, ""), said.get(incident.id), as_of, now)
            for incident in found
        ]
        return IncidentList(items=tuple(items), as_of=as_of, stale=self.stale(as_of, now))

    def incident(self, connection: Connection, found: Found, now: datetime) -> Incident:
        as_of = self._incidents_as_of(connection)
        said = of_incidents(connection, [found.id]).get(found.id)
        return self._incident(connection, found, _pages(connection, [found]).get(found.id, ""), said, as_of, now)

    def costs(
        self, connection: Connection, since: datetime | None, until: datetime | None, hours: int, now: datetime
    ) -> CostList:
        """Widened to full hours. Without `until` it ends with the last bucket booked."""
        ledger = SqlLedger(connection)
        as_of = booked_as_of(ledger)
        end = _clamped(until or as_of or now)
        begin = _clamped(since) if since else end - timedelta(hours=hours)
        begin, end = _hour(begin), _hour(end + HOUR - timedelta(microseconds=1))
        sums = ledger.sums(begin, end)
        total = sum(row.amount_micros for row in sums)
        rows = [
            CostRow(
                team=row.team,
                topic=row.topic,
                contacts=row.contacts,
                unpriced_contacts=row.unpriced_contacts,
                cost=exact(row.amount_micros, self.settings.currency),
                share=min(max(row.amount_micros / total, 0.0), 1.0) if total > 0 else 0.0,
            )
            for row in sums
        ]
        return CostList(
            since=begin,
            until=end,
            rows=tuple(rows),
            contacts=sum(row.contacts for row in sums),
            total=exact(total, self.settings.currency),
            as_of=as_of,
            stale=self.stale(as_of, now),
        )

    def stale(self, as_of: datetime | None, now: datetime) -> bool:
        """In wall mode: older than two buckets and a minute."""
        late = timedelta(seconds=2 * self.settings.bucket_seconds + 60)
        return self.settings.clock == "wall" and as_of is not None and now - as_of > late

    def _incident(
        self,
        connection: Connection,
        found: Found,
        sent: str,
        said: Verdict | None,
        as_of: datetime | None,
        now: datetime,
    ) -> Incident:
        spike = found.latest
        micros = incident_micros(SqlLedger(connection), found)
        return Incident(
            id=found.id,
            state=found.state,
            segment=dict(zip(self.settings.segment_dimensions, found.segment, strict=True)),
            team=found.team,
            onset=found.onset,
            opened_at=found.opened_at,
            updated_at=found.updated_at,
            resolved_at=found.resolved_at,
            observed=found.observed,
            expected=found.expected,
            window_seconds=spike.window_seconds,
            observed_window=spike.observed,
            expected_window=spike.expected,
            score=spike.score,
            cost=rounded(micros, self.settings.currency),
            explanation=spike.explanation,
            page=found.page + sent,
            spikes=tuple(its.id for its in found.spikes),
            transitions=found.transitions,
            as_of=as_of or found.updated_at,
            stale=self.stale(as_of, now),
            answer=said,
        )

    @staticmethod
    def _incidents_as_of(connection: Connection) -> datetime | None:
        position = positions.load(connection, CONSUMER)
        return position.as_of if position else None


def _pages(connection: Connection, found: Sequence[Found]) -> dict[str, str]:
    """How far the latest page of each incident has come: '; terminal: sent; webhook: refused (answered 401)'."""
    said: dict[str, str] = {}
    for delivery in outbox.deliveries(connection, [incident.id for incident in found]):
        why = f" ({delivery.said})" if delivery.said and delivery.state != "sent" else ""
        text = f"; {delivery.receiver}: {delivery.state.replace('_', ' ')}{why}"
        said[delivery.incident_id] = said.get(delivery.incident_id, "") + text
    return said


def _clamped(at: datetime) -> datetime:
    return min(max(at, EARLIEST), LATEST).astimezone(UTC)


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def tagged(request: Request, model: BaseModel) -> Response:
    """The model as JSON with an ETag (RFC 9110, 8.8.3), or 304 when the client has it."""
    body = model.model_dump_json().encode()
    tag = f'"{blake2b(body, digest_size=16).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    known = [given.strip().removeprefix("W/") for given in request.headers.get("if-none-match", "").split(",")]
    if tag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)
