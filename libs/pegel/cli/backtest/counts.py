"""Counted buckets of a file, one after another, as the models are given them."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

WHOLE_DIMENSIONS: Final = ("segment",)
WHOLE: Final = ("all",)
"""The one segment of a file that is not taken apart: a single series has no column that names it."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted. first: number of the first bucket since 1970; buckets without contacts are zeros.

    names: segments in the order in which they were first counted, those of one bucket by name. known: how many of them
    are known with each bucket. Counts are kept sparsely: those of the bucket at `place` are contacts[begin:end] of
    segment[begin:end], where begin, end = starts[place], starts[place + 1].
    """

    bucket_seconds: int
    dimensions: tuple[str, ...]
    first: int
    names: tuple[tuple[str, ...], ...]
    known: NDArray[np.int64]
    starts: NDArray[np.int64]
    segment: NDArray[np.int64]
    contacts: NDArray[np.int64]

    @property
    def buckets(self) -> int:
        return len(self.known)

    @property
    def start(self) -> int:
        return self.first * self.bucket_seconds

    @property
    def end(self) -> int:
        return (self.first + self.buckets) * self.bucket_seconds

    @property
    def total(self) -> int:
        return int(self.contacts.sum())

    def observed(self, place: int) -> NDArray[np.int64]:
        """Contacts of the segments known by then."""
        row = np.zeros(self.known[place], dtype=np.int64)
        here = slice(self.starts[place], self.starts[place + 1])
        row[self.segment[here]] = self.contacts[here]
        return row


def counted(
    bucket_seconds: int,
    dimensions: tuple[str, ...],
    bucket: NDArray[np.int64],
    code: NDArray[np.int64],
    contacts: NDArray[np.int64],
    names: list[tuple[str, ...]],
) -> Counts:
    """From one count a bucket and segment, in order of bucket and then of code. names: of the codes; each occurs."""
    first, last = int(bucket[0]), int(bucket[-1])
    earliest = np.full(len(names), len(code), dtype=np.int64)
    earliest[code[::-1]] = np.arange(len(code))[::-1]  # of several places the first is written last
    order = np.argsort(earliest, kind="stable")
    number = np.zeros(len(names), dtype=np.int64)
    number[order] = np.arange(len(order))
    places = np.arange(first, last + 2)
    return Counts(
        bucket_seconds=bucket_seconds,
        dimensions=dimensions,
        first=first,
        names=tuple(names[its] for its in order.tolist()),
        known=np.searchsorted(bucket[earliest[order]], places[:-1], side="right"),
        starts=np.searchsorted(bucket, places),
        segment=number[code],
        contacts=contacts,
    )
