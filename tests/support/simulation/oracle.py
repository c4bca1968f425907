"""What should have come out, told by the plainest code that says it. Shares nothing with the services but the records.

Cells are frozensets of what was said; a contact's identity is its source and event_id.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pegel.eventlog.port import Record

Cell = frozenset[tuple[str, str]]
Place = tuple[int, Cell]
"""Bucket and cell."""
COUNTED = (
    "country", "topic", "channel", "handler", "site", "subtopic", "customer_segment", "nature", "demand", "outcome",
    "complaint",
)  # fmt: skip


class Fenced:
    """A stream as a reader takes it: of each producer no lower epoch than was claimed, and no id twice."""

    def __init__(self) -> None:
        self.taken: list[tuple[int, dict[str, Any]]] = []
        """Offset and record."""
        self.repeated = self.outdated = 0
        """Dropped: ids that were seen; new ids of an old epoch."""
        self._next = 0
        self._epochs: dict[str, int] = {}
        self._last: dict[str, tuple[int, int]] = {}

    def read(self, records: Sequence[Record]) -> "Fenced":
        """Go on with what came since."""
        for record in records[self._next :]:
            value = json.loads(record.value)
            origin = value.get("origin")
            if value["kind"] == "claim":
                producer = value["producer"]
                self._epochs[producer] = max(self._epochs.get(producer, -1), value["epoch"])
            elif origin is None:
                self.taken.append((record.offset, value))
            else:
                producer, output = origin["producer"], (origin["offset"], origin["place"])
                if origin["epoch"] < self._epochs.get(producer, -1) or output <= self._last.get(producer, (-1, -1)):
                    new = output > self._last.get(producer, (-1, -1))
                    self.outdated, self.repeated = self.outdated + new, self.repeated + (not new)
                    continue
                self._last[producer] = output
                self._epochs[producer] = max(self._epochs.get(producer, -1), origin["epoch"])
                self.taken.append((record.offset, value))
        self._next = len(records)
        return self

    def of(self, kind: str) -> Iterable[tuple[int, dict[str, Any]]]:
        return ((offset, value) for offset, value in self.taken if value["kind"] == kind)


@dataclass
class Closing:
    """A partition closes buckets [closed_from, closed_to) at the record at `offset`; rows: what it adds to cells."""

    offset: int
    closed_from: int
    closed_to: int
    gap: tuple[int, int]
    rows: dict[Place, tuple[int, int]]
    totals: dict[str, int]


@dataclass
class Counted:
    """What a partition of contacts comes to. refusals: (reason, source, event_id, amendment_id, offset)."""

    closings: list[Closing] = field(default_factory=list)
    refusals: list[tuple[str, str, str, str | None, int]] = field(default_factory=list)
    identities: set[tuple[str, str]] = field(default_factory=set)
    amendments: set[tuple[str, str]] = field(default_factory=set)
    """All that stand there."""


def seconds_of(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def cell_of(fields: dict[str, Any]) -> Cell:
    said = {name: fields[name] for name in COUNTED if fields.get(name) is not None}
    if "complaint" in said:
        said["complaint"] = "true" if said["complaint"] else "false"
    return frozenset(said.items())


class Counter:
    """Counts a partition of contacts, record by record."""

    def __init__(self, bucket_seconds: int, delay_seconds: int, made_at_ms: int) -> None:
        self.found = Counted()
        self._bucket_seconds = bucket_seconds
        self._length_ms, self._delay_ms = bucket_seconds * 1000, delay_seconds * 1000
        self._open_from = -(-made_at_ms // self._length_ms)
        self._time_ms = 0
        self._known: dict[tuple[str, str], dict[str, Any] | None] = {}
        self._first: dict[tuple[str, str], tuple[int, Cell, int]] = {}
        self._amended: set[tuple[str, str]] = set()
        self._used: set[tuple[str, str]] = set()
        self._pending: dict[Place, list[int]] = defaultdict(lambda: [0, 0])
        self._totals = dict.fromkeys(("contacts", "copies", "conflicts", "voided", "open", "counted"), 0)

    def take(self, record: Record) -> None:
        self._time_ms = max(self._time_ms, record.time_ms)
        to = (self._time_ms - self._delay_ms) // self._length_ms
        if to > self._open_from:
            self._close(record.offset, to)
        value = json.loads(record.value)
        if value["kind"] == "contact":
            self._contact(record.offset, value)
        elif value["kind"] == "amendment":
            self._amend(record.offset, value)

    def _close(self, offset: int, to: int) -> None:
        due = {place: (sums[0], sums[1]) for place, sums in self._pending.items() if place[0] < to}
        for place in due:
            del self._pending[place]
        rows = {place: sums for place, sums in due.items() if sums != (0, 0)}
        moved = sum(sums[0] for sums in rows.values())
        self._totals["open"] -= moved
        self._totals["counted"] += moved
        first, length = self._open_from, self._length_ms
        # Closed more than one bucket length after end + delay: nobody observed it.
        unseen = [b for b in range(first, to) if self._time_ms > (b + 1) * length + self._delay_ms + length]
        gap = (first, first + len(unseen))
        self.found.closings.append(Closing(offset, first, to, gap, rows, dict(self._totals)))
        self._open_from = to

    def _contact(self, offset: int, value: dict[str, Any]) -> None:
        identity = (value["source"], value["event_id"])
        self._totals["contacts"] += 1
        if identity not in self._known:
            self._known[identity], self._first[identity] = value, self._measures(value)
            self.found.identities.add(identity)
            self._add(value, 1)
            return
        self._totals["copies"] += 1
        compared = self._known[identity] is not None and identity not in self._amended
        if compared and self._measures(value) != self._first[identity]:
            self._totals["conflicts"] += 1
            self.found.refusals.append(("conflict", *identity, None, offset))

    def _amend(self, offset: int, value: dict[str, Any]) -> None:
        identity, amendment = (value["source"], value["event_id"]), (value["source"], value["amendment_id"])
        self.found.amendments.add(amendment)
        if amendment in self._used:
            return
        before = self._known.get(identity)
        if before is None:
            self.found.refusals.append(("unknown_contact", *identity, value["amendment_id"], offset))
            return
        self._used.add(amendment)  # one that found no contact is not used up: sent again it may find it
        self._add(before, -1)
        self._amended.add(identity)
        if value.get("void"):
            self._known[identity] = None
            self._totals["voided"] += 1
        else:
            after = {**before, **value["set"]}
            self._known[identity] = after
            self._add(after, 1)

    def _add(self, fields: dict[str, Any], sign: int) -> None:
        bucket, cell, handled = self._measures(fields)
        sums = self._pending[bucket, cell]
        sums[0] += sign
        sums[1] += sign * handled
        self._totals["open"] += sign

    def _measures(self, fields: dict[str, Any]) -> tuple[int, Cell, int]:
        bucket = int(seconds_of(fields["occurred_at"]) // self._bucket_seconds)
        return bucket, cell_of(fields), fields.get("handled_seconds") or 0


def count(records: Sequence[Record], bucket_seconds: int, delay_seconds: int, made_at_ms: int) -> Counted:
    """Count a partition of contacts."""
    counter = Counter(bucket_seconds, delay_seconds, made_at_ms)
    for record in records:
        counter.take(record)
    return counter.found


def rows_of(additions: dict[str, Any]) -> dict[Place, tuple[int, int]]:
    """The additions of a record of counts or windows, summed up."""
    sums: dict[Place, list[int]] = defaultdict(lambda: [0, 0])
    for bucket, cell, contacts, handled in zip(
        additions.get("bucket", ()),
        additions.get("cell", ()),
        additions.get("contacts", ()),
        additions.get("handled_seconds", ()),
        strict=True,
    ):
        row = sums[bucket, frozenset(additions["cells"][cell].items())]
        row[0] += contacts
        row[1] += handled
    return {place: (row[0], row[1]) for place, row in sums.items() if row != [0, 0]}
