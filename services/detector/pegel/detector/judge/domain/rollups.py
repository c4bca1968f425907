"""Roll-ups: a segment with dimensions left out. They add the segments' evidence, not their counts."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from pegel.detector.judge.domain.judgement import Floats, Ints, Lines

ALL: Final = "*"
"""The value of a dimension that a roll-up leaves out."""


class RollUps:
    """Each value of each dimension over all others, and everything: R names for S segments of the same dimensions.

    With one dimension there is everything only. They grow with the segments and never leave.
    """

    def __init__(self) -> None:
        self.names: list[tuple[str, ...]] = []
        self._numbers: dict[tuple[str, ...], int] = {}
        self._groups: list[list[int]] = []
        """groups[d][s]: the roll-up of segment s by its value of dimension d; the last of them is everything."""
        self._arrays: list[Ints] = []

    def add_segments(self, segments: Sequence[tuple[str, ...]]) -> None:
        for segment in segments:
            places = range(len(segment)) if len(segment) > 1 else range(0)
            names = [tuple(v if d == place else ALL for d, v in enumerate(segment)) for place in places]
            names.append((ALL,) * len(segment))
            while len(self._groups) < len(names):
                self._groups.append([])
            for group, name in zip(self._groups, names, strict=True):
                if name not in self._numbers:
                    self._numbers[name] = len(self.names)
                    self.names.append(name)
                group.append(self._numbers[name])
        self._arrays = [np.array(group, dtype=np.int64) for group in self._groups]

    def sums(self, values: Sequence[Floats], other_at: int | None = None) -> Floats:
        """Added up by roll-up: K arrays of (..., S) give (..., R). The order of addition is that of the segments.

        values: one for all, or two: the second for the roll-ups by the dimension `other_at`.
        """
        count = len(self.names)
        rows = [np.atleast_2d(one) for one in values]
        out = np.zeros((len(rows[0]), count))
        for place, group in enumerate(self._arrays):
            of = rows[-1] if place == other_at else rows[0]
            for number, row in enumerate(of):
                out[number] += np.bincount(group, weights=row, minlength=count)
        return out

    def members(self, number: int) -> Ints:
        """The segments of a roll-up, in order."""
        for group in self._arrays:
            found = np.flatnonzero(group == number)
            if len(found):
                return found
        return np.zeros(0, dtype=np.int64)

    def like(self, dimension: int) -> Ints:
        """Which roll-up by this dimension each segment belongs to, (S,)."""
        return self._arrays[dimension]


def no_rollups() -> Lines:
    """Of a detector that has none."""
    return Lines((), *(np.zeros(0) for _ in range(3)))
