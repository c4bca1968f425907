"""Cost by cause: the rows of the table and the bars of the Pareto, from one list, so that they can't differ."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from pegel.dashboard.domain.incidents import Moment, moment
from pegel.dashboard.domain.words import money_words, topic_words
from pegel.schemas.incident import Money
from pegel.schemas.ledger import CostList, CostRow

ROWS_MAX: Final = 15
"""What one picture can show legibly; further causes are one row and one bar together."""


@dataclass(frozen=True)
class Row:
    """A line of the table. share, running: of the sum of all positive amounts, '12 %'."""

    topic: str
    team: str
    code: str
    contacts: int
    cost: str
    share: str
    running: str


@dataclass(frozen=True)
class Bar:
    """A bar of the Pareto. amount: a decimal string; running: hundredths up to and with this bar, '61.20'."""

    label: str
    amount: str
    running: str


@dataclass(frozen=True)
class Costs:
    """The section on costs. drawn: false where there is nothing that could be drawn."""

    rows: tuple[Row, ...]
    bars: tuple[Bar, ...]
    currency: str
    contacts: int
    total: str
    unpriced: int
    since: Moment
    until: Moment
    as_of: Moment | None
    stale: bool
    summary: str

    @property
    def drawn(self) -> bool:
        return bool(self.bars)


@dataclass(frozen=True)
class _Cause:
    topic: str
    team: str
    code: str
    contacts: int
    amount: Decimal


def costs_of(costs: CostList, now: datetime) -> Costs:
    """The section on costs of one period."""
    causes = _folded([_cause(row) for row in costs.rows])
    positive = sum((cause.amount for cause in causes if cause.amount > 0), Decimal(0))
    same_topic = {c.topic for c in causes if sum(other.topic == c.topic for other in causes) > 1}
    currency = costs.total.currency
    rows, bars, running = [], [], Decimal(0)
    for cause in causes:
        running += max(cause.amount, Decimal(0))
        share = _percent(max(cause.amount, Decimal(0)), positive)
        so_far = _percent(running, positive)
        cost = money_words(Money(amount=f"{cause.amount:.6f}", currency=currency))
        rows.append(Row(cause.topic, cause.team, cause.code, cause.contacts, cost, _written(share), _written(so_far)))
        if cause.amount > 0:
            label = f"{cause.topic} · {cause.team}" if cause.topic in same_topic else cause.topic
            bars.append(Bar(label, f"{cause.amount:.2f}", f"{so_far:.2f}"))
    return Costs(
        rows=tuple(rows),
        bars=tuple(bars),
        currency=currency,
        contacts=costs.contacts,
        total=money_words(costs.total),
        unpriced=sum(row.unpriced_contacts for row in costs.rows),
        since=moment(costs.since, now),
        until=moment(costs.until, now),
        as_of=moment(costs.as_of, now) if costs.as_of else None,
        stale=costs.stale,
        summary=_summary(rows, bars),
    )


def _cause(row: CostRow) -> _Cause:
    return _Cause(topic_words(row.topic), row.team, row.topic, row.contacts, Decimal(row.cost.amount))


def _folded(causes: list[_Cause]) -> list[_Cause]:
    """Dearest first; beyond ROWS_MAX - 1 the rest are one cause, last, whatever it costs."""
    ordered = sorted(causes, key=lambda cause: (-cause.amount, -cause.contacts, cause.topic, cause.team))
    if len(ordered) <= ROWS_MAX:
        return ordered
    shown, rest = ordered[: ROWS_MAX - 1], ordered[ROWS_MAX - 1 :]
    together = sum((cause.amount for cause in rest), Decimal(0))
    return [*shown, _Cause(f"{len(rest)} other causes", "", "", sum(cause.contacts for cause in rest), together)]


def _percent(part: Decimal, whole: Decimal) -> Decimal:
    return 100 * part / whole if whole else Decimal(0)


def _written(percent: Decimal) -> str:
    shown = "<1" if 0 < percent < Decimal("0.5") else f"{percent:.0f}"
    return f"{shown}\N{NO-BREAK SPACE}%"


def _summary(rows: list[Row], bars: list[Bar]) -> str:
    """What the picture says, in a sentence: its text alternative."""
    if not bars:
        return "Nothing has cost anything in this period."
    first = rows[0]
    owner = f" ({first.team})" if first.team else ""
    dearest = f"The dearest cause is {first.topic}{owner} with {first.cost}, {first.share} of all."
    if len(bars) == 1:
        return dearest
    half = next(number for number, bar in enumerate(bars, 1) if Decimal(bar.running) >= 50)
    return f"{dearest} {'It alone makes' if half == 1 else f'The {half} dearest causes make'} up half or more."
