"""What the calendar does to contacts. Each topic answers its own way: on a holiday loans rest, cash machines don't."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter1d

from support.worlds.calendar import Clock, Days
from support.worlds.options import HOUR, Floats, stream
from support.worlds.rates import bump

BUSY_ON_HOLIDAYS = frozenset({"atm", "fraud"})
"""Topics that always have more contacts on a holiday; others become so by chance."""
COUNTRY_DAY_SHARE = 0.08
"""Of the pairs of country and local day, those that are good or bad for all topics of the country."""


@dataclass(frozen=True)
class Answers:
    """How each topic answers to the calendar, in all countries alike up to some scatter; each [K]."""

    holiday_log: Floats
    """Log of the factor on a holiday."""
    after_share: Floats
    """What of it is left on the day after; negative where the topic catches up."""
    payday: Floats
    """Rise on a payday at its busiest hour: 0.8 is x1.8."""
    month_end_log: Floats
    """Log of the factor on the last two days of a month."""


def draw_answers(seed: int, topics: Sequence[str]) -> Answers:
    """The answers of the topics of a world."""
    rng = stream(seed, "answers")
    number = len(topics)
    draw = rng.random(number)
    named = np.array([topic in BUSY_ON_HOLIDAYS for topic in topics])
    falls = rng.normal(np.log(0.6), 0.25, number)
    stays = rng.normal(0, 0.05, number)
    rises = np.log(rng.uniform(1.3, 1.7, number))
    payday = np.where(rng.random(number) < 0.5, 0.0, 0.8 * rng.uniform(0.3, 1, number) ** 2)
    month_end = np.where(rng.random(number) < 0.5, 0.0, rng.uniform(np.log(0.85), np.log(1.3), number))
    return Answers(
        holiday_log=np.where(named | (draw < 0.07), rises, np.where(draw < 0.27, stays, falls)),
        after_share=rng.uniform(-0.35, 0.35, number),
        payday=payday,
        month_end_log=month_end,
    )


def holiday_factor(rng: np.random.Generator, answers: Answers, days: Days) -> Floats:
    """[K,D] the factor of each topic of one country on each local day, on holidays and the days after them."""
    topics, number = len(answers.holiday_log), len(days.holiday)
    log = answers.holiday_log + rng.normal(0, 0.08, topics)
    # Some holidays are kept by fewer people than others, and one at the weekend changes little.
    kept = rng.uniform(0.75, 1.1, number) * np.where(days.weekend, 0.35, 1.0)
    after = np.r_[0.0, kept[:-1]] * days.after_holiday
    on_day = log[:, None] * (kept * days.holiday)
    day_after = (answers.after_share * log)[:, None] * after
    return np.asarray(np.exp(on_day + day_after))


def month_end_factor(rng: np.random.Generator, answers: Answers, days: Days) -> Floats:
    """[K,D] the factor of each topic of one country on each local day, on the last two days of a month."""
    log = answers.month_end_log * rng.uniform(0.8, 1.2, len(answers.month_end_log))
    return np.asarray(np.exp(log[:, None] * days.month_end))


def payday_factor(rng: np.random.Generator, answers: Answers, days: Days, clock: Clock) -> Floats:
    """[K,T] the factor of each topic of one country on paydays: highest in the morning, something all day."""
    rise = answers.payday * rng.uniform(0.8, 1.2, len(answers.payday))
    centre, width = rng.uniform(9, 13), rng.uniform(2.5, 4.5)
    shape = 0.25 + 0.75 * bump(clock.day_bucket / HOUR, centre, width)
    return np.asarray(1 + rise[:, None] * (shape * days.payday[clock.day]))


def country_day_log(rng: np.random.Generator, clock: Clock) -> Floats:
    """[T] log of the factor of a country's good and bad days (weather, strikes, a match), from midnight to midnight."""
    number = len(clock.dates)
    spread = rng.uniform(0.15, 0.25)
    by_day = np.where(rng.random(number) < COUNTRY_DAY_SHARE, rng.normal(0, spread, number), 0.0)
    # Two hours around midnight lead from one day to the next: nobody's bad day begins with a step.
    log = uniform_filter1d(by_day[clock.day], 2 * HOUR, mode="nearest")
    # The filter's running sum leaves crumbs of rounding on ordinary days.
    return np.where(np.abs(log) < 1e-9, 0.0, log)
