"""Price rules: the first one that matches a cell at a time gives its price."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Final

from pegel.schemas import base

BEGINNING: Final = datetime.min.replace(tzinfo=UTC)
END: Final = datetime.max.replace(tzinfo=UTC)
KNOWN_MAX: Final = 100_000
UNIT_PRICE_MAX: Final = 1_000_000
"""Of the currency: a price above it is a mistake, and keeps amounts within 64 bits."""


@dataclass(frozen=True, slots=True)
class Price:
    """What one contact costs, and the service that did the work."""

    unit_price_micros: int
    service: str


@dataclass(frozen=True, slots=True)
class PriceRule:
    """From `since` (inclusive) until `until` (exclusive), cells whose fields match have this price.

    match: field to globs, of which any may match; a field that a cell does not say is ''.
    """

    match: Mapping[str, tuple[str, ...]]
    price: Price
    since: datetime = BEGINNING
    until: datetime = END

    def covers(self, at: datetime) -> bool:
        return self.since <= at < self.until

    def matches(self, cell: Mapping[str, str]) -> bool:
        return all(any(fnmatchcase(cell.get(name, ""), glob) for glob in globs) for name, globs in self.match.items())


class PriceTable:
    """Rules in order, and what they said of each cell in each span of dates: cells are few, contacts are many."""

    def __init__(self, rules: Sequence[PriceRule]) -> None:
        self.rules = rules
        self._borders = sorted({time for rule in rules for time in (rule.since, rule.until)})
        self._known: dict[tuple[int, tuple[tuple[str, str], ...]], Price | None] = {}
        self._latest = (BEGINNING, bisect_right(self._borders, BEGINNING))

    def price(self, cell: Mapping[str, str], at: datetime) -> Price | None:
        """None: no rule matches."""
        latest = self._latest  # one read: several threads may ask
        if at != latest[0]:  # a window's additions are all of one time
            latest = self._latest = (at, bisect_right(self._borders, at))
        key = (latest[1], tuple(cell.items()))
        try:
            return self._known[key]
        except KeyError:
            if len(self._known) >= KNOWN_MAX:  # attributes can make cells many; what was known is found again
                self._known.clear()
            found = next((rule.price for rule in self.rules if rule.covers(at) and rule.matches(cell)), None)
            self._known[key] = found
            return found


def micros(amount: str) -> int:
    """A price: '7.50' as 7,500,000. Raises ValueError (pegel.schemas.base.micros)."""
    return base.micros(amount, UNIT_PRICE_MAX)
