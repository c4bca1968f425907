"""What the ledger makes of buckets: an effect of the consumer, in its transaction."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import groupby

from sqlalchemy import Connection

from pegel.alerter import metrics
from pegel.alerter.database.positions import stored_producers
from pegel.alerter.ledger.domain.charges import Charge, charges
from pegel.alerter.ledger.domain.seals import day_of
from pegel.alerter.ledger.ports import Cut, Ledger, PriceBook
from pegel.alerter.ownership.ports import OwnerRules
from pegel.alerter.windows.buckets import Bucket, LogEnd

KINDS = ("window",)
"""Records of windows that the ledger reads."""


class Booking:
    """Prices the additions of buckets and books them; seals each day when the next begins.

    ledger: the one of a connection.
    """

    def __init__(self, ledger: Callable[[Connection], Ledger], owners: OwnerRules, prices: PriceBook) -> None:
        self._ledger, self._owners, self._prices = ledger, owners, prices

    def __call__(
        self,
        connection: Connection,
        buckets: Sequence[Bucket],
        now: datetime,  # noqa: ARG002 (an effect's parameters)
        end: LogEnd | None = None,  # noqa: ARG002
    ) -> None:
        ledger = self._ledger(connection)
        cut = ledger.cut()
        day = None if cut is None else day_of(cut.record)
        for its, of_a_day in groupby(buckets, key=lambda bucket: day_of(bucket.end)):
            if day is not None and its != day:
                ledger.seal()
            self._book(ledger, list(of_a_day))
            day = its

    def _book(self, ledger: Ledger, buckets: Sequence[Bucket]) -> None:
        found: list[Charge] = []
        for bucket in buckets:
            for window in bucket.windows:
                found.extend(
                    charges(
                        window,
                        team_of=self._owners.team_of,
                        price_of=self._prices.price_of,
                        currency=self._prices.currency,
                        price_version=self._prices.version,
                        ownership_version=self._owners.version,
                    )
                )
        last = buckets[-1]
        ledger.book(found, Cut(last.offset, last.end, stored_producers(last.seen)))
        for status, count in Counter(charge.status for charge in found).items():
            metrics.LEDGER_ENTRIES.labels(status).inc(count)
        metrics.UNPRICED_CONTACTS.inc(
            sum(charge.quantity for charge in found if charge.status == "unpriced" and charge.quantity > 0)
        )
