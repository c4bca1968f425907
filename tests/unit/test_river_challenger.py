"""An estimator of river as a challenger in service: asked every 5 minutes, saved to the bit, warmed."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from pegel.detector.judge.domain.models.beside import RiverBeside
from pegel.detector.judge.domain.models.challenger import RiverChallenger
from pegel.detector.judge.domain.models.kernel import Kernel
from pegel.detector.judge.domain.models.named import PARAMETERS, UnfitEstimatorError
from pegel.detector.judge.domain.models.scaled import Scale
from pegel.detector.judge.domain.seasons import Zones
from pegel.detector.state import decode, encode

MONDAY = 1_772_409_600
"""2026-03-02T00:00Z."""
ZONES = Zones({"ES": "Europe/Madrid", "PT": "Europe/Lisbon"}, 0)
SEGMENTS = [("ES", "atm"), ("PT", "cards")]
BUCKET = 1800
DAY = 48
GAUSSIAN, TREES = "river.anomaly.GaussianScorer", "river.anomaly.HalfSpaceTrees"
Counts = NDArray[np.int64]

pytestmark = pytest.mark.timeout(120)


def rhythm(days: int, a_day: int = DAY) -> Counts:
    curve = 1.0 + 0.8 * np.sin(np.arange(days * a_day) * 2 * np.pi / a_day)
    return np.random.default_rng(5).poisson(20 * curve[:, None], (days * a_day, 2)).astype(np.int64)


def fresh(name: str = GAUSSIAN, bucket: int = BUCKET) -> RiverChallenger:
    return RiverChallenger(name, bucket, ZONES)


def lived(one: RiverChallenger, counts: Counts, first: int = 0, bucket: int = BUCKET) -> list[list[float]]:
    said = []
    for number, row in enumerate(counts):
        one.judge(MONDAY + (first + number) * bucket, row, whole=True)
        said.append(one.score.tolist())
    return said


@pytest.mark.parametrize("name", PARAMETERS)
def test_one_that_is_restored_goes_on_to_the_bit(name: str) -> None:
    counts, cut = rhythm(25), 23 * DAY + 13
    one = fresh(name)
    one.add_segments(SEGMENTS)
    before = lived(one, counts[:cut])
    saved = encode(one.state())
    again = fresh(name)
    again.restore(decode(saved), SEGMENTS)
    assert encode(again.state()) == saved
    after = lived(one, counts[cut:], cut)
    assert encode(one.state()) != saved
    assert lived(again, counts[cut:], cut) == after
    assert np.isfinite(after).all()
    assert len({score for row in before + after for score in row}) > 3


def test_one_that_is_restored_within_its_five_minutes_is_asked_at_their_end() -> None:
    # Minutes:  0 1 2 3 4|5 6 | saved and restored | 7 8 9|
    one, again = fresh(TREES, 60), fresh(TREES, 60)
    one.add_segments(SEGMENTS)
    for minute in range(7):
        one.judge(MONDAY + 60 * minute, np.array([2, 3]), whole=True)
    again.restore(decode(encode(one.state())), SEGMENTS)
    for minute in range(7, 10):
        said = [each.judge(MONDAY + 60 * minute, np.array([2, 3]), whole=True) for each in (one, again)]
        assert [told is None for told in said] == [minute != 9] * 2
    assert encode(one.state()) == encode(again.state())


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_state_is_not_touched_by_what_comes_later(name: str) -> None:
    one = fresh(name)
    one.add_segments(SEGMENTS)
    lived(one, rhythm(9))
    state = one.state()
    saved = encode(state)
    lived(one, rhythm(1), 9 * DAY)
    assert encode(state) == saved


def test_it_is_asked_every_five_minutes_with_their_contacts() -> None:
    # Minutes:  0 1 2 3 4|5 6 7 8 9|
    # Asked:            ^|        ^|
    one, beside, scale = fresh(bucket=60), RiverBeside(GAUSSIAN, 300, ZONES), Scale()
    one.add_segments(SEGMENTS)
    beside.add_segments(SEGMENTS)
    rng = np.random.default_rng(1)
    for step in range(15 * 288):
        five = rng.poisson(1, (5, 2)).astype(np.int64)
        asked = [one.judge(MONDAY + 300 * step + 60 * minute, row, whole=True) for minute, row in enumerate(five)]
        assert [told is None for told in asked] == [True] * 4 + [False]
        start = MONDAY + 300 * step
        expected = scale.step(start, beside.step(start, five.sum(axis=0)).score)
        assert asked[4] is not None
        np.testing.assert_array_equal(asked[4], np.where(np.isnan(expected), -np.inf, expected))
    assert np.isfinite(one.score).all()


def test_a_step_that_nobody_saw_whole_is_left_out() -> None:
    one, other = fresh(TREES, 60), fresh(TREES, 60)
    for each in (one, other):
        each.add_segments(SEGMENTS)
    row = np.array([3, 3])
    for minute in range(15):
        told = one.judge(MONDAY + 60 * minute, row, whole=minute != 7)
        if not 5 <= minute < 10:
            other.judge(MONDAY + 60 * minute, row, whole=True)
        if minute == 9:
            assert told is None
    for minute in range(17, 20):  # a gap before it: two minutes are missing
        assert one.judge(MONDAY + 60 * minute, row, whole=True) is None
    one_state, other_state = one.state(), other.state()
    assert encode({"beside": one_state["beside"]}) == encode({"beside": other_state["beside"]})


def test_a_segment_that_comes_later_has_no_opinion_at_first() -> None:
    one = fresh()
    one.add_segments(SEGMENTS[:1])
    lived(one, rhythm(16)[:, :1])
    one.add_segments(SEGMENTS[1:])
    one.judge(MONDAY + 16 * 86_400, np.array([9, 9]), whole=True)
    assert np.isfinite(one.score).tolist() == [True, False]


def hours(counts: Counts, first_counted: int = 0) -> Iterator[tuple[int, NDArray[np.float64], NDArray[np.float64]]]:
    """Of half hours, evenly spread; the second segment is counted from an hour on."""
    for hour in range(len(counts) // 2):
        slots = np.repeat(counts[2 * hour : 2 * hour + 2] / 6, 6, axis=0)
        slots[:, 1] *= hour >= first_counted
        yield MONDAY // 3600 + hour, slots, np.ones(12)


def test_one_that_is_warmed_is_as_one_that_was_there() -> None:
    counts = rhythm(16)
    there, warmed = fresh(), fresh()
    there.add_segments(SEGMENTS)
    lived(there, counts)
    warmed.warm(SEGMENTS, hours(counts))
    np.testing.assert_array_equal(warmed.score, there.score)
    assert np.isfinite(warmed.score).all()
    assert lived(warmed, rhythm(1), 16 * DAY) == lived(there, rhythm(1), 16 * DAY)


def test_what_was_before_a_segment_was_first_counted_is_not_learnt() -> None:
    one = fresh()
    one.warm(SEGMENTS, hours(rhythm(16), first_counted=10 * 24))
    assert np.isfinite(one.score).tolist() == [True, False]
    empty = fresh()
    empty.warm(SEGMENTS, iter(()))
    empty.judge(MONDAY, np.array([1, 1]), whole=True)
    assert empty.score.tolist() == [-np.inf, -np.inf]


def test_what_nobody_observed_is_left_out_of_the_past() -> None:
    counts = rhythm(2)
    there, warmed = fresh(TREES), fresh(TREES)
    there.add_segments(SEGMENTS)
    for number, row in enumerate(counts):
        if number not in (20, 21, 30):
            there.judge(MONDAY + number * BUCKET, row, whole=True)

    def seen() -> Iterator[tuple[int, NDArray[np.float64], NDArray[np.float64]]]:
        for place, (hour, slots, observed) in enumerate(hours(counts)):
            observed[:] = 0.5 if place == 10 else 1.0
            if place == 15:
                observed[:6] = 0.0
            yield hour, slots, observed

    warmed.warm(SEGMENTS, seen())
    assert encode({"beside": warmed.state()["beside"]}) == encode({"beside": there.state()["beside"]})


def test_of_many_segments_only_the_newest_hours_are_learnt() -> None:
    counts = rhythm(3)
    few, some = RiverChallenger(TREES, BUCKET, ZONES, warm_steps=2 * 2 * 10 + 3), fresh(TREES)
    few.warm(SEGMENTS, hours(counts))
    some.warm(SEGMENTS, list(hours(counts))[-10:])
    assert encode(few.state()) == encode(some.state())


def test_the_kernel_keeps_the_hours_that_it_has_judged() -> None:
    # Hours:  0 .. 21 | 22 nobody saw it | 23 .. 34 from the archive | 35 .. 59 as they came
    counts = rhythm(3, 288)[: 60 * 12].reshape(60, 12, 2)
    kernel = Kernel(300, ZONES)
    kernel.add_segments(SEGMENTS)
    assert list(kernel.kept()) == []
    for hour, rows in enumerate(counts):
        for slot, row in enumerate(rows):
            if hour != 22:
                kernel.judge(MONDAY + hour * 3600 + slot * 300, row)
    found = {hour - MONDAY // 3600: (slots, observed) for hour, slots, observed in kernel.kept()}
    assert sorted(found) == [hour for hour in range(60) if hour != 22]
    for hour, (slots, observed) in found.items():
        assert slots.sum(axis=0).tolist() == counts[hour].sum(axis=0).tolist()
        assert (np.ptp(slots, axis=0) <= 1).all() if hour < 35 else (slots == counts[hour]).all()
        assert observed.tolist() == [1.0] * 12


@pytest.mark.parametrize("name", PARAMETERS)
def test_those_that_are_known_can_be_saved(name: str) -> None:
    fresh(name, 60).check()


def test_what_cannot_be_saved_is_refused_before_it_runs() -> None:
    one = RiverChallenger("support.estimators.Printing", BUCKET, ZONES)
    with pytest.raises(UnfitEstimatorError, match=r"its state can't be saved: it holds a builtins.builtin_function"):
        one.check()


@pytest.mark.parametrize("bucket", [7, 40, 420, 2 * 3600])
def test_buckets_that_fill_no_five_minutes_and_no_hour_are_refused(bucket: int) -> None:
    with pytest.raises(ValueError, match=f"buckets of {bucket} s"):
        fresh(bucket=bucket)
