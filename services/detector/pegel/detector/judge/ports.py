"""The judge's ports. tests/contract/test_detector.py runs on every implementation."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pegel.detector.judge.domain.judgement import Floats, Ints, Judgement


class Detector(Protocol):
    """Keeps a baseline a segment. Segments are added and never leave; arrays follow their order.

    Deterministic: the same calls give the same answers, whatever machine or time.
    """

    @property
    def version(self) -> str:
        """Name and version, as it stands in windows and spikes."""
        ...

    def add_segments(self, segments: Sequence[tuple[str, ...]]) -> None: ...

    def judge(self, start: int, observed: Ints) -> Judgement:
        """Score a bucket that begins at `start` (seconds since 1970); observed: contacts, shape (S,)."""
        ...

    def learn(self, start: int, seconds: int, observed: Ints, *, skip: Ints | None = None) -> None:
        """Learn an interval; skip: indices of segments not to learn (they are in a spike)."""
        ...

    def skip_gap(self, buckets: int) -> None:
        """This many buckets were observed by nobody: they stand in no window and are not learnt."""
        ...

    def add_late(self, buckets_ago: int, segment: int, contacts: int) -> None:
        """Contacts of an earlier bucket (1: the one judged last) came late: add them to windows that still cover it."""
        ...

    def recent(self, segment: int, buckets: int) -> tuple[Ints, Floats]:
        """Observed and expected of the segment's last buckets (at most 24 h of them), oldest first."""
        ...

    def state(self) -> dict[str, Any]:
        """All it knows, as a tree of plain values and arrays (pegel.detector.state); nothing in it is changed later.

        Nothing is judged while it is taken, so it copies and does nothing else.
        """
        ...

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Become what `state` told, tuples as lists; of a fresh detector. The tree's arrays are taken over, not copied.

        From then on the answers are the same to the bit. Raises KeyError, ValueError for a state of other rules.
        """
        ...
