"""What the contacts of a page cost, by the alerter's prices.yaml."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np

from pegel.alerter.ledger.adapters.file import FilePriceBook, PricesFile
from pegel.alerter.settings import read
from pegel.cli.backtest.alarms import Alarm
from pegel.cli.backtest.counts import Counts
from pegel.cli.backtest.labels import touch
from pegel.schemas.base import MICRO


class Prices:
    """A roll-up's contact costs what those of its segments cost, by how many contacts each has in the file.

    A field that is no column is the empty text, as in the service. Raises ConfigurationError for the file.
    """

    def __init__(self, path: Path, counts: Counts) -> None:
        self.currency = read(path, PricesFile)[0].currency
        self._book = FilePriceBook(path, self.currency)
        self._counts = counts
        self._contacts = np.bincount(counts.segment, weights=counts.contacts, minlength=len(counts.names)).astype(int)

    def cost(self, alarm: Alarm) -> Decimal | None:
        """Of the contacts more than usual; None where no price is given."""
        at = datetime.fromtimestamp(alarm.onset, UTC)
        weight, micros = 0, 0
        for name, contacts in zip(self._counts.names, self._contacts.tolist(), strict=True):
            if touch(alarm.segment, name):
                price = self._book.price_of(dict(zip(self._counts.dimensions, name, strict=True)), at)
                if price is not None:
                    weight, micros = weight + contacts, micros + contacts * price.unit_price_micros
        if not weight:
            return None
        return round(Decimal(max(0.0, alarm.excess)) * micros / weight / MICRO, 2)
