"""Ledger and price book in memory, for tests: written the plain way, as a second opinion."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from pegel.alerter.ledger.domain.charges import Charge
from pegel.alerter.ledger.domain.prices import Price, PriceRule
from pegel.alerter.ledger.domain.seals import Seal, seal_of
from pegel.alerter.ledger.domain.sums import Sums, charge_digest
from pegel.alerter.ledger.ports import CostSum, Cut, Ledger, LedgerConflict, PriceBook


class MemoryPriceBook(PriceBook):
    """Price rules in a list, asked one after the other."""

    def __init__(self, rules: Sequence[PriceRule] = (), currency: str = "EUR") -> None:
        self.rules, self._currency, self.stated_version = list(rules), currency, "memory"

    @property
    def version(self) -> str:
        return self.stated_version

    @property
    def currency(self) -> str:
        return self._currency

    def price_of(self, cell: Mapping[str, str], at: datetime) -> Price | None:
        for rule in self.rules:
            if rule.covers(at) and rule.matches(cell):
                return rule.price
        return None


class MemoryLedger(Ledger):
    """Entries in a dict."""

    def __init__(self) -> None:
        self.entries: dict[str, Charge] = {}
        self.seals: list[Seal] = []
        self._cut: Cut | None = None

    def book(self, charges: Sequence[Charge], cut: Cut) -> int:
        for charge in charges:
            if self.entries.get(charge.id, charge) != charge:
                raise LedgerConflict(charge.id)
        before = len(self.entries)
        self.entries.update({charge.id: charge for charge in charges})
        self._cut = cut
        return len(self.entries) - before

    def cut(self) -> Cut | None:
        return self._cut

    def totals(self) -> Sums:
        return Sums().plus((c.quantity, c.currency, c.amount_micros, charge_digest(c)) for c in self.entries.values())

    def seal(self) -> Seal | None:
        if self._cut is None:
            return None
        previous = self.seals[-1].sha256 if self.seals else ""
        cut = self._cut
        self.seals.append(seal_of(cut.record, cut.record_offset, cut.producers, self.totals(), previous))
        return self.seals[-1]

    def entry(self, entry_id: str) -> Charge | None:
        return self.entries.get(entry_id)

    def sums(self, since: datetime, until: datetime) -> Sequence[CostSum]:
        found: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
        for entry in self.entries.values():
            if since <= entry.at < until:
                row = found[entry.team, entry.cell.get("topic", "")]
                row[0] += entry.quantity
                row[1] += entry.quantity if entry.status == "unpriced" else 0
                row[2] += entry.amount_micros
        rows = [CostSum(team, topic, *sums) for (team, topic), sums in found.items()]
        return sorted(rows, key=lambda row: (-row.amount_micros, -row.contacts, row.team, row.topic))

    def amount_micros(self, segment: tuple[str, ...], since: datetime, until: datetime) -> int:
        return sum(
            entry.amount_micros
            for entry in self.entries.values()
            if since <= entry.at < until
            and all(asked in ("*", value) for asked, value in zip(segment, entry.segment, strict=True))
        )
