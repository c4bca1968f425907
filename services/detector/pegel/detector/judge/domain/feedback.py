"""What teams say of their pages, and what the judge makes of it: bars raised, new normals; all of it can be undone.

An answer holds from its bucket, or from the next one to be judged. `not_useful` raises the bar of its line (exactly the
one that was paged, be it a roll-up) by BAR_STEP for BAR_DAYS, several together by BAR_MOST; so a bar comes down by
itself, and a pager that nobody asks again is not silenced for ever. `new_normal` lets the detector expect what was seen
since. `real` changes nothing here: it is counted where what was promised is compared with what was seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from pegel.detector.judge.domain.judgement import Ints
from pegel.detector.judge.domain.lines import FeedbackLine
from pegel.detector.judge.domain.spikes import SpikeTracker, covers
from pegel.schemas.feedback import BAR_DAYS, bar_raised

ANSWERS_MAX: Final = 10_000
"""So many are remembered, the newest: a repeated one is known among them, and what they say holds."""
REFUSED_MAX: Final = 100
"""Reasons that are kept until somebody reads them."""
DAY: Final = 86_400


class Learner(Protocol):
    """What is asked of the detector (judge.ports.Detector)."""

    def new_normal(self, segments: Ints, since: int) -> None: ...

    def undo_new_normal(self, segments: Ints) -> None: ...


@dataclass(slots=True)
class Answer:
    """bucket: from which it holds; since: seconds since 1970; undone: the bucket from which it holds no more."""

    verdict: str
    line: tuple[str, ...]
    bucket: int
    since: int = 0
    undoes: str | None = None
    undone: int | None = None

    def holds(self, bucket: int) -> bool:
        return self.bucket <= bucket and (self.undone is None or bucket < self.undone)


class Change(NamedTuple):
    """What begins to hold. ends: whether a new normal does not hold any more."""

    line: tuple[str, ...]
    since: int
    ends: bool


class Feedback:
    """All that was answered. raised: the bars that hold now, by line; always the same dictionary."""

    def __init__(self, bucket_seconds: int) -> None:
        self._raise_buckets = BAR_DAYS * DAY // bucket_seconds
        self._answers: dict[str, Answer] = {}
        self._waiting: list[str] = []
        """Those that do not hold yet, in the log's order."""
        self._bucket = 0
        self._lowers: int | None = None
        """The bucket in which the next bar comes down by itself."""
        self.raised: dict[tuple[str, ...], float] = {}
        self.refusals: list[str] = []
        """Why nothing was made of an answer. Whoever reads them clears them."""

    def take(self, line: FeedbackLine, next_bucket: int | None) -> None:
        """A record of counts. A repeated one is dropped."""
        if line.id in self._answers:
            return
        bucket = max(line.bucket, next_bucket or 0)
        named = self._answers.get(line.undoes or "")
        since = int(line.since.timestamp()) if line.since is not None else 0
        self._answers[line.id] = Answer(line.verdict, line.segment, bucket, since, line.undoes)
        if line.verdict == "undo" and (named is None or named.verdict == "undo"):
            self._refuse(f"{line.id} undoes {line.undoes}, which is no answer that is known")
        else:
            self._waiting.append(line.id)
        while len(self._answers) > ANSWERS_MAX:
            oldest = next(iter(self._answers))
            del self._answers[oldest]
            self._waiting = [name for name in self._waiting if name != oldest]
            self._lowers = self._bucket  # what it raised is lowered in the next bucket

    def hold(self, bucket: int, segments: Sequence[tuple[str, ...]], detector: Learner, spikes: SpikeTracker) -> None:
        """Let hold what does so from this bucket on, before it is judged. segments: all that the detector knows."""
        changes = self._begin(bucket)
        for line, since, ends in changes:
            rows = rows_of(line, segments)
            if ends:
                others = [rows_of(other.line, segments) for other in self._normals()]
                detector.undo_new_normal(np.setdiff1d(rows, np.concatenate([*others, np.zeros(0, dtype=np.int64)])))
            elif len(rows):
                detector.new_normal(rows, since)
                spikes.end(line)
            else:
                self._refuse(f"new_normal of {'/'.join(line)}: there is no such segment")

    def again(self, segments: Sequence[tuple[str, ...]], detector: Learner) -> None:
        """Tell a fresh detector of the new normals that hold."""
        for answer in self._normals():
            if len(rows := rows_of(answer.line, segments)):
                detector.new_normal(rows, answer.since)

    def state(self) -> dict[str, Any]:
        return {
            "answers": [[name, *astuple(answer)] for name, answer in self._answers.items()],
            "waiting": list(self._waiting),
            "bucket": self._bucket,
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        for name, verdict, line, *rest in tree["answers"]:
            self._answers[name] = Answer(verdict, tuple(line), *rest)
        self._waiting, self._bucket = list(tree["waiting"]), tree["bucket"]
        self._find_raised()

    def _begin(self, bucket: int) -> list[Change]:
        self._bucket = bucket
        due = [name for name in self._waiting if self._answers[name].bucket <= bucket]
        if not due:
            if self._lowers is not None and self._lowers <= bucket:
                self._find_raised()
            return []
        self._waiting = [name for name in self._waiting if name not in due]
        changes = []
        for name in due:
            answer = self._answers[name]
            if answer.verdict != "undo":
                if answer.verdict == "new_normal" and answer.undone is None:
                    changes.append(Change(answer.line, answer.since, ends=False))
                continue
            named = self._answers.get(answer.undoes or "")
            if named is None or named.undone is not None:
                continue
            named.undone = answer.bucket
            if named.verdict == "new_normal" and answer.undoes not in self._waiting:
                changes.append(Change(named.line, named.since, ends=True))
        self._find_raised()
        return changes

    def _normals(self) -> list[Answer]:
        return [its for its in self._answers.values() if its.verdict == "new_normal" and its.holds(self._bucket)]

    def _find_raised(self) -> None:
        counts: dict[tuple[str, ...], int] = {}
        ends = []
        for answer in self._answers.values():
            end = answer.bucket + self._raise_buckets
            if answer.verdict == "not_useful" and answer.holds(self._bucket) and self._bucket < end:
                counts[answer.line] = counts.get(answer.line, 0) + 1
                ends.append(end)
        self.raised.clear()
        self.raised.update({line: bar_raised(count) for line, count in counts.items()})
        self._lowers = min(ends, default=None)

    def _refuse(self, why: str) -> None:
        self.refusals = [*self.refusals, why][-REFUSED_MAX:]


def rows_of(line: tuple[str, ...], segments: Sequence[tuple[str, ...]]) -> Ints:
    """The numbers of the segments that a line covers."""
    return np.array([number for number, name in enumerate(segments) if covers(line, name)], dtype=np.int64)
