"""Seasonal counts with negative-binomial tails on sums of 15 min, 1 h and 24 h.

Expected rate = level x rate of the hour of the local week. A segment's hours begin as its mean times the common shape
of the week (borrowed) and become its own as weeks are learnt. The tail of a window's sum Y with expectation E is
P(NB >= Y), variance E + E^2 (c + u): c over-dispersion of such windows, learnt; u the baseline's own uncertainty.
Method A of the plan's measurements, in its simplest form; the issue Detection replaces it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, gammaincc

from pegel.detector.judge.domain.judgement import Floats, Ints, Judgement
from pegel.detector.judge.domain.seasons import HOURS_OF_WEEK, Zones, hour_of_week

HOUR: Final = 3600
DAY: Final = 24 * HOUR
WINDOW_SECONDS: Final = (900, 3600, DAY)
WEEK_MEMORY: Final = 0.85
"""What a week keeps of the weeks before it."""
PRIOR_HOURS: Final = 1.5
"""Weight of the borrowed shape, in hours of exposure in the slot."""
LEVEL_MEMORY_SECONDS: Final = 2 * DAY
LEVEL_PRIOR: Final = 30.0
"""Contacts that hold the level at 1."""
DISPERSION_PRIOR: Final = (0.10, 0.08, 0.05)
DISPERSION_WEIGHT: Final = 30.0
SPREAD_MEMORY: Final = 0.999
"""What the over-dispersion keeps of a window at the next of its kind."""
DISPERSION_RANGE: Final = (0.01, 1.0)
OWN_SECONDS_MIN: Final = DAY
"""A segment is not judged before this much has been learnt."""
RING_MAX: Final = 2**31 - 1
"""What lies beyond in one bucket is cut: the ring holds 32 bits."""
_ARRAYS: Final = (
    "learnt_seconds", "sums", "hours", "last_week", "level_observed", "level_expected", "window_observed",
    "window_expected", "block_observed", "block_expected", "spread", "spread_weight",
)  # fmt: skip
"""What a state holds whatever the hour; _RATES are looked up once an hour, so they can't be made again from these."""
_RATES: Final = ("rates", "base_rates", "doubt")

Summed = Ints | Floats
Row = NDArray[np.int32] | NDArray[np.float32]


class NegativeBinomial:
    """The detector that pages by default. Implements judge.ports.Detector."""

    version = "negative_binomial/1"

    def __init__(self, bucket_seconds: int, zones: Zones) -> None:
        self._bucket_seconds, self._zones = bucket_seconds, zones
        self._windows = tuple(w for w in WINDOW_SECONDS if w >= bucket_seconds)
        self._lengths = tuple(max(1, w // bucket_seconds) for w in self._windows)
        self._ring_length = max(self._lengths)
        self._filled = 0
        self._at = 0
        self._segments: list[tuple[str, ...]] = []
        self._zone_numbers: list[int] = []
        self._zone_names: list[str] = []
        self._learnt_seconds = np.zeros(0)
        self._sums = np.zeros((0, HOURS_OF_WEEK))
        self._hours = np.zeros((0, HOURS_OF_WEEK))
        self._last_week = np.full((0, HOURS_OF_WEEK), -1, dtype=np.int16)
        self._level_observed = np.zeros(0)
        self._level_expected = np.zeros(0)
        # A day of buckets is most of the state, so it is in half the bits (sums are not), and a bucket is an array of
        # its own, as long as there were segments, that is not changed once a state has it: so copying them is free.
        self._ring_observed = [np.zeros(0, dtype=np.int32)] * self._ring_length
        self._ring_expected = [np.zeros(0, dtype=np.float32)] * self._ring_length
        self._changeable: set[int] = set()
        """Places in the ring whose observed counts no state has."""
        self._window_observed = np.zeros((len(self._windows), 0), dtype=np.int64)
        self._window_expected = np.zeros((len(self._windows), 0))
        self._block_observed = np.zeros((len(self._windows), 0))
        self._block_expected = np.zeros((len(self._windows), 0))
        self._spread = np.zeros((len(self._windows), 0))
        self._spread_weight = np.zeros((len(self._windows), 0))
        self._rates_hour: int | None = None
        self._rates = np.zeros(0)
        self._base_rates = np.zeros(0)
        self._doubt = np.zeros(0)
        self._zone_of = np.zeros(0, dtype=np.int64)

    def add_segments(self, segments: Sequence[tuple[str, ...]]) -> None:
        new = len(segments)
        for segment in segments:
            zone = self._zones.of(segment)
            if zone not in self._zone_names:
                self._zone_names.append(zone)
            self._zone_numbers.append(self._zone_names.index(zone))
        self._segments.extend(segments)
        self._zone_of = np.array(self._zone_numbers, dtype=np.int64)

        def rows(array: Floats, fill: float = 0.0) -> Floats:
            return np.concatenate([array, np.full((new, *array.shape[1:]), fill, dtype=array.dtype)])

        def columns(array: Floats) -> Floats:
            return np.concatenate([array, np.zeros((array.shape[0], new), dtype=array.dtype)], axis=1)

        self._learnt_seconds = rows(self._learnt_seconds)
        self._sums, self._hours, self._last_week = rows(self._sums), rows(self._hours), rows(self._last_week, -1)  # type: ignore[arg-type,assignment]
        self._level_observed, self._level_expected = rows(self._level_observed), rows(self._level_expected)
        self._window_observed = columns(self._window_observed)  # type: ignore[arg-type,assignment]
        self._window_expected = columns(self._window_expected)
        self._block_observed, self._block_expected = columns(self._block_observed), columns(self._block_expected)
        self._spread, self._spread_weight = columns(self._spread), columns(self._spread_weight)
        self._rates_hour = None

    def judge(self, start: int, observed: Ints) -> Judgement:
        seconds = self._bucket_seconds
        self._look_up(start)
        expected = self._rates * seconds
        self._push(observed, expected)
        scores = np.zeros((len(self._windows), len(observed)))
        for number, length in enumerate(self._lengths):
            if number and self._filled < min(length, 2 * self._lengths[0]):
                continue
            wy, we = self._window_observed[number], self._window_expected[number]
            spread = self._dispersion(number) + self._doubt
            # Only what lies above its expectation can be a spike; the rest needs no tail.
            above = np.flatnonzero((wy > we + 1) & (self._learnt_seconds >= OWN_SECONDS_MIN))
            if len(above):
                scores[number, above] = tail(wy[above], we[above], spread[above])
        width = 1.96 * np.sqrt(expected + expected**2 * (self._dispersion(0) + self._doubt))
        return Judgement(
            expected=expected,
            lower=np.maximum(0.0, expected - width),
            upper=expected + width,
            # Before a window has filled it is as long as what was seen.
            window_seconds=np.minimum(np.array(self._windows, dtype=np.int64), self._filled * self._bucket_seconds),
            scores=scores,
            window_observed=self._window_observed.copy(),
            window_expected=self._window_expected.copy(),
        )

    def learn(self, start: int, seconds: int, observed: Ints, *, skip: Ints | None = None) -> None:
        self._look_up(start)
        slots = self._slots(start // HOUR)
        rows = np.arange(len(observed))
        learnt = np.ones(len(observed), dtype=bool)
        if skip is not None and len(skip):
            learnt[skip] = False
        rows = rows[learnt]
        slot = slots[self._zone_of[rows]]
        week = start // (7 * DAY)
        past = self._last_week[rows, slot].astype(np.int64)
        keep = np.where(past < 0, 1.0, WEEK_MEMORY ** np.maximum(0, week - past))
        y = observed[rows]
        exposure = seconds / HOUR
        expected = self._base_rates[rows] * seconds
        self._sums[rows, slot] = self._sums[rows, slot] * keep + y
        self._hours[rows, slot] = self._hours[rows, slot] * keep + exposure
        self._last_week[rows, slot] = week
        self._learnt_seconds[rows] += seconds
        normal = self._rates * seconds
        self._learn_spread(start + seconds, np.where(learnt, observed, normal), normal)
        fade = 0.5 ** (seconds / LEVEL_MEMORY_SECONDS)
        old = self._learnt_seconds[rows] > 7 * DAY
        grown = rows[old]
        self._level_observed[grown] = self._level_observed[grown] * fade + y[old]
        self._level_expected[grown] = self._level_expected[grown] * fade + expected[old]
        if (start + seconds) % HOUR == 0:
            self._rates_hour = None

    def _learn_spread(self, end: int, observed: Floats, expected: Floats) -> None:
        """Note how far whole windows of 15 min and 1 h lay from their expectation (they do not overlap)."""
        for number in range(min(2, len(self._windows))):
            self._block_observed[number] += observed
            self._block_expected[number] += expected
            if end % self._windows[number] == 0:
                seen, normal = self._block_observed[number], self._block_expected[number]
                self._spread[number] = self._spread[number] * SPREAD_MEMORY + (seen - normal) ** 2 - normal
                self._spread_weight[number] = self._spread_weight[number] * SPREAD_MEMORY + normal**2
                self._block_observed[number], self._block_expected[number] = 0.0, 0.0

    def state(self) -> dict[str, Any]:
        self._changeable.clear()
        arrays = {name: getattr(self, f"_{name}").copy() for name in (*_ARRAYS, *_RATES)}
        return {
            "segments": list(self._segments),
            "filled": self._filled,
            "at": self._at,
            "rates_hour": self._rates_hour,
            # Most of the day's buckets hold nothing for a while after the start, and a second's bucket makes them many.
            "ring_observed": [row if len(row) else None for row in self._ring_observed],
            "ring_expected": [row if len(row) else None for row in self._ring_expected],
            **arrays,
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        self.add_segments([tuple(segment) for segment in tree["segments"]])
        self._filled, self._at, self._rates_hour = tree["filled"], tree["at"], tree["rates_hour"]
        nobody, nothing = np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32)
        self._ring_observed = [nobody if row is None else row for row in tree["ring_observed"]]
        self._ring_expected = [nothing if row is None else row for row in tree["ring_expected"]]
        if not len(self._ring_observed) == len(self._ring_expected) == self._ring_length:
            raise ValueError(f"{len(self._ring_observed)} buckets, not {self._ring_length}: a state of other rules")
        for name in _ARRAYS:
            made, saved = getattr(self, f"_{name}"), tree[name]
            if saved.shape != made.shape or saved.dtype != made.dtype:
                raise ValueError(f"{name} is of shape {saved.shape}, not {made.shape}: a state of other rules")
            setattr(self, f"_{name}", saved)
        for name in _RATES:
            setattr(self, f"_{name}", tree[name])

    def skip_gap(self, buckets: int) -> None:
        if buckets >= self._ring_length:
            self._ring_observed = [np.zeros(0, dtype=np.int32)] * self._ring_length
            self._ring_expected = [np.zeros(0, dtype=np.float32)] * self._ring_length
            self._changeable.clear()
            self._window_observed[:], self._window_expected[:] = 0, 0.0
            return
        for _ in range(buckets):
            self._push(np.zeros(0, dtype=np.int64), np.zeros(0))

    def add_late(self, buckets_ago: int, segment: int, contacts: int) -> None:
        if buckets_ago > min(self._ring_length, self._filled):
            return
        place = (self._at - buckets_ago) % self._ring_length
        seen = self._ring_observed[place]
        if place not in self._changeable or segment >= len(seen):
            seen = self._ring_observed[place] = np.concatenate(
                [seen, np.zeros(max(0, segment + 1 - len(seen)), dtype=np.int32)]
            )
            self._changeable.add(place)
        before = int(seen[segment])
        after = max(-RING_MAX, min(before + contacts, RING_MAX))
        seen[segment] = after
        for number, length in enumerate(self._lengths):
            if buckets_ago <= length:
                self._window_observed[number, segment] += after - before

    def recent(self, segment: int, buckets: int) -> tuple[Ints, Floats]:
        count = min(buckets, self._ring_length, self._filled)
        places = [(self._at - ago) % self._ring_length for ago in range(count, 0, -1)]
        seen = [int(row[segment]) if segment < len(row) else 0 for row in (self._ring_observed[at] for at in places)]
        normal = [
            float(row[segment]) if segment < len(row) else 0.0 for row in (self._ring_expected[at] for at in places)
        ]
        return np.array(seen, dtype=np.int64), np.array(normal)

    def _push(self, observed: Ints, expected: Floats) -> None:
        """Let a bucket of the first segments (a gap: of none) enter the windows, and what is as old as they leave."""
        seen, normal = np.minimum(observed, RING_MAX).astype(np.int32), expected.astype(np.float32)
        for number, length in enumerate(self._lengths):
            leaving = (self._at - length) % self._ring_length
            _add(self._window_observed[number], seen)
            _add(self._window_expected[number], normal)
            _subtract(self._window_observed[number], self._ring_observed[leaving])
            _subtract(self._window_expected[number], self._ring_expected[leaving])
        self._ring_observed[self._at], self._ring_expected[self._at] = seen, normal
        self._changeable.add(self._at)
        self._at = (self._at + 1) % self._ring_length
        self._filled = min(self._filled + 1, self._ring_length)
        if self._at == 0:
            # Sums of floats drift; once a turn they are added afresh.
            for number, length in enumerate(self._lengths):
                self._window_expected[number] = 0.0
                for row in self._ring_expected[self._ring_length - length :]:
                    _add(self._window_expected[number], row)

    def _slots(self, hour: int) -> Ints:
        return np.array([hour_of_week(zone, hour) for zone in self._zone_names], dtype=np.int64)

    def _look_up(self, start: int) -> None:
        """The rates (contacts a second) and their relative variance in the hour of `start`."""
        hour = start // HOUR
        if self._rates_hour == hour:
            return
        self._rates_hour = hour
        slot = self._slots(hour)[self._zone_of] if len(self._zone_of) else self._zone_of
        rows = np.arange(len(slot))
        hours = self._hours.sum(axis=1)
        mean = (self._sums.sum(axis=1) + 0.5) / (hours + 24.0)
        common_hours = self._hours.sum(axis=0)
        total, total_hours = self._sums.sum(), common_hours.sum()
        if total > 0:
            # The common shape of the week, drawn towards flat where little was learnt.
            rate = total / total_hours
            shape = (self._sums.sum(axis=0) + 20.0) / (common_hours * rate + 20.0)
        else:
            shape = np.ones(HOURS_OF_WEEK)
        prior = mean * shape[slot]
        own, exposure = self._sums[rows, slot], self._hours[rows, slot]
        hourly = (own + PRIOR_HOURS * prior) / (exposure + PRIOR_HOURS)
        level = (self._level_observed + LEVEL_PRIOR) / (self._level_expected + LEVEL_PRIOR)
        self._base_rates = np.maximum(hourly, 1e-4) / HOUR
        self._rates = self._base_rates * level
        self._doubt = 1.0 / (own + PRIOR_HOURS * prior + 2.0) + 0.3 * np.exp(-hours / 72.0)

    def _dispersion(self, window: int) -> Floats:
        weight = self._spread_weight[window]
        prior_weight = DISPERSION_WEIGHT
        c = (self._spread[window] + DISPERSION_PRIOR[window] * prior_weight) / (weight + prior_weight)
        clipped: Floats = np.clip(c, *DISPERSION_RANGE)
        return clipped


def _add(sums: Summed, row: Row) -> None:
    """Add a bucket's row, which is as long as there were segments then."""
    sums[: len(row)] += row


def _subtract(sums: Summed, row: Row) -> None:
    sums[: len(row)] -= row


def tail(observed: Ints, expected: Floats, dispersion: Floats) -> Floats:
    """-log10 P(X >= observed), X negative-binomial with this mean and variance mean + mean^2 x dispersion; shape (S,).

    P(X >= y) is the regularised incomplete beta function I_q(y, r), r = 1 / dispersion, q = mean / (mean + r)
    (Johnson, Kemp and Kotz, Univariate Discrete Distributions, 5.6).
    """
    mean = np.maximum(expected, 1e-9)
    size = 1.0 / dispersion
    probability = np.where(
        size > 1e9,
        1.0 - gammaincc(np.maximum(observed, 1), mean),
        betainc(np.maximum(observed, 1), size, mean / (mean + size)),
    )
    probability = np.where(observed < 1, 1.0, probability)
    return -np.log10(np.maximum(probability, 1e-300))
