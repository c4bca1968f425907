"""From evidence to a promise: how many false pages a week there would be if as much evidence paged.

Measured on simulated banks: how often evidence of at least x came up on 180 segments, and on 28 roll-ups, where nothing
was wrong. Log-linear between the points and beyond. Lines are looked at one by one, so twice as many have twice as many
false pages.
"""

from typing import Final, NamedTuple

import numpy as np

from pegel.detector.judge.domain.judgement import Floats

MEASURED_SEGMENTS, MEASURED_ROLLUPS = 180, 28
LADDER: Final = np.array([100.0, 50.0, 20.0, 10.0, 5.0, 2.0, 1.0, 0.3])
"""False pages a week at the evidence below."""


class Scale(NamedTuple):
    """evidence[k] gives LADDER[k] false pages a week on `lines` lines; share: of the budget, as log10."""

    evidence: Floats
    lines: int
    share: float

    def score(self, evidence: Floats, lines: int) -> Floats:
        """-log10 of false pages a week of the whole installation, which has so many lines of this kind."""
        x, y = self.evidence, -np.log10(LADDER)
        inner = np.interp(evidence, x, y)
        below = y[0] + (evidence - x[0]) * (y[1] - y[0]) / (x[1] - x[0])
        above = y[-1] + (evidence - x[-1]) * (y[-1] - y[-3]) / (x[-1] - x[-3])
        scaled = np.where(evidence < x[0], below, np.where(evidence > x[-1], above, inner))
        return np.asarray(scaled - np.log10(max(lines, 1) / self.lines) - self.share)


SEGMENTS_SHARE: Final = 0.888
"""Of the promise; the rest is the roll-ups'. Most incidents are of one segment (measured: benchmarks)."""
SEGMENTS: Final = Scale(
    np.array([6.24, 6.81, 7.65, 8.35, 9.22, 10.63, 12.82, 19.0]), MEASURED_SEGMENTS, -np.log10(SEGMENTS_SHARE)
)
ROLLUPS: Final = Scale(
    np.array([3.53, 4.22, 5.14, 5.92, 6.79, 8.34, 9.97, 15.6]), MEASURED_ROLLUPS, -np.log10(1 - SEGMENTS_SHARE)
)
