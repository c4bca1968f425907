"""What spikes make of incidents: an effect of the consumer, in its transaction."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

import orjson
from sqlalchemy import Connection, insert, select, update

from pegel.alerter import metrics
from pegel.alerter.database import outbox, positions
from pegel.alerter.database.tables import incident_dimensions, incidents, spikes
from pegel.alerter.incidents.domain.life import after, incident_id
from pegel.alerter.incidents.domain.paging import (
    FLOOR,
    REOPEN_WITHIN,
    STALE,
    Decision,
    below,
    catches_up,
    caught_up,
    decide,
    decide_late,
    held,
    known_cost,
)
from pegel.alerter.incidents.pipeline import store
from pegel.alerter.ownership.domain import NO_FLOOR
from pegel.alerter.ownership.ports import OwnerRules
from pegel.alerter.windows.buckets import Bucket, LogEnd
from pegel.runtime import logs
from pegel.schemas.detection import SpikeRecord

KINDS: Final = ("spike",)
"""Records of windows that incidents read."""
ACTOR: Final = "pegel"
RISEN_AGAIN: Final = "risen_again"
CONSUMER: Final = "incidents"
"""The name of this reader's position."""

log = logs.get(__name__)


class Lateness(NamedTuple):
    """Whether the log's end is being caught up with, and how far it is ahead."""

    catching_up: bool
    behind: timedelta


_IN_TIME: Final = Lateness(catching_up=False, behind=timedelta())


class Booked(NamedTuple):
    """An incident's excess cost as far as the ledger has booked it. as_of: end of the last bucket booked."""

    excess_micros: int
    as_of: datetime | None


class Rising:
    """Opens, updates, reopens and resolves incidents, and writes their pages into the outbox.

    real, local: names of the receivers that ring somebody, and of those on this machine (the terminal). booked: of an
    incident, for floors in money, in `currency`.
    """

    def __init__(
        self,
        owners: OwnerRules,
        dimensions: Sequence[str],
        clock: Literal["wall", "data"],
        *,
        real: tuple[str, ...],
        local: tuple[str, ...],
        booked: Callable[[Connection, store.Found], Booked],
        currency: str,
    ) -> None:
        self._booked, self._currency = booked, currency
        self._owners, self._dimensions, self._clock = owners, tuple(dimensions), clock
        self._real, self._local = real, local

    def __call__(
        self, connection: Connection, buckets: Sequence[Bucket], now: datetime, end: LogEnd | None = None
    ) -> None:
        """end: of the log; None when these buckets are of now."""
        before = late = positions.catching_up(connection, CONSUMER)
        behind = timedelta()
        for bucket in buckets:
            if end is not None and self._clock == "wall":
                behind = end.since(bucket.end.as_of)
                late = catches_up(late, behind)
            for spike in bucket.spikes:
                self._spike(connection, spike, now, Lateness(late, behind))
            if bucket.spikes and not late:
                self._page_what_is_above_its_floor(connection, bucket.end.as_of, now)
        if caught_up(behind, reached=end is None or end.reached):
            if late:
                self._forget_what_is_over(connection)
            late = False
            self._page_what_was_withheld(connection, now)
        if buckets and not late:
            self._page_what_is_above_its_floor(connection, buckets[-1].end.as_of, now)
        if late != before:
            positions.set_catching_up(connection, CONSUMER, late)
            log.warning("catching_up" if late else "caught_up", behind_seconds=int(behind.total_seconds()))

    def _forget_what_is_over(self, connection: Connection) -> None:
        """Pages that were to be sent before the outage, of incidents that are over now."""
        for incident in outbox.withhold_what_is_over(connection, "stale: it was over before it could be sent"):
            if not outbox.told(connection, incident):
                text = f"{STALE}, it was over before it could be sent"
                store.set_page(connection, incident, text)
                metrics.PAGES_WITHHELD.labels("stale").inc()

    def _page_what_was_withheld(self, connection: Connection, now: datetime) -> None:
        """Trouble that was read of too late to page, and is still there: its owner is paged now, once."""
        for incident in store.withheld(connection, STALE):
            if self._has_floor(incident.team):
                store.set_page(connection, incident.id, FLOOR)
                continue
            again = incident.transitions[-1].reason == RISEN_AGAIN
            late = incident.updated_at if again else incident.onset
            decision = decide_late(
                "reopened" if again else "opened", late=now - late, real=self._real, local=self._local
            )
            store.set_page(connection, incident.id, decision.text)
            self._page(connection, incident.id, decision, incident.latest.at, now)

    def _page_what_is_above_its_floor(self, connection: Connection, as_of: datetime, now: datetime) -> None:
        """as_of: end of the last bucket applied. An excess grows with its spikes, its cost with what is booked."""
        for incident in store.withheld(connection, FLOOR):
            floor, cost = self._owners.team(incident.team).floor, None
            if floor.money_micros:
                booked = self._booked(connection, incident)
                cost = known_cost(booked.excess_micros, booked.as_of or incident.opened_at, as_of)
            text = below(floor, incident.observed - incident.expected, cost, self._currency)
            if text is None:
                again = incident.transitions[-1].reason == RISEN_AGAIN
                decision = self._decide("reopened" if again else "opened", _IN_TIME)
                store.set_page(connection, incident.id, decision.text)
                self._page(connection, incident.id, decision, incident.latest.at, now)
            elif text != incident.page:
                store.set_page(connection, incident.id, text)
                if incident.page == FLOOR:
                    metrics.PAGES_WITHHELD.labels("floor").inc()

    def _has_floor(self, team: str) -> bool:
        return self._owners.team(team).floor != NO_FLOOR

    def _spike(self, connection: Connection, spike: SpikeRecord, now: datetime, lateness: Lateness) -> None:
        known = connection.execute(select(spikes.c.incident_id).where(spikes.c.id == spike.spike_id)).scalar()
        if known is None:
            self._first(connection, spike, now, lateness)
        else:
            connection.execute(update(spikes).where(spikes.c.id == spike.spike_id).values(_facts(spike)))
            connection.execute(update(incidents).where(incidents.c.id == known).values(updated_at=spike.at))
        if spike.state == "resolved":
            self._over(connection, spike, now)

    def _first(self, connection: Connection, spike: SpikeRecord, now: datetime, lateness: Lateness) -> None:
        """A spike not heard of before: it opens an incident, or belongs to the one its segment has or had just now."""
        newest = connection.execute(
            select(incidents)
            .where(incidents.c.segment == _text(spike.segment))
            .order_by(incidents.c.opened_at.desc())
            .limit(1)
            .with_for_update()
        ).one_or_none()
        if newest is not None and newest.state != "resolved":
            self._add(connection, newest.id, spike)
            return
        if newest is not None and abs(spike.at - newest.resolved_at) <= REOPEN_WITHIN:
            decision = self._decide("reopened", lateness, floor=self._has_floor(newest.team))
            self._add(connection, newest.id, spike)
            store.note(
                connection,
                newest.id,
                newest.state,
                after(newest.state, "reopen"),
                at=spike.at,
                actor=ACTOR,
                reason=RISEN_AGAIN,
            )
            connection.execute(
                update(incidents)
                .where(incidents.c.id == newest.id)
                .values(state=after(newest.state, "reopen"), resolved_at=None, page=decision.text)
            )
            self._page(connection, newest.id, decision, spike.at, now)
            return
        team = self._owners.team_of(spike.segment, spike.opened_at)
        decision = self._decide("opened", lateness, floor=self._has_floor(team))
        new = incident_id(spike.spike_id)
        connection.execute(
            insert(incidents).values(
                id=new,
                state=after(None, "open"),
                segment=_text(spike.segment),
                team=team,
                ownership_version=self._owners.version,
                onset=spike.onset,
                opened_at=spike.opened_at,
                updated_at=spike.at,
                page=decision.text,
            )
        )
        values = zip(self._dimensions, spike.segment, strict=True)
        connection.execute(
            insert(incident_dimensions),
            [{"incident_id": new, "dimension": dimension, "value": value} for dimension, value in values],
        )
        self._add(connection, new, spike)
        store.note(connection, new, None, after(None, "open"), at=spike.opened_at, actor=ACTOR, reason="above_baseline")
        self._page(connection, new, decision, spike.at, now)

    def _add(self, connection: Connection, incident: str, spike: SpikeRecord) -> None:
        connection.execute(insert(spikes).values(id=spike.spike_id, incident_id=incident, **_facts(spike)))
        connection.execute(update(incidents).where(incidents.c.id == incident).values(updated_at=spike.at))

    def _over(self, connection: Connection, spike: SpikeRecord, now: datetime) -> None:
        """The incident is resolved with the last of its spikes, unless somebody has done so."""
        incident_of = select(spikes.c.incident_id).where(spikes.c.id == spike.spike_id).scalar_subquery()
        incident = store.get(connection, connection.execute(select(incident_of)).scalar_one(), for_update=True)
        if incident.state != "resolved" and all(its.state == "resolved" for its in incident.spikes):
            store.change(
                connection,
                incident,
                "resolve",
                at=spike.at,
                actor=ACTOR,
                reason="back_to_normal",
                owners=self._owners,
                dimensions=self._dimensions,
                now=now,
            )

    def _decide(self, event: Literal["opened", "reopened"], lateness: Lateness, *, floor: bool = False) -> Decision:
        decision = decide(
            event,
            catching_up=lateness.catching_up,
            behind=lateness.behind,
            clock=self._clock,
            real=self._real,
            local=self._local,
        )
        return held(decision) if floor else decision

    def _page(self, connection: Connection, incident: str, decision: Decision, at: datetime, now: datetime) -> None:
        """Into the outbox, as the transition noted last; what waits for its floor is looked at when all is noted."""
        if decision.withheld == "floor":
            return
        found = store.get(connection, incident)
        if decision.withheld:
            metrics.PAGES_WITHHELD.labels(decision.withheld).inc()
        page = store.page_of(
            found,
            decision.event,
            at=at,
            reason=found.transitions[-1].reason,
            owners=self._owners,
            dimensions=self._dimensions,
        )
        outbox.write(connection, store.page_id(found), page, decision.receivers, now)


def _text(segment: tuple[str, ...]) -> str:
    return orjson.dumps(segment).decode()


def _facts(spike: SpikeRecord) -> dict[str, Any]:
    return {
        "state": spike.state,
        "at": spike.at,
        "onset": spike.onset,
        "opened_at": spike.opened_at,
        "window_seconds": spike.window_seconds,
        "observed": spike.observed,
        "expected": spike.expected,
        "observed_since_onset": spike.observed_since_onset,
        "expected_since_onset": spike.expected_since_onset,
        "score": spike.score,
        "model": spike.model,
        "explanation": spike.explanation,
        "origin": spike.origin.text,
    }
