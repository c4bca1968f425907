"""Drives a detector of the judge (judge.ports.Detector) and its spike tracker as the judge does."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from pegel.cli.backtest.running import Floats, Ints, Lines, Names, Setting, SpikeEvent, Step, no_lines
from pegel.detector.judge.domain.judgement import Judgement
from pegel.detector.judge.domain.seasons import Zones
from pegel.detector.judge.domain.spikes import OPEN_SCORE, Spike, SpikeTracker, explain, shortened
from pegel.schemas.detection import SpikeState

WEEK_SECONDS: Final = 604_800

MakeDetector = Callable[[int, Zones], Any]
"""A judge.ports.Detector of a bucket's length and the segments' zones."""


class ZonesOf(Zones):
    """Zones as the back-test has them, for detectors that ask by segment."""

    def __init__(self, zone_of: Callable[[tuple[str, ...]], str]) -> None:
        super().__init__({}, None)
        self._zone_of = zone_of

    def of(self, segment: tuple[str, ...]) -> str:
        return self._zone_of(segment)


class DetectorModel:
    """A detector that tells tail probabilities of windows, and has no roll-ups. Implements running.Model.

    As many windows of as many segments are looked at in a week as there are, so a probability becomes false pages a
    week by that number (Bonferroni). The tracker opens at a score of its own, so its scores are moved until that is
    where the setting is.
    """

    def __init__(self, name: str, setting: Setting, make: MakeDetector) -> None:
        self.name = name
        self._seconds = setting.bucket_seconds
        self._detector = make(setting.bucket_seconds, ZonesOf(setting.zone_of))
        self._spikes = SpikeTracker(setting.bucket_seconds)
        self._bar = -math.log10(setting.false_pages_per_week)
        self._names: list[tuple[str, ...]] = []

    def add_segments(self, names: Names) -> None:
        self._names.extend(names)
        self._detector.add_segments(names)

    def step(self, start: int, observed: Ints) -> Step:
        judgement: Judgement = self._detector.judge(start, observed)
        up = sorted(self._spikes.up)
        self._detector.learn(start, self._seconds, observed, skip=np.array(up, dtype=np.int64) if up else None)
        looks = max(1, len(observed)) * len(judgement.window_seconds) * WEEK_SECONDS / self._seconds
        score = judgement.score - math.log10(looks)
        moved = OPEN_SCORE - math.log10(looks) - self._bar
        shifted = dataclasses.replace(judgement, scores=_moved(judgement.scores, moved))
        end = start + self._seconds
        told = self._spikes.follow(end, observed, shifted, self._detector.recent, self._name)
        events = [self._event(state, spike, end) for state, spike in told]
        lines = Lines(observed, judgement.expected, judgement.lower, judgement.upper, score)
        return Step(lines, no_lines(), (), events)

    def _event(self, state: SpikeState, spike: Spike, end: int) -> SpikeEvent:
        return SpikeEvent(
            state=state,
            spike_id=spike.spike_id,
            segment=self._names[spike.row],
            at=end,
            onset=spike.onset,
            opened_at=spike.opened_at,
            score=spike.score - OPEN_SCORE + self._bar,
            window_seconds=spike.window_seconds,
            observed=spike.window_observed,
            expected=spike.window_expected,
            observed_since_onset=spike.observed,
            expected_since_onset=spike.expected,
            explanation=explain(spike, self._name(spike.row), end=end),
        )

    def _name(self, row: int) -> str:
        return shortened("/".join(self._names[row]))


def _moved(scores: Floats, by: float) -> Floats:
    """No opinion (0) stays none."""
    moved: Floats = np.where(scores > 0, scores + by, 0.0)
    return moved
