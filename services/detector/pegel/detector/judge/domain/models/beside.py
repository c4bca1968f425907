"""river's estimators beside the product's detector: one clone a segment, one bucket record a time.

An estimator judges a segment from the segment alone: no roll-ups, nothing borrowed, no baseline protected from what it
is shown. The back-test sets it beside the product's detector, and in service it runs as a silent challenger.

It gives no opinion before it has seen a week.
"""

import copy
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pegel.detector.judge.domain.judgement import Floats, Ints
from pegel.detector.judge.domain.models.named import Kind, kind, make, version
from pegel.detector.judge.domain.models.plain import made, told
from pegel.detector.judge.domain.models.rows import (
    HOUR,
    Anomaly,
    Forecaster,
    Moment,
    Row,
    SupervisedAnomaly,
    clock,
)
from pegel.detector.judge.domain.seasons import Zones, hour_of_week

ROWS: Final[Mapping[Kind, type[Anomaly | SupervisedAnomaly | Forecaster]]] = {
    "anomaly": Anomaly,
    "supervised anomaly": SupervisedAnomaly,
    "forecaster": Forecaster,
}


@dataclass(frozen=True, slots=True)
class Opinions:
    """Of S segments. expected: contacts in the bucket. score: higher is more unusual. Both (S,), nan where none is.

    A score is on the estimator's own scale; `scaled.Scale` maps it to -log10(expected false pages a week).
    """

    expected: Floats
    score: Floats


class RiverBeside:
    """An estimator by its name, for many segments. Deterministic: the same steps give the same answers."""

    def __init__(
        self, name: str, bucket_seconds: int, zones: Zones, parameters: Mapping[str, Any] | None = None
    ) -> None:
        """bucket_seconds: a divisor of an hour. Raises named.UnfitEstimatorError, ValueError."""
        if HOUR % bucket_seconds:
            raise ValueError(f"buckets of {bucket_seconds} s do not divide an hour")
        self.name, self._parameters = name, parameters
        self._untaught = make(name, parameters)
        self._kind = kind(self._untaught, name)
        self._bucket_seconds, self._zones = bucket_seconds, zones
        self._rows: list[Row] = []
        self._zone_of: list[str] = []
        self._recent: deque[tuple[int, Ints]] = deque(maxlen=HOUR // bucket_seconds)
        self._hour: int | None = None
        # A row is a class of ours around an estimator of river's, or of a package that was named.
        self._packages = ("river", name.partition(".")[0], "pegel")
        self._clocks: dict[str, Mapping[str, float]] = {}

    @property
    def version(self) -> str:
        """Name and the version of its package, as a challenger's scores are recorded with."""
        return f"{self.name}/{version(self.name)}"

    def clone(self) -> "RiverBeside":
        """One that has learnt nothing and knows no segment."""
        return RiverBeside(self.name, self._bucket_seconds, self._zones, self._parameters)

    def add_segments(self, segments: Sequence[tuple[str, ...]]) -> None:
        for segment in segments:
            self._zone_of.append(self._zones.of(segment))
            self._rows.append(ROWS[self._kind](copy.deepcopy(self._untaught), self._bucket_seconds))
        self._hour = None

    def step(self, start: int, observed: Ints) -> Opinions:
        """Judge, then learn, the bucket that begins at `start` (seconds since 1970); observed: contacts, shape (S,).

        Buckets come in order. Those left out were observed by nobody, and are not learnt.
        """
        hour, end = start // HOUR, start + self._bucket_seconds
        if hour != self._hour:
            self._hour = hour
            self._clocks = {zone: clock(hour_of_week(zone, hour)) for zone in dict.fromkeys(self._zone_of)}
        whole = end % HOUR == 0
        moments = {zone: Moment(hour, whole, features) for zone, features in self._clocks.items()}
        self._recent.append((start, observed))
        opinions = [
            row.step(moments[zone], last_hour)
            for row, zone, last_hour in zip(self._rows, self._zone_of, self._last_hour(end).tolist(), strict=True)
        ]
        told = np.array(opinions, dtype=np.float64).reshape(len(opinions), 2)
        return Opinions(expected=told[:, 0].copy(), score=told[:, 1].copy())

    def state(self) -> dict[str, Any]:
        """All it has learnt, as plain values. Raises named.UnfitEstimatorError for an estimator that can't be told."""
        return {
            "rows": told(self._rows, self._packages),
            "recent": [[start, row.copy()] for start, row in self._recent],
        }

    def restore(self, tree: Mapping[str, Any], names: Sequence[tuple[str, ...]]) -> None:
        """Become what `state` told; names: of the segments that it knew. Of one that knows none."""
        self._zone_of = [self._zones.of(name) for name in names]
        self._rows = made(tree["rows"], self._packages)
        if len(self._rows) != len(names):
            raise ValueError(f"a state of {len(self._rows)} segments, not {len(names)}")
        self._recent.extend((start, row) for start, row in tree["recent"])

    def _last_hour(self, end: int) -> Ints:
        """Contacts in the hour that ends there, shape (S,); a row is as long as there were segments then."""
        sums = np.zeros(len(self._rows), dtype=np.int64)
        for start, observed in self._recent:
            if start >= end - HOUR:
                sums[: len(observed)] += observed
        return sums
