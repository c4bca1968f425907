"""Keeps, of a run's judged buckets, what the report draws: a few hours around each of the first pages."""

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from pegel.cli.backtest.alarms import Alarm, Alarms
from pegel.cli.backtest.running import Block, Lines, Listener

PAGES_MAX: Final = 200
BEFORE_SECONDS: Final = 6 * 3600
AFTER_SECONDS: Final = 2 * 3600
SHOWN_SECONDS_MAX: Final = 3 * 86_400
"""Of a page that is up for longer, so much is drawn from its onset on."""
ONSET_SECONDS_MAX: Final = 86_400
"""An onset lies at most so long before the page."""
POINTS_MAX: Final = 120
WINDOW_POINTS: Final = 12
STEP_SECONDS_MAX: Final = 3600
"""The window that told most has about so many points: single contacts of a day show no rise. But none is longer."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A line's buckets from `start` on, added up to `step_seconds`."""

    start: int
    step_seconds: int
    lines: Lines


class Curves(Listener):
    """Listens to a run after `alarms`. of: the page's curve, once the run is over."""

    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms
        self._seen = 0
        self._pending: list[Alarm] = []
        self._blocks: deque[Block] = deque()
        self._curves: dict[str, Curve] = {}

    def of(self, alarm: Alarm) -> Curve | None:
        """None beyond the first PAGES_MAX."""
        for waiting in self._pending:
            self._cut(waiting)
        self._pending.clear()
        return self._curves.get(alarm.spike_id)

    def block(self, block: Block) -> None:
        self._blocks.append(block)
        self._pending += self._alarms.found[self._seen : PAGES_MAX]
        self._seen = max(self._seen, len(self._alarms.found))
        for alarm in [one for one in self._pending if _shown_until(one, block.end) + AFTER_SECONDS <= block.end]:
            self._cut(alarm)
            self._pending.remove(alarm)
        needed = min((alarm.onset for alarm in self._pending), default=block.end - ONSET_SECONDS_MAX) - BEFORE_SECONDS
        needed = min(needed, block.end - ONSET_SECONDS_MAX - BEFORE_SECONDS)
        while self._blocks[0].end <= needed:
            self._blocks.popleft()

    def _cut(self, alarm: Alarm) -> None:
        begin, end = alarm.onset - BEFORE_SECONDS, _shown_until(alarm, self._blocks[-1].end) + AFTER_SECONDS
        start, parts = None, []
        for block in self._blocks:
            lines = block.of(alarm.segment)
            first = max(0, (begin - block.start) // block.bucket_seconds)
            last = min(block.buckets, -(-(end - block.start) // block.bucket_seconds))
            if lines is None or first >= last:
                continue
            if start is None:
                start = block.start + first * block.bucket_seconds
            parts.append(lines.part(slice(first, last)))
        if start is not None:
            whole = Lines(*map(np.concatenate, zip(*parts, strict=True)))
            self._curves[alarm.spike_id] = thinned(
                Curve(start, self._blocks[-1].bucket_seconds, whole),
                min(alarm.window_seconds // WINDOW_POINTS, STEP_SECONDS_MAX),
            )


def _shown_until(alarm: Alarm, end: int) -> int:
    return min(alarm.over_at(end), alarm.onset + SHOWN_SECONDS_MAX)


def thinned(curve: Curve, step_seconds_min: int = 0) -> Curve:
    """At most POINTS_MAX points: neighbouring buckets are added up; widths of the band as of independent counts."""
    by = max(-(-len(curve.lines.observed) // POINTS_MAX), step_seconds_min // curve.step_seconds)
    if by <= 1:
        return curve
    count = len(curve.lines.observed) // by * by  # a last point of fewer buckets would look like a fall
    lines = curve.lines.part(slice(count))
    at = np.arange(0, count, by)
    expected = np.add.reduceat(lines.expected, at)
    below, above = (
        np.sqrt(np.add.reduceat((border - lines.expected) ** 2, at)) for border in (lines.lower, lines.upper)
    )
    return Curve(
        curve.start,
        curve.step_seconds * by,
        Lines(
            np.add.reduceat(lines.observed, at),
            expected,
            np.maximum(0.0, expected - below),
            expected + above,
            np.maximum.reduceat(lines.score, at),
        ),
    )
