"""Runs a model over counted buckets, strictly in order of time; what every model is driven by.

A model sees a segment when it is first counted, and a bucket when all before it were seen: nothing it says of a bucket
depends on what came later.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from pegel.cli.backtest.counts import Counts
from pegel.cli.backtest.holidays import Holidays
from pegel.detector.judge.domain.events import Event

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Names = Sequence[tuple[str, ...]]

BLOCK_SECONDS: Final = 86_400
QUIET_SECONDS: Final = 3600
"""A spike is over when it has been below for so long."""
ALL: Final = "*"
"""The value of a dimension that a roll-up leaves out."""


class Lines(NamedTuple):
    """What is said of N lines (segments, or roll-ups) in a bucket, shape (N,); of n buckets in a Block, shape (n, N).

    expected, lower, upper: contacts. score: -log10 of the false pages a week that the whole installation would have if
    what is as unusual as this paged: 0 is one a week, 1 is one in ten weeks; nan: no opinion.
    """

    observed: Ints
    expected: Floats
    lower: Floats
    upper: Floats
    score: Floats

    def part(self, where: Any) -> "Lines":
        """What numpy's index chooses."""
        observed, *floats = self
        return Lines(observed[where], *(array[where] for array in floats))


@dataclass(frozen=True, slots=True)
class SpikeEvent:
    """A spike opened, grew, or is over. Times are seconds since 1970 (UTC); at and opened_at are ends of buckets.

    segment: its values, ALL for a dimension left out. observed, expected: contacts in the most telling window, of
    window_seconds. Resolved says that nothing was above for QUIET_SECONDS before `at`.
    """

    state: Literal["opened", "updated", "resolved"]
    spike_id: str
    segment: tuple[str, ...]
    at: int
    onset: int
    opened_at: int
    score: float
    window_seconds: int
    observed: int
    expected: float
    observed_since_onset: int
    expected_since_onset: float
    explanation: str


class Step(NamedTuple):
    """What a model says of one bucket. segments: in the order in which they were added; spikes: what changed."""

    segments: Lines
    rollups: Lines
    rollup_names: Names
    spikes: Sequence[SpikeEvent]


class Model(Protocol):
    """A detector as the back-test drives it."""

    name: str

    def add_segments(self, names: Names) -> None:
        """Segments that the next bucket counts for the first time; they never leave."""
        ...

    def step(self, start: int, observed: Ints) -> Step:
        """Judge the bucket that begins at `start` (seconds since 1970), then learn it. observed: shape (S,)."""
        ...


@dataclass(frozen=True, slots=True)
class Setting:
    """What a model is made with. zone_of: the IANA zone of a segment. events: of the calendar."""

    bucket_seconds: int
    dimensions: tuple[str, ...]
    zone_of: Callable[[tuple[str, ...]], str]
    holidays: Holidays
    false_pages_per_week: float
    events: tuple[Event, ...] = ()


Factory = Callable[[Setting], Model]


class Block(NamedTuple):
    """Judged buckets with the same lines, at most a day of them. start: of the first, seconds since 1970."""

    start: int
    bucket_seconds: int
    segments: Lines
    rollups: Lines
    segment_names: Names
    rollup_names: Names

    @property
    def buckets(self) -> int:
        return len(self.segments.observed)

    @property
    def end(self) -> int:
        return self.start + self.buckets * self.bucket_seconds

    def of(self, segment: tuple[str, ...]) -> Lines | None:
        """One line's, shape (n,); None where it isn't among these."""
        for lines, names in ((self.segments, self.segment_names), (self.rollups, self.rollup_names)):
            if segment in names:
                return lines.part((slice(None), names.index(segment)))
        return None


class Listener:
    """Who wants to know what a model says; what it isn't interested in does nothing."""

    def step(self, step: Step, names: Names, *, judged: bool) -> None:
        """Each bucket; those of the history (judged is False) too, because a spike may be up when it ends."""

    def block(self, block: Block) -> None:
        """Judged buckets only, in order, after their steps."""


class Silence(Listener):
    """Listens to a run. buckets: judged, of which the model has said nothing of any line."""

    def __init__(self) -> None:
        self.buckets = 0

    def step(self, step: Step, names: Names, *, judged: bool) -> None:  # noqa: ARG002
        if judged and np.isnan(step.segments.score).all() and np.isnan(step.rollups.score).all():
            self.buckets += 1


class Ran(NamedTuple):
    """How a run went. seconds: spent in the model itself."""

    model: str
    buckets: int
    judged_buckets: int
    segments: int
    rollups: int
    seconds: float


def run(
    model: Model, counts: Counts, judged_from: int, listeners: Iterable[Listener], progress: Callable[[int], None]
) -> Ran:
    """judged_from: the first bucket, by its place, that may page. progress: is told how many buckets are done."""
    listeners = tuple(listeners)
    seconds = counts.bucket_seconds
    spent, known, rollups = 0.0, 0, 0
    filler = _Filler(seconds)
    names: list[tuple[str, ...]] = []
    for place in range(counts.buckets):
        if counts.known[place] > known:
            new = counts.names[known : counts.known[place]]
            model.add_segments(new)
            names.extend(new)
            known = len(names)
        start = (counts.first + place) * seconds
        observed = counts.observed(place)
        began = time.perf_counter()
        step = model.step(start, observed)
        spent += time.perf_counter() - began
        judged = place >= judged_from
        for listener in listeners:
            listener.step(step, names, judged=judged)
        if judged and listeners:
            for block in filler.add(start, step, names):
                _tell(listeners, block)
        rollups = len(step.rollup_names)
        progress(place + 1)
    for block in filler.rest():
        _tell(listeners, block)
    return Ran(model.name, counts.buckets, max(0, counts.buckets - judged_from), known, rollups, spent)


def _tell(listeners: Iterable[Listener], block: Block) -> None:
    for listener in listeners:
        listener.block(block)


class _Filler:
    """Puts steps into blocks: a new one when the lines change, and after a day."""

    def __init__(self, bucket_seconds: int) -> None:
        self._seconds = bucket_seconds
        self._length = max(1, BLOCK_SECONDS // bucket_seconds)
        self._filled = 0
        self._start = 0
        self._segments = self._rollups = _empty(0, 0)
        self._names: Names = ()
        self._rollup_names: Names = ()

    def add(self, start: int, step: Step, names: Names) -> list[Block]:
        """The block that is whole before, or with, this bucket."""
        done, rollup_names = [], tuple(step.rollup_names)
        if self._filled and (len(names) != len(self._names) or rollup_names != self._rollup_names):
            done += self.rest()
        if not self._filled:
            self._start = start
            self._names, self._rollup_names = tuple(names), rollup_names
            self._segments = _empty(self._length, len(names))
            self._rollups = _empty(self._length, len(rollup_names))
        for kept, said in ((self._segments, step.segments), (self._rollups, step.rollups)):
            for array, row in zip(kept, said, strict=True):
                array[self._filled] = row
        self._filled += 1
        return done + (self.rest() if self._filled == self._length else [])

    def rest(self) -> list[Block]:
        if not self._filled:
            return []
        filled, self._filled = self._filled, 0
        segments, rollups = (lines.part(slice(filled)) for lines in (self._segments, self._rollups))
        return [Block(self._start, self._seconds, segments, rollups, self._names, self._rollup_names)]


def _empty(buckets: int, lines: int) -> Lines:
    return Lines(np.zeros((buckets, lines), dtype=np.int64), *(np.zeros((buckets, lines)) for _ in range(4)))


def no_lines() -> Lines:
    """Of a model without roll-ups."""
    return Lines(np.zeros(0, dtype=np.int64), *(np.zeros(0) for _ in range(4)))
