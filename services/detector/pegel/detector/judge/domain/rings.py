"""The last day of counts and of what was expected, and the windows that end now.

A cell is a bucket, or a minute where buckets are shorter. Expected counts are those of the baseline as it was then.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pegel.detector.judge.domain.judgement import Floats, Ints

WINDOW_SECONDS: Final = (900, 3600, 3 * 3600, 6 * 3600, 24 * 3600)
KEPT_SECONDS: Final = 25 * 3600
"""A day, and the hour that is learnt when it is a day old."""
COUNT_MAX: Final = 2**31 - 1
"""What lies beyond in one cell is cut: it holds 32 bits."""


class Rings:
    """Of S segments. Cells are numbered since 1970; those that nobody observed hold nothing."""

    def __init__(self, bucket_seconds: int) -> None:
        self.cell_seconds = max(60, bucket_seconds)
        self.length = KEPT_SECONDS // self.cell_seconds
        self.seconds = tuple(w for w in WINDOW_SECONDS if w >= bucket_seconds)
        self._cells = [max(1, w // self.cell_seconds) for w in self.seconds]
        self._counts = np.zeros((self.length, 0), dtype=np.int32)
        self._expected = np.zeros((self.length, 0), dtype=np.float32)
        self._covered = np.zeros(self.length, dtype=np.float32)
        """Share of a cell that was observed."""
        self.observed_sums = np.zeros((len(self.seconds), 0), dtype=np.int64)
        self.expected_sums = np.zeros((len(self.seconds), 0))
        self.cell: int | None = None
        self.filled = 0

    def add_segments(self, new: int) -> None:
        def wider(array: NDArray[Any]) -> Any:
            return np.concatenate([array, np.zeros((len(array), new), dtype=array.dtype)], axis=1)

        self._counts, self._expected = wider(self._counts), wider(self._expected)
        self.observed_sums, self.expected_sums = wider(self.observed_sums), wider(self.expected_sums)

    def push(self, start: int, seconds: int, observed: Ints, expected: Floats) -> None:
        """A bucket, or a part of a cell."""
        cell = start // self.cell_seconds
        self._go_to(cell)
        at = cell % self.length
        self._covered[at] += seconds / self.cell_seconds
        seen = np.minimum(observed, COUNT_MAX).astype(np.int32)
        normal = expected.astype(np.float32)
        self._counts[at] += seen
        self._expected[at] += normal
        self.observed_sums += seen
        self.expected_sums += normal

    def _go_to(self, cell: int) -> None:
        """Let what is too old leave the windows; what lies between was observed by nobody."""
        if self.cell is None:
            self.cell = cell - 1
        if cell - self.cell > self.length:
            self._counts[:], self._expected[:], self._covered[:] = 0, 0, 0
            self.observed_sums[:], self.expected_sums[:] = 0, 0
            self.cell, self.filled = cell - 1, 0
        while self.cell < cell:
            self.cell += 1
            at = self.cell % self.length
            for row, cells in enumerate(self._cells):
                leaving = (self.cell - cells) % self.length
                self.observed_sums[row] -= self._counts[leaving]
                self.expected_sums[row] -= self._expected[leaving]
            self._counts[at], self._expected[at], self._covered[at] = 0, 0, 0
            self.filled = min(self.filled + 1, self.length)
            if at == 0:  # sums of floats drift: once a turn they are added afresh
                for row, cells in enumerate(self._cells):
                    places = (self.cell - np.arange(cells)) % self.length
                    self.expected_sums[row] = self._expected[places].sum(axis=0, dtype=np.float64)

    def window_seconds(self) -> Ints:
        """Before a window has filled it is as long as what was seen."""
        return np.minimum(np.array(self.seconds, dtype=np.int64), self.filled * self.cell_seconds)

    def hour(self, start: int) -> tuple[Floats, Floats]:
        """Contacts and share observed in an hour that is kept, by slots of 5 minutes: (12, S), (12,).

        A longer cell is spread evenly over its slots.
        """
        first, cells = start // self.cell_seconds, 3600 // self.cell_seconds
        counts = np.zeros((cells, self._counts.shape[1]))
        covered = np.zeros(cells)
        for k in range(cells):
            if self.cell is not None and self.cell - self.length < first + k <= self.cell:
                at = (first + k) % self.length
                counts[k], covered[k] = self._counts[at], self._covered[at]
        if cells >= 12:
            return counts.reshape(12, cells // 12, -1).sum(axis=1), covered.reshape(12, -1).mean(axis=1)
        each = 12 // cells
        return np.repeat(counts / each, each, axis=0), np.repeat(covered, each)

    def add_late(self, start: int, segment: int, contacts: int) -> None:
        """Contacts of a bucket that was judged before."""
        cell = start // self.cell_seconds
        if self.cell is None or not self.cell - self.filled < cell <= self.cell:
            return
        at = cell % self.length
        before = int(self._counts[at, segment])
        after = max(-COUNT_MAX, min(before + contacts, COUNT_MAX))
        self._counts[at, segment] = after
        for row, cells in enumerate(self._cells):
            if self.cell - cell < cells:
                self.observed_sums[row, segment] += after - before

    def take_as_expected(self, start: int, segments: Ints) -> None:
        """What came of these segments since then is no excess any more."""
        if self.cell is None:
            return
        cells = np.arange(max(start // self.cell_seconds, self.cell + 1 - self.filled), self.cell + 1)
        at = np.ix_(cells % self.length, segments)
        self._expected[at] = self._counts[at]
        for row, count in enumerate(self._cells):
            places = (self.cell - np.arange(min(count, self.filled))) % self.length
            self.expected_sums[row, segments] = self._expected[np.ix_(places, segments)].sum(axis=0, dtype=np.float64)

    def recent(self, segments: Ints, seconds: int) -> tuple[Ints, Floats]:
        """Cells of the last `seconds`, oldest first: observed and expected of these segments together."""
        if self.cell is None:
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        count = min(max(1, seconds // self.cell_seconds), self.filled)
        places = (self.cell - np.arange(count)[::-1]) % self.length
        return (
            self._counts[np.ix_(places, segments)].sum(axis=1, dtype=np.int64),
            self._expected[np.ix_(places, segments)].sum(axis=1, dtype=np.float64),
        )

    def since(self, segments: Ints, start: int) -> tuple[Ints, Floats]:
        """Of each of these segments: observed and expected since then, at most in the last 24 h."""
        places = self._since(start)
        return (
            self._counts[np.ix_(places, segments)].sum(axis=0, dtype=np.int64),
            self._expected[np.ix_(places, segments)].sum(axis=0, dtype=np.float64),
        )

    def expect(self, segments: Ints, start: int, times: Floats) -> None:
        """So many times as much should have been expected of each of these segments since then."""
        places = self._since(start)
        self._expected[np.ix_(places, segments)] *= times.astype(np.float32)
        for row, cells in enumerate(self._cells):
            window = ((self.cell or 0) - np.arange(cells)) % self.length
            self.expected_sums[row, segments] = self._expected[np.ix_(window, segments)].sum(axis=0, dtype=np.float64)

    def _since(self, start: int) -> Ints:
        """Places of the cells from then on, oldest first, at most of 24 h."""
        if self.cell is None:
            return np.zeros(0, dtype=np.int64)
        count = min(max(1, self.cell + 1 - start // self.cell_seconds), self.filled, 24 * 3600 // self.cell_seconds)
        return np.asarray((self.cell - np.arange(count)[::-1]) % self.length)

    def state(self) -> dict[str, Any]:
        return {
            "cell": self.cell,
            "filled": self.filled,
            "counts": self._counts.copy(),
            "expected": self._expected.copy(),
            "covered": self._covered.copy(),
            "observed_sums": self.observed_sums.copy(),
            "expected_sums": self.expected_sums.copy(),
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Raises ValueError for a state of other rules."""
        if tree["counts"].shape != self._counts.shape:
            raise ValueError(f"{len(tree['counts'])} cells, not {self.length}: a state of other rules")
        self.cell, self.filled = tree["cell"], tree["filled"]
        self._counts, self._expected, self._covered = tree["counts"], tree["expected"], tree["covered"]
        self.observed_sums, self.expected_sums = tree["observed_sums"], tree["expected_sums"]
