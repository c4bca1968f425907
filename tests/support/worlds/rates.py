"""The rate of a segment in quiet times: weekly rhythm, nightly batches, and the slow noise that nobody can know."""

import numpy as np
from scipy.signal import lfilter

from support.worlds.options import DAY, HOUR, WEEK, Floats, Ints


def bump(hour: Floats, centre: float, width: float) -> Floats:
    """A bell over the hours of the day, peak 1, around midnight too."""
    distance = (hour - centre + 12) % 24 - 12
    return np.asarray(np.exp(-0.5 * (distance / width) ** 2))


def weekly_profile(rng: np.random.Generator) -> Floats:
    """[2016] a smooth week in local time from Monday 00:00, mean 1: of an office, of consumers, or round the clock."""
    hour = np.arange(WEEK) / HOUR % 24
    day = np.arange(WEEK) // DAY
    kind = rng.integers(3)
    if kind == 0:
        shape = bump(hour, rng.uniform(10, 11.5), rng.uniform(1.5, 2.5))
        shape += 0.7 * bump(hour, rng.uniform(15.5, 17), rng.uniform(1.5, 2.5))
        floor, weekend = rng.uniform(0.02, 0.08), rng.uniform(0.15, 0.5)
    elif kind == 1:
        shape = 0.7 * bump(hour, rng.uniform(12, 14), rng.uniform(3, 4))
        shape += bump(hour, rng.uniform(18.5, 21), rng.uniform(2, 3))
        floor, weekend = rng.uniform(0.05, 0.15), rng.uniform(0.6, 1.1)
    else:
        shape = bump(hour, rng.uniform(12, 16), rng.uniform(4, 6))
        floor, weekend = rng.uniform(0.2, 0.5), rng.uniform(0.7, 1.0)
    by_day = np.r_[rng.uniform(1.0, 1.25), rng.normal(1, 0.04, 4), weekend, weekend * rng.uniform(0.7, 1.0)]
    profile = (floor + shape) * by_day[day]
    return np.asarray(profile / profile.mean())


def batch(rng: np.random.Generator, day_bucket: Ints) -> Floats:
    """[T] the factor of a daily job of 15 to 40 minutes at one local time of the day, x3 to x8."""
    begin, length = rng.integers(DAY), rng.integers(3, 9)
    return np.where((day_bucket - begin) % DAY < length, rng.uniform(3, 8), 1.0)


def slow_noise(rng: np.random.Generator, sd: Floats, tau_buckets: Floats, buckets: int) -> Floats:
    """[R,T] stationary AR(1) noise for the log of R rates, such that the mean rate stays (R = len(sd))."""
    keep = np.exp(-1 / tau_buckets)
    noise = np.empty((len(sd), buckets))
    for row, (a, s) in enumerate(zip(keep, sd, strict=True)):
        pushes = rng.normal(0, s * np.sqrt(1 - a**2), buckets)
        pushes[0] = rng.normal(0, s)
        noise[row] = lfilter([1.0], [1.0, -a], pushes) - s**2 / 2
    return noise
