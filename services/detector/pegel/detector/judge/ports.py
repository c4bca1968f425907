"""The judge's ports. tests/contract/test_detector.py runs on every implementation."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pegel.detector.judge.domain.judgement import Floats, Ints, Judgement, Windows


class Detector(Protocol):
    """Keeps a baseline a segment. Segments are added and never leave; arrays follow their order.

    Deterministic: the same calls give the same answers, whatever machine or time.
    """

    @property
    def version(self) -> str:
        """Name and version, as it stands in windows and spikes."""
        ...

    @property
    def history_days(self) -> float:
        """How long a history the best known segment was learnt from."""
        ...

    def add_segments(self, segments: Sequence[tuple[str, ...]]) -> None: ...

    def judge(self, start: int, observed: Ints, *, whole: bool = True, factors: Floats | None = None) -> Judgement:
        """Score a bucket that begins at `start` (seconds since 1970), and learn it in its time.

        observed: contacts, shape (S,). whole: every partition was there; a bucket that nobody saw whole is not learnt.
        factors: of the calendar (judge.domain.events), (S,): what is expected is multiplied; where it is nan nobody is
        paged: evidence is no roll-up's, and begins again when that is over. Where it is not 1 nothing is learnt.
        """
        ...

    def learn(self, start: int, seconds: int, observed: Ints) -> None:
        """Learn an interval of the past, before the first bucket judged."""
        ...

    def skip_gap(self, buckets: int) -> None:
        """This many buckets were observed by nobody: they stand in no window and are not learnt."""
        ...

    def add_late(self, buckets_ago: int, segment: int, contacts: int) -> None:
        """Contacts of an earlier bucket (1: the one judged last) came late: add them to windows that still cover it."""
        ...

    def windows(self, name: tuple[str, ...]) -> Windows:
        """The windows of a line (a segment or a roll-up) that end with the bucket judged last."""
        ...

    def recent(self, name: tuple[str, ...], buckets: int) -> tuple[Ints, Floats]:
        """Observed and expected of a line's last buckets, oldest first (minutes, if shorter); at most 24 h."""
        ...

    def over(self, name: tuple[str, ...]) -> None:
        """A spike of this line is over: what it left of evidence opens no other."""
        ...

    def new_normal(self, segments: Ints, since: int) -> None:
        """A person said that what is seen of these (their numbers) since then (seconds since 1970) is normal.

        From now on that is what is expected, and evidence begins again; the hours since are learnt in their time.
        """
        ...

    def undo_new_normal(self, segments: Ints) -> None:
        """It is not: from now on what was learnt is expected, as if it had not been said. What was learnt stays."""
        ...

    def members(self, name: tuple[str, ...]) -> Sequence[tuple[str, ...]]:
        """The segments that make up a line."""
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
