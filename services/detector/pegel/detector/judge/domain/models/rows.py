"""One segment's estimator, asked for its opinion of each bucket before it learns it.

What it is told suits its kind, and is the same whatever the bucket, as the sum of the last hour is:

- anomaly (HalfSpaceTrees): the last hour's contacts as log1p, scaled to [0, 1] by a running mean and deviation, and
  the hour of the local week as sine and cosine, in [0, 1] too (with the hour of the day as well, the trees hardly look
  at the contacts any more);
- supervised anomaly (GaussianScorer): the last hour's contacts;
- forecaster (SNARIMAX, HoltWinters): the contacts of whole hours as sqrt(y + 3/8), which makes the variance of counts
  about equal and none of them 0 (Anscombe, 1948). Its score is how many running deviations the hour lay above the
  forecast made before it.

Only what lies above what is usual can be a spike: below, a score is 0.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from river import stats

HOUR: Final = 3600
GRACE_HOURS: Final = 168
"""No opinion before a local week has been learnt: HoltWinters can't forecast, and the trees have no mass."""
FADE_HOURS: Final = 336
"""Memory of the running statistics."""
RESIDUALS_MIN: Final = 168
"""Residuals of a forecaster before they are scored: those of its first week are still of learning the season."""
DEVIATION_MIN: Final = 0.25
"""Of a forecaster's residuals, on the scale of square roots, where Poisson counts have 0.5."""
OFFSET: Final = 3 / 8
"""Anscombe's, added to counts before their root is taken."""
SPAN: Final = 8.0
"""Deviations that [0, 1] spans."""

Opinion = tuple[float, float]
"""Contacts expected in the bucket, and how unusual it is; nan: none."""
NONE: Final[Opinion] = (math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class Moment:
    """A bucket's place in time. hour: since 1970. whole: it is the last of its hour. clock: features in [0, 1]."""

    hour: int
    whole: bool
    clock: Mapping[str, float]


class Row(Protocol):
    """One segment."""

    def step(self, moment: Moment, last_hour: int) -> Opinion:
        """Opinion of a bucket, and learn it; last_hour: contacts in the hour that ends with it."""
        ...


def clock(hour_of_week: int) -> Mapping[str, float]:
    """The hour of the local week as a point on a circle, moved into [0, 1]."""
    turn = 2 * math.pi * hour_of_week / 168
    return {"week_sin": (1 + math.sin(turn)) / 2, "week_cos": (1 + math.cos(turn)) / 2}


class Anomaly:
    """Asked by score_one(x)."""

    def __init__(self, estimator: Any, bucket_seconds: int) -> None:
        self._estimator = estimator
        self._left = GRACE_HOURS * HOUR // bucket_seconds
        fade = bucket_seconds / (FADE_HOURS * HOUR)
        self._mean, self._variance = stats.EWMean(fade), stats.EWVar(fade)

    def step(self, moment: Moment, last_hour: int) -> Opinion:
        value, mean = math.log1p(last_hour), self._mean.get()
        deviation = math.sqrt(max(self._variance.get(), 0.0)) or 1.0
        scaled = min(max(0.5 + (value - mean) / (SPAN * deviation), 0.0), 1.0)
        x = {"contacts": scaled, **moment.clock}
        score = math.nan
        if self._left:
            self._left -= 1
        else:
            said = float(self._estimator.score_one(x))
            score = said if value > mean else 0.0
        self._estimator.learn_one(x)
        self._mean.update(value)
        self._variance.update(value)
        return math.nan, score


class SupervisedAnomaly:
    """Asked by score_one(x, y)."""

    def __init__(self, estimator: Any, bucket_seconds: int) -> None:
        self._estimator = estimator
        self._share = bucket_seconds / HOUR
        self._left = GRACE_HOURS * HOUR // bucket_seconds
        self._mean = stats.Mean()

    def step(self, moment: Moment, last_hour: int) -> Opinion:
        opinion, value, mean = NONE, float(last_hour), self._mean.get()
        if self._left:
            self._left -= 1
        else:
            said = float(self._estimator.score_one(moment.clock, value)) if value > mean else 0.0
            opinion = mean * self._share, self._unsaturated(said, value)
        self._estimator.learn_one(moment.clock, value)
        self._mean.update(value)
        return opinion

    def _unsaturated(self, said: float, value: float) -> float:
        """In the order of score_one, 2 |cdf - 1/2|, which is 1.0 to the bit from 8 deviations on.

        Counts go further: at 5 false pages a week the threshold lies beyond, so the deviations themselves are told.
        """
        gaussian = getattr(self._estimator, "gaussian", None)
        if gaussian is None or not said or not gaussian.sigma:
            return said
        return float((value - gaussian.mu) / gaussian.sigma)


class Forecaster:
    """Asked by forecast(1) for each hour at the end of the one before.

    The score of the last whole hour stands until the next is whole. Estimators count hours by calls, so an hour that
    was not wholly seen is learnt as forecast, and not judged.
    """

    def __init__(self, estimator: Any, bucket_seconds: int) -> None:
        self._estimator = estimator
        self._buckets = HOUR // bucket_seconds
        self._variance = stats.EWVar(1 / FADE_HOURS)
        self._usual = stats.Mean()
        self._learnt = self._residuals = self._seen = 0
        self._hour: int | None = None
        self._forecast = math.nan
        self._score = math.nan

    def step(self, moment: Moment, last_hour: int) -> Opinion:
        if moment.hour != self._hour:
            self._begin(moment.hour)
        self._seen += 1
        root = max(self._forecast, 0.0)  # nan stays nan
        expected = max(root**2 - OFFSET, 0.0) / self._buckets
        if moment.whole:
            self._end(last_hour)
        return expected, self._score

    def _begin(self, hour: int) -> None:
        """Of an hour; those between it and the last one were seen by nobody."""
        missed = 0 if self._hour is None else hour - self._hour - (self._seen == 0)
        for _ in range(missed):
            self._seen = 0
            self._end(0)
        self._hour, self._seen = hour, 0

    def _end(self, contacts: int) -> None:
        """Of an hour with these contacts: judge it if it was wholly seen, learn it, and forecast the next."""
        known = not math.isnan(self._forecast)
        if self._seen == self._buckets:
            value = math.sqrt(contacts + OFFSET)
            self._score = self._judged(value - self._forecast) if known else math.nan
        else:
            self._score = math.nan
            value = self._forecast if known else self._usual.get()
        if self._learnt or self._seen == self._buckets:
            self._estimator.learn_one(value)
            self._usual.update(value)
            self._learnt += 1
        if self._learnt >= GRACE_HOURS:
            forecast = float(self._estimator.forecast(1)[0])
            # An online regressor can diverge; then it has no opinion, and its running deviation is not spoilt.
            self._forecast = forecast if math.isfinite(forecast) else math.nan
        self._seen = 0

    def _judged(self, residual: float) -> float:
        """How many deviations of the residuals before it; nan while they are few."""
        score = math.nan
        if self._residuals >= RESIDUALS_MIN:
            score = max(0.0, residual / max(math.sqrt(max(self._variance.get(), 0.0)), DEVIATION_MIN))
        self._residuals += 1
        self._variance.update(residual)
        return score
