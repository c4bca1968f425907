"""Price rules: the first one that matches a cell at a time gives its price."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from typing import Final

from pegel.schemas.base import MICRO

BEGINNING: Final = datetime.min.replace(tzinfo=UTC)
END: Final = datetime.max.replace(tzinfo=UTC)
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


@dataclass(slots=True)
class PriceTable:
    """Rules in order, and what they said of each cell in each span of dates: cells are few."""

    rules: Sequence[PriceRule]
    _borders: Sequence[datetime] = field(init=False)
    _known: dict[tuple[int, frozenset[tuple[str, str]]], Price | None] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._borders = sorted({time for rule in self.rules for time in (rule.since, rule.until)})

    def price(self, cell: Mapping[str, str], at: datetime) -> Price | None:
        """None: no rule matches."""
        key = (bisect_right(self._borders, at), frozenset(cell.items()))
        if key not in self._known:
            if len(self._known) >= 100_000:  # attributes can make cells many; what was known is found again
                self._known.clear()
            self._known[key] = next((rule.price for rule in self.rules if rule.covers(at) and rule.matches(cell)), None)
        return self._known[key]


def micros(amount: str) -> int:
    """'7.50' as 7,500,000. Raises ValueError for what is no amount, is negative, too large, or has over 6 decimals."""
    try:
        exact = Decimal(amount) * MICRO
    except InvalidOperation:
        raise ValueError("is no amount such as 7.50") from None
    if not exact.is_finite() or exact != exact.to_integral_value():
        raise ValueError("has more than 6 decimals")
    if not 0 <= exact <= UNIT_PRICE_MAX * MICRO:
        raise ValueError(f"is not between 0 and {UNIT_PRICE_MAX}")
    return int(exact)
