"""A raw score as -log10 of the false pages a week that it stands for: 0 is once a week, 1 once in ten weeks.

Estimators score on scales of their own. What a score is worth is told by how often such scores came up before, in all
segments together:

- of each segment and hour the largest score counts;
- an hour in which the segment reaches a level that it did not reach the hour before is one page at that level, since a
  page stays open while the score stays up. So the pages at level r are the pairs of consecutive hours with maxima
  before < r <= now, counted over all segments and divided by the weeks seen;
- beyond the level at which TAIL of all segment-hours open a page, the tail is taken as exponential. Nobody has labelled
  what was real, and the rarest scores mostly are: so they are not counted, and the tail's scale comes from the MIDDLE
  of what lies beyond, not from its mean.

Strictly causal: a score is scaled by hours that were over at the last midnight (UTC). On two development worlds the
thresholds for 1, 5 and 20 false pages a week gave 0.2, 1.2 and 7 of HoltWinters, 0.5, 2.3 and 7 of SNARIMAX, and 1.6,
7.5 and 26 of GaussianScorer: the more of its pages are real, the more it asks for.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pegel.detector.judge.domain.judgement import Floats

HOUR: Final = 3600
HOURS_A_DAY: Final = 24
HOURS_A_WEEK: Final = 168
DAYS_KEPT: Final = 56
DAYS_MIN: Final = 7
"""Days with an opinion before a score is scaled."""
KEPT: Final = 0.04
"""Share of a day's segment-hours whose scores are kept, the largest: commoner ones are told as the least of them."""
TAIL: Final = 0.0025
"""Of the segment-hours, those that open a page at the rarest level that is counted: 75 a week of 180 segments."""
PAGES_MIN: Final = 30
"""A level that fewer pages reached is not counted either."""
MIDDLE: Final = 0.5
"""The quantile that tells the tail's scale."""


@dataclass(frozen=True, slots=True)
class Day:
    """Hours with an opinion, and of how many segments in all; pairs (maximum, that of the hour before), shape (n, 2).

    least: no pair with a maximum above it was left out.
    """

    hours: int
    segment_hours: int
    pairs: Floats
    least: float


class Scale:
    """Of one estimator and all its segments. Give it every bucket's raw scores, in order."""

    def __init__(self) -> None:
        self._hour: int | None = None
        self._now = np.zeros(0)
        self._before = np.zeros(0)
        self._today: list[Floats] = []
        self._hours_today = self._segment_hours_today = 0
        self._days: deque[Day] = deque(maxlen=DAYS_KEPT)
        self._levels, self._rarity = np.zeros(0), np.zeros(0)
        self._tail = math.inf

    def step(self, start: int, raw: Floats) -> Floats:
        """Scaled scores of the bucket that begins at `start` (seconds since 1970), shape (S,).

        nan where raw is, and in all until a week has been seen. S may grow.
        """
        hour = start // HOUR
        if self._hour is not None and hour != self._hour:
            self._end_hour(self._hour, hour)
        self._hour = hour
        scaled = self._scaled(raw)
        if len(raw) > len(self._now):
            more = np.full(len(raw) - len(self._now), -np.inf)
            self._now, self._before = np.append(self._now, more), np.append(self._before, more)
        np.fmax(self._now, raw, out=self._now)
        return scaled

    def state(self) -> dict[str, Any]:
        return {
            "hour": self._hour,
            "now": self._now.copy(),
            "before": self._before.copy(),
            "today": [pairs.copy() for pairs in self._today],
            "hours_today": self._hours_today,
            "segment_hours_today": self._segment_hours_today,
            "days": [[day.hours, day.segment_hours, day.pairs, day.least] for day in self._days],
            "levels": self._levels.copy(),
            "rarity": self._rarity.copy(),
            "tail": self._tail,
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        self._hour, self._now, self._before = tree["hour"], tree["now"], tree["before"]
        self._today, self._hours_today = list(tree["today"]), tree["hours_today"]
        self._segment_hours_today = tree["segment_hours_today"]
        self._days.extend(Day(*day) for day in tree["days"])
        self._levels, self._rarity, self._tail = tree["levels"], tree["rarity"], tree["tail"]

    def _end_hour(self, hour: int, following: int) -> None:
        """Count an hour that is over; `following`: the next that is seen."""
        known = np.isfinite(self._now)
        if known.any():
            self._hours_today += 1
            self._segment_hours_today += int(known.sum())
            risen = known & (self._now > self._before)
            self._today.append(np.column_stack([self._now[risen], self._before[risen]]))
        # After an hour that nobody saw, a page would open anew.
        nothing = np.full(len(self._now), -np.inf)
        self._before = self._now if following == hour + 1 else nothing.copy()
        self._now = nothing
        if following // HOURS_A_DAY != hour // HOURS_A_DAY and self._hours_today:
            self._end_day()
            self._count()

    def _end_day(self) -> None:
        pairs = np.concatenate(self._today)
        kept = max(PAGES_MIN, int(KEPT * self._segment_hours_today))
        least = -math.inf
        if len(pairs) > kept:
            pairs = pairs[np.argsort(-pairs[:, 0], kind="stable")[:kept]]
            least = float(pairs[-1, 0])
        self._days.append(Day(self._hours_today, self._segment_hours_today, pairs, least))
        self._today, self._hours_today, self._segment_hours_today = [], 0, 0

    def _count(self) -> None:
        """Make the table of levels anew from the days kept."""
        hours = sum(day.hours for day in self._days)
        if hours < DAYS_MIN * HOURS_A_DAY:
            return
        pairs = np.concatenate([day.pairs for day in self._days])
        pairs = pairs[pairs[:, 0] >= max(day.least for day in self._days)]
        if not len(pairs):
            return
        levels = np.unique(pairs[:, 0])
        reached = len(pairs) - np.searchsorted(np.sort(pairs[:, 0]), levels, side="left")
        standing = len(pairs) - np.searchsorted(np.sort(pairs[:, 1]), levels, side="left")
        # A higher level can't have more pages than a lower one: there the score only never fell below the lower.
        pages = np.maximum.accumulate((reached - standing)[::-1])[::-1]
        enough = max(PAGES_MIN, TAIL * sum(day.segment_hours for day in self._days))
        counted = pages >= min(enough, pages[0])
        self._levels = levels[counted]
        self._rarity = -np.log10(pages[counted] * HOURS_A_WEEK / hours)
        top = self._levels[-1]
        beyond = pairs[(pairs[:, 0] > top) & (pairs[:, 1] <= top), 0] - top
        self._tail = float(np.quantile(beyond, MIDDLE)) / -math.log(1 - MIDDLE) if len(beyond) else math.inf

    def _scaled(self, raw: Floats) -> Floats:
        if not len(self._levels):
            return np.full(len(raw), np.nan)
        inside = np.interp(raw, self._levels, self._rarity)
        beyond = np.maximum(raw - self._levels[-1], 0.0) / (self._tail * math.log(10))
        return np.where(np.isnan(raw), np.nan, inside + beyond)
