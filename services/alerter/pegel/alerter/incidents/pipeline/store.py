"""Incidents as rows. Every function works in the transaction of the connection it is given."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
from sqlalchemy import Connection, Row, exists, func, insert, select, update

from pegel.alerter import metrics
from pegel.alerter.database import outbox
from pegel.alerter.database.tables import incident_dimensions, incidents, spikes, transitions
from pegel.alerter.incidents.domain.life import Event, after
from pegel.alerter.incidents.domain.paging import STALE
from pegel.alerter.ownership.ports import OwnerRules
from pegel.schemas.incident import IncidentState, Transition
from pegel.schemas.page import Page, PageKind


class UnknownIncident(Exception):  # noqa: N818
    """There is no incident with this id."""


@dataclass(frozen=True, slots=True)
class Spike:
    """A spike as the last record about it says (pegel.schemas.detection.SpikeRecord)."""

    id: str
    state: str
    at: datetime
    onset: datetime
    window_seconds: int
    observed: int
    expected: float
    observed_since_onset: int
    expected_since_onset: float
    score: float
    explanation: str


@dataclass(frozen=True, slots=True)
class Found:
    """An incident, its spikes in the order of their onset (at least one), and its transitions in order."""

    id: str
    state: IncidentState
    segment: tuple[str, ...]
    team: str
    onset: datetime
    opened_at: datetime
    updated_at: datetime
    resolved_at: datetime | None
    page: str
    spikes: tuple[Spike, ...]
    transitions: tuple[Transition, ...]

    @property
    def latest(self) -> Spike:
        """The spike heard of last."""
        return max(self.spikes, key=lambda spike: spike.at)

    @property
    def observed(self) -> int:
        return sum(spike.observed_since_onset for spike in self.spikes)

    @property
    def expected(self) -> float:
        return sum(spike.expected_since_onset for spike in self.spikes)


def find(
    connection: Connection,
    *,
    limit: int,
    dimensions: Mapping[str, str] | None = None,
    state: IncidentState | None = None,
    team: str | None = None,
) -> list[Found]:
    """The newest incidents of which all that is given holds."""
    wanted = select(incidents).order_by(incidents.c.opened_at.desc(), incidents.c.id).limit(limit)
    for dimension, value in (dimensions or {}).items():
        wanted = wanted.where(
            exists().where(
                incident_dimensions.c.incident_id == incidents.c.id,
                incident_dimensions.c.dimension == dimension,
                incident_dimensions.c.value == value,
            )
        )
    if state is not None:
        wanted = wanted.where(incidents.c.state == state)
    if team is not None:
        wanted = wanted.where(incidents.c.team == team)
    return _whole(connection, connection.execute(wanted).all())


def get(connection: Connection, incident_id: str, *, for_update: bool = False) -> Found:
    """Raises UnknownIncident."""
    wanted = select(incidents).where(incidents.c.id == incident_id)
    row = connection.execute(wanted.with_for_update() if for_update else wanted).one_or_none()
    if row is None:
        raise UnknownIncident(incident_id)
    return _whole(connection, [row])[0]


def change(
    connection: Connection,
    incident: Found,
    event: Event,
    *,
    at: datetime,
    actor: str,
    reason: str,
    owners: OwnerRules,
    dimensions: Sequence[str],
    now: datetime,
) -> Found:
    """Change the state; who was paged is told of the end. at: of the transition. Raises NotPossible."""
    state = after(incident.state, event)
    note(connection, incident.id, incident.state, state, at=at, actor=actor, reason=reason)
    resolved_at = at if state == "resolved" else None
    connection.execute(
        update(incidents).where(incidents.c.id == incident.id).values(state=state, resolved_at=resolved_at)
    )
    changed = get(connection, incident.id)
    if state == "resolved":
        # What nobody was told of has no end to tell.
        receivers = () if incident.page.startswith(STALE) else outbox.receivers_of(connection, incident.id)
        page = page_of(changed, "resolved", at=at, reason=reason, owners=owners, dimensions=dimensions)
        outbox.write(connection, page_id(changed), page, receivers, now)
    return changed


def note(
    connection: Connection,
    incident_id: str,
    from_state: IncidentState | None,
    to_state: IncidentState,
    *,
    at: datetime,
    actor: str,
    reason: str,
) -> None:
    """Write a transition down."""
    values = {"from_state": from_state, "to_state": to_state, "at": at, "actor": actor, "reason": reason}
    connection.execute(insert(transitions).values(incident_id=incident_id, **values))
    metrics.TRANSITIONS.labels(to_state).inc()


def page_id(incident: Found) -> str:
    """A page's id is made of the transition that it tells, so no transition is told under two ids."""
    return f"{incident.id}.{len(incident.transitions)}"


def page_of(
    incident: Found,
    kind: PageKind,
    *,
    at: datetime,
    reason: str,
    owners: OwnerRules,
    dimensions: Sequence[str],
) -> Page:
    """What is told about an incident as it stands."""
    spike = incident.latest
    segment = dict(zip(dimensions, incident.segment, strict=True))
    return Page(
        kind=kind,
        incident_id=incident.id,
        team=incident.team,
        team_name=owners.team(incident.team).name,
        segment=segment,
        title=title(segment, owners),
        onset=incident.onset,
        at=at,
        window_seconds=spike.window_seconds,
        observed=spike.observed,
        expected=spike.expected,
        observed_since_onset=incident.observed,
        expected_since_onset=incident.expected,
        score=spike.score,
        explanation=spike.explanation,
        reason=reason,
    )


def title(segment: Mapping[str, str], owners: OwnerRules) -> str:
    """A segment in words, the topic first: 'Cash machines, ES'."""
    order = sorted(segment, key=lambda dimension: dimension != "topic")
    return ", ".join(
        f"every {name.removeprefix('attributes.')}" if segment[name] == "*" else owners.display(name, segment[name])
        for name in order
    )


def withheld(connection: Connection, why: str) -> list[Found]:
    """Open incidents whose owner was not paged (STALE: they were read of too late; FLOOR: too little); oldest first."""
    wanted = select(incidents).where(incidents.c.state == "open", incidents.c.page.startswith(why, autoescape=True))
    return _whole(connection, connection.execute(wanted.order_by(incidents.c.opened_at, incidents.c.id)).all())


def set_page(connection: Connection, incident_id: str, text: str) -> None:
    """Why its owner was paged, or why not."""
    connection.execute(update(incidents).where(incidents.c.id == incident_id).values(page=text))


def open_by_state(connection: Connection) -> dict[str, int]:
    """How many incidents are not resolved, by state."""
    rows = select(incidents.c.state, func.count()).where(incidents.c.state != "resolved").group_by(incidents.c.state)
    return {row[0]: row[1] for row in connection.execute(rows)}


def _whole(connection: Connection, rows: Sequence[Row[tuple[object, ...]]]) -> list[Found]:
    ids = [row.id for row in rows]
    its_spikes: dict[str, list[Spike]] = defaultdict(list)
    for row in connection.execute(
        select(spikes).where(spikes.c.incident_id.in_(ids)).order_by(spikes.c.onset, spikes.c.id)
    ):
        its_spikes[row.incident_id].append(
            Spike(
                row.id,
                row.state,
                row.at,
                row.onset,
                row.window_seconds,
                row.observed,
                row.expected,
                row.observed_since_onset,
                row.expected_since_onset,
                row.score,
                row.explanation,
            )
        )
    its_transitions: dict[str, list[Transition]] = defaultdict(list)
    for row in connection.execute(
        select(transitions).where(transitions.c.incident_id.in_(ids)).order_by(transitions.c.id)
    ):
        its_transitions[row.incident_id].append(
            Transition(at=row.at, from_state=row.from_state, to_state=row.to_state, actor=row.actor, reason=row.reason)
        )
    return [
        Found(
            row.id,
            row.state,
            tuple(orjson.loads(row.segment)),
            row.team,
            row.onset,
            row.opened_at,
            row.updated_at,
            row.resolved_at,
            row.page,
            tuple(its_spikes[row.id]),
            tuple(its_transitions[row.id]),
        )
        for row in rows
    ]
