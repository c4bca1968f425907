"""Spikes: episodes in which a segment is above its baseline beyond chance: opened, updated, resolved."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from pegel.detector.judge.domain.judgement import Floats, Ints

OPEN_SCORE: Final = 7.5
"""-log10 of the tail probability at which a spike opens: with 180 segments and 3 windows a minute about one false one a
week by chance; the promise in false pages a week is the issue Detection's."""
CLOSE_SCORE: Final = 3.0
"""Below this for CLOSE_SECONDS it is over: hysteresis, so that it does not flap."""
CLOSE_SECONDS: Final = 3600
EXCESS_MIN: Final = 5.0
"""Contacts in the most telling window beyond what was expected."""
GROWN: Final = 1.25
"""An update is written when the excess has grown by a quarter since the last."""


@dataclass(slots=True)
class Spike:
    """A spike that is up. Times in seconds since 1970; counts since the onset."""

    spike_id: str
    row: int
    opened_at: int
    onset: int
    observed: int
    expected: float
    told_excess: float
    last_above: int
    window_seconds: int
    window_observed: int
    window_expected: float
    score: float


def onset_of(observed: Ints, expected: Floats) -> int:
    """How many of these buckets (oldest first, the last one just judged) belong to the rise, at least 1.

    The rise begins after the lowest point of the cumulative sum of observed minus expected (Page, Continuous Inspection
    Schemes, 1954).
    """
    walk = np.concatenate([[0.0], np.cumsum(observed - expected)])
    lowest = len(walk) - 2 - int(np.argmin(walk[-2::-1])) if len(walk) > 1 else 0
    return max(1, len(observed) - lowest)


def explain(spike: Spike, name: str, *, end: int) -> str:
    """One or two sentences from the fields alone, readable on a phone."""
    minutes = max(1, round((end - spike.onset) / 60))
    times = f", {spike.window_observed / spike.window_expected:.0f} times as many as usual" if (
        spike.window_expected >= 1 and spike.window_observed >= 2 * spike.window_expected
    ) else ""  # fmt: skip
    return (
        f"{name}: {spike.window_observed} contacts in {length_words(spike.window_seconds)}, "
        f"{number_words(spike.window_expected)} expected{times}. "
        f"Up for {minutes} min: {spike.observed} contacts where {number_words(spike.expected)} were expected."
    )


def length_words(seconds: int) -> str:
    """900 -> '15 min', 86400 -> '24 h'."""
    return f"{seconds // 3600} h" if seconds >= 3600 else f"{max(1, seconds // 60)} min"


def number_words(value: float) -> str:
    """An expected count as a person says it: one decimal below 10."""
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"
