"""Which lines of the file came to another level for good, for the report's appendix."""

from typing import Final, NamedTuple

import numpy as np

from pegel.cli.backtest.counts import Counts

DAY: Final = 86_400
SHOWN_MAX: Final = 20


class LevelShift(NamedTuple):
    """noticed: the day's begin (UTC), in seconds since 1970. before, after: contacts a day."""

    segment: tuple[str, ...]
    noticed: int
    before: float
    after: float


def level_shifts_of(counts: Counts, judged_from: int) -> list[LevelShift]:
    """The largest, in order of time. Days are UTC; what is usual is known from those before judged_from (seconds)."""
    from pegel.detector.judge.domain.models.drift import level_shifts  # noqa: PLC0415  (river takes a second)

    first = -(-counts.start // DAY)
    days = np.zeros((max(0, counts.end // DAY - first), len(counts.names)), dtype=np.int64)
    place = np.repeat(np.arange(counts.buckets), np.diff(counts.starts))
    day = (counts.first + place) * counts.bucket_seconds // DAY - first
    whole = (day >= 0) & (day < len(days))
    np.add.at(days, (day[whole], counts.segment[whole]), counts.contacts[whole])
    usual = judged_from // DAY - first
    found = [
        LevelShift(name, (first + shift.day) * DAY, shift.before, shift.after)
        for number, name in enumerate(counts.names)
        for shift in level_shifts(days[:, number], usual)
    ]
    largest = sorted(found, key=lambda shift: -abs(shift.after - shift.before))[:SHOWN_MAX]
    return sorted(largest, key=lambda shift: (shift.noticed, shift.segment))
