"""How many pages there would be at other settings: counted again from the scores of all lines."""

import math
from typing import Final

import numpy as np

from pegel.cli.backtest.running import QUIET_SECONDS, Block, Floats, Ints, Listener, Names, Step

SETTINGS: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
BARS: Final = tuple(-math.log10(setting) for setting in SETTINGS)
NEVER: Final = -(2**60)


class Sensitivity(Listener):
    """Listens to a run. An episode opens at a score of at least -log10(setting), and closes after an hour below.

    One that was open when the history ended is none of the judged buckets', as with the pages.
    """

    def __init__(self, bucket_seconds: int) -> None:
        self._quiet = QUIET_SECONDS // bucket_seconds
        self._segments, self._rollups = _Episodes(self._quiet), _Episodes(self._quiet)
        self._place = 0

    @property
    def pages(self) -> dict[float, int]:
        """Of each setting."""
        return {
            setting: self._segments.opened[number] + self._rollups.opened[number]
            for number, setting in enumerate(SETTINGS)
        }

    def step(self, step: Step, names: Names, *, judged: bool) -> None:  # noqa: ARG002
        if not judged:
            for episodes, lines in ((self._segments, step.segments), (self._rollups, step.rollups)):
                episodes.take(self._place, lines.score[np.newaxis], count=False)
            self._place += 1

    def block(self, block: Block) -> None:
        self._segments.take(self._place, block.segments.score, count=True)
        self._rollups.take(self._place, block.rollups.score, count=True)
        self._place += block.buckets


class _Episodes:
    """Of lines that are added and never leave."""

    def __init__(self, quiet: int) -> None:
        self._quiet = quiet
        self.opened = [0] * len(SETTINGS)
        self._last = [np.zeros(0, dtype=np.int64) for _ in SETTINGS]
        """When each line was last above."""

    def take(self, place: int, score: Floats, *, count: bool) -> None:
        """score: of buckets from `place` on, shape (n, N)."""
        new = score.shape[1] - len(self._last[0])
        if new > 0:
            self._last = [np.concatenate([last, np.full(new, NEVER)]) for last in self._last]
        for number in range(len(SETTINGS)):
            line, bucket = np.nonzero(BARS[number] <= score.T)
            if not len(line):
                continue
            at: Ints = bucket + place
            first = np.concatenate([[True], line[1:] != line[:-1]])
            before = np.concatenate([[0], at[:-1]])
            before[first] = self._last[number][line[first]]
            if count:
                self.opened[number] += int(np.count_nonzero(at - before > self._quiet))
            last = np.concatenate([first[1:], [True]])
            self._last[number][line[last]] = at[last]
