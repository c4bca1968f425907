"""What days of the calendar do to contacts, learnt from each of them and lent to others.

On a holiday loans rest and cash machines don't: each topic answers its own way, in all countries much alike. On a
payday a topic rises in the countries that are paid on it: a country's share of a day times the topic's answer. An
effect is the log of a factor; what has been seen of a segment is drawn to what its like have (normal model on the logs
of ratios, with the variances below), so that the first holiday of a country finds what those of others taught.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pegel.detector.judge.domain.days import AFTER_HOLIDAY, FIRST_PAYDAY, HOLIDAY, KINDS, MONTH_END, WEEKEND_HOLIDAY
from pegel.detector.judge.domain.judgement import Floats, Ints

COUNT: Final = len(KINDS)
SCATTER: Final = 0.15**2
"""Variance of a segment's effect about that of its topic."""
DAY_NOISE: Final = 0.012
"""Variance of the log of a day's contacts about what is expected of it, beyond chance."""
SPREAD: Final = {HOLIDAY: 0.35**2, WEEKEND_HOLIDAY: 0.15**2, AFTER_HOLIDAY: 0.15**2, MONTH_END: 0.12**2}
"""Variance of topics' effects about that of all."""
COMMON_SPREAD: Final = 0.3**2
"""Variance of the effect of all about none."""
WEEKEND_SHARE: Final = 0.35
"""What a holiday at the weekend has of one on a weekday."""
PAY_SPREAD: Final = 0.3**2
"""Variance of topics' answers to a payday about none."""
PAYDAY_SHARE, PAYDAY_WORTH = 0.25, 5.0
"""How much of a payday a day of the month is thought to be in a country, and the precision of that thought."""
LARGEST_SHARE_MIN: Final = 0.2
ROUNDS, ROBUST_ROUNDS = 6, 3
OUTLYING: Final = 2.0
"""Standard deviations beyond which what a segment says of its topic counts less."""
FORGET: Final = 0.93
"""What is kept of the days before, each time."""
FROM_DAY_TO_DAY: Final = 0.5
"""How much an effect differs from one day of a kind to the next (relative standard deviation)."""
PROFILES: Final = np.array([0, 0, 1, 2, *[3] * (COUNT - FIRST_PAYDAY)])
"""Kinds that share the hours of their effect."""
PROFILE_WORTH: Final = 20.0
LARGE: Final = 1.5


class Effect(NamedTuple):
    """factor: of contacts, and relative variance of what is not known of it."""

    factor: Floats
    variance: Floats


class DayEffects:
    """Of S segments and the kinds of days.KINDS, F of them."""

    def __init__(self) -> None:
        self._observed = np.zeros((COUNT, 0), dtype=np.float32)
        self._expected = np.zeros((COUNT, 0), dtype=np.float32)
        self._days = np.zeros((COUNT, 0), dtype=np.float32)
        self._logs = np.zeros((COUNT, 0), dtype=np.float32)
        self._variances = np.zeros((COUNT, 0), dtype=np.float32)
        self._profile_sums = np.zeros((2, PROFILES.max() + 1, 24))
        self._profiles = np.ones((PROFILES.max() + 1, 24))

    def add_segments(self, new: int) -> None:
        for name, fill in (("observed", 0), ("expected", 0), ("days", 0), ("logs", 0), ("variances", 0)):
            array = getattr(self, f"_{name}")
            more = np.full((COUNT, new), fill, dtype=np.float32)
            setattr(self, f"_{name}", np.concatenate([array, more], axis=1))

    def of(self, kinds: NDArray[np.bool_], hours: Ints, segments: Any = slice(None)) -> Effect:
        """At hours of the local day, (..., J), of some segments, on days of these kinds, (F, ..., J)."""
        logs = np.zeros(hours.shape)
        variance = np.zeros(hours.shape)
        for kind in np.flatnonzero(kinds.reshape(COUNT, -1).any(axis=1)):
            effect = self._logs[kind, segments]
            there = kinds[kind]
            shaped = np.log1p(np.maximum(np.expm1(effect) * self._profiles[PROFILES[kind]][hours], -0.95))
            logs += there * shaped
            variance += there * (self._variances[kind, segments] + (FROM_DAY_TO_DAY * effect) ** 2)
        return Effect(np.exp(logs), variance)

    def learn(self, kinds: NDArray[np.bool_], hours: Ints, counts: Floats, expected: Floats, seen: float) -> None:
        """An hour: contacts, and those expected if it were no special day, (S,); seen: share of it observed."""
        for kind in np.flatnonzero(kinds.any(axis=1)):
            there = kinds[kind] & (expected > 0)
            others = kinds.copy()
            others[kind] = False
            normal = there * expected * self.of(others, hours).factor
            first = there * (hours == 0)
            for sums in (self._observed, self._expected, self._days):
                sums[kind] *= np.where(first, FORGET, 1.0)
            self._observed[kind] += there * counts
            self._expected[kind] += normal
            self._days[kind] += there * (seen / 24)
            rise = np.expm1(np.clip(self._logs[kind], -LARGE, LARGE)) * there
            beyond = np.clip(counts - normal, -3 * np.sqrt(normal + 1), 2 * normal + 5)
            profile = PROFILES[kind]
            for row, values in enumerate((rise * beyond, rise**2 * normal)):
                self._profile_sums[row, profile] += np.bincount(hours, weights=values, minlength=24)

    def fit(self, topics: Ints, countries: Ints) -> None:
        """Once a day. topics, countries: which of them each segment belongs to, (S,)."""
        if not topics.size:
            return
        topics, countries = np.unique(topics, return_inverse=True)[1], np.unique(countries, return_inverse=True)[1]
        logs = np.log((self._observed + 0.5) / (self._expected + 0.5)).astype(np.float64)
        seen = self._days > 0
        noise = 1 / (self._observed + 0.5) + DAY_NOISE / np.maximum(self._days, 0.04)
        noise = np.where(seen & (self._expected > 0), noise, 1e6)
        logs = np.where(seen, np.clip(logs, -LARGE, LARGE), 0.0)
        for kind in (HOLIDAY, WEEKEND_HOLIDAY, AFTER_HOLIDAY, MONTH_END):
            lent, lent_variance = self._lent(kind, logs[kind], noise[kind], topics)
            own, variance = _drawn(logs[kind], noise[kind], lent, SCATTER)
            left = noise[kind] / (noise[kind] + SCATTER)
            self._logs[kind], self._variances[kind] = own, variance + left**2 * lent_variance
        self._fit_paydays(logs, noise, topics, countries)
        self._bound(countries)
        sums = self._profile_sums
        self._profiles = np.clip((sums[0] + PROFILE_WORTH) / (sums[1] + PROFILE_WORTH), 0.0, 4.0)

    def _bound(self, countries: Ints) -> None:
        """What is expected too low pages, what is expected too high does not: fewer contacts are believed slowly.

        A day on which people are paid brings no fewer (the 1st of January teaches nothing of the 1st of February), and
        one holiday is not all holidays.
        """
        by_country = np.zeros((COUNT, int(countries.max()) + 1))
        np.maximum.at(by_country.T, countries, self._days.T)
        days = by_country.sum(axis=1, keepdims=True)
        days[WEEKEND_HOLIDAY] += days[HOLIDAY]
        fewer = np.where(np.arange(COUNT)[:, None] < FIRST_PAYDAY, days / (days + 1), 0.0)
        self._logs = np.where(self._logs < 0, self._logs * fewer, self._logs).astype(np.float32)

    def _lent(self, kind: int, logs: Floats, noise: Floats, topics: Ints) -> tuple[Floats, Floats]:
        """The effect of each segment's topic, and its variance."""
        number = int(topics.max()) + 1
        spread = 1 / SPREAD[kind]
        weight = 1 / (noise + SCATTER)
        start = np.zeros(number)
        if kind == WEEKEND_HOLIDAY:
            start = WEEKEND_SHARE * np.bincount(topics, weights=self._logs[HOLIDAY]) / np.bincount(topics)
        away = logs - start[topics]
        robust, mean, variance = weight, start, np.full(number, SPREAD[kind])
        for _ in range(ROBUST_ROUNDS):
            sums = np.bincount(topics, weights=robust, minlength=number)
            seen = np.bincount(topics, weights=robust * away, minlength=number)
            of_topic = 1 / (1 / np.maximum(sums, 1e-9) + SPREAD[kind])
            known = of_topic.sum() + 1 / COMMON_SPREAD
            common = (of_topic * seen / np.maximum(sums, 1e-9)).sum() / known
            mean = (seen + common * spread) / (sums + spread)
            variance = 1 / (sums + spread) + (spread / (sums + spread)) ** 2 / known
            far = np.abs(away - mean[topics]) * np.sqrt(weight)
            robust = weight * np.minimum(1.0, OUTLYING / np.maximum(far, 1e-9))
        return (start + mean)[topics], variance[topics]

    def _fit_paydays(self, logs: Floats, noise: Floats, topics: Ints, countries: Ints) -> None:
        """Shares of the countries' days times answers of the topics, by turns (alternating least squares)."""
        seen, weight = logs[FIRST_PAYDAY:], 1 / (noise[FIRST_PAYDAY:] + SCATTER)
        shape, number = seen.shape, int(topics.max()) + 1
        days = (np.arange(shape[0])[:, None] * (int(countries.max()) + 1) + countries).ravel()
        of_topic = np.broadcast_to(topics, shape).ravel()
        share = np.ones(int(days.max()) + 1)
        answer, answer_known, share_known = np.zeros(number), np.ones(number), np.ones(len(share))
        for _ in range(ROUNDS):
            factor = share[days].reshape(shape)
            answer_known = _sums(of_topic, weight * factor**2, number) + 1 / PAY_SPREAD
            answer = _sums(of_topic, weight * factor * seen, number) / answer_known
            factor = answer[topics]
            share_known = _sums(days, weight * factor**2, len(share)) + PAYDAY_WORTH
            share = (_sums(days, weight * factor * seen, len(share)) + PAYDAY_SHARE * PAYDAY_WORTH) / share_known
            # The product alone is known: the largest shares are 1.
            largest = np.sort(np.maximum(share, 0))[-max(1, len(share) // 20) :].mean()
            share = np.clip(share / max(largest, LARGEST_SHARE_MIN), 0, 1.3)
        by_day, by_topic = share[days].reshape(shape), answer[topics]
        lent_variance = by_day**2 / answer_known[topics] + by_topic**2 / share_known[days].reshape(shape)
        own, variance = _drawn(seen, noise[FIRST_PAYDAY:], by_day * by_topic, SCATTER / 2)
        left = noise[FIRST_PAYDAY:] / (noise[FIRST_PAYDAY:] + SCATTER / 2)
        self._logs[FIRST_PAYDAY:], self._variances[FIRST_PAYDAY:] = own, variance + left**2 * lent_variance

    def state(self) -> dict[str, Any]:
        return {name: getattr(self, f"_{name}").copy() for name in _ARRAYS}

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Raises KeyError, ValueError for a state of other rules."""
        for name in _ARRAYS:
            made, saved = getattr(self, f"_{name}"), tree[name]
            if saved.shape != made.shape or saved.dtype != made.dtype:
                raise ValueError(f"{name} is of shape {saved.shape}, not {made.shape}: a state of other rules")
            setattr(self, f"_{name}", saved)


_ARRAYS: Final = ("observed", "expected", "days", "logs", "variances", "profile_sums", "profiles")


def _sums(groups: Ints, values: Floats, number: int) -> Floats:
    return np.asarray(np.bincount(groups, weights=values.ravel(), minlength=number), dtype=np.float64)


def _drawn(logs: Floats, noise: Floats, lent: Floats, scatter: float) -> tuple[Floats, Floats]:
    """What a segment's own days say, drawn to what is lent; and its variance."""
    precision = 1 / noise + 1 / scatter
    return (logs / noise + lent / scatter) / precision, 1 / precision
