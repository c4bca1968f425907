"""The detector as an estimator of river: its scores are those of the kernel's own row."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from river import base

from pegel.detector.judge.domain.models.estimator import Pegel
from pegel.detector.judge.domain.models.kernel import Kernel
from pegel.detector.judge.domain.seasons import Zones
from pegel.detector.state import encode

MONDAY = 1_772_409_600
"""2026-03-02T00:00Z."""
BUCKET = 900
DAY = 96


def series(days: int, seed: int = 1) -> NDArray[np.int64]:
    """Poisson counts with a day's curve, and an hour in which they are five times as many."""
    curve = 1.0 + 0.8 * np.sin(np.arange(days * DAY) * 2 * np.pi / DAY)
    counts = np.random.default_rng(seed).poisson(8 * curve)
    counts[-30:-26] *= 5
    return counts.astype(np.int64)


def record(place: int, count: int) -> dict[str, object]:
    return {"start": MONDAY + place * BUCKET, "country": "ES", "count": count}


def taught(counts: NDArray[np.int64]) -> Pegel:
    pegel = Pegel(BUCKET, "Europe/Madrid", "ES")
    for place, count in enumerate(counts.tolist()):
        pegel.learn_one(record(place, count))
    return pegel


@pytest.mark.timeout(120)
@settings(max_examples=2, deadline=None)
@given(st.integers(0, 10_000), st.sets(st.integers(0, 4 * DAY), max_size=40))
def test_scores_are_those_of_the_kernels_row_to_the_bit(seed: int, unseen: set[int]) -> None:
    pegel, kernel = Pegel(BUCKET, "Europe/Madrid", "ES"), Kernel(BUCKET, Zones({"ES": "Europe/Madrid"}, 0))
    kernel.add_segments([("ES", "atm")])
    scores, opinions = [], 0
    for place, count in enumerate(series(5, seed).tolist()):
        if place in unseen:
            continue
        told = kernel.judge(MONDAY + place * BUCKET, np.array([count]))
        if place % 9 == 0 or place > 5 * DAY - 30:
            scores.append((pegel.score_one(record(place, count)), float(told.score[0])))
            opinions += np.isfinite(scores[-1][1])
            assert pegel.expect_one(record(place, count)) == told.expected[0]
        pegel.learn_one(record(place, count))
    assert [mine for mine, _ in scores] == [its for _, its in scores]
    assert opinions > 30


def test_what_is_scored_is_not_learnt() -> None:
    counts = series(4)
    pegel = taught(counts)
    before = encode(pegel._kernel.state())
    risen, calm = (pegel.score_one(record(len(counts), count)) for count in (500, 8))
    assert risen > 0 > calm
    assert pegel.score_one(record(len(counts), 500)) == risen
    pegel.expect_one(record(len(counts), 500))
    assert encode(pegel._kernel.state()) == before
    pegel.learn_one(record(len(counts), 500))
    assert encode(pegel._kernel.state()) != before


def test_a_clone_has_its_parameters_and_has_learnt_nothing() -> None:
    pegel = taught(series(4))
    clone = pegel.clone()
    assert isinstance(pegel, base.AnomalyDetector)
    assert (
        clone._get_params()
        == pegel._get_params()
        == {
            "bucket_seconds": BUCKET,
            "zone": "Europe/Madrid",
            "country": "ES",
        }
    )
    assert encode(clone._kernel.state()) == encode(Pegel(BUCKET, "Europe/Madrid", "ES")._kernel.state())
    assert clone.score_one(record(0, 500)) == -np.inf
    assert pegel.clone({"zone": "UTC"}).zone == "UTC"


def test_a_start_is_seconds_or_an_aware_datetime() -> None:
    pegel = taught(series(4))
    place = 4 * DAY
    at = datetime.fromtimestamp(MONDAY + place * BUCKET, UTC)
    assert pegel.score_one({"start": at, "count": 9}) == pegel.score_one(record(place, 9))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ({"start": datetime(2026, 3, 20), "count": 1}, "has no zone"),  # noqa: DTZ001
        ({"start": MONDAY + 4 * DAY * BUCKET + 1, "count": 1}, "is no begin of a bucket of 900 s"),
        ({"start": MONDAY, "count": 1}, "lies before the end of what was learnt"),
        ({"start": MONDAY + 4 * DAY * BUCKET, "count": -1}, "count -1 is no number of contacts"),
        ({"start": MONDAY + 4 * DAY * BUCKET, "count": 0.5}, "is no number of contacts"),
    ],
)
def test_what_is_no_bucket_record_is_refused(x: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        taught(series(1)).learn_one(x)


def test_parameters_that_fit_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="buckets of 7 s do not divide an hour"):
        Pegel(7)
    with pytest.raises(ValueError, match="Europe/Nowhere is no zone"):
        Pegel(300, "Europe/Nowhere")
