"""What all entries of the ledger add up to, kept as a running sum: quantities, amounts, and a digest of their content.

The digest is the sum of the entries' own digests modulo 2^128: it doesn't depend on the order, and shows an entry that
was changed, removed or added afterwards, in whatever field.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from operator import attrgetter
from typing import Any, Final

import orjson

from pegel.alerter.ledger.domain.charges import Charge

MODULUS: Final = 1 << 128
_fields = attrgetter(
    "id", "origin", "bucket", "team", "debit", "credit", "quantity", "unit_price_micros", "amount_micros", "currency",
    "status", "price_version", "ownership_version",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sums:
    """contacts: all quantities; micros: all amounts by currency (millionths); digest: below 2^128."""

    contacts: int = 0
    micros: Mapping[str, int] = field(default_factory=dict)
    digest: int = 0

    @property
    def digest_text(self) -> str:
        return f"{self.digest:032x}"

    def plus(self, entries: Iterable[tuple[int, str, int, int]]) -> "Sums":
        """With more entries: (quantity, currency, amount, digest) each."""
        contacts, micros, digest = self.contacts, dict(self.micros), self.digest
        for quantity, currency, amount_micros, its in entries:
            contacts += quantity
            micros[currency] = micros.get(currency, 0) + amount_micros
            digest += its
        return Sums(contacts, micros, digest % MODULUS)


def row_digest(row: Any) -> int:
    """Of an entry as a row of ledger_entries has it: segment and cell are text."""
    return _digest(row, row.segment, row.cell, row.topic)


def charge_digest(charge: Charge) -> int:
    """Of an entry as it is booked; the same as that of its row."""
    segment = orjson.dumps(charge.segment).decode()
    cell = orjson.dumps(charge.cell, option=orjson.OPT_SORT_KEYS).decode()
    return _digest(charge, segment, cell, charge.cell.get("topic", ""))


def _digest(entry: Any, segment: str, cell: str, topic: str) -> int:
    content = orjson.dumps((*_fields(entry), int(entry.at.timestamp()), segment, cell, topic))
    return int.from_bytes(blake2b(content, digest_size=16).digest())
