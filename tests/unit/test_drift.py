"""A level that has shifted for good is told; a rhythm, chance and a single bad day are not."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pegel.cli.backtest.shifts import SHOWN_MAX, level_shifts_of
from pegel.detector.judge.domain.models.drift import level_shifts
from support.backtests import MONDAY, counts_of

HISTORY, DAYS = 28, 70
WEEK = np.array([1.2, 1.1, 1.0, 1.0, 1.1, 0.4, 0.2])


def days(level: float = 40.0, seed: int = 1) -> NDArray[np.float64]:
    """Rates of ten weeks, with quiet week-ends and days that vary by a tenth."""
    rng = np.random.default_rng(seed)
    return np.asarray(level * np.tile(WEEK, DAYS // 7) * np.exp(0.1 * rng.standard_normal(DAYS)))


def counted(rates: NDArray[np.float64], seed: int = 2) -> NDArray[np.int64]:
    return np.random.default_rng(seed).poisson(rates).astype(np.int64)


def test_a_level_that_shifts_is_noticed_with_what_was_before_and_after() -> None:
    rates = days()
    rates[45:] *= 2.5
    (shift,) = level_shifts(counted(rates), HISTORY)
    assert 45 < shift.day <= 59
    assert shift.before == pytest.approx(40 * WEEK.mean(), rel=0.1)
    assert shift.after == pytest.approx(100 * WEEK.mean(), rel=0.15)


def test_what_comes_back_is_a_second_shift_from_where_the_first_led() -> None:
    rates = days()
    rates[31:45] *= 4
    first, second = level_shifts(counted(rates), HISTORY)
    assert first.after > 2 * first.before
    assert second.before == first.after
    assert second.after < first.after


@pytest.mark.parametrize("seed", range(8))
def test_chance_and_a_bad_day_are_no_shift(seed: int) -> None:
    rates = days(seed=seed)
    rates[50] *= 5
    assert level_shifts(counted(rates, seed), HISTORY) == []


def test_without_two_weeks_nothing_is_known_to_be_usual() -> None:
    rates = days()
    rates[45:] *= 2.5
    assert level_shifts(counted(rates), 13) == []


def test_of_a_file_whole_days_are_looked_at_and_the_largest_are_told() -> None:
    # A file from 12:00 on: half a day, 70 days, half a day; buckets of 6 h.
    rates = days()
    rates[45:] *= 2.5
    risen, calm = counted(rates), counted(days(seed=3))
    rows: dict[tuple[str, ...], list[int]] = {}
    for name, its in (("atm", risen), ("cards", calm)):
        quarters = np.repeat(its // 4, 4)
        quarters[::4] += its % 4
        rows["ES", name] = [500, 500, *quarters.tolist(), 500, 500]
    counts = counts_of(dict(rows), 21_600, MONDAY + 43_200)
    (shift,) = level_shifts_of(counts, MONDAY + 86_400 * (HISTORY + 1))
    expected = level_shifts(risen, HISTORY)[0]
    assert shift.segment == ("ES", "atm")
    assert (shift.noticed - MONDAY) // 86_400 == 1 + expected.day
    assert (shift.before, shift.after) == (expected.before, expected.after)
    many = counts_of({("ES", f"t{n}"): (risen + n).tolist() for n in range(SHOWN_MAX + 5)}, 86_400)
    told = level_shifts_of(many, MONDAY + 86_400 * HISTORY)
    assert len(told) == SHOWN_MAX
    assert [its.noticed for its in told] == sorted(its.noticed for its in told)
