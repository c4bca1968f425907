"""Evidence that a line is above its baseline: a mixture e-detector on negative-binomial counts.

For each lift theta, M <- (1 + M) NB(y; theta m) / NB(y; m): the average over all possible onsets of the likelihood
ratio since then (Shin, Ramdas and Rinaldo, E-detectors, 2022); m is the baseline and a margin for what is not known of
it. The score is log mean M over the lifts. A path that has fallen from its peak begins again: the incident is over.
"""

from typing import Final

import numpy as np

from pegel.detector.judge.domain.judgement import Floats

LIFTS: Final = np.array([1.1, 1.2, 1.35, 1.6, 2.2, 3.5, 6.0])[:, None]
LOG_LIFTS: Final = np.log(LIFTS)
FALL: Final = 4.0
"""By so much below its peak a line begins again."""
MEMORY_STEPS: Final = 864.0
NOTHING: Final = -50.0
CLIP: Final = 1.5
"""What one segment adds to a roll-up in one step, at most: it takes several to be one."""


def increments(observed: Floats, expected: Floats, size: Floats) -> Floats:
    """log NB(y; theta m) / NB(y; m) for each lift, (L, S). size: of the negative binomial, variance m + m^2 / size."""
    common = np.log((size + expected) / (size + LIFTS * expected))
    return np.asarray(observed * (LOG_LIFTS + common) + size * common)


def added(paths: Floats, increment: Floats, steps: float) -> Floats:
    """The paths (log M, (L, N)) after `steps` (a part of one, while it lasts) with these increments."""
    kept = np.where(paths > 0, paths * np.exp(-steps / MEMORY_STEPS), paths)
    return np.asarray(np.where(kept < 30, np.log1p(np.exp(np.minimum(kept, 30))), kept) + increment)


def begun_again(paths: Floats, peaks: Floats) -> None:
    """Note the peaks of the score, (N,), and let lines that fell far from theirs begin again, both in place."""
    now = score(paths)
    np.maximum(peaks, now, out=peaks)
    over = (peaks - now > FALL) & (peaks > 0)
    paths[:, over] = np.minimum(paths[:, over], 0.0)
    peaks[over] = np.minimum(now[over], 0.0)


def score(paths: Floats) -> Floats:
    """log of the mean over the lifts, (N,)."""
    top = paths.max(axis=0)
    return np.asarray(top + np.log(np.exp(paths - top).mean(axis=0)))
