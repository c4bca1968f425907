"""What contacts cost, by cause: ledger entries, and their sums over HTTP."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from pegel.schemas.base import Currency, Versioned
from pegel.schemas.detection import Cell
from pegel.schemas.incident import Money


class LedgerEntry(Versioned):
    """One charge: an addition of a window record, priced. Immutable; its id is its idempotency key.

    id: origin of the window record and the number of the addition in it ('judge/0:812.3#0'). debit, credit: accounts.
    quantity: contacts (negative: taken back). unit_price_micros, amount_micros: millionths of the currency;
    amount = quantity x unit price, exactly. status `unpriced`: no price is known, amount 0; `free`: the price is 0.
    """

    id: str
    at: AwareDatetime = Field(description="beginning of the bucket")
    bucket: int
    segment: tuple[str, ...]
    cell: Cell
    team: str
    debit: str
    credit: str
    quantity: int
    unit_price_micros: int
    amount_micros: int
    currency: Currency
    status: Literal["priced", "free", "unpriced"]
    price_version: str
    ownership_version: str


class CostRow(Versioned):
    """Cost by cause: one team and topic in the period."""

    team: str
    topic: str
    contacts: int
    unpriced_contacts: int
    cost: Money
    share: Annotated[float, Field(ge=0, le=1)]


class CostList(Versioned):
    """GET /v1/costs, dearest first. since (inclusive), until (exclusive): the buckets counted."""

    since: AwareDatetime
    until: AwareDatetime
    rows: tuple[CostRow, ...]
    contacts: int
    total: Money
    as_of: AwareDatetime | None
    stale: bool
