"""Prices from prices.yaml. Its format is explained in the example that comes with Pegel."""

from collections.abc import Mapping
from datetime import datetime
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, StrictStr

from pegel.alerter.ledger.domain.prices import BEGINNING, END, Price, PriceRule, PriceTable, micros
from pegel.alerter.ledger.ports import PriceBook
from pegel.alerter.settings import FileModel, Moment, read, unknown_keys
from pegel.runtime.settings import ConfigurationError
from pegel.schemas.base import Currency, Slug

FIELDS = {
    "country", "topic", "subtopic", "channel", "handler", "site", "customer_segment", "nature", "demand", "complaint",
    "outcome", "language",
}  # fmt: skip
"""Fields of a contact that a cell can have, beside attributes.NAME."""


def _amount(value: str) -> str:
    micros(value)
    return value


class PriceEntry(FileModel):
    """One of `prices`."""

    match: dict[str, tuple[str, ...] | str] = Field(default_factory=dict)
    unit_price: Annotated[StrictStr, AfterValidator(_amount)]
    service: Slug
    since: Moment = BEGINNING
    until: Moment = END


class PricesFile(FileModel):
    """The whole file."""

    currency: Currency
    services: dict[Slug, str]
    prices: tuple[PriceEntry, ...] = ()


class FilePriceBook(PriceBook):
    """The prices of a file, read once. Raises ConfigurationError with all that is wrong with it."""

    def __init__(self, path: Path | Traversable, currency: str) -> None:
        content, self._version = read(path, PricesFile)
        faults = []
        if content.currency != currency:
            faults.append(f"currency: {content.currency} differs from PEGEL_CURRENCY={currency}")
        for number, entry in enumerate(content.prices):
            where = f"prices[{number}]"
            if entry.service not in content.services:
                faults.append(f"{where}.service: {entry.service} is none of the services")
            if entry.until <= entry.since:
                faults.append(f"{where}.until: is not after since")
            fields = {name: None for name in entry.match if not name.startswith("attributes.")}
            faults += unknown_keys(fields, FIELDS, f"{where}.match")
        if faults:
            raise ConfigurationError([f"{path}: {fault}" for fault in faults])
        self._currency = content.currency
        self._table = PriceTable(
            [
                PriceRule(
                    {name: (globs,) if isinstance(globs, str) else globs for name, globs in entry.match.items()},
                    Price(micros(entry.unit_price), entry.service),
                    entry.since,
                    entry.until,
                )
                for entry in content.prices
            ]
        )

    @property
    def version(self) -> str:
        return self._version

    @property
    def currency(self) -> str:
        return self._currency

    def price_of(self, cell: Mapping[str, str], at: datetime) -> Price | None:
        return self._table.price(cell, at)
