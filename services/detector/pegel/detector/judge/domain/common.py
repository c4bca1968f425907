"""What all topics of a country have in common in these hours: a good or a bad day of the country (weather, a match).

Such a day is nobody's trouble: no topic of it pages for it. An incident of the whole country looks the same but for its
sudden begin, so the country's own roll-up believes in it only after a while (LAG_STEPS).
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from pegel.detector.judge.domain.judgement import Floats, Ints

MEMORY_STEPS: Final = 36.0
LAG_STEPS: Final = 18
"""An hour and a half: until then a rise of a country is an incident."""
DISPERSION: Final = 0.1
"""A large segment counts as few contacts, so that no single one speaks for its country."""
FAR: Final = 2.5
"""Standard deviations of a segment's count in a step beyond which it says no more: its own trouble."""
WORTH: Final = 150.0
"""Contacts that the thought of an ordinary day is worth: noise of 3 a contact, variance of days of 0.02."""
SEGMENTS_MIN: Final = 4
"""With fewer segments, what they have in common is the trouble of one of them."""
DOWN, UP = 0.05, 0.6
"""A day is believed to be so far off at most; downwards little, since a topic that stays would look like a rise."""


class Common:
    """Of R roll-ups, of which the countries' are filled. One step at a time."""

    def __init__(self) -> None:
        self._sums = np.zeros((2, 0))
        """What came beyond the expected, and the expected, by roll-up."""
        self._past = np.zeros((LAG_STEPS, 0))
        """Relative deviations of the last steps, oldest first."""

    def widen(self, rollups: int) -> None:
        """There are so many roll-ups now."""
        more = rollups - self._sums.shape[1]
        self._sums, self._past = (np.pad(array, ((0, 0), (0, more))) for array in (self._sums, self._past))

    def note(self, observed: Floats, expected: Floats, countries: Ints) -> None:
        """The counts of a step, (S,). countries: the roll-up of each segment's country, (S,)."""
        weight = 1 / (1 + DISPERSION * expected)
        width = FAR * np.sqrt(expected + DISPERSION * expected**2)
        beyond = np.clip(observed - expected, -width, width)
        count = self._sums.shape[1]
        now = [np.bincount(countries, weights=weight * values, minlength=count) for values in (beyond, expected)]
        self._sums = np.exp(-1 / MEMORY_STEPS) * self._sums + np.stack(now)
        deviation = np.clip(self._sums[0] / (self._sums[1] + WORTH), -DOWN, UP)
        deviation[np.bincount(countries, minlength=count) < SEGMENTS_MIN] = 0.0
        self._past = np.concatenate([self._past[1:], deviation[None]])

    def now(self, countries: Ints) -> Floats:
        """Factor of the segments' expected counts, (S,)."""
        return np.asarray(1 + self._past[-1, countries])

    def then(self, countries: Ints) -> Floats:
        """The same as it was before the last hour and a half, (S,)."""
        return np.asarray(1 + self._past[0, countries])

    def state(self) -> dict[str, Any]:
        return {"sums": self._sums.copy(), "past": self._past.copy()}

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Raises KeyError, ValueError for a state of other rules."""
        if tree["past"].shape != self._past.shape or tree["sums"].shape != self._sums.shape:
            raise ValueError(f"common days of shape {tree['past'].shape}, not {self._past.shape}: other rules")
        self._sums, self._past = tree["sums"], tree["past"]
