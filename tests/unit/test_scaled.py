"""Raw scores as -log10 of the false pages a week."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pegel.detector.judge.domain.models.scaled import Scale

Floats = NDArray[np.float64]
MONDAY = 1_772_409_600
HOUR = 3600
SEGMENTS = 400


def hourly(days: int) -> Floats:
    """Exponential scores that know nothing of one another, one an hour, shape (hours, SEGMENTS)."""
    return np.random.default_rng(7).exponential(2.0, (days * 24, SEGMENTS))


def run(raw: Floats, seconds: int = HOUR) -> Floats:
    scale = Scale()
    return np.array([scale.step(MONDAY + seconds * number, row) for number, row in enumerate(raw)])


@pytest.mark.parametrize("a_week", [0.1, 1.0, 5.0, 50.0, 400.0])
def test_a_score_is_worth_what_the_past_says(a_week: float) -> None:
    raw = hourly(30)
    # Pages a week at level r: hours of all segments x P(above r) x P(below r the hour before), P(above r) = e^(-r / 2).
    level = -2.0 * np.log(a_week / (168 * SEGMENTS))
    raw[-1] = level
    assert run(raw)[-1] == pytest.approx(np.full(SEGMENTS, -np.log10(a_week)), abs=0.15)


def test_nothing_is_told_before_a_week_and_of_what_has_no_score() -> None:
    raw = hourly(9)
    raw[:, 0] = np.nan
    scaled = run(raw)
    assert np.isnan(scaled[: 7 * 24]).all()
    assert np.isnan(scaled[:, 0]).all()
    assert np.isfinite(scaled[7 * 24 :, 1:]).all()


def test_nothing_of_the_future_is_used() -> None:
    raw, other = hourly(20), hourly(20)
    other[15 * 24 + 5 :] = 100.0
    assert run(raw)[: 15 * 24 + 5].tobytes() == run(other)[: 15 * 24 + 5].tobytes()


def test_a_score_that_stays_up_is_one_page() -> None:
    # Each segment climbs from 10 to 12 in five hours of its own day, in buckets of 20 minutes: 400 pages in 14 days.
    raw = hourly(15).clip(max=4.0).repeat(3, axis=0)
    for segment in range(SEGMENTS):
        begin = 72 * (segment % 14) + 9
        raw[begin : begin + 15, segment] = np.repeat([10.0, 10.5, 11.0, 11.5, 12.0], 3)
    raw[-1, :] = 10.0
    assert run(raw, 1200)[-1, 0] == pytest.approx(-np.log10(SEGMENTS * 7 / 14), abs=0.05)


def test_after_an_hour_that_nobody_saw_a_page_opens_anew() -> None:
    # Every other hour is seen; each segment is at 10 in two of them, one after the other, of its own day of 15.
    raw = hourly(15)[: 15 * 12].clip(max=4.0)
    for segment in range(SEGMENTS):
        begin = 12 * (segment % 14) + 3
        raw[begin : begin + 2, segment] = 10.0
    raw[-1, :] = 10.0
    pages_a_week = 2 * SEGMENTS * 168 / (14 * 12)
    assert run(raw, 2 * HOUR)[-1, 0] == pytest.approx(-np.log10(pages_a_week), abs=0.05)


def test_a_higher_score_is_never_worth_less() -> None:
    raw = hourly(12)
    raw[-1] = np.linspace(0.0, 60.0, SEGMENTS)
    assert (np.diff(run(raw)[-1]) >= 0).all()


def test_far_incidents_do_not_stretch_the_tail() -> None:
    raw, level = hourly(30), -2.0 * np.log(1.0 / (168 * SEGMENTS))
    # Twenty a week that nobody labelled, far beyond everything.
    raw[np.arange(80) * 8, np.arange(80)] = 500.0
    raw[-1] = level
    assert run(raw)[-1, 0] == pytest.approx(0.0, abs=0.5)


def test_segments_may_be_added() -> None:
    scale, raw = Scale(), hourly(8)
    for number, row in enumerate(raw):
        scaled = scale.step(MONDAY + HOUR * number, row[: 10 if number < 24 else 20])
    assert scaled.shape == (20,)
    assert np.isfinite(scaled).all()


def test_scores_that_never_move_are_scaled_too() -> None:
    assert np.isfinite(run(np.zeros((9 * 24, 3)))[-1]).all()
