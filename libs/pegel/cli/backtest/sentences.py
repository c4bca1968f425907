"""What a page was about, for somebody who owns a product: what, where, when, how many more, what it cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from pegel.cli.backtest.alarms import Alarm
from pegel.cli.backtest.counts import WHOLE
from pegel.cli.backtest.running import ALL
from pegel.dashboard.domain.words import MONTHS, country_words, duration_words, topic_words, words_of

MILLION: Final = 1_000_000
DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class Words:
    """How segments and times of this file are said. with_year: when its times are of several years."""

    dimensions: Sequence[str]
    countries: Mapping[str, str]
    file_end: int
    with_year: bool
    currency: str = ""

    def place(self, segment: tuple[str, ...]) -> str:
        """'Cash machines, Spain', 'Mobile app, all countries', 'Queue billing', 'Everything'."""
        if all(value == ALL for value in segment) or segment == WHOLE:
            return "Everything"
        values = dict(zip(self.dimensions, segment, strict=True))
        parts = []
        if "topic" in values:
            parts.append(topic_words(values.pop("topic")))
        if "country" in values:
            parts.append(country_words(values.pop("country"), self.countries))
        for dimension, value in values.items():
            name = words_of(dimension.removeprefix("attributes.")).lower()
            parts.append(f"{name}: any" if value == ALL else f"{name} {value}")
        text = ", ".join(parts)
        return text[:1].upper() + text[1:]

    def day(self, at: datetime) -> str:
        """'Tue 12 Nov'."""
        return f"{DAYS[at.weekday()]} {at.day} {MONTHS[at.month - 1]}" + (f" {at.year}" if self.with_year else "")

    def span(self, alarm: Alarm, zone: str) -> str:
        """'from 02:22 to 04:10 on Tue 12 Nov', in local time."""
        onset, over = (datetime.fromtimestamp(at, ZoneInfo(zone)) for at in (alarm.onset, alarm.over_at(self.file_end)))
        if alarm.resolved_at is None:
            return f"from {onset:%H:%M} on {self.day(onset)}, still going on when the file ends"
        if onset.date() == over.date():
            return f"from {onset:%H:%M} to {over:%H:%M} on {self.day(onset)}"
        return f"from {onset:%H:%M} on {self.day(onset)} to {over:%H:%M} on {self.day(over)}"

    def money(self, amount: Decimal) -> str:
        """'EUR 145', 'EUR 0.80', 'EUR 3.4 million'."""
        if amount >= MILLION:
            number = f"{amount / MILLION:,.1f} million"
        else:
            number = f"{amount:,.0f}" if amount >= 10 else f"{amount:,.2f}"
        return f"{self.currency}\N{NO-BREAK SPACE}{number}"

    def sentence(self, alarm: Alarm, zone: str, cost: Decimal | None) -> str:
        """All of a page in one."""
        return f"{self.place(alarm.segment)}: {self.what_happened(alarm, zone, cost)}"

    def what_happened(self, alarm: Alarm, zone: str, cost: Decimal | None) -> str:
        """The same under a heading that says where."""
        more = max(0, round(alarm.excess))
        price = "" if cost is None else f", about {self.money(cost)}"
        return (
            f"{_contacts(alarm.observed)} in {window_words(alarm.window_seconds)} "
            f"where {usual_words(alarm.expected)} usual, {self.span(alarm, zone)}; {more:,} more than usual{price}."
        )


def usual_words(expected: float) -> str:
    """'2 are', '1 is', 'fewer than 1 is', 'almost none are'."""
    if expected < 0.1:
        return "almost none are"
    if expected < 0.95:
        return "fewer than 1 is"
    return f"{round(expected):,} {'is' if round(expected) == 1 else 'are'}"


def window_words(seconds: int) -> str:
    """'20 minutes', '90 minutes', '6 hours', '24 hours'."""
    return "24 hours" if seconds == 86_400 else duration_words(max(1, seconds))


def _contacts(count: int) -> str:
    return f"{count:,} contact" if count == 1 else f"{count:,} contacts"
