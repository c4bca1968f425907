"""Counts the contacts of one partition: exact de-duplication, amendments, buckets that close by the log's time."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final, Literal, NamedTuple

import msgspec

from pegel.detector.counter.domain.cells import AmendmentLine, Cells, ContactLine
from pegel.schemas.base import LogRecord, Origin
from pegel.schemas.detection import Additions, CountsRecord, PartitionTotals
from pegel.schemas.rejected import FieldError, RejectedReason, RejectedRecord

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
ROWS_MAX: Final = 2_500
"""Rows of additions a record: 2,500 of some 150 bytes stay below the 512 KiB of a record."""


class In(NamedTuple):
    """A record of contacts as the counter takes it."""

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


class _Counted(NamedTuple):
    """What a contact was counted as."""

    bucket: int
    cell: int
    handled_seconds: int
    amended: bool


@dataclass(slots=True)
class _Totals:
    contacts: int = 0
    copies: int = 0
    conflicts: int = 0
    voided: int = 0
    open: int = 0
    counted: int = 0


class _Kind(msgspec.Struct):
    kind: str
    v: int = 1
    at: datetime | None = None


_kind = msgspec.json.Decoder(_Kind)
_contact = msgspec.json.Decoder(ContactLine)
_amendment = msgspec.json.Decoder(AmendmentLine)
_CONTACT_HEAD: Final = b'{"kind":"contact","v":1,'


@dataclass(slots=True)
class PartitionCounter:
    """The state of one partition. Feed `apply` the partition's records in order; a replay gives the same outputs."""

    partition: int
    epoch: int
    rules: Rules
    _cells: Cells = field(init=False)
    _known: dict[bytes, _Counted | None] = field(init=False, default_factory=dict)
    _hours: deque[tuple[int, list[bytes]]] = field(init=False, default_factory=deque)
    _amendments: dict[tuple[str, str], None] = field(init=False, default_factory=dict)
    _pending: dict[int, dict[int, list[int]]] = field(init=False, default_factory=dict)
    _time_ms: int = field(init=False, default=0)
    _append_ms: int = field(init=False, default=0)
    _next: int | None = field(init=False, default=None)
    """The first bucket that is still open; None until time is known."""
    _close_ms: int = field(init=False, default=0)
    """The time from which that bucket may be closed."""
    _totals: _Totals = field(init=False, default_factory=_Totals)
    _outputs: list[LogRecord] = field(init=False, default_factory=list)
    _place: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._cells = Cells(self.rules.dimensions)
        if self.rules.clock == "wall":
            # The first bucket judged is the first that begins after the log was made.
            self._open(-(-self.rules.made_at_ms // self._bucket_ms))

    @property
    def _bucket_ms(self) -> int:
        return self.rules.bucket_seconds * 1000

    @property
    def read(self) -> tuple[int, int]:
        """Contacts read so far, and how many of them were copies."""
        return self._totals.contacts, self._totals.copies

    def apply(self, records: Iterable[In]) -> list[LogRecord]:
        """Take records in order; returns CountsRecord and RejectedRecord in the order they arose."""
        wall = self.rules.clock == "wall"
        bucket_seconds = self.rules.bucket_seconds
        known, totals, cells = self._known, self._totals, self._cells
        hour_keys: list[bytes] = self._hours[-1][1] if self._hours else []
        for offset, time_ms, key, value in records:
            self._place = 0
            if time_ms > self._append_ms:
                self._append_ms = time_ms
                if not self._hours or time_ms // HOUR_MS > self._hours[-1][0]:
                    hour_keys = self._turn_hour(time_ms // HOUR_MS)
                if wall and time_ms >= self._close_ms:
                    self._advance(time_ms, offset)
            contact = self._contact(offset, key, value)
            if contact is None:
                continue
            identity = key if key is not None and len(key) == 16 else identity_of(contact.source, contact.event_id)
            bucket = int(contact.occurred_at.timestamp()) // bucket_seconds
            cell = cells.of(contact)
            handled = contact.handled_seconds or 0
            totals.contacts += 1
            before = known.get(identity)
            if before is None and identity not in known:
                known[identity] = _Counted(bucket, cell, handled, False)
                hour_keys.append(identity)
                self._add(bucket, cell, 1, handled)
                continue
            totals.copies += 1
            if before is not None and not before.amended and before[:3] != (bucket, cell, handled):
                totals.conflicts += 1
                self._reject(
                    offset, "conflict", "contact", "event_id",
                    "counted before with other values; changes are made by amendments",
                    source=contact.source, event_id=contact.event_id,
                )  # fmt: skip
        outputs, self._outputs = self._outputs, []
        return outputs

    def _add(self, bucket: int, cell: int, contacts: int, handled: int) -> None:
        row = self._pending.setdefault(bucket, {}).setdefault(cell, [0, 0])
        row[0] += contacts
        row[1] += handled
        self._totals.open += contacts

    def _contact(self, offset: int, key: bytes | None, value: bytes) -> ContactLine | None:
        """The record as a contact; None when it was something else (a tick, an amendment) or can't be read."""
        try:
            if value.startswith(_CONTACT_HEAD):
                return _contact.decode(value)
            head = _kind.decode(value)
            if head.v != 1:
                self._reject(offset, "unreadable", "record", "v", f"version {head.v} is not known")
            elif head.kind == "contact":
                return _contact.decode(value)
            elif head.kind == "tick":
                if self.rules.clock == "data" and head.at is not None:
                    self._tick(round(head.at.timestamp() * 1000), offset)
            elif head.kind == "amendment":
                self._amend(_amendment.decode(value), offset, key)
            else:
                self._reject(offset, "unreadable", "record", "kind", "this kind does not belong on contacts")
        except msgspec.DecodeError as error:
            self._reject(offset, "unreadable", "record", "record", str(error))
        return None

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
        parts = [rows[i : i + ROWS_MAX] for i in range(0, len(rows), ROWS_MAX)] or [[]]
        totals = PartitionTotals(**{name: getattr(self._totals, name) for name in _Totals.__slots__})
        for number, part in enumerate(parts):
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
                )
            )

    def _amend(self, amendment: AmendmentLine, offset: int, key: bytes | None) -> None:
        named = {"source": amendment.source, "event_id": amendment.event_id, "amendment_id": amendment.amendment_id}
        if (amendment.source, amendment.amendment_id) in self._amendments:
            return
        self._amendments[amendment.source, amendment.amendment_id] = None
        identity = key if key is not None and len(key) == 16 else identity_of(amendment.source, amendment.event_id)
        before = self._known.get(identity)
        if before is None:
            reason = "the contact was voided before" if identity in self._known else "no contact of this id is known"
            self._reject(offset, "unknown_contact", "amendment", "event_id", reason, **named)
            return
        self._add(before.bucket, before.cell, -1, -before.handled_seconds)
        if amendment.void:
            self._known[identity] = None
            self._totals.voided += 1
            return
        changes = amendment.set or {}
        bucket, handled = before.bucket, changes.get("handled_seconds", before.handled_seconds)
        if "occurred_at" in changes:
            at = datetime.fromisoformat(changes["occurred_at"])
            bucket = int(at.timestamp()) // self.rules.bucket_seconds
        after = _Counted(bucket, self._cells.amended(before.cell, changes), handled, True)
        self._known[identity] = after
        self._add(after.bucket, after.cell, 1, after.handled_seconds)

    def _turn_hour(self, hour: int) -> list[bytes]:
        """Begin an hour of append time, and forget what lies beyond the horizon (data mode: nothing does)."""
        if self.rules.clock == "wall":
            while self._hours and self._hours[0][0] < hour - self.rules.horizon_hours:
                for identity in self._hours.popleft()[1]:
                    self._known.pop(identity, None)
        self._hours.append((hour, []))
        return self._hours[-1][1]

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
        origin = Origin(
            producer=f"counter/{self.partition}",
            epoch=self.epoch,
            partition=self.partition,
            offset=offset,
            place=self._place,
        )
        self._place += 1
        return origin

    def _emit(self, record: LogRecord) -> None:
        self._outputs.append(record)


def identity_of(source: str, event_id: str) -> bytes:
    """(source, event_id) on 128 bits, as ingest keys contacts (pegel.eventlog.keys)."""
    return blake2b(f"{source}\0{event_id}".encode(), digest_size=16).digest()
