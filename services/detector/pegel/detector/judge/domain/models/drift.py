"""Whether a series has come to another level for good, by river's drift detector (ADWIN, Bifet and Gavalda, 2007).

What pages is an episode; a new normal is none. For whoever reads a back-test it is told which lines came to another
level, so that a page at its begin is understood. Nothing that pages is decided here.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from river import drift, stats

from pegel.detector.judge.domain.judgement import Ints

WEEK_DAYS: Final = 7
USUAL_DAYS_MIN: Final = 14
"""Two of each weekday, from which it is known what is usual on it."""
OFFSET: Final = 3 / 8
"""Anscombe's: with it the roots of counts vary about equally, whatever the level."""
DELTA, SCALE, DAYS_MIN = 0.05, 10.0, 5
"""ADWIN's confidence; what roots are multiplied with, since its bound is for values of which 1 is little; the fewest
days of one level. On made series of 20 contacts a day that vary by a tenth beyond chance, with four weeks of history,
none of 200 was told in six weeks, and 1 of 100 for a single day of four times as many; 1.6 times as many is noticed
after a week (median)."""


class Shift(NamedTuple):
    """day: when it was noticed, counted from the first. before, after: contacts a day."""

    day: int
    before: float
    after: float


def level_shifts(contacts: Ints, usual_days: int) -> list[Shift]:
    """Of the contacts of whole days, (D,), after the first `usual_days`, which say what is usual on each weekday.

    after: mean of the week in which it was noticed; before: that of the usual days, or of the shift before.
    """
    if usual_days < USUAL_DAYS_MIN:
        return []
    roots = np.sqrt(contacts + OFFSET)
    usual = [stats.Mean() for _ in range(WEEK_DAYS)]
    for day in range(usual_days):
        usual[day % WEEK_DAYS].update(float(roots[day]))
    make: Any = drift.ADWIN  # which has no types
    adwin = make(delta=DELTA, clock=1, grace_period=WEEK_DAYS, min_window_length=DAYS_MIN)
    before, shifts = float(contacts[:usual_days].mean()), []
    for day in range(len(contacts)):
        adwin.update(SCALE * (float(roots[day]) - usual[day % WEEK_DAYS].get()))
        if adwin.drift_detected and day >= usual_days:
            after = float(contacts[day + 1 - WEEK_DAYS : day + 1].mean())
            shifts.append(Shift(day, before, after))
            before = after
    return shifts
