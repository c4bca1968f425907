"""Incidents as cards, the most urgent first, and the sentence that says how things stand."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal

from pegel.dashboard.domain.words import (
    count_words,
    duration_words,
    money_words,
    plural,
    segment_words,
    time_words,
)
from pegel.schemas.incident import Incident, IncidentState, Transition

Level = Literal["severe", "high", "raised"]
SEVERE_RATIO: Final = 3.0
HIGH_RATIO: Final = 1.5
NAMED_IN_SENTENCE: Final = 2
ORDER: Final[dict[IncidentState, int]] = {"open": 0, "acknowledged": 1, "resolved": 2}


@dataclass(frozen=True)
class Moment:
    """A time for a person and, beside it, for the page's script. iso: RFC 3339."""

    text: str
    iso: str


@dataclass(frozen=True)
class Step:
    """One line of an incident's history."""

    at: Moment
    text: str


@dataclass(frozen=True)
class Card:
    """An incident, ready to be written. observed_width, expected_width: of 100, for the drawing."""

    id: str
    topic: str
    place: str
    code: str
    state: IncidentState
    level: Level
    times: str
    team: str
    since: Moment
    ended: Moment | None
    observed: str
    expected: str
    observed_width: int
    expected_width: int
    window: str
    explanation: str
    cost: str
    page: str
    history: tuple[Step, ...]
    can_acknowledge: bool
    can_resolve: bool


def moment(at: datetime, now: datetime) -> Moment:
    return Moment(time_words(at, now), at.isoformat(timespec="seconds"))


def level_of(observed: float, expected: float) -> Level:
    """How far the observed contacts stand above what was expected: three times, half as much again, or less."""
    if observed >= SEVERE_RATIO * expected:
        return "severe"
    return "high" if observed >= HIGH_RATIO * expected else "raised"


def times_words(observed: float, expected: float) -> str:
    """'5.6 times the expected'; nothing where next to nothing was expected: a ratio would mean nothing."""
    if expected < 1:
        return ""
    return f"{observed / expected:.1f} times the expected"


def expected_words(expected: float) -> str:
    """'61', '3.4'; what would round to nothing is 'almost none'."""
    return "almost none" if expected < 0.05 else count_words(expected)


def card_of(incident: Incident, names: Mapping[str, str], now: datetime) -> Card:
    """The card of one incident. names: country codes to names."""
    topic, place = segment_words(incident.segment, names)
    largest = max(float(incident.observed), incident.expected, 1.0)
    return Card(
        id=incident.id,
        topic=topic,
        place=place,
        code=" · ".join(incident.segment.values()),
        state=incident.state,
        level=level_of(incident.observed, incident.expected),
        times=times_words(incident.observed, incident.expected),
        team=incident.team,
        since=moment(incident.onset, now),
        ended=moment(incident.resolved_at, now) if incident.resolved_at else None,
        observed=count_words(incident.observed),
        expected=expected_words(incident.expected),
        observed_width=round(100 * incident.observed / largest),
        expected_width=round(100 * incident.expected / largest),
        window=(
            f"{count_words(incident.observed_window)} in {duration_words(incident.window_seconds)}, "
            f"{expected_words(incident.expected_window)} expected"
        ),
        explanation=incident.explanation,
        cost=money_words(incident.cost),
        page=incident.page,
        history=tuple(Step(moment(step.at, now), _step_words(step)) for step in incident.transitions),
        can_acknowledge=incident.state == "open",
        can_resolve=incident.state in {"open", "acknowledged"},
    )


def _step_words(step: Transition) -> str:
    what = "opened" if step.from_state is None else step.to_state
    return f"{what} by {step.actor}: {step.reason.replace('_', ' ')}"


def urgent_first(incidents: Iterable[Incident]) -> list[Incident]:
    """Open before acknowledged before resolved; then the dearest, the newest, the id."""
    return sorted(incidents, key=lambda i: (ORDER[i.state], -Decimal(i.cost.amount), -i.opened_at.timestamp(), i.id))


def sentence_of(cards: Iterable[Card]) -> str:
    """How things stand: '1 incident open: Cash machines, Spain.'"""
    running = [card for card in cards if card.state != "resolved"]
    unseen = [card for card in running if card.state == "open"]
    if not running:
        return "All quiet: no incident is open."
    shown = unseen or running
    named = "; ".join(f"{card.topic}, {card.place}" for card in shown[:NAMED_IN_SENTENCE])
    more = f"; and {len(shown) - NAMED_IN_SENTENCE} more" if len(shown) > NAMED_IN_SENTENCE else ""
    seen = len(running) - len(unseen)
    if not unseen:
        return f"{plural(seen, 'incident')} acknowledged, none waiting: {named}{more}."
    also = f" {seen} more acknowledged." if seen else ""
    return f"{plural(len(unseen), 'incident')} open: {named}{more}.{also}"
