"""The whole page: how things stand, the incidents, the costs, and how far all this can be trusted."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from pegel.dashboard.domain.costs import Costs, costs_of
from pegel.dashboard.domain.incidents import Card, Moment, card_of, moment, sentence_of, urgent_first
from pegel.schemas.incident import Incident, IncidentList
from pegel.schemas.ledger import CostList

Period = Literal["24h", "7d"]
HOURS: Final[dict[Period, int]] = {"24h": 24, "7d": 168}
PERIODS: Final[dict[Period, str]] = {"24h": "last 24 hours", "7d": "last 7 days"}
Tone = Literal["quiet", "seen", "alarm", "unknown"]

FRESH_AGE_MAX: Final = timedelta(hours=2, minutes=1)
"""Two of the longest buckets and a minute. What is older and not called stale lies in the past on purpose (data mode):
its age means nothing and is not shown."""


@dataclass(frozen=True)
class Known:
    """What the alerter last said. fault: why it can't be asked now, and since when; None when it answers."""

    open: IncidentList | None = None
    acknowledged: IncidentList | None = None
    resolved: IncidentList | None = None
    costs: CostList | None = None
    fault: str | None = None
    fault_since: datetime | None = None


@dataclass(frozen=True)
class Freshness:
    """How old what is shown is. aged: whether the time passed since then means something."""

    as_of: Moment | None
    stale: bool
    aged: bool


@dataclass(frozen=True)
class Board:
    """The page. empty: nothing was counted in the period, so the way to feed a contact is shown."""

    sentence: str
    tone: Tone
    title: str
    freshness: Freshness
    fault: str | None
    fault_since: Moment | None
    cards: tuple[Card, ...]
    more: int
    lately: tuple[Card, ...]
    costs: Costs | None
    period: Period
    empty: bool


CARDS_MAX: Final = 50


def board_of(known: Known, period: Period, names: Mapping[str, str], now: datetime) -> Board:
    """The page for a period. names: country codes to names; now: only to write times of today without a date."""
    running = urgent_first([*_items(known.open), *_items(known.acknowledged)])
    cards = tuple(card_of(incident, names, now) for incident in running)
    lately = tuple(card_of(incident, names, now) for incident in _items(known.resolved))
    freshness = _freshness(known, now)
    costs = costs_of(known.costs, now) if known.costs else None
    counted = costs is not None and costs.contacts != 0
    empty = known.open is not None and not cards and not lately and not counted
    if known.open is None:
        sentence = "Not known: the alerter has not answered yet."
        tone: Tone = "unknown"
    elif empty:
        sentence, tone = "Nothing has been counted yet.", "unknown"
    else:
        sentence = sentence_of(cards)
        waiting = any(card.state == "open" for card in cards)
        tone = "alarm" if waiting else "seen" if cards else "unknown" if freshness.stale else "quiet"
        if freshness.stale:
            sentence = f"Last known: {sentence[0].lower()}{sentence[1:]}"
    return Board(
        sentence=sentence,
        tone=tone,
        title=_title(cards, known),
        freshness=freshness,
        fault=known.fault,
        fault_since=moment(known.fault_since, now) if known.fault_since else None,
        cards=cards[:CARDS_MAX],
        more=max(0, len(cards) - CARDS_MAX),
        lately=lately,
        costs=costs,
        period=period,
        empty=empty,
    )


def _items(incidents: IncidentList | None) -> tuple[Incident, ...]:
    return incidents.items if incidents else ()


def _freshness(known: Known, now: datetime) -> Freshness:
    answers = [known.open, known.acknowledged, known.costs]
    stale = known.fault is not None or any(answer is not None and answer.stale for answer in answers)
    as_of = known.open.as_of if known.open else None
    if as_of is None:
        return Freshness(None, stale, aged=False)
    return Freshness(moment(as_of, now), stale, aged=stale or now - as_of <= FRESH_AGE_MAX)


def _title(cards: tuple[Card, ...], known: Known) -> str:
    """The tab's title, so that a tab in the background tells too."""
    waiting = [card for card in cards if card.state == "open"]
    if known.fault:
        return "(?) Pegel"
    if waiting:
        return f"({len(waiting)}) {waiting[0].topic}, {waiting[0].place} · Pegel"
    return "Pegel"
