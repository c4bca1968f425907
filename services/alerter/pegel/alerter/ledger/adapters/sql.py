"""The ledger in the database, on a connection whose transaction is the caller's."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Row, bindparam, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from pegel.alerter.database.tables import cost_hours, ledger_cut, ledger_entries
from pegel.alerter.database.types import Utc
from pegel.alerter.ledger.adapters import seals
from pegel.alerter.ledger.domain.charges import UNPRICED, Charge
from pegel.alerter.ledger.domain.seals import Seal, seal_of
from pegel.alerter.ledger.domain.sums import Sums, charge_digest
from pegel.alerter.ledger.ports import CostSum, Cut, Ledger, LedgerConflict
from pegel.schemas.detection import BucketRecord

HOUR_SECONDS: Final = 3600
IDS_AT_ONCE: Final = 500
COLUMNS: Final = tuple(column.name for column in ledger_entries.columns)
SUMMED: Final = ("contacts", "unpriced_contacts", "amount_micros")


class SqlLedger(Ledger):
    """On SQLite and PostgreSQL."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._upsert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert

    def book(self, charges: Sequence[Charge], cut: Cut) -> int:
        new = charges
        if charges:
            try:
                with self._connection.begin_nested():
                    self._insert(charges)
            except IntegrityError:  # some are booked: rare, so only then it is asked which
                new = self._not_booked(charges)
                self._insert(new)
            self._add_up(new)
        sums = self.totals().plus((its.quantity, its.currency, its.amount_micros, charge_digest(its)) for its in new)
        upsert = self._upsert(ledger_cut).values(
            id=1,
            record_offset=cut.record_offset,
            record=cut.record.encode().decode(),
            producers={name: list(seen) for name, seen in cut.producers.items()},
            contacts=sums.contacts,
            micros=dict(sums.micros),
            digest=sums.digest_text,
        )
        given = {column.name: upsert.excluded[column.name] for column in ledger_cut.c if column.name != "id"}
        self._connection.execute(upsert.on_conflict_do_update(index_elements=["id"], set_=given))
        return len(new)

    def cut(self) -> Cut | None:
        row = self._connection.execute(select(ledger_cut)).one_or_none()
        return Cut(row.record_offset, BucketRecord.decode(row.record.encode()), row.producers) if row else None

    def totals(self) -> Sums:
        row = self._connection.execute(
            select(ledger_cut.c.contacts, ledger_cut.c.micros, ledger_cut.c.digest)
        ).one_or_none()
        return Sums(row.contacts, row.micros, int(row.digest, 16)) if row else Sums()

    def seal(self) -> Seal | None:
        cut = self.cut()
        if cut is None:
            return None
        previous = seals.newest_sha256(self._connection)
        made = seal_of(cut.record, cut.record_offset, cut.producers, self.totals(), previous)
        seals.write(self._connection, made)
        return made

    def entry(self, entry_id: str) -> Charge | None:
        row = self._connection.execute(select(ledger_entries).where(ledger_entries.c.id == entry_id)).one_or_none()
        return _charge(row) if row else None

    def sums(self, since: datetime, until: datetime) -> Sequence[CostSum]:
        columns = cost_hours.c
        totals = [func.coalesce(func.sum(columns[name]), 0).label(name) for name in SUMMED]
        rows = self._connection.execute(
            select(columns.team, columns.topic, *totals)
            .where(columns.hour >= _hour(since), columns.hour < _hour(until))
            .group_by(columns.team, columns.topic)
            .order_by(totals[2].desc(), totals[0].desc(), columns.team, columns.topic)
        )
        # PostgreSQL adds bigints up to a numeric
        return [CostSum(row.team, row.topic, *(int(row[2 + number]) for number in range(len(SUMMED)))) for row in rows]

    def amount_micros(self, segment: tuple[str, ...], since: datetime, until: datetime) -> int:
        columns = ledger_entries.c
        if "*" in segment:
            hours = cost_hours.c.hour.between(_hour(since), _hour(until))
            known = self._connection.execute(select(cost_hours.c.segment).where(hours).distinct()).scalars()
            segments = [text for text in known if _part_of(orjson.loads(text), segment)]
        else:
            segments = [_text(segment)]
        found = self._connection.execute(
            select(func.coalesce(func.sum(columns.amount_micros), 0)).where(
                columns.segment.in_(segments), columns.at >= since, columns.at < until
            )
        )
        return int(found.scalar_one())

    def _insert(self, charges: Sequence[Charge]) -> None:
        """Straight to the driver: SQLAlchemy's way of binding takes longer than SQLite's inserting."""
        if charges:
            mark = "?" if self._connection.dialect.name == "sqlite" else "%s"
            names = ", ".join(COLUMNS)
            marks = ", ".join(mark for _ in COLUMNS)
            statement = f"INSERT INTO {ledger_entries.name} ({names}) VALUES ({marks})"  # noqa: S608 (no value is in it)
            bound = Utc().bind_processor(self._connection.dialect)
            self._connection.exec_driver_sql(statement, _rows(charges, bound or (lambda at: at)))

    def _not_booked(self, charges: Sequence[Charge]) -> list[Charge]:
        """Those whose id is not booked yet. Raises LedgerConflict."""
        wanted: dict[str, Charge] = {}
        for charge in charges:
            if wanted.setdefault(charge.id, charge) != charge:
                raise LedgerConflict(charge.id)
        ids = list(wanted)
        known = select(ledger_entries).where(ledger_entries.c.id.in_(bindparam("ids", expanding=True)))
        for start in range(0, len(ids), IDS_AT_ONCE):
            for row in self._connection.execute(known, {"ids": ids[start : start + IDS_AT_ONCE]}):
                if _charge(row) != wanted.pop(row.id):
                    raise LedgerConflict(row.id)
        return list(wanted.values())

    def _add_up(self, charges: Sequence[Charge]) -> None:
        sums: dict[tuple[int, tuple[str, ...], str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
        latest, hour = None, 0
        for charge in charges:
            if charge.at is not latest:
                latest, hour = charge.at, _hour(charge.at)
            row = sums[hour, charge.segment, charge.team, charge.cell.get("topic", "")]
            row[0] += charge.quantity
            row[1] += charge.quantity if charge.status == UNPRICED else 0
            row[2] += charge.amount_micros
        if sums:
            upsert = self._upsert(cost_hours)
            added = {name: cost_hours.c[name] + upsert.excluded[name] for name in SUMMED}
            self._connection.execute(
                upsert.on_conflict_do_update(index_elements=list(cost_hours.primary_key.columns), set_=added),
                # in one order everywhere, so that two alerters can't wait for one another's rows
                [
                    {
                        "hour": hour,
                        "segment": _text(segment),
                        "team": team,
                        "topic": topic,
                        **dict(zip(SUMMED, row, strict=True)),
                    }
                    for (hour, segment, team, topic), row in sorted(sums.items())
                ],
            )


def _hour(at: datetime) -> int:
    return int(at.timestamp()) // HOUR_SECONDS


def _text(segment: tuple[str, ...]) -> str:
    return orjson.dumps(segment).decode()


def _part_of(values: list[str], asked: tuple[str, ...]) -> bool:
    return len(values) == len(asked) and all(want in ("*", value) for want, value in zip(asked, values, strict=True))


def _rows(charges: Sequence[Charge], time: Callable[[datetime], Any]) -> list[tuple[Any, ...]]:
    """Values of COLUMNS."""
    rows = []
    latest, bound = None, None
    texts: dict[tuple[str, ...], str] = {}
    for charge in charges:
        (
            id_, origin, at, bucket, segment, cell, team, debit, credit_, quantity, unit_price_micros, amount_micros,
            currency, status, price_version, ownership_version,
        ) = charge  # fmt: skip
        if at is not latest:
            latest, bound = at, time(at)
        text = texts.get(segment)
        if text is None:
            text = texts[segment] = _text(segment)
        rows.append(
            (
                id_, origin, bound, bucket, text, orjson.dumps(cell, option=orjson.OPT_SORT_KEYS).decode(), team,
                cell.get("topic", ""), debit, credit_, quantity, unit_price_micros, amount_micros, currency, status,
                price_version, ownership_version,
            )
        )  # fmt: skip
    return rows


def _charge(row: Row[Any]) -> Charge:
    values = {name: value for name, value in row._mapping.items() if name != "topic"}
    return Charge(**{**values, "segment": tuple(orjson.loads(row.segment)), "cell": orjson.loads(row.cell)})
