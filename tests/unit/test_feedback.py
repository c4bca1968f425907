"""What teams say of their pages: bars raised within bounds, new normals learnt at once, and all of it undone."""

from collections.abc import Sequence
from copy import deepcopy
from datetime import timedelta
from functools import cache
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pegel.detector.judge.domain import feedback as module
from pegel.detector.judge.domain.feedback import Feedback
from pegel.detector.judge.domain.judgement import Ints
from pegel.detector.judge.domain.lines import FeedbackLine
from pegel.detector.judge.domain.models.kernel import DECLARED_LEARNT_HOURS, Kernel
from pegel.detector.judge.domain.seasons import Zones
from pegel.detector.judge.domain.spikes import SpikeTracker
from pegel.detector.state import decode, encode
from pegel.schemas.detection import FeedbackRecord, HistoryEndRecord, HistoryRecord
from pegel.schemas.feedback import BAR_DAYS, BAR_MOST, BAR_STEP, BARS
from support.detecting import MADE, Detection, at

FIRST = int(MADE.timestamp()) // 60
ATM, CARDS = ("ES", "atm"), ("ES", "cards")
SEGMENTS = [ATM, CARDS, ("PT", "atm")]
LASTS = BAR_DAYS * 1440
"""Buckets of a minute."""


def uuid(number: int) -> str:
    return str(UUID(int=number))


class Told:
    """A detector that notes what it is told."""

    def __init__(self) -> None:
        self.said: list[tuple[str, list[int], int]] = []

    def new_normal(self, segments: Ints, since: int) -> None:
        self.said.append(("normal", segments.tolist(), since))

    def undo_new_normal(self, segments: Ints) -> None:
        self.said.append(("undo", segments.tolist(), 0))


class Desk:
    """Answers, and the judge's part that takes them, in buckets of a minute."""

    def __init__(self) -> None:
        self.feedback, self.detector = Feedback(60), Told()
        self.tracker = SpikeTracker(60, 5.0, self.feedback.raised)

    def say(self, number: int, verdict: str, line: Sequence[str] = (), *, bucket: int = 0, at: int | None = 0,
            undoes: int | None = None) -> None:  # fmt: skip
        """at: the bucket that is judged next."""
        named = None if undoes is None else uuid(undoes)
        self.feedback.take(FeedbackLine(uuid(number), verdict, bucket, tuple(line), MADE, named), at)  # type: ignore[arg-type]

    def judge(self, bucket: int) -> dict[tuple[str, ...], float]:
        self.feedback.hold(bucket, SEGMENTS, self.detector, self.tracker)
        return dict(self.feedback.raised)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_not_useful_raises_the_bar_of_its_line_alone(desk: Desk) -> None:
    before = desk.tracker.bar_of(ATM)
    desk.say(1, "not_useful", ATM)
    assert desk.judge(0) == {ATM: BAR_STEP}
    assert desk.tracker.bar_of(ATM) == pytest.approx(before + 0.3)
    assert [desk.tracker.bar_of(line) for line in (CARDS, ("*", "atm"), ("*", "*"))] == [before] * 3


def test_however_many_say_so_it_is_bounded(desk: Desk) -> None:
    seen = []
    for number in range(12):
        desk.say(number, "not_useful", ATM)
        seen.append(desk.judge(number)[ATM])
    assert seen == pytest.approx([0.3, 0.6, 0.9, *[BAR_MOST] * 9])
    assert tuple(seen[:4]) == BARS


def test_a_bar_comes_down_by_itself_one_answer_after_the_other(desk: Desk) -> None:
    # answers hold from 0 and 100
    desk.say(1, "not_useful", ATM, bucket=0)
    desk.say(2, "not_useful", ATM, bucket=100)
    assert desk.judge(0) == {ATM: 0.3}
    assert desk.judge(99) == {ATM: 0.3}
    assert desk.judge(100) == {ATM: 0.6}
    assert desk.judge(LASTS - 1) == {ATM: 0.6}
    assert desk.judge(LASTS) == {ATM: 0.3}
    assert desk.judge(LASTS + 99) == {ATM: 0.3}
    assert desk.judge(LASTS + 100) == {}


def test_an_undo_lowers_it_from_its_bucket_on(desk: Desk) -> None:
    desk.say(1, "not_useful", ATM)
    desk.say(2, "not_useful", ATM)
    desk.say(3, "undo", undoes=1, bucket=5)
    assert desk.judge(4) == {ATM: 0.6}
    assert desk.judge(5) == {ATM: 0.3}
    desk.say(4, "undo", undoes=1, bucket=6)  # it is undone already
    assert desk.judge(6) == {ATM: 0.3}
    desk.say(5, "undo", undoes=2, bucket=3, at=7)  # judged already: from the next on
    assert desk.judge(7) == {}


def test_a_repeated_answer_is_dropped(desk: Desk) -> None:
    for _ in range(3):
        desk.say(1, "not_useful", ATM)
        assert desk.judge(0) == {ATM: 0.3}
    for _ in range(2):
        desk.say(2, "undo", undoes=1)
        assert desk.judge(1) == {}
    desk.say(1, "not_useful", ATM)  # after its undo: a sender that slept
    assert desk.judge(2) == {}
    assert desk.feedback.refusals == []


def test_real_changes_nothing(desk: Desk) -> None:
    desk.say(1, "real", ATM)
    assert desk.judge(0) == {}
    assert desk.detector.said == []


def test_a_new_normal_reaches_the_segments_of_its_line_and_its_undo_those_of_no_other(desk: Desk) -> None:
    since = int(MADE.timestamp())
    desk.say(1, "new_normal", ("ES", "*"))
    desk.say(2, "new_normal", ATM)
    desk.judge(0)
    assert desk.detector.said == [("normal", [0, 1], since), ("normal", [0], since)]
    desk.say(3, "undo", undoes=1)
    desk.judge(1)
    assert desk.detector.said[2:] == [("undo", [1], 0)]
    desk.say(4, "undo", undoes=2)
    desk.judge(2)
    assert desk.detector.said[3:] == [("undo", [0], 0)]


def test_what_is_undone_before_it_holds_never_does(desk: Desk) -> None:
    desk.say(1, "new_normal", ATM, bucket=10)
    desk.say(2, "not_useful", ATM, bucket=10)
    desk.say(3, "undo", undoes=1, bucket=5)
    desk.say(4, "undo", undoes=2, bucket=5)
    assert [desk.judge(bucket) for bucket in (4, 5, 10, 11)] == [{}] * 4
    assert desk.detector.said == []


def test_what_can_t_be_done_is_said(desk: Desk) -> None:
    desk.say(1, "new_normal", ("FR", "atm"))
    desk.say(2, "undo", undoes=77)
    desk.say(3, "undo", undoes=2)
    desk.judge(0)
    assert desk.detector.said == []
    assert [reason.partition(",")[0] for reason in desk.feedback.refusals] == [
        f"{uuid(2)} undoes {uuid(77)}",
        f"{uuid(3)} undoes {uuid(2)}",
        "new_normal of FR/atm: there is no such segment",
    ]


def test_only_so_many_are_remembered_and_the_oldest_is_forgotten(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWERS_MAX", 3)
    desk.say(0, "not_useful", ATM)
    assert desk.judge(0) == {ATM: 0.3}
    for number in range(1, 4):
        desk.say(number, "not_useful", CARDS, bucket=5)
    assert desk.judge(1) == {}
    assert desk.judge(5) == {CARDS: pytest.approx(0.9)}
    assert len(desk.feedback.state()["answers"]) == 3


Step = tuple[str, int, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["not_useful", "not_useful", "undo", "repeat", "real", "new_normal", "judge"]),
        st.integers(0, 2),
        st.integers(0, 30),
        st.integers(0, 12),
    ),
    max_size=40,
)


def play(desk: Desk, steps: Sequence[Step], first: int, bucket: int, said: list[tuple[object, ...]]) -> int:
    """verdict, line, answer that is named, buckets ahead; the bucket that is judged next afterwards."""
    for number, (verdict, line, named, ahead) in enumerate(steps, first):
        if verdict == "judge":
            desk.judge(bucket)
            bucket += 1 + ahead
        elif verdict == "repeat" and said:
            desk.say(*said[named % len(said)], bucket=bucket, at=bucket)  # type: ignore[arg-type]
        elif verdict == "undo":
            desk.say(number, "undo", undoes=named, bucket=bucket + ahead, at=bucket)
        elif verdict != "repeat":
            said.append((number, verdict, SEGMENTS[line]))
            desk.say(number, verdict, SEGMENTS[line], bucket=bucket + ahead, at=bucket)
    return bucket


@settings(deadline=None, max_examples=200)
@given(steps=STEPS, cut=st.integers(0, 40))
def test_whatever_is_said_bars_stay_within_bounds_restart_alike_and_come_back_when_all_is_undone(
    steps: Sequence[Step], cut: int
) -> None:
    whole, said = Desk(), list[tuple[object, ...]]()
    bucket = play(whole, steps[:cut], 0, 0, said)
    other = Desk()
    other.feedback.restore(decode(encode(whole.feedback.state())))
    end = play(whole, steps[cut:], cut, bucket, list(said))
    assert play(other, steps[cut:], cut, bucket, list(said)) == end
    assert other.judge(end) == whole.judge(end)
    assert encode(other.feedback.state()) == encode(whole.feedback.state())
    assert all(raised in BARS for raised in whole.feedback.raised.values())
    for number in range(len(steps)):
        whole.say(1000 + number, "undo", undoes=number, bucket=end + 1, at=end + 1)
    assert whole.judge(end + 1 + 12) == {}


@cache
def two_weeks_old() -> Detection:
    d, steps = Detection(), tuple([5] * (14 * 288))
    past = {"part": 0, "start": at(-14 * 1440), "step_seconds": 300, "segments": (ATM, CARDS), "counts": (steps, steps)}
    d.counts_record(0, HistoryRecord.model_validate({"id": uuid(500), **past}))
    d.counts_record(0, HistoryEndRecord(id=uuid(500), parts=1))
    return d


class TestJudged:
    """Cash machines in Spain, with two weeks of history of one contact a minute, and another segment like them."""

    @pytest.fixture
    def bank(self) -> Detection:
        return deepcopy(two_weeks_old())

    def minutes(self, d: Detection, first: int, last: int, contacts: int) -> None:
        for minute in range(first, last):
            d.send(minute + 0.2, contacts)
            d.send(minute + 0.2, 1, topic="cards")
            d.tick(minute + 0.25)
            d.tick(minute + 0.75)

    def answered(self, d: Detection, minute: float, number: int, verdict: str, **fields: object) -> None:
        given = {} if verdict == "undo" else {"segment": ATM, "since": at(20)}
        record = FeedbackRecord.model_validate(
            {"id": uuid(number), "verdict": verdict, "bucket": 0, "given_by": "cash", **given, **fields}
        )
        d.counts_record(minute, record)

    def test_what_was_not_useful_pages_no_more_and_does_again_when_that_is_undone(self, bank: Detection) -> None:
        # a burst of 7 at minute 20; not useful; another at 200; undone; another at 380
        for burst in (20, 200, 380):
            self.minutes(bank, burst - 20, burst, 1)
            self.minutes(bank, burst, burst + 1, 7)
            self.minutes(bank, burst + 1, burst + 90, 1)
            if burst == 20:
                self.answered(bank, 110, 1, "not_useful")
                self.answered(bank, 110, 2, "not_useful")
                self.answered(bank, 110, 3, "not_useful")
            if burst == 200:
                for number in (1, 2, 3):
                    self.answered(bank, 290, 10 + number, "undo", undoes=uuid(number))
        opened = [int((s.at - MADE).total_seconds()) // 60 for s in bank.spikes if s.state == "opened"]
        assert [minute // 180 for minute in opened] == [0, 2]

    def test_a_spike_says_by_how_much_its_bar_is_raised(self, bank: Detection) -> None:
        self.minutes(bank, 0, 20, 1)
        self.answered(bank, 20, 1, "not_useful")
        self.minutes(bank, 20, 30, 12)
        assert [s.bar_raised for s in bank.spikes if s.state == "opened"] == [0.3]

    def test_a_new_normal_is_expected_at_once_and_its_spike_is_over(self, bank: Detection) -> None:
        # 6 a minute from 20 on; at 35 it is said to be normal
        self.minutes(bank, 0, 20, 1)
        self.minutes(bank, 20, 35, 6)
        assert [s.state for s in bank.spikes if s.state != "updated"] == ["opened"]
        self.answered(bank, 35, 1, "new_normal")
        self.minutes(bank, 35, 180, 6)
        states = [(s.state, s.at) for s in bank.spikes if s.state != "updated"]
        assert [state for state, _ in states] == ["opened", "resolved"]
        assert states[1][1] - MADE <= timedelta(minutes=36)
        expected = {w.bucket - FIRST: w.expected for w in bank.windows if w.status == "observed"}
        assert expected[30] == pytest.approx((1, 1), rel=0.2)
        assert expected[37] == pytest.approx((6, 1), rel=0.2)
        assert expected[178] == pytest.approx((6, 1), rel=0.2)

    def test_above_the_new_normal_it_pages_again(self, bank: Detection) -> None:
        self.minutes(bank, 0, 20, 1)
        self.minutes(bank, 20, 35, 6)
        self.answered(bank, 35, 1, "new_normal")
        self.minutes(bank, 35, 80, 6)
        self.minutes(bank, 80, 90, 24)
        opened = [s for s in bank.spikes if s.state == "opened"]
        assert len(opened) == 2
        assert abs((opened[1].onset - at(80)).total_seconds()) <= 600

    def test_when_it_is_undone_the_old_normal_is_expected_again(self, bank: Detection) -> None:
        self.minutes(bank, 0, 20, 1)
        self.minutes(bank, 20, 35, 6)
        self.answered(bank, 35, 1, "new_normal")
        self.minutes(bank, 35, 40, 6)
        self.answered(bank, 40, 2, "undo", undoes=uuid(1))
        self.minutes(bank, 40, 60, 6)
        expected = [w.expected[0] for w in bank.windows if w.status == "observed"]
        assert expected[38] == pytest.approx(6, rel=0.2)
        assert expected[45] == pytest.approx(1, rel=0.6)
        assert [s.state for s in bank.spikes if s.state == "opened"] == ["opened", "opened"]

    def test_a_history_that_comes_later_leaves_it_standing(self) -> None:
        d = Detection()
        self.minutes(d, 0, 20, 6)
        self.answered(d, 20, 1, "new_normal", since=at(0))
        steps, name = tuple([5] * (14 * 288)), uuid(500)
        self.minutes(d, 20, 22, 6)
        d.counts_record(
            22,
            HistoryRecord(id=name, part=0, start=at(-14 * 1440), step_seconds=300, segments=(ATM,), counts=(steps,)),
        )
        d.counts_record(22, HistoryEndRecord(id=name, parts=1))
        self.minutes(d, 22, 30, 6)
        assert d.windows[-1].expected[0] == pytest.approx(6, rel=0.2)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"segment": ("ES",)}, "segment"),
        ({"segment": None}, "segment"),
        ({"verdict": "new_normal", "since": None}, "since"),
        ({"verdict": "undo"}, "undoes"),
        ({"bucket": FIRST + 3 * 1440}, "bucket"),
        ({"bucket": 10**15}, "bucket"),
    ],
)
def test_what_makes_no_sense_is_quarantined(fields: dict[str, object], field: str) -> None:
    d = Detection()
    sound = {"id": uuid(1), "verdict": "real", "bucket": FIRST, "segment": ATM, "since": at(0), "given_by": "cash"}
    record = FeedbackRecord.model_construct(**{**sound, **fields})  # type: ignore[arg-type]
    d.counts_record(1, record)
    (rejected,) = d.outputs
    assert rejected.errors[0].field == field  # type: ignore[attr-defined]
    assert d.judge.unreadable == 1


@cache
def taught() -> Kernel:
    """Four weeks of 10 contacts in 5 minutes."""
    kernel = Kernel(300, Zones({}, None), 1)
    kernel.add_segments([ATM])
    for step, contacts in enumerate(np.random.default_rng(2).poisson(10, size=(28 * 288, 1))):
        kernel.learn(int(MADE.timestamp()) - (28 * 288 - step) * 300, 300, contacts)
    return kernel


def expected_after(hours: int, *, undone_after: int | None = None) -> float:
    """Of a kernel that sees five times as many and is told after an hour that this is normal, and is told otherwise."""
    kernel, start = deepcopy(taught()), int(MADE.timestamp())
    expected = 0.0
    for step, contacts in enumerate(np.random.default_rng(3).poisson(50, size=(hours * 12, 1))):
        if step == 12:
            kernel.new_normal(np.array([0]), start)
        if undone_after is not None and step == undone_after * 12:
            kernel.undo_new_normal(np.array([0]))
        expected = float(kernel.judge(start + step * 300, contacts).expected[0])
    return expected


def test_the_kernel_expects_a_new_normal_at_once_and_learns_its_hours_when_they_are_a_day_old() -> None:
    assert expected_after(2) == pytest.approx(50, rel=0.15)
    assert expected_after(3, undone_after=2) < 20
    for hours in (30, int(DECLARED_LEARNT_HOURS) + 3):  # while it is learnt, and when that is over
        assert expected_after(hours) == pytest.approx(50, rel=0.2)


def test_what_was_learnt_of_a_new_normal_until_it_is_undone_stays() -> None:
    # hours are learnt when they are a day old: after 34 h nine of the new normal are, and none after 10 h
    assert expected_after(12, undone_after=10) < 13
    assert expected_after(36, undone_after=34) > 18
