"""Drives an estimator by its name, one clone a segment, as the judge's silent challengers are driven.

Its pages are by a small rule of its own: the judge's tracker asks for windows, which an estimator doesn't have.
"""

import math
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

import numpy as np

from pegel.cli.backtest.detectors import ZonesOf
from pegel.cli.backtest.running import (
    QUIET_SECONDS,
    Floats,
    Ints,
    Lines,
    Names,
    Setting,
    SpikeEvent,
    Step,
    no_lines,
)
from pegel.cli.backtest.sentences import usual_words, window_words
from pegel.dashboard.domain.words import plural

WINDOW_SECONDS: Final = 3600
"""Estimators are told, or forecast, the contacts of an hour."""


@dataclass(slots=True)
class _Episode:
    """A segment's scores since they reached the bar. Times in seconds since 1970; counts since the onset."""

    spike_id: str
    onset: int
    opened_at: int
    last_above: int
    observed: int = 0
    expected: float = 0.0
    peak_score: float = -math.inf


class EstimatorModel:
    """An estimator by its dotted name. Implements running.Model; it has no roll-ups and no band.

    A spike opens with the first bucket whose score reaches the setting, and is over after QUIET_SECONDS below it.
    Expected is what a forecaster says; of one that says nothing, the mean of what the segment had before.
    """

    def __init__(self, name: str, setting: Setting) -> None:
        """Raises named.UnfitEstimatorError."""
        # river takes a second and 60 MB to import, so only who asks for it pays.
        from pegel.detector.judge.domain.models.beside import RiverBeside  # noqa: PLC0415
        from pegel.detector.judge.domain.models.scaled import Scale  # noqa: PLC0415

        self.name = name
        self._seconds = setting.bucket_seconds
        self._estimators = RiverBeside(name, setting.bucket_seconds, ZonesOf(setting.zone_of, None))
        self._scale = Scale()
        self._means = _Means()
        self._bar = -math.log10(setting.false_pages_per_week)
        self._names: list[tuple[str, ...]] = []
        self._up: dict[int, _Episode] = {}
        self._last_hour: deque[tuple[Ints, Floats]] = deque(maxlen=WINDOW_SECONDS // self._seconds)

    def add_segments(self, names: Names) -> None:
        self._names.extend(names)
        self._estimators.add_segments(names)
        self._means.add(len(names))

    def step(self, start: int, observed: Ints) -> Step:
        opinions = self._estimators.step(start, observed)
        expected = np.where(np.isnan(opinions.expected), self._means.told(), opinions.expected)
        self._means.learn(observed)
        score = self._scale.step(start, opinions.score)
        self._last_hour.append((observed, expected))
        no_band = np.full(len(observed), np.nan)
        lines = Lines(observed, expected, no_band, no_band, score)
        return Step(lines, no_lines(), (), self._follow(start, lines))

    def _follow(self, start: int, lines: Lines) -> list[SpikeEvent]:
        end = start + self._seconds
        events = []
        for row in np.flatnonzero(lines.score >= self._bar).tolist():
            if row not in self._up:
                self._up[row] = _Episode(f"{self._segment(row)}@{_iso(start)}", start, end, end)
        for row, episode in sorted(self._up.items()):
            score = float(lines.score[row])
            episode.observed += int(lines.observed[row])
            episode.expected += float(lines.expected[row])
            if score >= self._bar:
                episode.last_above = end
            if end - episode.last_above >= QUIET_SECONDS:
                del self._up[row]
                events.append(self._event("resolved", row, episode, end, score))
            elif score > episode.peak_score:
                episode.peak_score = score
                state: Literal["opened", "updated"] = "opened" if episode.opened_at == end else "updated"
                events.append(self._event(state, row, episode, end, score))
        return events

    def _event(
        self, state: Literal["opened", "updated", "resolved"], row: int, episode: _Episode, end: int, score: float
    ) -> SpikeEvent:
        hour = [(counts[row], usual[row]) for counts, usual in self._last_hour if row < len(counts)]
        observed, expected = int(sum(its for its, _ in hour)), float(sum(its for _, its in hour))
        seconds = len(hour) * self._seconds
        return SpikeEvent(
            state=state,
            spike_id=episode.spike_id,
            segment=self._names[row],
            at=end,
            onset=episode.onset,
            opened_at=episode.opened_at,
            score=score,
            window_seconds=seconds,
            observed=observed,
            expected=expected,
            observed_since_onset=episode.observed,
            expected_since_onset=episode.expected,
            explanation=(
                f"{self._segment(row)}: {plural(observed, 'contact')} in {window_words(seconds)} where"
                f" {usual_words(expected)} usual; {plural(episode.observed, 'contact')} since {_iso(episode.onset)}"
                f" where {usual_words(episode.expected)} usual."
            ),
        )

    def _segment(self, row: int) -> str:
        return "/".join(self._names[row])


class _Means:
    """Of each segment: contacts a bucket since it was first counted."""

    def __init__(self) -> None:
        self._sums, self._buckets = np.zeros(0), np.zeros(0)

    def add(self, segments: int) -> None:
        more = np.zeros(segments)
        self._sums, self._buckets = np.append(self._sums, more), np.append(self._buckets, more)

    def told(self) -> Floats:
        """nan of a segment that has had no bucket."""
        means: Floats = np.full(len(self._sums), np.nan)
        np.divide(self._sums, self._buckets, out=means, where=self._buckets > 0)
        return means

    def learn(self, observed: Ints) -> None:
        self._sums += observed
        self._buckets += 1


def _iso(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
