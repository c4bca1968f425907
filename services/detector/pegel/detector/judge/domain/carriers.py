"""Which subtopics, channels and handlers carry an excess: what each segment usually has of them, and what came lately.

A kind is a segment's combination of these fields. Contacts are kept by kind in slots of 5 minutes for three hours; then
they become what is usual, which fades over weeks. So what is seen is never compared with itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pegel.detector.judge.domain.explaining import Carrier, carried
from pegel.detector.judge.domain.judgement import Floats
from pegel.detector.judge.domain.lines import SMALL_MAX, Row
from pegel.schemas.detection import UNKNOWN

FIELDS: Final = ("subtopic", "channel", "handler")
OTHER: Final = "other"
SLOT_SECONDS: Final = 300
KEPT_SECONDS: Final = 3 * 3600
MEMORY_DAYS: Final = 28.0
"""Half of what was usual so long ago is forgotten."""
KINDS_MAX: Final = 32
"""Of a segment; what comes beyond is of kind `other`."""

Kind = tuple[int, str | None, str | None, str | None]
"""Segment's number, and values of FIELDS; None: not said, or the field is a dimension."""


class Excess(NamedTuple):
    """Of a segment in a window: contacts, and how many are expected."""

    segment: int
    observed: float
    expected: float


class _Slot(NamedTuple):
    kind: NDArray[np.uint32]
    contacts: NDArray[np.int32]


class Carriers:
    """Of all segments, by their numbers. `add` the rows of each bucket."""

    def __init__(self, dimensions: Sequence[str], bucket_seconds: int) -> None:
        self._bucket_seconds = bucket_seconds
        self._slot_seconds = max(SLOT_SECONDS, bucket_seconds)
        self._keep = 0.5 ** (self._slot_seconds / (MEMORY_DAYS * 86_400))
        self._names = tuple("" if field in dimensions else field for field in FIELDS)
        """A dimension carries nothing within its own segment."""
        self._numbers: dict[Kind, int] = {}
        self._kinds_of: dict[int, int] = {}
        self._segment_of = np.zeros(0, dtype=np.int64)
        self._usual: Floats = np.zeros(0)
        self._slots: dict[int, _Slot] = {}
        self._now: int | None = None
        """The slot begun last."""
        self._open: dict[int, int] = {}
        """Its contacts by kind."""

    def add(self, bucket: int, rows: Sequence[Row], segments: Sequence[int]) -> None:
        """Rows of a bucket that was judged just now, or that came late. segments[k]: of rows[k]."""
        slot = bucket * self._bucket_seconds // self._slot_seconds
        if self._now is None or slot > self._now:
            self._begin(slot)
        if slot == self._now:
            into = self._open
        elif slot > self._now - KEPT_SECONDS // self._slot_seconds:  # type: ignore[operator]
            into = {}
        else:
            return
        a, b, c = self._names
        numbers = self._numbers
        for segment, (cell, contacts, _) in zip(segments, rows, strict=True):
            get = cell.get
            kind = (segment, get(a), get(b), get(c))
            number = numbers.get(kind)
            if number is None:
                number = self._number(kind)
            into[number] = into.get(number, 0) + contacts
        if into is not self._open and into:
            self._slots[slot] = _joined(self._slots.get(slot), into)

    def _number(self, kind: Kind) -> int:
        """Of a kind that is new."""
        segment = kind[0]
        count = self._kinds_of.get(segment, 0)
        if count >= KINDS_MAX:
            other = self._numbers.get((segment, *_OTHER_VALUES))
            if other is not None:
                return other
            kind = (segment, *_OTHER_VALUES)
        self._kinds_of[segment] = count + 1
        self._numbers[kind] = len(self._numbers)
        return self._numbers[kind]

    def _begin(self, slot: int) -> None:
        """A new slot: what is too old becomes usual."""
        if self._now is not None and self._open:
            self._slots[self._now] = _joined(self._slots.get(self._now), self._open)
        passed = 0 if self._now is None else slot - self._now
        self._now, self._open = slot, {}
        self._grow()
        self._usual *= self._keep**passed
        for old in [at for at in self._slots if at <= slot - KEPT_SECONDS // self._slot_seconds]:
            np.add.at(self._usual, self._slots[old].kind, self._slots[old].contacts)
            del self._slots[old]

    def _grow(self) -> None:
        known, count = len(self._usual), len(self._numbers)
        if count > known:
            new = np.array([kind[0] for kind in list(self._numbers)[known:]], dtype=np.int64)
            self._segment_of = np.concatenate([self._segment_of, new])
            self._usual = np.concatenate([self._usual, np.zeros(count - known)])

    def of(self, members: Sequence[Excess], end: int, seconds: int) -> tuple[Carrier, ...]:
        """Of a line's segments in a window that ends at `end`: each field that is said, its values by their shares.

        Each segment's contacts are shared out by what came in the window's slots, of its last three hours, and what is
        expected by what is usual there.
        """
        self._grow()
        count = len(self._usual)
        seen = np.zeros(count)
        for slot, its in [*self._slots.items(), (self._now or 0, _of(self._open))]:
            if end - seconds < (slot + 1) * self._slot_seconds and slot * self._slot_seconds < end:
                np.add.at(seen, its.kind, its.contacts)
        seen = np.maximum(seen, 0.0)
        places = max([int(self._segment_of.max(initial=-1)), *(one.segment for one in members)], default=-1) + 1
        observed, expected = np.zeros(places), np.zeros(places)
        for one in members:
            observed[one.segment], expected[one.segment] = one.observed, one.expected
        normal = np.maximum(self._usual, 0.0)
        seen_of, normal_of = (np.bincount(self._segment_of, weights=w, minlength=places) for w in (seen, normal))
        of = self._segment_of
        lately = seen / np.maximum(seen_of[of], 1e-9)
        # Where nothing is known to be usual, the usual is taken to be as what is seen.
        usually = np.where(normal_of[of] > 0, normal / np.maximum(normal_of[of], 1e-9), lately)
        expecting = expected[of] * usually
        excess = np.where(seen_of[of] > 0, observed[of] * lately - expecting, 0.0)
        chosen = np.flatnonzero((excess != 0) | (expecting != 0)).tolist()
        kinds = list(self._numbers)
        found: list[Carrier] = []
        for place, name in enumerate(self._names):
            if not name:
                continue
            sums: dict[str, float] = {}
            usual: dict[str, float] = {}
            said = False
            for number in chosen:
                value = kinds[number][1:][place]
                said = said or value is not None
                value = UNKNOWN if value is None else value
                sums[value] = sums.get(value, 0.0) + float(excess[number])
                usual[value] = usual.get(value, 0.0) + float(expecting[number])
            if said:
                found.extend(carried(name, list(sums.items()), usual))
        return tuple(found)

    def state(self) -> dict[str, Any]:
        self._grow()
        return {
            "kinds": [list(kind) for kind in self._numbers],
            "usual": self._usual.copy(),
            "slots": [[at, *slot] for at, slot in self._slots.items()],
            "now": self._now,
            "open": [list(self._open), list(self._open.values())],
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        self._numbers = {(kind[0], kind[1], kind[2], kind[3]): n for n, kind in enumerate(tree["kinds"])}
        for segment, *_ in self._numbers:
            self._kinds_of[segment] = self._kinds_of.get(segment, 0) + 1
        self._grow()
        self._usual = tree["usual"]
        self._slots = {at: _Slot(kind, contacts) for at, kind, contacts in tree["slots"]}
        self._now, self._open = tree["now"], dict(zip(*tree["open"], strict=True))


_OTHER_VALUES: Final = (OTHER, OTHER, OTHER)


def _of(contacts: Mapping[int, int]) -> _Slot:
    amounts = np.clip(np.array(list(contacts.values()), dtype=np.int64), -SMALL_MAX, SMALL_MAX)
    return _Slot(np.array(list(contacts), dtype=np.uint32), amounts.astype(np.int32))


def _joined(before: _Slot | None, more: Mapping[int, int]) -> _Slot:
    """Kinds may stand twice in a slot: they are added up where they are used."""
    new = _of(more)
    if before is None:
        return new
    return _Slot(np.concatenate([before.kind, new.kind]), np.concatenate([before.contacts, new.contacts]))
