"""Drives a detector of the judge (judge.ports.Detector) and its spike tracker as the judge does."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from pegel.cli.backtest.running import Ints, Lines, Names, Setting, SpikeEvent, Step
from pegel.detector.judge.domain.days import Calendar
from pegel.detector.judge.domain.events import Events
from pegel.detector.judge.domain.explaining import explain, with_events
from pegel.detector.judge.domain.judgement import Judgement
from pegel.detector.judge.domain.seasons import Zones
from pegel.detector.judge.domain.spikes import Spike, SpikeTracker
from pegel.detector.judge.domain.telling import facts_of
from pegel.schemas.detection import SpikeState

MakeDetector = Callable[[int, Zones, int, Calendar], Any]
"""A judge.ports.Detector of a bucket's length, the segments' zones, the place of the topic, and holidays."""
NO_OPINION: Final = -9.0


class ZonesOf(Zones):
    """Zones as the back-test has them, for detectors that ask by segment."""

    def __init__(self, zone_of: Callable[[tuple[str, ...]], str], country_at: int | None) -> None:
        super().__init__({}, country_at)
        self._zone_of = zone_of

    def of(self, segment: tuple[str, ...]) -> str:
        return self._zone_of(segment)


class DetectorModel:
    """A detector of the judge. Implements running.Model."""

    def __init__(self, name: str, setting: Setting, make: MakeDetector) -> None:
        self.name = name
        self._seconds, self._dimensions = setting.bucket_seconds, setting.dimensions
        topic_at = setting.dimensions.index("topic") if "topic" in setting.dimensions else len(setting.dimensions) - 1
        country_at = setting.dimensions.index("country") if "country" in setting.dimensions else None
        days = None if setting.holidays.source == "auto" else setting.holidays.days
        zones, calendar = ZonesOf(setting.zone_of, country_at), Calendar(country_at, days)
        self._detector = make(setting.bucket_seconds, zones, topic_at, calendar)
        self._spikes = SpikeTracker(setting.bucket_seconds, setting.false_pages_per_week)
        self._planned = Events(setting.bucket_seconds, setting.events)
        self._names: list[tuple[str, ...]] = []

    def add_segments(self, names: Names) -> None:
        self._names.extend(names)
        self._detector.add_segments(names)

    def step(self, start: int, observed: Ints) -> Step:
        factors = self._planned.factors(start, self._names)
        judgement: Judgement = self._detector.judge(start, observed, factors=factors)
        end = start + self._seconds
        told = self._spikes.follow(end, self._names, observed, judgement, self._detector, self._planned.quiet)
        events = [self._event(state, spike, end) for state, spike in told]
        score = judgement.score
        if factors is not None:  # what nobody is paged about has no score, so that none counts it as a page
            score = np.where(np.isnan(factors), np.nan, score)
        lines = Lines(observed, judgement.expected, judgement.lower, judgement.upper, _said(score))
        rollups = judgement.rollups
        # A roll-up adds evidence, not counts, so it has no band of its own.
        nothing = np.full(len(rollups.names), np.nan)
        rolled = Lines(rollups.observed.astype(np.int64), rollups.expected, nothing, nothing, _said(rollups.score))
        return Step(lines, rolled, tuple(rollups.names), events)

    def _event(self, state: SpikeState, spike: Spike, end: int) -> SpikeEvent:
        facts = facts_of(spike, self._detector, self._dimensions, self._seconds)
        name = ", ".join(value for value in reversed(spike.line) if value != "*") or "everything"
        during = self._planned.names(end - self._seconds, self._detector.members(spike.line))
        return SpikeEvent(
            state=state,
            spike_id=spike.spike_id,
            segment=spike.line,
            at=end,
            onset=spike.onset,
            opened_at=spike.opened_at,
            score=spike.score,
            window_seconds=spike.window_seconds,
            observed=spike.window_observed,
            expected=spike.window_expected,
            observed_since_onset=spike.observed,
            expected_since_onset=spike.expected,
            explanation=with_events(explain(spike, name, end=end, facts=facts), during),
        )


def _said(score: Any) -> Any:
    """No opinion is nan."""
    return np.where(score > NO_OPINION, score, np.nan)
