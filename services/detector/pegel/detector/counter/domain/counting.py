"""Counts the contacts of one partition: exact de-duplication, amendments, buckets that close by the log's time."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from itertools import zip_longest
from typing import Any, Final, Literal, NamedTuple, Self

import msgspec
import numpy as np

from pegel.detector.counter.domain import customers
from pegel.detector.counter.domain.cells import CellKey, Cells
from pegel.detector.counter.domain.known import Known, Place
from pegel.detector.counter.domain.lines import (
    BEYOND,
    CONTACT_HEAD,
    EPOCH,
    YEARS,
    AmendmentLine,
    ContactLine,
    KindLine,
    Line,
    Read,
    Unreadable,
    amendment_identity,
    contact_of,
    identities,
    identity_of,
    line_of,
    seconds_of,
)
from pegel.schemas.base import LogRecord, Origin
from pegel.schemas.detection import Additions, CountsRecord, PartitionTotals
from pegel.schemas.rejected import FieldError, RejectedReason, RejectedRecord

STATE_VERSION: Final = "counter/1"
"""Of what `state` returns; `restored` takes no other."""
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
RECORD_BYTES: Final = 400 * 1024
"""Additions in a record: with its customers below the 512 KiB that a record of ours may have, and far below the 1 MiB
that Kafka takes."""
ROW_BYTES: Final = 45
"""Numbers of a row, beside its cell's words."""
ROWS_ALWAYS: Final = 64
"""So few fit in any case: no cell is larger than 5 KiB (twenty words of 64 characters and their names)."""
CHUNK: Final = 4_096
"""Records whose identities are looked up together."""

# What a contact was counted as, in 60 bits: 36 of the bucket, 22 of the handled seconds (up to 30 days), two marks.
_AMENDED: Final = 1
_VOID: Final = 2
_MARKS: Final = _AMENDED | _VOID
_HANDLED_BITS: Final = 22
_BUCKET_AT: Final = 2 + _HANDLED_BITS
_BUCKET_ZERO: Final = 86_400


def _fact(bucket: int, handled: int, marks: int = 0) -> int:
    return bucket + _BUCKET_ZERO << _BUCKET_AT | handled << 2 | marks


class In(NamedTuple):
    """A record of contacts, the least of it."""

    offset: int
    time_ms: int
    key: bytes | None
    value: bytes


@dataclass(frozen=True, slots=True)
class Rules:
    """What was chosen when the log was made. made_at_ms: the log's append time of its first record."""

    clock: Literal["wall", "data"]
    bucket_seconds: int
    delay_seconds: int
    dimensions: tuple[str, ...]
    made_at_ms: int
    horizon_hours: float


@dataclass(slots=True)
class _Totals:
    contacts: int = 0
    copies: int = 0
    conflicts: int = 0
    voided: int = 0
    open: int = 0
    counted: int = 0


@dataclass(slots=True)
class PartitionCounter:
    """The state of one partition. Feed `apply` the partition's records in order; a replay gives the same outputs."""

    partition: int
    epoch: int
    rules: Rules
    unreadable: int = field(init=False, default=0)
    """Records that could not be read so far."""
    _cells: Cells = field(init=False)
    _known: Known = field(init=False, default_factory=Known)
    _hour: int = field(init=False, default=0)
    """Of append time; in data mode always 0, so that nothing grows old."""
    _cutoff: int = field(init=False, default=0)
    """The first hour of the horizon: what was noted before is not known."""
    _pending: dict[int, dict[int, list[int]]] = field(init=False, default_factory=dict)
    """Bucket to cell to contacts and handled seconds, added and not yet told."""
    _met: customers.Met = field(init=False, default_factory=dict)
    """Who contacted in buckets that were not told yet."""
    _time_ms: int = field(init=False, default=0)
    _append_ms: int = field(init=False, default=0)
    _next: int | None = field(init=False, default=None)
    """The first bucket that is still open; None until time is known."""
    _close_ms: int = field(init=False, default=0)
    """The time from which that bucket may be closed."""
    _totals: _Totals = field(init=False, default_factory=_Totals)
    _outputs: list[LogRecord] = field(init=False, default_factory=list)
    _told: tuple[int, int] = field(init=False, default=(-1, 0))
    """Offset of the record that caused the last output, and the next place among its outputs."""

    def __post_init__(self) -> None:
        self._cells = Cells(self.rules.dimensions)
        if self.rules.clock == "wall":
            # The first bucket judged is the first that begins after the log was made.
            self._open(-(-self.rules.made_at_ms // self._bucket_ms))

    def state(self) -> dict[str, Any]:
        """All of it, for a snapshot: plain values and arrays, none of which is changed afterwards."""
        pending = [(bucket, cell, *row) for bucket, rows in self._pending.items() for cell, row in rows.items()]
        return {
            "append_ms": self._append_ms,
            "cells": [list(key) for key in self._cells.keys],
            "close_ms": self._close_ms,
            "hour": self._hour,
            "known": self._known.state(),
            "met": customers.state(self._met),
            "next": self._next,
            "pending": np.array(pending, np.int64).reshape(-1, 4),
            "time_ms": self._time_ms,
            "totals": asdict(self._totals),
            "unreadable": self.unreadable,
        }

    @classmethod
    def restored(cls, partition: int, epoch: int, rules: Rules, tree: dict[str, Any]) -> Self:
        """A counter that goes on where the one whose state this is stood."""
        counter = cls(partition, epoch, rules)
        counter._append_ms, counter._time_ms = tree["append_ms"], tree["time_ms"]
        counter._next, counter._close_ms = tree["next"], tree["close_ms"]
        counter._cells = Cells(rules.dimensions, map(tuple, tree["cells"]))
        counter._known = Known.restored(tree["known"])
        for bucket, cell, contacts, handled in tree["pending"].tolist():
            counter._pending.setdefault(bucket, {})[cell] = [contacts, handled]
        counter._met = customers.restored(tree.get("met", ()))  # a state of before customers were counted
        counter._totals = _Totals(**tree["totals"])
        counter.unreadable = tree["unreadable"]
        counter._turn_hour(tree["hour"])
        return counter

    @property
    def _bucket_ms(self) -> int:
        return self.rules.bucket_seconds * 1000

    @property
    def read(self) -> tuple[int, int]:
        """Contacts read so far, and how many of them were copies."""
        return self._totals.contacts, self._totals.copies

    def apply(self, records: Iterable[Read]) -> list[LogRecord]:
        """Take records in order; returns CountsRecord and RejectedRecord in the order they arose."""
        records = records if isinstance(records, Sequence) else list(records)
        for first in range(0, len(records), CHUNK):
            self._apply(records[first : first + CHUNK])
            self._known.settle(self._hour, self._cutoff)
        outputs, self._outputs = self._outputs, []
        return outputs

    def _apply(self, records: Sequence[Read]) -> None:  # noqa: PLR0912, PLR0915 (calls would cost it a quarter)
        """Identities are looked up together; then each record is counted, in order.

        Most contacts happened in the bucket of the one before: then it need not be found again.
        """
        known, unasked = self._known.open, bool(self._known.runs)
        # What has no key of ingest's, and amendments, are looked up once one comes: to look for them costs all others.
        found = self._known.find([key for r in records if (key := r.key) and len(key) == 16]) if unasked else {}
        totals, pending, cells = self._totals, self._pending, self._cells
        met, hash_of = self._met, customers.hash_of
        number_of, attributes = cells.numbers.get, bool(cells.attributes)
        bucket_seconds, hour, cutoff = self.rules.bucket_seconds, self._hour, self._cutoff
        bucket, begin, fact_of_bucket, rows = 0, EPOCH, _fact(0, 0), pending.get(0)
        for record in records:
            if record.time_ms > self._append_ms:
                self._pass(record.time_ms, record.offset)
                hour, cutoff, rows = self._hour, self._cutoff, pending.get(bucket)
            value, key = record.value, record.key
            try:
                line = contact_of(value) if value.startswith(CONTACT_HEAD) else None
            except msgspec.DecodeError:
                line = None
            if line is None:
                other = line_of(value)
                if unasked and isinstance(other, AmendmentLine):
                    found, unasked = self._known.find(identities(records)), False
                if not isinstance(other, ContactLine):
                    self._other(other, record.offset, key, found)
                    rows = pending.get(bucket)
                    continue
                line = other
            if key is not None and len(key) == 16:
                identity = key
            else:
                identity = identity_of(line, None)
                if unasked:
                    found, unasked = self._known.find(identities(records)), False
            since = line.occurred_at - begin
            if since.days or since.seconds >= bucket_seconds:
                seconds = seconds_of(line.occurred_at)
                if seconds not in YEARS:
                    self._other(BEYOND, record.offset, key, found)
                    continue
                bucket = seconds // bucket_seconds
                begin = EPOCH + timedelta(seconds=bucket * bucket_seconds)
                fact_of_bucket, rows = _fact(bucket, 0), pending.get(bucket)
            segment: CellKey = (
                line.country, line.topic, line.channel, line.handler, line.site, line.subtopic, line.customer_segment,
                line.nature, line.demand, line.outcome, line.complaint,
            )  # fmt: skip
            if attributes:
                segment += cells.attributes_of(line)
            cell = number_of(segment)
            if cell is None:
                cell = cells.number(segment)
            handled = line.handled_seconds or 0
            fact = fact_of_bucket | handled << 2
            totals.contacts += 1
            before: tuple[int, int, int] | Place | None = known.get(identity)
            if before is None and found:
                before = found.get(identity)
            if before is None or before[2] < cutoff:
                known[identity] = (fact, cell, hour)
                totals.open += 1
                if rows is None:
                    rows = pending[bucket] = {}
                row = rows.get(cell)
                if row is None:
                    rows[cell] = [1, handled]
                else:
                    row[0] += 1
                    row[1] += handled
                if line.customer is not None:
                    seen = met.get((bucket, cell))
                    if seen is None:
                        met[bucket, cell] = [hash_of(line.customer)]
                    else:
                        seen.append(hash_of(line.customer))
                continue
            totals.copies += 1
            if (before[0] != fact or before[1] != cell) and not before[0] & _MARKS:
                totals.conflicts += 1
                self._reject(
                    record.offset, "conflict", "contact", "event_id",
                    "counted before with other values; changes are made by amendments",
                    source=line.source, event_id=line.event_id,
                )  # fmt: skip

    def _pass(self, time_ms: int, offset: int) -> None:
        """The log's time moves on."""
        self._append_ms = time_ms
        if self.rules.clock == "wall":
            if time_ms // HOUR_MS > self._hour:
                self._turn_hour(time_ms // HOUR_MS)
            if time_ms >= self._close_ms:
                self._advance(time_ms, offset)

    def _turn_hour(self, hour: int) -> None:
        self._hour = hour
        if self.rules.clock == "wall":
            self._cutoff = max(0, math.ceil(hour - self.rules.horizon_hours))

    def _add(self, bucket: int, cell: int, contacts: int, handled: int) -> None:
        row = self._pending.setdefault(bucket, {}).setdefault(cell, [0, 0])
        row[0] += contacts
        row[1] += handled
        self._totals.open += contacts

    def _other(self, line: Line, offset: int, key: bytes | None, found: dict[bytes, Place]) -> None:
        """A record that is no contact."""
        if isinstance(line, AmendmentLine):
            self._amend(line, offset, identity_of(line, key), found)
        elif isinstance(line, Unreadable):
            self.unreadable += 1
            self._reject(offset, "unreadable", "record", line.field, line.reason)
        elif isinstance(line, KindLine) and self.rules.clock == "data" and line.at is not None:
            self._tick(round(line.at.timestamp() * 1000), offset)

    def _tick(self, at_ms: int, offset: int) -> None:
        if self._next is None:
            self._time_ms = at_ms
            self._open(at_ms // self._bucket_ms)
        elif at_ms > self._time_ms:
            if at_ms >= self._close_ms:
                self._advance(at_ms, offset)
            self._time_ms = at_ms

    def _open(self, bucket: int) -> None:
        self._next = bucket
        self._close_ms = (bucket + 1) * self._bucket_ms + self.rules.delay_seconds * 1000

    def _advance(self, now_ms: int, offset: int) -> None:
        """Close every bucket whose end + delay has come."""
        assert self._next is not None  # noqa: S101
        length, delay = self._bucket_ms, self.rules.delay_seconds * 1000
        first, to = self._next, (now_ms - delay) // length
        if self.rules.clock == "wall":
            # Closed more than one bucket length late: nobody observed it.
            gap_from, gap_to = first, -((delay + length - now_ms) // length) - 1
        elif now_ms - self._time_ms > DAY_MS:
            gap_from, gap_to = max(first, self._time_ms // length + 1), now_ms // length
        else:
            gap_from = gap_to = first
        self._close(offset, first, to, gap_from, min(max(gap_to, gap_from), to))
        self._open(to)

    def _close(self, offset: int, first: int, to: int, gap_from: int, gap_to: int) -> None:
        rows = [
            (bucket, cell, row[0], row[1])
            for bucket in sorted(b for b in self._pending if b < to)
            for cell, row in self._pending.pop(bucket).items()
            if row[0] or row[1]
        ]
        moved = sum(row[2] for row in rows)
        self._totals.open -= moved
        self._totals.counted += moved
        length = self._rows_a_record(rows)
        parts = [rows[i : i + length] for i in range(0, len(rows), length)] or [[]]
        people = customers.told(self._met, to, self._cells, self.rules.dimensions)
        parts += [[]] * (len(people) - len(parts))
        totals = PartitionTotals(**{name: getattr(self._totals, name) for name in _Totals.__slots__})
        for number, (part, who) in enumerate(zip_longest(parts, people)):
            numbers: dict[int, int] = {}
            for row in part:
                numbers.setdefault(row[1], len(numbers))
            self._emit(
                CountsRecord(
                    origin=self._origin(offset),
                    closed_from=first,
                    closed_to=to,
                    gap_from=gap_from,
                    gap_to=gap_to,
                    last=number == len(parts) - 1,
                    additions=Additions(
                        cells=tuple(self._cells.words(cell) for cell in numbers),
                        bucket=tuple(row[0] for row in part),
                        cell=tuple(numbers[row[1]] for row in part),
                        contacts=tuple(row[2] for row in part),
                        handled_seconds=tuple(row[3] for row in part),
                    ),
                    totals=totals,
                    customers=who,
                )
            )

    def _rows_a_record(self, rows: list[tuple[int, int, int, int]]) -> int:
        """How many of these rows a record may hold, whatever the words of their cells are."""
        if len(rows) <= ROWS_ALWAYS:
            return ROWS_ALWAYS
        return RECORD_BYTES // (ROW_BYTES + max(self._cells.size_bytes(cell) for cell in {row[1] for row in rows}))

    def _amend(self, amendment: AmendmentLine, offset: int, identity: bytes, found: dict[bytes, Place]) -> None:
        known, cutoff = self._known.open, self._cutoff
        own = amendment_identity(amendment.source, amendment.amendment_id)
        seen = known.get(own) or found.get(own)
        if seen is not None and seen[2] >= cutoff:
            return
        before = known.get(identity) or found.get(identity)
        if before is None or before[2] < cutoff or before[0] & _VOID:
            if before is not None and before[2] >= cutoff:
                why = "the contact was voided before"
            elif self.rules.clock == "data":
                why = "no contact of this id is known"
            else:
                why = f"no contact of this id is known; they are remembered for {self.rules.horizon_hours:g} hours"
            self._reject(
                offset, "unknown_contact", "amendment", "event_id", why,
                source=amendment.source, event_id=amendment.event_id, amendment_id=amendment.amendment_id,
            )  # fmt: skip
            return  # its id is not used up: sent again, behind its contact, it takes effect
        known[own] = (0, 0, self._hour)
        fact, cell, _ = before[:3]
        bucket = (fact >> _BUCKET_AT) - _BUCKET_ZERO
        handled = fact >> 2 & (1 << _HANDLED_BITS) - 1
        self._add(bucket, cell, -1, -handled)
        if amendment.void:
            self._known.amend(identity, found, fact | _VOID, cell)
            self._totals.voided += 1
            return
        if (changes := amendment.set) is not None:
            if changes.occurred_at is not None:
                bucket = seconds_of(changes.occurred_at) // self.rules.bucket_seconds
            if changes.handled_seconds is not None:
                handled = changes.handled_seconds
            cell = self._cells.amended(cell, changes)
        self._known.amend(identity, found, _fact(bucket, handled, _AMENDED), cell)
        self._add(bucket, cell, 1, handled)

    def _reject(
        self,
        offset: int,
        reason: RejectedReason,
        what: Literal["contact", "amendment", "record"],
        field_name: str,
        why: str,
        **named: Any,
    ) -> None:
        self._emit(
            RejectedRecord(
                reason=reason,
                what=what,
                errors=(FieldError(field=field_name, reason=why[:300]),),
                partition=self.partition,
                offset=offset,
                origin=self._origin(offset),
                **named,
            )
        )

    def _origin(self, offset: int) -> Origin:
        place = self._told[1] if self._told[0] == offset else 0
        self._told = (offset, place + 1)
        return Origin(
            producer=f"counter/{self.partition}", epoch=self.epoch, partition=self.partition, offset=offset, place=place
        )

    def _emit(self, record: LogRecord) -> None:
        self._outputs.append(record)
