"""Which model pages, and those that run beside it: silent challengers, whose scores are recorded.

The product's own detector always runs: it keeps what is usual, the windows, and the weeks that a challenger is warmed
from. So a model that is promoted gives the scores of the segments, and with them what pages; how many contacts are
expected, the band, the windows and the explanations stay the detector's. It has no roll-ups, as no estimator has.
"""

from bisect import insort_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from pegel.detector.judge.domain.judgement import Floats, Ints, Judgement
from pegel.detector.judge.domain.lines import PromotionLine
from pegel.detector.judge.domain.rollups import no_rollups

PEGEL: Final = "pegel"
"""The detector's name as a model."""
SCORE_MIN: Final = -9.0
"""What lies below is no opinion worth a record."""
PENDING_MAX: Final = 100
"""Promotions that wait for their bucket."""
IDS_KEPT: Final = 1_000
"""Of promotions, so that a repeated one is known."""

Hours = Iterable[tuple[int, Floats, Floats]]
"""Hours of the past, oldest first: number since 1970, contacts by 5 minutes (12, S), share of each observed (12,)."""


class Detector(Protocol):
    """What is asked of the detector (judge.ports.Detector) here."""

    @property
    def version(self) -> str: ...

    def kept(self) -> Hours: ...


class Challenger(Protocol):
    """A model of segments, S of them, one by one. Deterministic, as the detector is."""

    @property
    def version(self) -> str:
        """Name and version, as it stands in records."""
        ...

    def judge(self, start: int, observed: Ints, *, whole: bool) -> Floats | None:
        """Scores of the bucket that begins at `start`, as a judgement's, (S,); then learn it. None: nothing new."""
        ...

    @property
    def score(self) -> Floats:
        """Those said last, -inf where there is no opinion, (S,)."""
        ...

    def add_segments(self, names: Sequence[tuple[str, ...]]) -> None: ...

    def warm(self, names: Sequence[tuple[str, ...]], hours: Hours) -> None:
        """Learn the past, of a fresh one; names: of the segments, in order, which it knows afterwards."""
        ...

    def state(self) -> dict[str, Any]: ...

    def restore(self, tree: Mapping[str, Any], names: Sequence[tuple[str, ...]]) -> None: ...


class Opinion(NamedTuple):
    """What a challenger said of a bucket. model: its version; score: of the lines `names`, (N,)."""

    bucket: int
    model: str
    names: Sequence[tuple[str, ...]]
    score: Floats


class Rules(NamedTuple):
    """As configured. first: the model that pages until a promotion; challengers: by name; make: a fresh one."""

    first: str
    challengers: tuple[str, ...]
    make: Callable[[str], Challenger]


def _no_other(name: str) -> Challenger:
    raise ValueError(f"{name}: there is no such model")


ALONE: Final = Rules(PEGEL, (), _no_other)
"""The detector pages, and nothing runs beside it."""


class Challengers:
    """The models of one judge. `judge` gives each bucket's judgement by the model that pages."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._pager = rules.first
        self._pending: list[tuple[int, str]] = []
        """Promotions by their bucket; of several for one, the last."""
        self._ids: dict[str, None] = {}
        self._running = {name: rules.make(name) for name in self._wanted()}
        self._known = 0
        self._opinions: list[Opinion] = []
        self.refusals: list[str] = []

    def version(self, detector: Detector) -> str:
        """Of the model that pages."""
        return detector.version if self._pager == PEGEL else self._running[self._pager].version

    def promote(self, line: PromotionLine, next_bucket: int | None) -> None:
        """Take a promotion; what can't be done is noted in `refusals`."""
        if line.id in self._ids:
            return
        self._ids[line.id] = None
        while len(self._ids) > IDS_KEPT:
            del self._ids[next(iter(self._ids))]
        if line.model != PEGEL and line.model not in self._running:
            names = ", ".join(sorted({PEGEL, *self._running}))
            self.refusals.append(f"{line.model} does not run here, so it can't page: the models are {names}")
        elif len(self._pending) >= PENDING_MAX:
            self.refusals.append(f"{PENDING_MAX} promotions wait for their bucket already")
        else:
            insort_right(self._pending, (max(line.bucket, next_bucket or 0), line.model), key=lambda each: each[0])

    def judge(
        self,
        bucket: int,
        start: int,
        observed: Ints,
        judgement: Judgement,
        names: Sequence[tuple[str, ...]],
        detector: Detector,
        *,
        whole: bool,
    ) -> Judgement:
        """The judgement of the model that pages, of the detector's; what the others say is kept for `take`."""
        while self._pending and self._pending[0][0] <= bucket:
            self._pager = self._pending.pop(0)[1]
        if len(names) > self._known:
            for one in self._running.values():
                one.add_segments(names[self._known :])
            self._known = len(names)
        for name, one in self._running.items():
            said = one.judge(start, observed, whole=whole)
            if said is not None and name != self._pager:
                self._note(bucket, one.version, names, said)
        if self._pager == PEGEL:
            return judgement
        rollups = judgement.rollups
        self._note(bucket, detector.version, [*names, *rollups.names], np.concatenate([judgement.score, rollups.score]))
        return replace(judgement, score=self._running[self._pager].score.copy(), rollups=no_rollups())

    def take(self) -> list[Opinion]:
        """What challengers said since the last call."""
        opinions, self._opinions = self._opinions, []
        return opinions

    def relearn(self, detector: Detector, names: Sequence[tuple[str, ...]]) -> None:
        """The detector has learnt another past: so do the challengers, afresh."""
        self._running = {name: self._warmed(name, detector, names) for name in self._running}
        self._known = len(names)

    def state(self) -> dict[str, Any]:
        return {
            "pager": self._pager,
            "pending": list(self._pending),
            "ids": list(self._ids),
            "running": {name: [one.version, one.state()] for name, one in self._running.items()},
        }

    def restore(self, tree: Mapping[str, Any] | None, detector: Detector, names: Sequence[tuple[str, ...]]) -> None:
        """Go on as the one whose state this is, with the challengers that are configured now.

        One that is new, or of another version, is warmed from what the detector keeps; one that is configured no more
        ends, unless it pages or will. tree: None of a judge that had none of this.
        """
        running: Mapping[str, Any] = {}
        if tree is not None:
            self._pager, running = tree["pager"], tree["running"]
            self._pending = [(bucket, name) for bucket, name in tree["pending"]]
            self._ids = dict.fromkeys(tree["ids"])
        self._running, self._known = {}, len(names)
        for name in self._wanted():
            version, state = running.get(name, ("", None))
            one = self._rules.make(name)
            if version == one.version:
                one.restore(state, names)
            else:
                one = self._warmed(name, detector, names)
            self._running[name] = one

    def _wanted(self) -> list[str]:
        """What runs beside the detector."""
        promised = (name for _, name in self._pending)
        wanted = (*self._rules.challengers, self._rules.first, self._pager, *promised)
        return [name for name in dict.fromkeys(wanted) if name != PEGEL]

    def _warmed(self, name: str, detector: Detector, names: Sequence[tuple[str, ...]]) -> Challenger:
        one = self._rules.make(name)
        one.warm(names, detector.kept())
        return one

    def _note(self, bucket: int, model: str, names: Sequence[tuple[str, ...]], score: Floats) -> None:
        said = np.flatnonzero(score > SCORE_MIN).tolist()
        if said:
            self._opinions.append(Opinion(bucket, model, [names[number] for number in said], score[said]))
