"""What the judge may expect of any detector."""

from collections.abc import Callable

import numpy as np
import pytest

from pegel.detector.judge.domain.judgement import Judgement
from pegel.detector.judge.domain.models.kernel import Kernel
from pegel.detector.judge.domain.seasons import Zones
from pegel.detector.judge.ports import Detector
from pegel.detector.state import decode, encode

Make = Callable[[], Detector]
MONDAY = 1_772_409_600
"""2026-03-02T00:00Z."""
SEGMENTS = [("ES", "atm"), ("PT", "cards")]


@pytest.fixture(params=[Kernel])
def make(request: pytest.FixtureRequest) -> Make:
    return lambda: request.param(60, Zones({"ES": "Europe/Madrid", "PT": "Europe/Lisbon"}, 0), 1)


def counts(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, dtype=np.int64)


def taught(make: Make, weeks: int = 2) -> Detector:
    """Weeks of about 5 and 10 contacts in 5 minutes, the same every time."""
    detector = make()
    detector.add_segments(SEGMENTS)
    rng = np.random.default_rng(3)
    for step in range(weeks * 2016):
        detector.learn(MONDAY - (weeks * 2016 - step) * 300, 300, rng.poisson([5, 10]).astype(np.int64))
    return detector


def test_expects_what_it_learnt(make: Make) -> None:
    judgement = taught(make).judge(MONDAY, counts(1, 2))
    assert judgement.expected == pytest.approx([1, 2], rel=0.3)
    assert (judgement.lower <= judgement.expected).all()
    assert (judgement.upper >= judgement.expected).all()


def test_an_untaught_one_scores_nothing(make: Make) -> None:
    detector = make()
    detector.add_segments(SEGMENTS)
    for minute in range(60):
        judgement = detector.judge(MONDAY + 60 * minute, counts(100, 100))
    assert judgement.score.tolist() == [-np.inf, -np.inf]
    assert not judgement.own.any()


def test_a_rise_scores_high_and_an_ordinary_minute_low(make: Make) -> None:
    detector = taught(make)
    for minute in range(30):
        calm = detector.judge(MONDAY + 60 * minute, counts(1, 2))
    for minute in range(30, 45):
        risen = detector.judge(MONDAY + 60 * minute, counts(20, 2))
    assert calm.score.max() < -1
    assert risen.score[0] > 1
    assert risen.score[1] < -1
    windows = detector.windows(SEGMENTS[0])
    assert windows.observed[0] > 3 * windows.expected[0]


def test_shapes_grow_with_the_segments(make: Make) -> None:
    detector = taught(make)
    detector.judge(MONDAY, counts(1, 2))
    detector.add_segments([("PT", "atm")])
    judgement = detector.judge(MONDAY + 60, counts(1, 2, 3))
    assert len(judgement.expected) == len(judgement.lower) == len(judgement.upper) == len(judgement.score) == 3
    assert detector.members(("PT", "*")) == [("PT", "cards"), ("PT", "atm")]


def test_no_segment_is_no_fault(make: Make) -> None:
    detector = make()
    judgement = detector.judge(MONDAY, counts())
    detector.learn(MONDAY, 60, counts())
    detector.skip_gap(3)
    assert judgement.expected.shape == (0,)


def test_recent_gives_the_last_buckets_oldest_first(make: Make) -> None:
    detector = taught(make)
    for minute in range(5):
        detector.judge(MONDAY + 60 * minute, counts(minute, 0))
    observed, expected = detector.recent(SEGMENTS[0], 3)
    assert observed.tolist() == [2, 3, 4]
    assert len(expected) == 3


def test_a_late_contact_counts_in_windows_that_cover_it(make: Make) -> None:
    with_late, without = taught(make), taught(make)
    for detector in (with_late, without):
        detector.judge(MONDAY, counts(1, 2))
    with_late.add_late(1, 0, 4)
    for detector in (with_late, without):
        detector.judge(MONDAY + 60, counts(1, 2))
    a, b = (detector.windows(SEGMENTS[0]).observed for detector in (with_late, without))
    assert (a - b).tolist() == [4] * len(a)


def test_what_nobody_saw_whole_is_not_learnt(make: Make) -> None:
    whole, part = taught(make), taught(make)
    for detector, said in ((whole, True), (part, False)):
        for minute in range(26 * 60):
            detector.judge(MONDAY + 60 * minute, counts(1, 2), whole=said)
    a, b = (detector.judge(MONDAY + 26 * 3600, counts(1, 2)).baseline_days[0] for detector in (whole, part))
    assert a - b == pytest.approx(1 / 24 * 2, abs=1 / 24)


def test_what_an_event_touches_is_expected_otherwise_and_not_learnt(make: Make) -> None:
    plain, touched = taught(make, 1), taught(make, 1)
    for minute in range(26 * 60):
        usual = plain.judge(MONDAY + 60 * minute, counts(1, 2))
        said = touched.judge(MONDAY + 60 * minute, counts(1, 2), factors=np.array([3.0, np.nan]))
        if minute == 0:
            assert said.expected == pytest.approx(usual.expected * [3.0, 1.0])
    a, b = (detector.judge(MONDAY + 26 * 3600, counts(1, 2)).baseline_days for detector in (plain, touched))
    assert a - b == pytest.approx(1 / 24 * 2, abs=1 / 24)


def test_the_same_calls_give_the_same_answers(make: Make) -> None:
    first, second = (taught(make, 1).judge(MONDAY, counts(9, 9)) for _ in range(2))
    assert first.score.tobytes() == second.score.tobytes()
    assert first.expected.tobytes() == second.expected.tobytes()


def test_the_rhythm_is_that_of_local_time_across_a_clock_change() -> None:
    # Madrid's clocks go forward on 2026-03-29: 09:00 local is 08:00 UTC before and 07:00 UTC after.
    detector = Kernel(60, Zones({"ES": "Europe/Madrid"}, 0), 1)
    detector.add_segments([("ES", "atm")])
    start = MONDAY
    for step in range(4 * 2016 - 288):
        at = start + step * 300
        local_hour = (at // 3600 + 1) % 24
        detector.learn(at, 300, counts(60 if local_hour == 9 else 1))
    sunday_after = start + 27 * 86_400
    assert detector.judge(sunday_after + 7 * 3600, counts(0)).expected[0] > 2
    assert detector.judge(sunday_after + 8 * 3600, counts(0)).expected[0] < 2


def test_one_that_is_restored_gives_the_same_answers_to_the_bit(make: Make) -> None:
    first = taught(make, 1)
    for minute in range(1470):  # more than a day: rings have turned
        first.judge(MONDAY + 60 * minute, counts(minute % 7, 2))
    first.add_segments([("PT", "atm")])
    for minute in range(1470, 1510):  # within an hour, whose rates were looked up at its begin
        first.judge(MONDAY + 60 * minute, counts(1, 2, 3))
    state = first.state()
    second = make()
    second.restore(decode(encode(state)))
    assert second.version == first.version
    for minute in range(1510, 1600):
        if minute == 1540:
            first.skip_gap(3)
            second.skip_gap(3)
        if minute == 1550:
            first.add_segments([("ES", "loan")])
            second.add_segments([("ES", "loan")])
        seen = counts(minute % 5, 30, 1, 2)[: 3 if minute < 1550 else 4]
        assert bits(first.judge(MONDAY + 60 * minute, seen)) == bits(second.judge(MONDAY + 60 * minute, seen))
        for detector in (first, second):
            detector.add_late(minute - 1490, 0, 2)
        assert [a.tobytes() for a in first.recent(SEGMENTS[0], 1440)] == [
            a.tobytes() for a in second.recent(SEGMENTS[0], 1440)
        ]


def test_a_state_is_not_touched_by_what_comes_later(make: Make) -> None:
    detector = taught(make, 1)
    for minute in range(30):
        detector.judge(MONDAY + 60 * minute, counts(1, 2))
    state = detector.state()
    before = encode(state)
    detector.add_late(1, 0, 5)
    detector.judge(MONDAY + 1800, counts(9, 9))
    detector.learn(MONDAY + 1800, 3600, counts(9, 9))
    detector.add_segments([("PT", "atm")])
    assert encode(state) == before


def bits(judgement: Judgement) -> list[bytes]:
    segments = (judgement.expected, judgement.lower, judgement.upper, judgement.score, judgement.baseline_days)
    _, *rollups = judgement.rollups
    return [array.tobytes() for array in (*segments, judgement.own, *rollups)]
