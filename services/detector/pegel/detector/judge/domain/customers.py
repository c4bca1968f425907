"""Who contacted lately: hashes of customers by segment, to tell many customers from one who calls 29 times.

The last three hours are kept of every segment, and a day of those in which few contact. What is not known any more is
remembered as such, so that an answer says whether it is whole. No hash leaves this module but in the judge's snapshot.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from math import sqrt
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pegel.detector.judge.domain.judgement import Windows
from pegel.detector.judge.domain.lines import CustomersLine
from pegel.schemas.detection import CUSTOMERS_MAX, HASH_BYTES

HOUR: Final = 3600
KEPT_SECONDS: Final = 3 * HOUR
QUIET_SECONDS: Final = 24 * HOUR
QUIET_MAX: Final = 24
"""A segment with so few is kept for QUIET_SECONDS."""
KEPT_MAX: Final = 2_000
"""Of one segment: with more, the older half of its time is forgotten."""
FEW: Final = 2
"""So many customers more than are expected are no spike, however often they come."""
BAND: Final = 1.96
AGAIN_MAX: Final = 0.8
"""More of all contacts are not taken to be usually repeated ones."""
MEMORY_HOURS: Final = 14 * 24.0
"""Of how many contacts are usually repeated ones."""

Segment = tuple[str, ...]
Numbers = NDArray[np.uint32]


class Known(NamedTuple):
    """Of a line's window: distinct customers, contacts that say theirs, and whether all of them are still known.

    apart: the customers of each of its segments, added up.
    """

    customers: int
    apart: int
    contacts: int
    whole: bool


class _Met(NamedTuple):
    """Of one bucket: a row for each customer of a segment; and a row for each segment of the contacts beyond that."""

    segment: Numbers
    hash: Numbers
    again_segment: Numbers
    again: Numbers


NOBODY: Final = np.zeros(0, dtype=np.uint32)
HASHES: Final = np.uint64(2**32 - 1)


def _pairs(met: _Met) -> NDArray[np.uint64]:
    """Segment and hash in one number."""
    return met.segment.astype(np.uint64) << np.uint64(32) | met.hash


class Customers:
    """Of all segments, by their numbers. `take` what counts says, `enter` it when its bucket is judged or late."""

    def __init__(self, bucket_seconds: int) -> None:
        self._bucket_seconds = bucket_seconds
        self._waiting: dict[int, list[tuple[list[Segment], list[int], list[bytes]]]] = {}
        """By bucket, what is not judged yet: columns of parts of records, of all partitions."""
        self._met: dict[int, _Met] = {}
        self._forgotten_to = np.zeros(0, dtype=np.int64)
        """The bucket, by segment, before which not everything is known."""
        self._usual = np.zeros(2)
        """Fading sums over hours: repeated contacts, and all that say their customer."""
        self._hour: int | None = None

    def take(self, rows: CustomersLine | None) -> None:
        """What a record of counts says: mostly of one bucket."""
        if rows is None or not rows.bucket:
            return
        cuts = [0, *(n for n in range(1, len(rows.bucket)) if rows.bucket[n] != rows.bucket[n - 1]), len(rows.bucket)]
        for first, end in pairwise(cuts):
            part = (rows.segment[first:end], rows.contacts[first:end], rows.hashes[first:end])
            self._waiting.setdefault(rows.bucket[first], []).append(part)

    def waiting(self, before: int) -> list[int]:
        """Buckets before this one that were taken and not entered."""
        return sorted(bucket for bucket in self._waiting if bucket < before)

    def drop(self, bucket: int) -> None:
        """It stands in no window: nobody observed it, or it is of before the log's first."""
        self._waiting.pop(bucket, None)

    def enter(self, bucket: int, now: int, number_of: Callable[[Segment], int]) -> None:
        """A bucket's customers count from here on. now: the bucket judged last."""
        self._grow_old(now)
        rows = self._waiting.pop(bucket, None)
        if rows is None or bucket <= now - QUIET_SECONDS // self._bucket_seconds:
            return
        numbers = np.array([number_of(segment) for part, _, _ in rows for segment in part], dtype=np.uint32)
        hashes = [one for _, _, part in rows for one in part]
        customers = np.array([len(one) for one in hashes], dtype=np.int64) // HASH_BYTES
        again = np.array([contacts for _, part, _ in rows for contacts in part], dtype=np.int64) - customers
        more = again > 0
        new = _Met(
            np.repeat(numbers, customers),
            # A quarter of a million customers are told apart in 32 bits but for some seven.
            np.frombuffer(b"".join(hashes), dtype="<u8").astype(np.uint32),
            numbers[more],
            again[more].astype(np.uint32),
        )
        before = self._met.get(bucket)
        self._met[bucket] = new if before is None else _Met(*map(np.concatenate, zip(before, new, strict=True)))
        missing = int(numbers.max()) + 1 - len(self._forgotten_to)
        if missing > 0:
            self._forgotten_to = np.concatenate([self._forgotten_to, np.zeros(missing, dtype=np.int64)])
        full = numbers[customers >= CUSTOMERS_MAX]  # there were more: of this bucket not all are known
        self._forgotten_to[full] = np.maximum(self._forgotten_to[full], bucket + 1)

    def known(self, segments: Sequence[int], end: int, seconds: int) -> Known:
        """Of a line's segments in a window that ends at `end` (seconds since 1970)."""
        to = end // self._bucket_seconds
        first = to - max(1, seconds // self._bucket_seconds)
        its = np.array(segments, dtype=np.int64)
        mine = np.zeros(max(len(self._forgotten_to), int(its.max(initial=0)) + 1), dtype=bool)
        mine[its] = True
        its = its[its < len(self._forgotten_to)]
        seen, contacts = [NOBODY.astype(np.uint64)], 0
        for bucket in range(first, to):
            if (met := self._met.get(bucket)) is not None:
                found = _pairs(met)[mine[met.segment]]
                seen.append(found)
                contacts += len(found) + int(met.again[mine[met.again_segment]].sum())
        apart = np.unique(np.concatenate(seen))
        customers = len(np.unique(apart & HASHES))
        return Known(customers, len(apart), contacts, bool((self._forgotten_to[its] <= first).all()))

    def are_few(self, segments: Sequence[int], end: int, windows: Windows, window: int) -> bool:
        """Whether a window is out of the ordinary by customers who came again and again, and not without these.

        Each customer stands for as many contacts as is usual, and who says none for one. False where contacts don't say
        their customer, or not all that did are known.
        """
        known = self.known(segments, end, int(windows.seconds[window]))
        if not known.whole or not known.contacts:
            return False
        observed, expected = int(windows.observed[window]), float(windows.expected[window])
        each = 1 / (1 - min(AGAIN_MAX, float(self._usual[0] / self._usual[1]) if self._usual[1] else 0.0))
        again = max(0.0, known.contacts - each * known.apart)
        upper = expected + BAND * sqrt(float(windows.variance[window]))
        return observed - again <= max(upper, expected + FEW * each)

    def _grow_old(self, now: int) -> None:
        """Once an hour: learn how many come again within three hours, and forget what is old."""
        hour = now * self._bucket_seconds // HOUR
        if self._hour == hour:
            return
        passed, self._hour = hour - (hour if self._hour is None else self._hour), hour
        each = self._bucket_seconds
        recent = [bucket for bucket in self._met if bucket > now - KEPT_SECONDS // each]
        pairs = [_pairs(self._met[b]) for b in recent]
        customers = len(np.unique(np.concatenate(pairs))) if pairs else 0
        contacts = sum(map(len, pairs)) + sum(int(self._met[b].again.sum()) for b in recent)
        fade = 0.5 ** (max(0, passed) / MEMORY_HOURS)
        self._usual = fade * self._usual + [contacts - customers, contacts]
        self._met = {b: met for b, met in self._met.items() if b > now - QUIET_SECONDS // each}
        kept = KEPT_SECONDS
        self._forget(self._many() > QUIET_MAX, now + 1 - kept // each)
        while kept > each and (too_many := self._many() > KEPT_MAX).any():
            kept //= 2
            self._forget(too_many, now + 1 - kept // each)

    def _many(self) -> NDArray[np.int64]:
        """How many are kept of each segment."""
        segments = np.concatenate([NOBODY, *(met.segment for met in self._met.values())])
        return np.bincount(segments, minlength=len(self._forgotten_to))

    def _forget(self, segments: NDArray[np.bool_], before: int) -> None:
        """What was before this bucket, of these segments."""
        if not segments.any():
            return
        self._forgotten_to[segments] = np.maximum(self._forgotten_to[segments], max(0, before))
        for bucket in [b for b in self._met if b < before]:
            met = self._met.pop(bucket)
            one, two = ~segments[met.segment], ~segments[met.again_segment]
            if one.any():
                self._met[bucket] = _Met(met.segment[one], met.hash[one], met.again_segment[two], met.again[two])

    def state(self) -> dict[str, Any]:
        return {
            "waiting": [[bucket, list(parts)] for bucket, parts in self._waiting.items()],
            "met": [[bucket, *met] for bucket, met in self._met.items()],
            "forgotten_to": self._forgotten_to.copy(),
            "usual": self._usual.copy(),
            "hour": self._hour,
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        self._waiting = {
            bucket: [([tuple(one) for one in segments], contacts, hashes) for segments, contacts, hashes in parts]
            for bucket, parts in tree["waiting"]
        }
        self._met = {bucket: _Met(*met) for bucket, *met in tree["met"]}
        self._forgotten_to, self._usual, self._hour = tree["forgotten_to"], tree["usual"], tree["hour"]
