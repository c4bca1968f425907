"""How a window record becomes charges."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Final, Literal, NamedTuple

from pegel.alerter.ledger.domain.prices import Price
from pegel.schemas.detection import Cell, WindowRecord

Status = Literal["priced", "free", "unpriced"]
UNPRICED: Final = "unpriced"


class Charge(NamedTuple):
    """One ledger entry (pegel.schemas.ledger.LedgerEntry says what its fields mean). origin: of the window record.

    A tuple, because a ledger that catches up makes tens of thousands of them a second.
    """

    id: str
    origin: str
    at: datetime
    bucket: int
    segment: tuple[str, ...]
    cell: Cell
    team: str
    debit: str
    credit: str
    quantity: int
    unit_price_micros: int
    amount_micros: int
    currency: str
    status: Status
    price_version: str
    ownership_version: str


def charges(
    record: WindowRecord,
    *,
    team_of: Callable[[tuple[str, ...], datetime], str],
    price_of: Callable[[Mapping[str, str], datetime], Price | None],
    currency: str,
    price_version: str,
    ownership_version: str,
) -> Iterator[Charge]:
    """One charge for each addition of the record, whatever its status: late contacts and gaps cost as much."""
    origin, at, bucket = record.origin.text, record.start, record.bucket
    additions = record.additions
    for number, (cell_number, quantity, segment_number) in enumerate(
        zip(additions.cell, additions.contacts, record.segment_of, strict=True)
    ):
        cell, segment = additions.cells[cell_number], record.segments[segment_number]
        team, price = team_of(segment, at), price_of(cell, at)
        status: Status = "unpriced" if price is None else "priced" if price.unit_price_micros else "free"
        unit_price_micros = price.unit_price_micros if price else 0
        yield Charge(
            f"{origin}#{number}",
            origin,
            at,
            bucket,
            segment,
            cell,
            team,
            f"team:{team}:run-rate" if price else UNPRICED,
            f"service:{price.service if price else UNPRICED}",
            quantity,
            unit_price_micros,
            quantity * unit_price_micros,
            currency,
            status,
            price_version,
            ownership_version,
        )
