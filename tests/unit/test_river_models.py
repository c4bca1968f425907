"""river's estimators by name: what they find, what is refused, and that nothing of the future is used."""

import math
from collections.abc import Sequence
from importlib import metadata

import numpy as np
import pytest
from numpy.typing import NDArray

from pegel.detector.judge.domain.models.beside import RiverBeside
from pegel.detector.judge.domain.models.named import PARAMETERS, UnfitEstimatorError, make
from pegel.detector.judge.domain.models.rows import Anomaly, Forecaster, Moment, SupervisedAnomaly
from pegel.detector.judge.domain.seasons import Zones

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
NAMES = sorted(PARAMETERS)
FORECASTERS = [name for name in NAMES if name.startswith("river.time_series")]
MONDAY = 1_772_409_600
"""2026-03-02T00:00Z."""
BUCKET = 300
DAY = 288
WEEK = 7 * DAY
ZONES = Zones({"ES": "Europe/Madrid", "PT": "Europe/Lisbon"}, 0)
SEGMENTS = [("ES", "atm"), ("PT", "cards")]
JUMP = slice(23 * DAY + 120, 23 * DAY + 144)
"""10:00 to 12:00 UTC of the fourth Wednesday."""


def rhythm(days: int, mean: float = 6.0) -> Counts:
    """Poisson counts of two segments with a day's curve, shape (buckets, 2), the same every time."""
    curve = 1.0 + 0.8 * np.sin(np.arange(days * DAY) * 2 * np.pi / DAY)
    return np.random.default_rng(5).poisson(mean * curve[:, None], (days * DAY, 2)).astype(np.int64)


def run(name: str, counts: Counts, segments: Sequence[tuple[str, ...]] = tuple(SEGMENTS)) -> tuple[Floats, Floats]:
    """Expected contacts and scores, both (buckets, 2)."""
    beside = RiverBeside(name, BUCKET, ZONES)
    beside.add_segments(segments)
    opinions = [beside.step(MONDAY + BUCKET * number, row) for number, row in enumerate(counts)]
    return np.array([each.expected for each in opinions]), np.array([each.score for each in opinions])


@pytest.mark.parametrize("name", NAMES)
def test_each_finds_a_jump(name: str) -> None:
    counts = rhythm(24)
    counts[JUMP, 0] *= 6
    _, scores = run(name, counts)
    usual = scores[21 * DAY : JUMP.start]
    assert np.isfinite(usual).all()
    assert scores[JUMP, 0].max() > usual.max()
    assert scores[JUMP, 1].max() <= np.quantile(usual, 0.999)


@pytest.mark.parametrize("name", NAMES)
def test_two_runs_give_equal_scores(name: str) -> None:
    counts = rhythm(16)
    assert [each.tobytes() for each in run(name, counts)] == [each.tobytes() for each in run(name, counts)]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_the_future_is_used(name: str) -> None:
    counts, others = rhythm(16), rhythm(16)
    others[15 * DAY + 7 :] = 50
    one, other = run(name, counts), run(name, others)
    for of_one, of_other in zip(one, other, strict=True):
        assert of_one[: 15 * DAY + 7].tobytes() == of_other[: 15 * DAY + 7].tobytes()
    assert np.isfinite(one[1][-1]).all()


@pytest.mark.parametrize("name", NAMES)
def test_there_is_no_opinion_before_a_week_has_been_seen(name: str) -> None:
    _, scores = run(name, rhythm(8))
    assert np.isnan(scores[:WEEK]).all()


@pytest.mark.parametrize("name", FORECASTERS)
def test_a_forecaster_expects_the_rhythm(name: str) -> None:
    expected, _ = run(name, rhythm(22))
    peak, trough = (
        expected[21 * DAY + 60 : 21 * DAY + 84, 0].mean(),
        expected[21 * DAY + 204 : 21 * DAY + 228, 0].mean(),
    )
    assert peak == pytest.approx(6 * 1.8, rel=0.15)
    assert trough == pytest.approx(6 * 0.2, abs=0.7)


@pytest.mark.parametrize("name", FORECASTERS)
def test_a_forecaster_keeps_its_hours_over_a_gap(name: str) -> None:
    # |... learnt ...|10:35  nobody saw  17:20|17:20 .. 18:00 not judged|18:00 .. 19:00 judged|
    counts = rhythm(23)
    beside, whole = (RiverBeside(name, BUCKET, ZONES) for _ in range(2))
    for each in (beside, whole):
        each.add_segments(SEGMENTS)
    gap = range(22 * DAY + 127, 22 * DAY + 208)
    scores, expected = [], []
    for number, row in enumerate(counts):
        opinions = whole.step(MONDAY + BUCKET * number, row)
        if number not in gap:
            seen = beside.step(MONDAY + BUCKET * number, row)
            scores.append(seen.score[0])
            expected.append((seen.expected[0], opinions.expected[0]))
    after = gap.start
    assert np.isnan(scores[after : after + 19]).all()
    assert np.isfinite(scores[after + 19 :]).all()
    assert np.array(expected)[after:, 0] == pytest.approx(np.array(expected)[after:, 1], abs=1.5)


@pytest.mark.parametrize("row", [Anomaly, SupervisedAnomaly])
def test_a_bucket_is_judged_before_it_is_learnt(row: type[Anomaly | SupervisedAnomaly]) -> None:
    class Noting:
        def __init__(self) -> None:
            self.calls: list[str] = []

        def score_one(self, x: object, y: object = None) -> float:
            self.calls.append("score")
            return 0.5

        def learn_one(self, x: object, y: object = None) -> None:
            self.calls.append("learn")

    estimator = Noting()
    one = row(estimator, 3600)
    for hour in range(170):
        one.step(Moment(hour, True, {}), hour)  # rising: each above what is usual
    assert estimator.calls[166:] == ["learn", "learn", "score", "learn", "score", "learn"]


def test_a_forecast_that_is_no_number_is_no_opinion() -> None:
    class Odd:
        forecasts = 0

        def learn_one(self, y: float) -> None:
            pass

        def forecast(self, horizon: int) -> list[float]:
            self.forecasts += 1
            return [{400: math.inf, 401: -1.0}.get(self.forecasts, 3.0)] * horizon

    row = Forecaster(Odd(), 3600)
    # The 168th hour is the first to be followed by a forecast.
    opinions = [row.step(Moment(hour, True, {}), 9) for hour in range(600)]
    assert all(map(math.isnan, opinions[167 + 400]))
    assert opinions[167 + 401][0] == 0.0
    assert math.isfinite(opinions[-1][1])


def test_the_last_hour_ends_where_nobody_saw() -> None:
    beside = RiverBeside("river.anomaly.GaussianScorer", BUCKET, ZONES)
    beside.add_segments(SEGMENTS)
    for number, row in enumerate(rhythm(8)):
        beside.step(MONDAY + BUCKET * number, row)
    risen, after = np.array([5000, 5]), np.array([5, 5])
    assert beside.step(MONDAY + 8 * DAY * BUCKET, risen).score[0] > 10
    assert beside.step(MONDAY + 8 * DAY * BUCKET + 3600, after).score[0] == 0.0


def test_an_hour_begun_before_the_first_bucket_is_not_learnt() -> None:
    class Counting:
        def __init__(self) -> None:
            self.learnt: list[float] = []

        def learn_one(self, y: float) -> None:
            self.learnt.append(y)

    estimator = Counting()
    row = Forecaster(estimator, 1200)
    for third in range(1, 6):  # 00:20, 00:40 | 01:00, 01:20, 01:40
        row.step(Moment(third // 3, third % 3 == 2, {}), 9)
    assert estimator.learnt == [math.sqrt(9 + 3 / 8)]


def test_a_segment_that_comes_later_is_judged_by_itself() -> None:
    beside = RiverBeside("river.anomaly.GaussianScorer", BUCKET, ZONES)
    beside.add_segments(SEGMENTS[:1])
    counts = rhythm(9)
    for number in range(DAY):
        beside.step(MONDAY + BUCKET * number, counts[number, :1])
    beside.add_segments(SEGMENTS[1:])
    opinions = [beside.step(MONDAY + BUCKET * number, counts[number]) for number in range(DAY, len(counts))]
    scores = np.array([each.score for each in opinions])
    assert np.isnan(scores[6 * DAY - 1]).all()
    assert np.isfinite(scores[6 * DAY + 1, 0])
    assert np.isnan(scores[7 * DAY - 1, 1])
    assert np.isfinite(scores[7 * DAY + 1, 1])


def test_a_clone_has_learnt_nothing() -> None:
    beside = RiverBeside("river.anomaly.HalfSpaceTrees", BUCKET, ZONES, {"n_trees": 2, "height": 3})
    beside.add_segments(SEGMENTS)
    beside.step(MONDAY, np.array([1, 2]))
    clone = beside.clone()
    assert clone.version == beside.version == f"river.anomaly.HalfSpaceTrees/{metadata.version('river')}"
    assert clone.step(MONDAY, np.zeros(0, dtype=np.int64)).score.shape == (0,)


def test_buckets_must_divide_an_hour() -> None:
    with pytest.raises(ValueError, match="buckets of 7000 s"):
        RiverBeside(NAMES[0], 7000, ZONES)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("river.cluster.KMeans", r"^river\.cluster\.KMeans has no score_one"),
        ("river.preprocessing.StandardScaler", r"StandardScaler has no score_one"),
        ("builtins.dict", r"^builtins\.dict has no learn_one$"),
        ("river.time_series.base.Forecaster", r"Forecaster is abstract: it has no forecast, learn_one$"),
        ("river.anomaly.QuantileFilter", r"QuantileFilter can't be made with no parameters: .*anomaly_detector"),
        ("river.anomaly.NoSuch", r"river\.anomaly\.NoSuch can't be imported: river\.anomaly has no NoSuch"),
        ("no_such_package.Detector", r"no_such_package\.Detector can't be imported: No module named"),
        ("river..Detector", r"river\.\.Detector can't be imported"),
        ("math.sqrt", r"^math\.sqrt is no class$"),
        ("HalfSpaceTrees", r"^HalfSpaceTrees is no dotted path of a class"),
    ],
)
def test_what_cannot_judge_counts_is_refused(name: str, message: str) -> None:
    with pytest.raises(UnfitEstimatorError, match=message):
        make(name)


def test_any_detector_of_river_is_taken_by_name() -> None:
    for name in ("river.anomaly.StandardAbsoluteDeviation", "river.anomaly.OneClassSVM"):
        _, scores = run(name, rhythm(8))
        assert np.isfinite(scores[WEEK + 1 :]).all()


def test_parameters_are_taken_and_wrong_ones_refused() -> None:
    assert make("river.anomaly.HalfSpaceTrees", {"n_trees": 3}).n_trees == 3
    with pytest.raises(UnfitEstimatorError, match=r"can't be made with .*'trees': 3"):
        make("river.anomaly.HalfSpaceTrees", {"trees": 3})
