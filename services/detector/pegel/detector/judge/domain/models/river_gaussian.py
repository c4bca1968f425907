"""river's GaussianScorer, one a segment and hour of the local week: a second detector behind the same port.

Not `beside.RiverBeside`, which keeps one estimator a segment and no state: this one can page, so it is saved.
"""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from pegel.detector.judge.domain.judgement import Floats, Ints, Judgement
from pegel.detector.judge.domain.models.named import make
from pegel.detector.judge.domain.seasons import Zones, hour_of_week

DAY: Final = 86_400
WINDOW_SECONDS: Final = 900


class RiverGaussian:
    """Scores the last 15 minutes by river.anomaly.GaussianScorer. Implements judge.ports.Detector."""

    version = "river_gaussian/1"

    def __init__(self, bucket_seconds: int, zones: Zones) -> None:
        self._bucket_seconds, self._zones = bucket_seconds, zones
        self._length = max(1, WINDOW_SECONDS // bucket_seconds)
        self._segments: list[tuple[str, ...]] = []
        self._scorers: dict[tuple[int, int], Any] = defaultdict(
            lambda: make("river.anomaly.GaussianScorer", {"grace_period": 4})
        )
        self._learning: list[float] = []
        self._learnt_seconds = 0
        self._observed: deque[Ints] = deque(maxlen=DAY // bucket_seconds)
        self._expected: deque[Floats] = deque(maxlen=DAY // bucket_seconds)

    def add_segments(self, segments: Sequence[tuple[str, ...]]) -> None:
        self._segments.extend(segments)
        self._learning.extend([0.0] * len(segments))

    def judge(self, start: int, observed: Ints) -> Judgement:
        count = len(self._segments)
        share = self._bucket_seconds / WINDOW_SECONDS
        means, sigmas = np.zeros(count), np.zeros(count)
        for row in range(count):
            gaussian = self._scorers[row, self._slot(row, start)].gaussian
            means[row], sigmas[row] = gaussian.mu, gaussian.sigma
        expected = np.maximum(means, 0.0) * share
        self._observed.append(observed.copy())
        self._expected.append(expected)
        recent = list(self._observed)[-self._length :]
        window = np.sum([np.pad(o, (0, count - len(o))) for o in recent], axis=0)
        scores = np.zeros(count)
        for row in np.flatnonzero(window > means).tolist():
            # score_one is |2 cdf - 1|: 0.999 says that the upper tail is 0.0005.
            said = self._scorers[row, self._slot(row, start)].score_one(None, float(window[row]))
            scores[row] = -np.log10(max((1.0 - said) / 2.0, 1e-300)) if said > 0 else 0.0
        width = 1.96 * sigmas * np.sqrt(share)
        return Judgement(
            expected=expected,
            lower=np.maximum(0.0, expected - width),
            upper=expected + width,
            window_seconds=np.array([self._length * self._bucket_seconds], dtype=np.int64),
            scores=(scores if self._learnt_seconds >= DAY else np.zeros(count))[np.newaxis],
            window_observed=window[np.newaxis],
            window_expected=np.maximum(means, 0.0)[np.newaxis],
        )

    def learn(self, start: int, seconds: int, observed: Ints, *, skip: Ints | None = None) -> None:
        self._learnt_seconds += seconds
        skipped = set() if skip is None else set(skip.tolist())
        whole = (start + seconds) % WINDOW_SECONDS == 0
        for row, count in enumerate(observed.tolist()):
            self._learning[row] += count
            if whole:
                if row not in skipped:
                    self._scorers[row, self._slot(row, start)].learn_one(None, self._learning[row])
                self._learning[row] = 0.0

    def state(self) -> dict[str, Any]:
        taught = [(*at, scorer.gaussian._var) for at, scorer in self._scorers.items() if scorer.gaussian.n_samples]
        return {
            "segments": list(self._segments),
            "learning": list(self._learning),
            "learnt_seconds": self._learnt_seconds,
            "observed": [observed.copy() for observed in self._observed],
            "expected": list(self._expected),
            # Of each scorer that has learnt: its segment and hour, and the three numbers of its running variance.
            "row": np.array([row for row, _, _ in taught], dtype=np.int32),
            "slot": np.array([slot for _, slot, _ in taught], dtype=np.int16),
            "learnt": np.array([var.mean.n for _, _, var in taught]),
            "mean": np.array([var.mean._mean for _, _, var in taught]),
            "squares": np.array([var._S for _, _, var in taught]),
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        self.add_segments([tuple(segment) for segment in tree["segments"]])
        self._learning, self._learnt_seconds = list(tree["learning"]), tree["learnt_seconds"]
        self._observed.extend(tree["observed"])
        self._expected.extend(tree["expected"])
        taught = (tree[name].tolist() for name in ("row", "slot", "learnt", "mean", "squares"))
        for row, slot, learnt, mean, squares in zip(*taught, strict=True):
            var = self._scorers[row, slot].gaussian._var
            var.mean.n, var.mean._mean, var._S = learnt, mean, squares

    def skip_gap(self, buckets: int) -> None:
        for _ in range(min(buckets, self._observed.maxlen or 0)):
            self._observed.append(np.zeros(len(self._segments), dtype=np.int64))
            self._expected.append(np.zeros(len(self._segments)))

    def add_late(self, buckets_ago: int, segment: int, contacts: int) -> None:
        if buckets_ago <= len(self._observed) and segment < len(self._observed[-buckets_ago]):
            self._observed[-buckets_ago][segment] += contacts

    def recent(self, segment: int, buckets: int) -> tuple[Ints, Floats]:
        observed = [int(o[segment]) if segment < len(o) else 0 for o in list(self._observed)[-buckets:]]
        expected = [float(e[segment]) if segment < len(e) else 0.0 for e in list(self._expected)[-buckets:]]
        return np.array(observed, dtype=np.int64), np.array(expected)

    def _slot(self, row: int, start: int) -> int:
        return hour_of_week(self._zones.of(self._segments[row]), start // 3600)
