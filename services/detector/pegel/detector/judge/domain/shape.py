"""The shape of a segment's week, fitted to the hours that are kept of the last weeks.

Expected contacts in 5 minutes = level x hours of the week (168, mean 1) x slots of the day (288, mean 1 in an hour).
The fit looks back: an hour that lies far from what the weeks around it say (an incident, a holiday, an outage of
the bank's own) counts little, whoever noticed it at the time. Each part is drawn towards a simpler one (an hour of the
week towards its weekday x its hour; a slot towards its smooth neighbourhood) as far as the deviations of all of them
say that they are noise (empirical Bayes); a deviation that is far beyond noise is kept (a nightly batch).
"""

from typing import Final, NamedTuple

import numpy as np

from pegel.detector.judge.domain.judgement import Floats, Ints
from pegel.detector.judge.domain.seasons import HOURS_OF_WEEK, SLOTS_OF_DAY, SLOTS_OF_HOUR

ROUNDS: Final = 3
LEVEL_SD_DAYS: Final = 4.0
"""Of the kernel that follows the level through the weeks kept."""
BLOCK_HOURS: Final = 6
OUTLYING: Final = 3.0
"""Standard deviations beyond which a day or a block of hours counts less."""
MEMORY_DAYS: Final = 29.4
SMOOTH_SLOTS: Final = 9.0
"""Standard deviation of the day's smoothing: 45 minutes."""
DAY_DISPERSION: Final = 0.01
BLOCK_DISPERSION: Final = 0.02
HOUR_DISPERSION: Final = 0.03
SLOT_DISPERSION: Final = 0.12
SLOT_MEMORY_DAYS: Final = 21.0
WEEKDAY_VARIANCE, WEEKEND_VARIANCE = 0.08**2, 0.25**2
PRIOR: Final = 3.0
"""Contacts by which a day type is held to the others."""


class Kept(NamedTuple):
    """Of J segments: n hours (whole days, the last one the newest), and the sums of the day's slots.

    counts, alive: (n, J), alive is 0 where the segment did not exist or nobody observed, else the share observed.
    hours_of_week: (n, J). effects: factors of special days, (n, J). slot_counts, slot_exposure: contacts, and what
    level and hour alone expected, (288, J).
    before: hours of the week as known until now, (168, J). borrowed: the same as others of its kind have it, (168, J);
    borrowed_contacts: how many contacts it is worth, (J,).
    """

    counts: Floats
    alive: Floats
    hours_of_week: Ints
    effects: Floats
    slot_counts: Floats
    slot_exposure: Floats
    before: Floats
    borrowed: Floats
    borrowed_contacts: Floats


class Shape(NamedTuple):
    """hours: (168, J) of mean 1; hours_variance: relative, (168, J); slots: (288, J); level_sums: contacts and

    exposure (slots of 5 minutes x shape) over two weeks of memory, (2, J); day_dispersion: relative variance of a
    day's sum beyond chance, (J,).
    """

    hours: Floats
    hours_variance: Floats
    slots: Floats
    level_sums: Floats
    day_dispersion: Floats


def shrunk(
    observed: Floats, expected: Floats, extra: Floats | float, spread: float, keep_beyond: float
) -> tuple[Floats, Floats]:
    """Factors that draw observed / expected towards 1, and their relative variance; arrays (n, J).

    extra: relative variance of `observed` beyond Poisson. spread: variance of true deviations that is thought before
    any was seen. keep_beyond: a deviation of more than so many variances is kept (heavy tails).
    """
    expected = np.maximum(expected, 1e-6)
    deviation = (observed - expected) / expected
    variance = 1 / expected + extra
    weight = 1 / (variance + 0.03) ** 2
    prior = 1 / 0.03**2
    between = ((deviation**2 - variance) * weight).sum(axis=0)
    between = np.maximum((between + spread * prior) / (weight.sum(axis=0) + prior), 1e-5)
    own = np.maximum(between, np.minimum(deviation**2, 25) - keep_beyond * variance)
    trust = own / (own + variance)
    return np.maximum(1 + deviation * trust, 0.02), trust * variance


def _unlikely(observed: Floats, expected: Floats, dispersion: float) -> Floats:
    """How many standard deviations away, on the scale of square roots (Anscombe 1948)."""
    return np.asarray(
        2 * (np.sqrt(np.maximum(observed, 0) + 0.375) - np.sqrt(expected + 0.375)) / np.sqrt(1 + dispersion * expected)
    )


def _by_hour_of_week(hours: Ints, values: Floats) -> Floats:
    """Sums by hour of the week, (7, 24, J)."""
    columns = values.shape[1]
    at = (hours * columns + np.arange(columns)).ravel()
    sums = np.bincount(at, weights=values.ravel(), minlength=HOURS_OF_WEEK * columns)
    return np.asarray(sums.reshape(7, 24, columns))


def _by_day(hours: Floats) -> Floats:
    """Sums of whole days, (n / 24, J)."""
    return np.asarray(hours.reshape(-1, 24, hours.shape[1]).sum(axis=1))


def _day_types(hours: Floats) -> Floats:
    """Sums of (7, 24, J) by weekdays, Saturday and Sunday, (72, J)."""
    return np.stack([hours[:5].sum(axis=0), hours[5], hours[6]]).reshape(72, hours.shape[2])


def _smoothing() -> Floats:
    """Fourier transform of a Gaussian around the day, (145, 1)."""
    away = np.arange(SLOTS_OF_DAY)
    away = np.minimum(away, SLOTS_OF_DAY - away)
    kernel = np.exp(-0.5 * (away / SMOOTH_SLOTS) ** 2)
    return np.asarray(np.abs(np.fft.rfft(kernel / kernel.sum()))[:, None])


_KERNEL: Final = _smoothing()


def _smooth(day: Floats) -> Floats:
    """Smoothed around the day, (288, J)."""
    return np.maximum(np.fft.irfft(np.fft.rfft(day, axis=0) * _KERNEL, SLOTS_OF_DAY, axis=0), 0.0)


def fitted(kept: Kept) -> Shape:
    """Fit the shapes of J segments."""
    n, columns = kept.counts.shape
    days, place = n // 24, np.arange(columns)
    weight = kept.alive.copy()
    hours = kept.before
    age_days = ((n - 1 - np.arange(n)) / 24)[:, None]
    fading = np.exp(-age_days / MEMORY_DAYS)
    near = np.exp(-0.5 * ((np.arange(days)[:, None] - np.arange(days)) / LEVEL_SD_DAYS) ** 2)
    level = variance = day_hours = hours
    for number in range(ROUNDS):
        shape = hours[kept.hours_of_week, place] * kept.effects
        seen, normal = _by_day(kept.counts * weight), _by_day(shape * weight)
        trust = (normal > 0) / (1 / np.maximum(seen, 1) + DAY_DISPERSION)
        level = np.maximum((near @ (trust * seen)) / np.maximum(near @ (trust * normal), 1e-12), 1e-4)
        level_hourly = np.repeat(level, 24, axis=0)
        if number:
            weight = kept.alive * _weights(kept.counts * kept.alive, level_hourly * shape * kept.alive)
        counted = weight * fading
        observed = _by_hour_of_week(kept.hours_of_week, kept.counts * counted)
        exposure = _by_hour_of_week(kept.hours_of_week, level_hourly * kept.effects * counted)
        hours, variance, day_hours = _hours(observed, exposure, kept)
    shape = hours[kept.hours_of_week, place] * kept.effects
    memory = np.exp(-age_days / 14) * weight
    sums = np.stack([(memory * kept.counts).sum(axis=0), (memory * shape).sum(axis=0) * SLOTS_OF_HOUR])
    seen, normal = _by_day(kept.counts * weight), _by_day(level_hourly * shape * weight)
    beyond = np.minimum((seen - normal) ** 2, 9 * (normal + DAY_DISPERSION * normal**2)) - normal
    dispersion = np.clip((beyond.sum(axis=0) + 10.0) / ((normal**2).sum(axis=0) + 2000.0), 0.0005, 0.05)
    return Shape(hours, variance, _slots(kept, day_hours), sums, dispersion)


def _weights(counts: Floats, expected: Floats) -> Floats:
    """How much each hour counts, by its day and its block of hours, (n, J)."""
    n, columns = counts.shape
    out = np.ones_like(counts)
    for length, dispersion in ((24, DAY_DISPERSION), (BLOCK_HOURS, BLOCK_DISPERSION)):
        blocks = n // length
        away = _unlikely(
            counts.reshape(blocks, length, columns).sum(axis=1),
            expected.reshape(blocks, length, columns).sum(axis=1),
            dispersion,
        )
        out *= np.repeat(np.minimum(1.0, (OUTLYING / np.maximum(np.abs(away), 1e-9)) ** 2), length, axis=0)
    return out


def _hours(observed: Floats, exposure: Floats, kept: Kept) -> tuple[Floats, Floats, Floats]:
    """Hours of the week of mean 1, their variance, and the hours of the day that they are drawn to, (24, J)."""
    columns = observed.shape[2]
    lent = kept.borrowed.reshape(7, 24, columns)
    # What is borrowed enters as contacts that were seen: the fewer own there are, the more it says.
    scale = observed.sum(axis=(0, 1)) / np.maximum((exposure * lent).sum(axis=(0, 1)), 1e-9)
    total = np.maximum((lent * exposure.mean(axis=(0, 1))).sum(axis=(0, 1)), 1e-9)
    worth = kept.borrowed_contacts / total
    observed = observed + worth * lent * exposure.mean(axis=(0, 1))
    exposure = exposure + worth / np.maximum(scale, 1e-9) * exposure.mean(axis=(0, 1))
    day = np.ones((7, columns))
    hour = np.ones((24, columns))
    for _ in range(ROUNDS):
        hour = (observed.sum(axis=0) + 0.5 * hour) / ((exposure * day[:, None]).sum(axis=0) + 0.5)
        seen, normal = observed.sum(axis=1), (exposure * hour).sum(axis=1)
        common = seen.sum(axis=0) / np.maximum(normal.sum(axis=0), 1e-9)
        hour, normal = hour * common, normal * common
        weekdays = (seen[:5].sum(axis=0) + PRIOR) / (normal[:5].sum(axis=0) + PRIOR)
        weekend = (seen[5:].sum(axis=0) + PRIOR * weekdays) / (normal[5:].sum(axis=0) + PRIOR)
        raw = seen / np.maximum(normal, 1e-9)
        noise = 1 / np.maximum(seen, 1) + DAY_DISPERSION / 3.6
        day = np.concatenate(
            [
                weekdays + (raw[:5] - weekdays) * (WEEKDAY_VARIANCE / (WEEKDAY_VARIANCE + noise[:5])),
                weekend + (raw[5:] - weekend) * (WEEKEND_VARIANCE / (WEEKEND_VARIANCE + noise[5:])),
            ]
        )
    simple = day[:, None] * hour
    # Weekdays, Saturday and Sunday may have hours of their own, and then each hour of the week.
    extra = np.repeat([HOUR_DISPERSION / 12.6, HOUR_DISPERSION / 4.2, HOUR_DISPERSION / 4.2], 24)[:, None]
    factors, _ = shrunk(_day_types(observed), _day_types(exposure * simple), extra, 0.003, 3.0)
    typed = simple * factors.reshape(3, 24, columns)[[0, 0, 0, 0, 0, 1, 2]]
    factors, variance = shrunk(
        observed.reshape(HOURS_OF_WEEK, columns),
        (exposure * typed).reshape(HOURS_OF_WEEK, columns),
        HOUR_DISPERSION / 2.8,
        0.002,
        6.0,
    )
    hours = typed.reshape(HOURS_OF_WEEK, columns) * factors
    return hours / np.maximum(hours.mean(axis=0), 1e-12), variance + 1 / (observed.sum(axis=(0, 1)) / 24 + 1), hour


def _slots(kept: Kept, hour: Floats) -> Floats:
    """The slots of the day, of mean 1 within each hour, (288, J)."""
    of_hour = np.maximum(np.repeat(hour, SLOTS_OF_HOUR, axis=0), 1e-6)
    observed, exposure = kept.slot_counts, kept.slot_exposure / of_hour
    curve = (_smooth(observed) + of_hour) / (_smooth(exposure) + 1)
    # Smoothing flattens peaks; once more on what is left of them (Jones, Linton and Nielsen 1995) does not.
    curve = curve * (_smooth(observed) + 1) / (_smooth(exposure * curve) + 1)
    factors, _ = shrunk(observed, exposure * curve, SLOT_DISPERSION / SLOT_MEMORY_DAYS, 0.002, 4.0)
    slots = (curve * factors).reshape(24, SLOTS_OF_HOUR, -1)
    return np.asarray((slots / slots.mean(axis=1, keepdims=True)).reshape(SLOTS_OF_DAY, -1))
