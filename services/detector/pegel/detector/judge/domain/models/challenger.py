"""An estimator of river as a challenger of the detector in service (challengers.Challenger).

It is asked at the end of every 5 minutes (of every bucket, if that is longer), as in the back-test, and its scores are
scaled to false pages a week by how often they came up. A step that nobody saw whole is left out. Its state is saved as
plain values (plain.py), so it goes on after a restart as if nothing had been.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from pegel.detector.judge.domain.challengers import Hours
from pegel.detector.judge.domain.judgement import Floats, Ints
from pegel.detector.judge.domain.models.beside import RiverBeside
from pegel.detector.judge.domain.models.scaled import Scale
from pegel.detector.judge.domain.seasons import SLOT_SECONDS, SLOTS_OF_HOUR, Zones

HOUR: Final = 3600
WARM_STEPS: Final = 3_000_000
"""Segments times steps that are learnt of the past at most, the newest: they cost 20 to 60 us each."""
OBSERVED_MIN: Final = 0.99
"""Share of a step of the past that was observed, or it is left out."""


class RiverChallenger:
    """Of all segments. Implements challengers.Challenger."""

    def __init__(self, name: str, bucket_seconds: int, zones: Zones, warm_steps: int = WARM_STEPS) -> None:
        """Raises named.UnfitEstimatorError, ValueError for buckets that fill neither 5 minutes nor an hour."""
        self._seconds, self._warm_steps = bucket_seconds, warm_steps
        self._step_seconds = max(SLOT_SECONDS, bucket_seconds)
        if self._step_seconds % bucket_seconds or self._step_seconds % SLOT_SECONDS:
            raise ValueError(f"buckets of {bucket_seconds} s do not divide 5 minutes, nor are they a multiple of them")
        self._beside = RiverBeside(name, self._step_seconds, zones)
        self._scale = Scale()
        self._score = np.zeros(0)
        self._sum = np.zeros(0, dtype=np.int64)
        self._seen = 0
        """Seconds of the step that were seen."""
        self._step: int | None = None

    @property
    def version(self) -> str:
        return self._beside.version

    @property
    def score(self) -> Floats:
        return self._score

    def check(self) -> None:
        """Whether its state can be saved. Raises named.UnfitEstimatorError, which names what can't."""
        one = self._beside.clone()
        one.add_segments([("", "")])
        for step in range(2 * HOUR // self._step_seconds):
            one.step(step * self._step_seconds, np.array([step % 3]))
        one.state()

    def add_segments(self, names: Sequence[tuple[str, ...]]) -> None:
        self._beside.add_segments(names)
        self._score = np.append(self._score, np.full(len(names), -np.inf))
        self._sum = np.append(self._sum, np.zeros(len(names), dtype=np.int64))

    def judge(self, start: int, observed: Ints, *, whole: bool) -> Floats | None:
        step = start // self._step_seconds
        if step != self._step:
            self._step, self._seen = step, 0
            self._sum[:] = 0
        if whole:
            self._sum += observed
            self._seen += self._seconds
        if (start + self._seconds) % self._step_seconds:
            return None
        if self._seen < self._step_seconds:  # what nobody saw whole is not judged by an estimator that counts on it
            self._score = np.full(len(self._score), -np.inf)
            return None
        self._score = self._asked(step, self._sum.copy())
        return self._score.copy()

    def _asked(self, step: int, observed: Ints) -> Floats:
        start = step * self._step_seconds
        score = self._scale.step(start, self._beside.step(start, observed).score)
        return np.where(np.isnan(score), -np.inf, score)

    def warm(self, names: Sequence[tuple[str, ...]], hours: Hours) -> None:
        """Segments are added as they are first counted, so that none learns the weeks before it was."""
        past = list(hours)
        kept = self._warm_steps // (max(1, len(names)) * HOUR // self._step_seconds)
        slots = self._step_seconds // SLOT_SECONDS
        known = 0
        for hour, counts, observed in past[max(0, len(past) - kept) :]:
            counted = np.flatnonzero(counts.any(axis=0))
            if len(counted) and counted[-1] >= known:
                self.add_segments(names[known : int(counted[-1]) + 1])
                known = int(counted[-1]) + 1
            for first in range(0, SLOTS_OF_HOUR, slots):
                part = slice(first, first + slots)
                if observed[part].min() < OBSERVED_MIN:
                    continue
                seen = np.rint(counts[part, :known].sum(axis=0)).astype(np.int64)
                score = self._asked((hour * HOUR + first * SLOT_SECONDS) // self._step_seconds, seen)
                self._score[:known] = score
        self.add_segments(names[known:])

    def state(self) -> dict[str, Any]:
        return {
            "beside": self._beside.state(),
            "scale": self._scale.state(),
            "score": self._score.copy(),
            "sum": self._sum.copy(),
            "seen": self._seen,
            "step": self._step,
        }

    def restore(self, tree: Mapping[str, Any], names: Sequence[tuple[str, ...]]) -> None:
        self._beside.restore(tree["beside"], names)
        self._scale.restore(tree["scale"])
        self._score, self._sum, self._seen, self._step = tree["score"], tree["sum"], tree["seen"], tree["step"]
