"""The ledger's ports; each has one contract suite in tests/contract that runs on all its implementations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from pegel.alerter.ledger.domain.charges import Charge
from pegel.alerter.ledger.domain.prices import Price
from pegel.alerter.ledger.domain.seals import Seal
from pegel.alerter.ledger.domain.sums import Sums
from pegel.schemas.detection import BucketRecord


class PriceBook(Protocol):
    """What contacts cost."""

    @property
    def version(self) -> str:
        """Changes whenever a price may; at most 64 characters."""
        ...

    @property
    def currency(self) -> str:
        """ISO 4217."""
        ...

    def price_of(self, cell: Mapping[str, str], at: datetime) -> Price | None:
        """The price of one contact of the cell at that time; None when no price is known."""
        ...


class LedgerConflict(Exception):  # noqa: N818
    """An entry with this id is booked with another content. Entries are immutable."""

    def __init__(self, entry_id: str) -> None:
        super().__init__(f"ledger entry {entry_id} is booked with another content")
        self.entry_id = entry_id


class CostSum(NamedTuple):
    """Sums of a team and a topic."""

    team: str
    topic: str
    contacts: int
    unpriced_contacts: int
    amount_micros: int


@dataclass(frozen=True, slots=True)
class Cut:
    """The last bucket record booked and its offset in windows: what stands before it is in the ledger, and no more.

    producers: what had been seen by then of each producer of windows: epoch, offset, place.
    """

    record_offset: int
    record: BucketRecord
    producers: Mapping[str, Sequence[int]] = field(default_factory=dict)


class Ledger(Protocol):
    """Books charges, and adds them up."""

    def book(self, charges: Sequence[Charge], cut: Cut) -> int:
        """Book what is not booked yet; the number of new entries. Raises LedgerConflict."""
        ...

    def cut(self) -> Cut | None:
        """Up to where it is booked; None before the first bucket."""
        ...

    def totals(self) -> Sums:
        """What all entries add up to, as it was booked."""
        ...

    def seal(self) -> Seal | None:
        """Seal what is booked; None before the first bucket. Once a day: each has one seal."""
        ...

    def entry(self, entry_id: str) -> Charge | None:
        """The entry as it was booked."""
        ...

    def sums(self, since: datetime, until: datetime) -> Sequence[CostSum]:
        """By team and topic, dearest first, of buckets that begin in [since, until); both at a full hour (UTC)."""
        ...

    def amount_micros(self, segment: tuple[str, ...], since: datetime, until: datetime) -> int:
        """What the segment's buckets that begin in [since, until) cost. '*' in a segment stands for every value."""
        ...
