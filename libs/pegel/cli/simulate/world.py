"""How many contacts a simulated bank expects and gets: a pure function of seed, segment and time.

History and live contacts come from the same function, so what was learnt of the one holds for the other, whenever the
bank is started again. A rate is the product of

- the segment's share: the country's size x the topic's, bent a little for each pair,
- the rhythm of the week in the country's local time,
- slow noise of the country and of the segment (log-normal, hours long): what no calendar explains,
- quick noise (gamma, a step long), which makes the counts negative-binomial.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CONTACTS_A_WEEK: Final = 100_000
STEP_SECONDS: Final = 300
WEEK_SECONDS: Final = 7 * 86_400

COUNTRIES: Final[dict[str, tuple[str, float]]] = {
    "ES": ("Europe/Madrid", 0.17),
    "PT": ("Europe/Lisbon", 0.05),
    "GB": ("Europe/London", 0.13),
    "PL": ("Europe/Warsaw", 0.06),
    "DE": ("Europe/Berlin", 0.07),
    "TR": ("Europe/Istanbul", 0.06),
    "US": ("America/New_York", 0.09),
    "MX": ("America/Mexico_City", 0.11),
    "BR": ("America/Sao_Paulo", 0.13),
    "AR": ("America/Argentina/Buenos_Aires", 0.04),
    "CL": ("America/Santiago", 0.05),
    "CO": ("America/Bogota", 0.04),
}
"""Code to zone and share of all contacts."""

TOPICS: Final[dict[str, tuple[float, str]]] = {
    "cards": (0.16, "shop"),
    "login": (0.13, "shop"),
    "transfer": (0.12, "office"),
    "account": (0.11, "office"),
    "app": (0.09, "evening"),
    "payments": (0.08, "shop"),
    "fraud": (0.06, "always"),
    "statement": (0.05, "office"),
    "fees": (0.05, "office"),
    "atm": (0.04, "always"),
    "loan": (0.04, "office"),
    "mortgage": (0.02, "office"),
    "insurance": (0.02, "office"),
    "branch": (0.02, "office"),
    "invest": (0.01, "evening"),
}
"""Slug to share of all contacts and shape of the day."""

HOURS: Final[dict[str, tuple[float, ...]]] = {
    "office": (1, 1, 1, 1, 1, 2, 4, 10, 28, 44, 50, 50, 44, 40, 42, 44, 42, 36, 26, 18, 12, 8, 4, 2),
    "shop": (4, 2, 2, 1, 1, 2, 5, 12, 22, 32, 40, 44, 44, 42, 40, 40, 42, 44, 44, 40, 32, 24, 15, 8),
    "evening": (6, 3, 2, 1, 1, 2, 6, 14, 20, 24, 26, 28, 30, 28, 26, 26, 28, 34, 42, 48, 48, 40, 26, 13),
    "always": (10, 8, 6, 5, 5, 6, 9, 14, 22, 28, 32, 34, 36, 34, 32, 32, 34, 36, 38, 36, 30, 24, 18, 13),
}
"""Weights of the local hours, at their middle."""

DAYS: Final[dict[str, tuple[float, ...]]] = {
    "office": (1.25, 1.15, 1.1, 1.1, 1.1, 0.35, 0.15),
    "shop": (1.1, 1.0, 1.0, 1.05, 1.15, 1.0, 0.7),
    "evening": (1.05, 1.0, 1.0, 1.0, 0.95, 0.95, 1.05),
    "always": (1.0, 0.95, 0.95, 1.0, 1.15, 1.1, 0.85),
}
"""Weights of the weekdays, Monday first."""

SEGMENTS: Final[tuple[tuple[str, str], ...]] = tuple((country, topic) for country in COUNTRIES for topic in TOPICS)
KNOT_SECONDS: Final = 3 * 3600
COUNTRY_NOISE: Final = 0.06
SEGMENT_NOISE: Final = 0.12
GAMMA_SHAPE: Final = 8.0
"""Of the quick noise: relative variance 1/8 of a step's rate."""


@dataclass(frozen=True)
class World:
    """One simulated bank. The same seed is the same bank."""

    seed: int = 1

    def expected(self, starts: NDArray[np.int64]) -> Array:
        """Expected contacts in the steps that begin at `starts` (seconds since 1970), without noise: (steps, 180)."""
        rhythm = np.stack([_rhythm(country, starts) for country in COUNTRIES], axis=1)  # steps, countries, topics
        return np.asarray(rhythm.reshape(len(starts), len(SEGMENTS)) * self._weekly() * (STEP_SECONDS / WEEK_SECONDS))

    def rates(self, starts: NDArray[np.int64]) -> Array:
        """Contacts a step by which these steps' counts are drawn, all noise included: (steps, 180)."""
        quick = np.stack(
            [self._generator(2, start).gamma(GAMMA_SHAPE, 1 / GAMMA_SHAPE, len(SEGMENTS)) for start in starts]
        )
        return np.asarray(self.expected(starts) * np.exp(self._slow_noise(starts)) * quick)

    def counts(self, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Contacts in each step: (steps, 180). Negative-binomial around the expected ones."""
        rates = self.rates(starts)
        return np.stack([self._generator(3, start).poisson(rate) for start, rate in zip(starts, rates, strict=True)])

    def _weekly(self) -> Array:
        """Expected contacts a week of each segment: (180,), CONTACTS_A_WEEK in all."""
        bends = self._generator(0, 0).lognormal(0.0, 0.25, (len(COUNTRIES), len(TOPICS)))
        shares = np.outer([share for _, share in COUNTRIES.values()], [share for share, _ in TOPICS.values()]) * bends
        return np.asarray((shares / shares.sum() * CONTACTS_A_WEEK).ravel())

    def _slow_noise(self, starts: NDArray[np.int64]) -> Array:
        """Logarithm of the slow factor, of mean about 0: (steps, 180). Knots every 3 hours, smooth between them."""
        before = starts // KNOT_SECONDS
        knots = np.arange(before.min(), before.max() + 2)
        values = np.stack([self._knot(int(knot)) for knot in knots])
        place = (starts % KNOT_SECONDS) / KNOT_SECONDS
        weight = ((1 - np.cos(np.pi * place)) / 2)[:, None]
        at = before - knots[0]
        return np.asarray(values[at] * (1 - weight) + values[at + 1] * weight)

    def _knot(self, knot: int) -> Array:
        generator = self._generator(1, knot)
        shared = generator.normal(0.0, COUNTRY_NOISE, len(COUNTRIES)).repeat(len(TOPICS))
        return np.asarray(shared + generator.normal(0.0, SEGMENT_NOISE, len(SEGMENTS)))

    def _generator(self, purpose: int, number: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, purpose, int(number)))


def _rhythm(country: str, starts: NDArray[np.int64]) -> Array:
    """Factor of each topic at these times, by the country's local time: (steps, 15), of mean 1 over a week."""
    zone = ZoneInfo(COUNTRIES[country][0])
    # Offsets change on the quarter hour at most, so one look-up an hour of the steps is enough.
    hours, place = np.unique(starts // 900, return_inverse=True)
    offsets = np.array([_offset_seconds(zone, int(hour) * 900) for hour in hours])
    local = starts + offsets[place] + STEP_SECONDS // 2
    second_of_week = (local - 4 * 86_400) % WEEK_SECONDS  # 1970 began on a Thursday
    return np.stack([np.interp(second_of_week, *_week(shape)) for _, shape in TOPICS.values()], axis=1)


def _offset_seconds(zone: ZoneInfo, second: int) -> int:
    offset = datetime.fromtimestamp(second, UTC).astimezone(zone).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())


@cache
def _week(shape: str) -> tuple[Array, Array]:
    """Points of the week's curve: second of the local week, and factor; of mean 1, and closed at both ends."""
    factors = np.outer(DAYS[shape], HOURS[shape]).ravel()
    factors = factors / factors.mean()
    middles = np.arange(168) * 3600.0 + 1800.0
    closed = np.concatenate([[middles[-1] - WEEK_SECONDS], middles, [middles[0] + WEEK_SECONDS]])
    return closed, np.concatenate([[factors[-1]], factors, [factors[0]]])
