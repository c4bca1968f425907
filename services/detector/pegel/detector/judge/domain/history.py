"""A history (warm start): its parts are kept until the end record, then they are one matrix to learn from."""

from datetime import datetime
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray


class HistoryLine(msgspec.Struct):
    """What is read of a HistoryRecord."""

    id: str
    part: int
    start: datetime
    step_seconds: int
    segments: list[tuple[str, ...]]
    counts: list[list[int]]


class HistoryEndLine(msgspec.Struct):
    id: str
    parts: int


_part = msgspec.json.Decoder(HistoryLine)
_end = msgspec.json.Decoder(HistoryEndLine)


class History(NamedTuple):
    """A whole history. counts[k]: contacts of all segments in the step that begins at start + k x step_seconds."""

    start: int
    step_seconds: int
    segments: list[tuple[str, ...]]
    counts: NDArray[np.int32]


class HistoryParts:
    """Collects the parts of histories; parts may split segments, time, or both."""

    def __init__(self) -> None:
        self._parts: dict[str, list[HistoryLine]] = {}

    def take(self, kind: str, value: bytes) -> History | None:
        """The whole history when this record ends one. Raises ValueError when parts of it are missing or don't fit."""
        if kind == "history":
            part = _part.decode(value)
            self._parts.setdefault(part.id, []).append(part)
            return None
        end = _end.decode(value)
        parts = {part.part: part for part in self._parts.pop(end.id, ())}
        if not parts or len(parts) != end.parts:
            raise ValueError(f"history {end.id} has {len(parts)} of its {end.parts} parts")
        return assembled([parts[number] for number in sorted(parts)])


def assembled(parts: list[HistoryLine]) -> History:
    """One matrix from parts. Raises ValueError when their steps differ or do not lie on one grid."""
    step = parts[0].step_seconds
    begins = [int(part.start.timestamp()) for part in parts]
    first = min(begins)
    if any(part.step_seconds != step or (begin - first) % step for part, begin in zip(parts, begins, strict=True)):
        raise ValueError("the parts of a history have different steps")
    segments = list(dict.fromkeys(segment for part in parts for segment in part.segments))
    number = {segment: place for place, segment in enumerate(segments)}
    length = max(
        (begin - first) // step + max((len(row) for row in part.counts), default=0)
        for part, begin in zip(parts, begins, strict=True)
    )
    counts = np.zeros((length, len(segments)), dtype=np.int32)
    for part, begin in zip(parts, begins, strict=True):
        at = (begin - first) // step
        for segment, row in zip(part.segments, part.counts, strict=True):
            counts[at : at + len(row), number[segment]] += np.array(row, dtype=np.int32)
    return History(first, step, segments, counts)
