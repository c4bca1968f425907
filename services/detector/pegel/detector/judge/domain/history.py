"""A history (warm start): its parts are kept until the end record, then they are one matrix to learn from."""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pegel.detector.judge.domain.lines import SMALL_MAX, HistoryEndLine, HistoryLine

NUMBERS_MAX: Final = 50_000_000
"""Counts kept of histories that have not ended, and counts in the matrix of one: 10,000 segments for 4 weeks of steps
of 10 minutes are 40 million."""
STEPS_MAX: Final = 150_000
"""More than a year of steps of 5 minutes: what is learnt takes time, however few segments it has."""
PART_COST: Final = 100
"""What a part takes beside its counts, in counts."""


class Part(NamedTuple):
    """Rows of counts one after another, as long as `lengths` says."""

    start: int
    step_seconds: int
    segments: list[tuple[str, ...]]
    lengths: NDArray[np.int32]
    counts: NDArray[np.int32]

    @property
    def cost(self) -> int:
        return PART_COST * (1 + len(self.segments)) + len(self.counts)

    def rows(self) -> list[NDArray[np.int32]]:
        return np.split(self.counts, np.cumsum(self.lengths)[:-1])


class History(NamedTuple):
    """A whole history. counts[k]: contacts of all segments in the step that begins at start + k x step_seconds."""

    start: int
    step_seconds: int
    segments: list[tuple[str, ...]]
    counts: NDArray[np.int32]


class HistoryParts:
    """Collects the parts of histories; parts may split segments, time, or both."""

    def __init__(self) -> None:
        self._parts: dict[str, dict[int, Part]] = {}

    def take(self, line: HistoryLine) -> None:
        """Keep a part; a repeated one replaces the first.

        Raises ValueError when too much is kept without an end: the history that began first is dropped.
        """
        self._parts.setdefault(line.id, {})[line.part] = Part(
            start=int(line.start.timestamp()),
            step_seconds=line.step_seconds,
            segments=line.segments,
            lengths=np.array([len(row) for row in line.counts], dtype=np.int32),
            counts=np.array([count for row in line.counts for count in row], dtype=np.int32),
        )
        dropped = []
        while sum(part.cost for parts in self._parts.values() for part in parts.values()) > NUMBERS_MAX:
            dropped.append(next(iter(self._parts)))
            del self._parts[dropped[-1]]
        if dropped:
            raise ValueError(f"history {', '.join(dropped)} is too large: {NUMBERS_MAX:,} counts are kept at most")

    def end(self, line: HistoryEndLine) -> History:
        """The whole history. Raises ValueError when parts of it are missing or don't fit."""
        parts = self._parts.pop(line.id, {})
        if not parts or len(parts) != line.parts:
            raise ValueError(f"history {line.id} has {len(parts)} of its {line.parts} parts")
        return assembled([parts[number] for number in sorted(parts)])

    def drop(self, history_id: str | None = None) -> None:
        """Forget a history, or all."""
        if history_id is None:
            self._parts.clear()
        else:
            self._parts.pop(history_id, None)

    def state(self) -> list[Any]:
        return [[name, [[number, *part] for number, part in parts.items()]] for name, parts in self._parts.items()]

    def restore(self, tree: list[Any]) -> None:
        for name, parts in tree:
            self._parts[name] = {
                number: Part(start, step, [tuple(segment) for segment in segments], lengths, counts)
                for number, start, step, segments, lengths, counts in parts
            }


def assembled(parts: list[Part]) -> History:
    """One matrix from parts. Raises ValueError when their steps differ or do not lie on one grid."""
    step = parts[0].step_seconds
    first = min(part.start for part in parts)
    if any(part.step_seconds != step or (part.start - first) % step for part in parts):
        raise ValueError("the parts of a history have different steps")
    segments = list(dict.fromkeys(segment for part in parts for segment in part.segments))
    number = {segment: place for place, segment in enumerate(segments)}
    length = max((part.start - first) // step + max(part.lengths.tolist(), default=0) for part in parts)
    if length > STEPS_MAX or length * len(segments) > NUMBERS_MAX:
        raise ValueError(f"a history of {length} steps of {len(segments)} segments is too large")
    counts = np.zeros((length, len(segments)), dtype=np.int32)
    for part in parts:
        at = (part.start - first) // step
        for segment, row in zip(part.segments, part.rows(), strict=False):
            column = counts[at : at + len(row), number[segment]]
            column[:] = np.minimum(column + row.astype(np.int64), SMALL_MAX)
    return History(first, step, segments, counts)
