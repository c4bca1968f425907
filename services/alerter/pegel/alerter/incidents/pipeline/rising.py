"""What spikes make of incidents: an effect of the consumer, in its transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal

import orjson
from sqlalchemy import Connection, insert, select, update

from pegel.alerter import metrics
from pegel.alerter.database import outbox
from pegel.alerter.database.tables import incident_dimensions, incidents, spikes
from pegel.alerter.incidents.domain.life import after, incident_id
from pegel.alerter.incidents.domain.paging import REOPEN_WITHIN, STALE, Decision, decide
from pegel.alerter.incidents.pipeline import store
from pegel.alerter.ownership.ports import OwnerRules
from pegel.alerter.windows.buckets import Bucket
from pegel.schemas.detection import SpikeRecord

KINDS: Final = ("spike",)
"""Records of windows that incidents read."""
ACTOR: Final = "pegel"


class Rising:
    """Opens, updates, reopens and resolves incidents, and writes their pages into the outbox.

    real, local: names of the receivers that ring somebody, and of those on this machine (the terminal).
    """

    def __init__(
        self,
        owners: OwnerRules,
        dimensions: Sequence[str],
        clock: Literal["wall", "data"],
        *,
        real: tuple[str, ...],
        local: tuple[str, ...],
    ) -> None:
        self._owners, self._dimensions, self._clock = owners, tuple(dimensions), clock
        self._real, self._local = real, local

    def __call__(self, connection: Connection, buckets: Sequence[Bucket], now: datetime) -> None:
        for bucket in buckets:
            for spike in bucket.spikes:
                self._spike(connection, spike, now)

    def _spike(self, connection: Connection, spike: SpikeRecord, now: datetime) -> None:
        known = connection.execute(select(spikes.c.incident_id).where(spikes.c.id == spike.spike_id)).scalar()
        if known is None:
            self._first(connection, spike, now)
        else:
            connection.execute(update(spikes).where(spikes.c.id == spike.spike_id).values(_facts(spike)))
            connection.execute(update(incidents).where(incidents.c.id == known).values(updated_at=spike.at))
            if spike.state == "updated":
                self._still_there(connection, known, spike, now)
        if spike.state == "resolved":
            self._over(connection, spike, now)

    def _still_there(self, connection: Connection, incident: str, spike: SpikeRecord, now: datetime) -> None:
        """Trouble that was read of too late to page, and goes on: its owner is paged now."""
        found = connection.execute(select(incidents.c.state, incidents.c.page).where(incidents.c.id == incident)).one()
        if found.state == "open" and found.page.startswith(STALE):
            decision = self._decide("opened", spike, now)
            if decision.withheld is None:
                connection.execute(update(incidents).where(incidents.c.id == incident).values(page=decision.text))
                self._page(connection, incident, decision, spike, now)

    def _first(self, connection: Connection, spike: SpikeRecord, now: datetime) -> None:
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
            decision = self._decide("reopened", spike, now)
            self._add(connection, newest.id, spike)
            store.note(
                connection,
                newest.id,
                newest.state,
                after(newest.state, "reopen"),
                at=spike.at,
                actor=ACTOR,
                reason="risen_again",
            )
            connection.execute(
                update(incidents)
                .where(incidents.c.id == newest.id)
                .values(state=after(newest.state, "reopen"), resolved_at=None, page=decision.text)
            )
            self._page(connection, newest.id, decision, spike, now)
            return
        decision = self._decide("opened", spike, now)
        new = incident_id(spike.spike_id)
        connection.execute(
            insert(incidents).values(
                id=new,
                state=after(None, "open"),
                segment=_text(spike.segment),
                team=self._owners.team_of(spike.segment, spike.opened_at),
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
        self._page(connection, new, decision, spike, now)

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

    def _decide(self, event: Literal["opened", "reopened"], spike: SpikeRecord, now: datetime) -> Decision:
        return decide(event, at=spike.at, now=now, clock=self._clock, real=self._real, local=self._local)

    def _page(
        self, connection: Connection, incident: str, decision: Decision, spike: SpikeRecord, now: datetime
    ) -> None:
        """Into the outbox, as the transition noted last."""
        found = store.get(connection, incident)
        if decision.withheld:
            metrics.PAGES_WITHHELD.labels(decision.withheld).inc()
        page = store.page_of(
            found,
            decision.event,
            at=spike.at,
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
