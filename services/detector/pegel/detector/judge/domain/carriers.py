"""Which subtopics, channels and handlers carry an excess: what each segment usually has of them, and what came lately.

A kind is a combination of these fields. Contacts are kept by segment and kind in slots of 5 minutes for three hours;
then they become what is usual, which fades over weeks. So what is seen is never compared with itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pegel.detector.judge.domain.explaining import OTHER, Carrier, carried
from pegel.detector.judge.domain.judgement import Floats
from pegel.detector.judge.domain.lines import SMALL_MAX, Row
from pegel.schemas.detection import UNKNOWN

HOUR: Final = 3600
FIELDS: Final = ("subtopic", "channel", "handler")
SLOT_SECONDS: Final = 300
KEPT_SECONDS: Final = 3 * HOUR
MEMORY_HOURS: Final = 28 * 24.0
"""Half of what was usual so long ago is forgotten."""
KINDS_MAX: Final = 2**16 - 1
"""Of all segments together; what comes beyond is `other` in all fields."""
KINDS_OF_SEGMENT_MAX: Final = 32
"""That are remembered as usual: the most frequent; the rest as `other`."""
USUAL_MIN: Final = 0.05
"""Contacts below which a kind that was usual is forgotten."""

Kind = tuple[str | None, ...]
"""Values of FIELDS; None: not said, or the field is a dimension."""


class Excess(NamedTuple):
    """Of a segment in a window: contacts, and how many are expected."""

    segment: int
    observed: float
    expected: float


class _Kinds(NamedTuple):
    """Contacts by segment and kind, in their order."""

    segment: NDArray[np.uint32]
    kind: NDArray[np.uint16]
    contacts: NDArray[np.float32]

    @classmethod
    def added(cls, parts: Iterable["_Kinds"]) -> Self:
        """A row for each segment and kind in these."""
        columns = [np.concatenate(column) for column in zip(NOTHING, *parts, strict=True)]
        keys = columns[0].astype(np.uint64) << np.uint64(16) | columns[1]
        unique, places = np.unique(keys, return_inverse=True)
        sums = _sums(places, columns[2], len(unique)).astype(np.float32)
        return cls((unique >> np.uint64(16)).astype(np.uint32), unique.astype(np.uint16), sums)

    def taken(self, where: NDArray[Any]) -> "_Kinds":
        """The rows that numpy's index chooses."""
        return _Kinds(self.segment[where], self.kind[where], self.contacts[where])


NOTHING: Final = _Kinds(np.zeros(0, dtype=np.uint32), np.zeros(0, dtype=np.uint16), np.zeros(0, dtype=np.float32))


class Carriers:
    """Of all segments, by their numbers. `add` the rows of each bucket."""

    def __init__(self, dimensions: Sequence[str], bucket_seconds: int) -> None:
        self._bucket_seconds = bucket_seconds
        self._slot_seconds = max(SLOT_SECONDS, bucket_seconds)
        self._names = tuple("" if field in dimensions else field for field in FIELDS)
        """A dimension carries nothing within its own segment."""
        self._numbers: dict[Kind, int] = {(OTHER,) * len(FIELDS): 0}
        self._usual = NOTHING
        self._slots: dict[int, list[_Kinds]] = {}
        """Parts of each slot; one part of those that are past."""
        self._now: int | None = None
        """The slot begun last."""

    def add(self, bucket: int, rows: Sequence[Row], segments: Sequence[int]) -> None:
        """Rows of a bucket that was judged just now, or that came late. segments[k]: of rows[k]."""
        slot = bucket * self._bucket_seconds // self._slot_seconds
        if self._now is None or slot > self._now:
            self._begin(slot)
        if not rows or slot <= (self._now or 0) - KEPT_SECONDS // self._slot_seconds:
            return
        a, b, c = self._names
        found = self._numbers.get
        kinds = [found((cell.get(a), cell.get(b), cell.get(c))) for cell, _, _ in rows]
        if None in kinds:
            kinds = [self._number((cell.get(a), cell.get(b), cell.get(c))) for cell, _, _ in rows]
        contacts = np.clip(np.array([row[1] for row in rows], dtype=np.int64), -SMALL_MAX, SMALL_MAX)
        new = _Kinds(np.array(segments, dtype=np.uint32), np.array(kinds, dtype=np.uint16), contacts.astype(np.float32))
        self._slots.setdefault(slot, []).append(new)

    def _number(self, kind: Kind) -> int:
        """Of a kind that may be new."""
        number = self._numbers.get(kind)
        if number is not None:
            return number
        if len(self._numbers) > KINDS_MAX:
            return 0
        self._numbers[kind] = len(self._numbers)
        return self._numbers[kind]

    def _begin(self, slot: int) -> None:
        """A new slot; with a new hour what is too old becomes usual."""
        before, self._now = self._now, slot
        if before is None:
            return
        if before in self._slots:
            self._slots[before] = [_Kinds.added(self._slots[before])]
        hours = slot * self._slot_seconds // HOUR - before * self._slot_seconds // HOUR
        if hours:
            old = sorted(at for at in self._slots if at <= slot - KEPT_SECONDS // self._slot_seconds)
            faded = self._usual._replace(contacts=self._usual.contacts * np.float32(0.5 ** (hours / MEMORY_HOURS)))
            self._usual = _most(_Kinds.added([faded, *(part for at in old for part in self._slots.pop(at))]))

    def of(self, members: Sequence[Excess], end: int, seconds: int) -> tuple[Carrier, ...]:
        """Of a line's segments in a window that ends at `end`: each field that is said, its values by their shares.

        Each segment's contacts are shared out by what came in the window's slots, of its last three hours, and what is
        expected by what is usual there.
        """
        lately: list[_Kinds] = []
        for at, parts in self._slots.items():
            # Of the slot in which the window begins, as much counts as lies in it.
            within = min(1.0, at + 1 - (end - seconds) / self._slot_seconds)
            if within > 0 and at * self._slot_seconds < end:
                lately.extend(part._replace(contacts=part.contacts * np.float32(within)) for part in parts)
        places = max((one.segment for one in members), default=-1) + 1
        observed, expected, mine = np.zeros(places), np.zeros(places), np.zeros(places, dtype=bool)
        for one in members:
            observed[one.segment], expected[one.segment], mine[one.segment] = one.observed, one.expected, True
        seen, its_seen, seen_of = _shares(_Kinds.added(lately), mine)
        usual, its_usual, usual_of = _shares(self._usual, mine)
        # A segment of which nothing came stands aside; where nothing is known to be usual, all is as what is seen.
        known = usual_of > 0
        its_usual = its_usual * np.where(seen_of[usual.segment] > 0, expected[usual.segment], 0.0)
        its_excess = its_seen * (observed - np.where(known, 0.0, expected))[seen.segment]
        its_expected = its_seen * np.where(known, 0.0, expected)[seen.segment]
        count = len(self._numbers)
        normal = _sums(usual.kind, its_usual, count)
        excess = _sums(seen.kind, its_excess, count) - normal
        return self._by_field(excess, normal + _sums(seen.kind, its_expected, count))

    def _by_field(self, excess: Floats, normal: Floats) -> tuple[Carrier, ...]:
        """Both by kind."""
        kinds = list(self._numbers)
        chosen = np.flatnonzero((excess != 0) | (normal != 0)).tolist()
        found: list[Carrier] = []
        for place, name in enumerate(self._names):
            sums: dict[str, float] = {}
            usual: dict[str, float] = {}
            for number in chosen:
                said = kinds[number][place]
                value = UNKNOWN if said is None else said
                sums[value] = sums.get(value, 0.0) + float(excess[number])
                usual[value] = usual.get(value, 0.0) + float(normal[number])
            if name and sums.keys() - {UNKNOWN}:
                found.extend(carried(name, list(sums.items()), usual))
        return tuple(found)

    def state(self) -> dict[str, Any]:
        return {
            "kinds": [list(kind) for kind in self._numbers],
            "usual": list(self._usual),
            "slots": [[at, [list(part) for part in parts]] for at, parts in self._slots.items()],
            "now": self._now,
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        self._numbers = {tuple(kind): number for number, kind in enumerate(tree["kinds"])}
        self._usual = _Kinds(*tree["usual"])
        self._slots = {at: [_Kinds(*part) for part in parts] for at, parts in tree["slots"]}
        self._now = tree["now"]


def _sums(places: NDArray[Any], weights: NDArray[Any], count: int) -> Floats:
    return np.bincount(places, weights=weights, minlength=count).astype(np.float64)


def _shares(kinds: _Kinds, mine: NDArray[np.bool_]) -> tuple[_Kinds, Floats, Floats]:
    """Of these segments: their rows, each row's share of its segment, and contacts by segment."""
    within = kinds.segment < len(mine)
    within[within] = mine[kinds.segment[within]]
    its = kinds.taken(within)
    contacts = np.maximum(its.contacts.astype(np.float64), 0.0)
    sums = _sums(its.segment, contacts, len(mine))
    return its, contacts / np.maximum(sums[its.segment], 1e-9), sums


def _most(kinds: _Kinds) -> _Kinds:
    """Of each segment the most frequent kinds, and the rest of them as `other`."""
    order = np.lexsort((kinds.kind, -kinds.contacts, kinds.segment))
    segment = kinds.segment[order]
    begins = np.flatnonzero(np.concatenate([[True], segment[1:] != segment[:-1]])) if len(segment) else order
    rank = np.arange(len(segment)) - np.repeat(begins, np.diff([*begins, len(segment)]))
    keep = np.sort(order[(rank < KINDS_OF_SEGMENT_MAX) & (kinds.contacts[order] >= USUAL_MIN)])
    rest = order[(rank >= KINDS_OF_SEGMENT_MAX) & (kinds.contacts[order] > 0)]
    if len(keep) == len(order):
        return kinds
    others = _Kinds(kinds.segment[rest], np.zeros(len(rest), dtype=np.uint16), kinds.contacts[rest])
    return _Kinds.added([kinds.taken(keep), others])
