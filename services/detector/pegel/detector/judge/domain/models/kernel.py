"""The detector that pages: a baseline learnt a day late, negative-binomial evidence, roll-ups on added evidence.

All segments are arrays, and one step is a few vectorised operations. Evidence is weighed in steps of 5 minutes whatever
the bucket: within a step each bucket adds what has come so far, so that a score is there every bucket, and the end of
the step makes it lasting. Methods and measurements: docs/detection.md. Implements judge.ports.Detector.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from pegel.detector.judge.domain import evidence, promise
from pegel.detector.judge.domain.baseline import ARCHIVE_HOURS, DAY_HOURS, Baseline
from pegel.detector.judge.domain.common import Common
from pegel.detector.judge.domain.days import Calendar
from pegel.detector.judge.domain.judgement import Floats, Ints, Judgement, Lines, Windows
from pegel.detector.judge.domain.rings import Rings
from pegel.detector.judge.domain.rollups import RollUps
from pegel.detector.judge.domain.seasons import SLOT_SECONDS, SLOTS_OF_HOUR, LocalTimes, Zones

HOUR: Final = 3600
WINDOW_DISPERSION: Final = np.array([0.10, 0.05, 0.03, 0.02, 0.015])
"""Thought of windows of 15 min, 1 h, 3 h, 6 h, 24 h before any was seen: relative variance beyond Poisson."""
SHRINK: Final = 400.0
"""Contacts that such a thought is worth."""
DISPERSION_DAYS: Final = 14.0
FAR: Final = 3.5
"""Standard deviations at which a window stands out: what lies in it is not learnt at once."""
LASTING_HOURS, LASTING_DOWN_HOURS = 18.0, 44.0
"""A deviation that has lasted so long moves what is expected at once; it will be learnt when it is a day old."""
LASTING_MEMORY_STEPS: Final = 96.0
DECLARED_HOURS, DECLARED_LEARNT_HOURS = 28 * 24.0, 72.0
"""What a person called the new normal is expected until it is learnt, at most so long; it is learnt fast within three
days, of which the first passes until its hours are a day old."""
DECLARED_NEAR: Final = 0.2
"""It is learnt when what is learnt comes so near to it (relative)."""
DECLARED_CONTACTS: Final = 0.5
"""What a person says needs less contacts to be believed than what has lasted: such a prior they are weighed against."""
RECENT_LAG, RECENT_MEMORY_STEPS = 3, 24.0
"""What the last hours say of the slow noise, without the last quarter of an hour."""
RECENT_DOWN, RECENT_UP = 0.5, 2.0
"""So many standard deviations of it are believed at most, downwards and upwards."""
MARGIN, ROLLUP_MARGIN = 0.7, 0.25
BASELINE_VARIANCE: Final = 0.005
"""What the baseline is wrong by beyond its own doubt."""
BAND: Final = 1.96
COMMON_SCATTER: Final = 0.3
"""How differently topics take part in a good or bad day of their country (relative standard deviation)."""
OWN_DAYS: Final = 7.0
YOUNG_DAYS: Final = 1.0
"""Before so much was learnt there is no opinion."""
_SUMS: Final = (
    "window_moments", "bucket_moments", "recent", "recent_moments", "regression", "lasting", "up_hours", "down_hours",
    "declared_hours", "declared_since", "stood_out", "paths", "peaks", "rollup_paths", "rollup_peaks", "last_steps",
    "last_expected",
)  # fmt: skip
_STEP: Final = ("factor", "size", "step_observed", "step_expected")
_EVENTS: Final = ("in_event", "unlearnt", "quiet_since")
_SPARED: Final = (
    "window_moments", "bucket_moments", "regression", "up_hours", "down_hours", "stood_out"
)  # fmt: skip
"""What is learnt of a step at its end: not of segments that an event touches."""


class Kernel:
    """Keeps everything of S segments and their R roll-ups."""

    version = "pegel/1"

    def __init__(self, bucket_seconds: int, zones: Zones, topic_at: int, calendar: Calendar | None = None) -> None:
        """topic_at: the dimension whose other segments a young one borrows from. calendar: holidays and paydays."""
        self._bucket_seconds = bucket_seconds
        self._step_seconds = max(SLOT_SECONDS, bucket_seconds)
        self._steps_per_day = 86_400 / self._step_seconds
        self._segments: list[tuple[str, ...]] = []
        self._numbers: dict[tuple[str, ...], int] = {}
        self._times = LocalTimes(zones, calendar or Calendar(zones.country_at))
        self._rollups, self._rings = RollUps(), Rings(bucket_seconds)
        self._baseline = Baseline(self._times, self._rollups, topic_at)
        self._windows = len(self._rings.seconds)
        self._step: int | None = None
        lifts = len(evidence.LIFTS)
        self._window_moments = np.zeros((self._windows, 2, 0))
        """Running sums of a window's squared deviation beyond chance, and of its squared expectation."""
        self._bucket_moments = np.zeros((2, 0))
        self._recent = np.zeros((2, 0))
        self._recent_moments = np.zeros((2, 0))
        self._regression = np.zeros((2, 0))
        self._lasting = np.zeros((2, 0))
        self._up_hours, self._down_hours = np.zeros(0), np.zeros(0)
        self._declared_hours, self._declared_since = np.zeros(0), np.zeros(0, dtype=np.int64)
        """For how long yet what a person called normal is expected, and since which hour (since 1970) it is seen."""
        self._stood_out = np.zeros((DAY_HOURS + 1, 0), dtype=np.int8)
        self._partial = np.zeros(DAY_HOURS + 1, dtype=bool)
        """Hours that nobody saw whole."""
        self._paths, self._rollup_paths = (np.zeros((lifts, 0)) for _ in range(2))
        self._peaks, self._rollup_peaks = np.zeros(0), np.zeros(0)
        self._last_steps = np.zeros((RECENT_LAG, 0))
        self._last_expected = np.zeros((RECENT_LAG, 0))
        self._factor, self._size = np.zeros(0), np.zeros(0)
        self._step_observed, self._step_expected = np.zeros(0), np.zeros(0)
        self._country_at, self._common = zones.country_at, Common()
        self._in_event = np.zeros(0, dtype=bool)
        """Touched by an event of the calendar in this step."""
        self._unlearnt = np.zeros((DAY_HOURS + 1, 0), dtype=bool)
        """Hours that an event touched."""
        self._quiet_since = np.zeros(0, dtype=np.int64)
        """Since when (seconds since 1970) nobody is paged about a segment; 0: somebody is."""

    @property
    def rollups(self) -> Sequence[tuple[str, ...]]:
        return self._rollups.names

    def add_segments(self, segments: Sequence[tuple[str, ...]]) -> None:
        new = len(segments)
        if not new:
            return
        rollups = len(self._rollups.names)
        for segment in segments:
            self._numbers[segment] = len(self._segments)
            self._segments.append(segment)
        self._times.add_segments(list(segments))
        self._rollups.add_segments(segments)
        self._rings.add_segments(new)
        self._baseline.add_segments(new)

        def wider(name: str, count: int, fill: float = 0.0) -> None:
            array = getattr(self, f"_{name}")
            more = np.full((*array.shape[:-1], count), fill, dtype=array.dtype)
            setattr(self, f"_{name}", np.concatenate([array, more], axis=-1))

        for name in (*_SUMS, *_STEP, *_EVENTS):
            if not name.startswith("rollup"):
                nothing = evidence.NOTHING if name in {"paths", "peaks"} else 1.0 if name in {"factor", "size"} else 0.0
                wider(name, new, nothing)
        self._regression[:, -new:] = [[0.5], [1.0]]
        for name in ("rollup_paths", "rollup_peaks"):
            wider(name, len(self._rollups.names) - rollups, evidence.NOTHING)
        self._common.widen(len(self._rollups.names))
        self._countries = None if self._country_at is None else self._rollups.like(self._country_at)
        if self._step is not None:
            self._find_factor()

    def judge(self, start: int, observed: Ints, *, whole: bool = True, factors: Floats | None = None) -> Judgement:
        expected = self._with_events(start, self._enter(start, self._bucket_seconds), factors)
        if not whole:  # its hour is not learnt when it is a day old
            self._partial[start // HOUR % (DAY_HOURS + 1)] = True
        self._push(start, self._bucket_seconds, observed, expected)
        paths, rollup_paths = self._weigh(start + self._bucket_seconds)
        expected = expected * self._factor * self._day_now()
        variance = expected + expected**2 * (1 / self._size + self._baseline.doubt)
        width = BAND * np.sqrt(variance)
        segments = np.where(self._baseline.learnt_days >= YOUNG_DAYS, evidence.score(paths), -np.inf)
        rollups = evidence.score(rollup_paths) if rollup_paths.size else np.zeros(0)
        sums = self._rollups.sums([np.stack([observed.astype(np.float64), expected])])
        return Judgement(
            expected=expected,
            lower=np.maximum(0.0, expected - width),
            upper=expected + width,
            score=promise.SEGMENTS.score(segments, len(segments)),
            baseline_days=self._baseline.learnt_days,
            own=self._baseline.learnt_days >= OWN_DAYS,
            rollups=Lines(
                self._rollups.names, sums[0], sums[1], promise.ROLLUPS.score(rollups, len(self._rollups.names))
            ),
            windows=self.windows,
        )

    def learn(self, start: int, seconds: int, observed: Ints) -> None:
        """Of the past: as if it had been judged, in steps of its own length."""
        step = min(seconds, self._step_seconds)
        parts, at = max(1, seconds // step), start
        for number in range(parts):
            part = observed // parts + (number < observed % parts)
            cells = max(1, step // self._rings.cell_seconds)
            for cell in range(cells):
                at = start + number * step + cell * (step // cells)
                some = part // cells + (cell < part % cells)
                expected = self._enter(at, step // cells)
                self._push(at, step // cells, some, expected)
            if (at + step // cells) % self._step_seconds == 0:
                self._weigh(at + step // cells)

    def skip_gap(self, buckets: int) -> None:
        """Nothing is done: what comes next says by its time that nobody observed what lies between."""

    def add_late(self, buckets_ago: int, segment: int, contacts: int) -> None:
        if self._rings.cell is not None and self._end is not None:
            self._rings.add_late(self._end - buckets_ago * self._bucket_seconds, segment, contacts)

    _end: int | None = None
    _countries: Ints | None = None
    """The roll-up of each segment's country, (S,)."""

    def windows(self, name: tuple[str, ...]) -> Windows:
        """Those of a line that end with the bucket judged last."""
        rows = self._told(name)
        observed = self._rings.observed_sums[:, rows]
        expected = np.maximum(self._rings.expected_sums[:, rows], 1e-3)
        spread = self._window_dispersion()[:, rows] + self._baseline.doubt[rows]
        variance = (expected + expected**2 * spread).sum(axis=1)
        return Windows(self._rings.window_seconds(), observed.sum(axis=1), expected.sum(axis=1), variance)

    def rows(self, name: tuple[str, ...]) -> Ints:
        """The segments that make up a line."""
        number = self._numbers.get(name)
        if number is not None:
            return np.array([number], dtype=np.int64)
        return self._rollups.members(self._rollups.names.index(name))

    def over(self, name: tuple[str, ...]) -> None:
        number = self._numbers.get(name)
        paths, peaks = self._paths, self._peaks
        if number is None:
            number, paths, peaks = self._rollups.names.index(name), self._rollup_paths, self._rollup_peaks
        paths[:, number] = np.minimum(paths[:, number], 0.0)
        peaks[number] = 0.0

    def new_normal(self, segments: Ints, since: int) -> None:
        self.undo_new_normal(segments)
        self._lasting[:, segments] = np.stack(self._rings.since(segments, since))
        self._declared_hours[segments], self._declared_since[segments] = DECLARED_HOURS, since // HOUR
        self._find_factor()
        self._rings.expect(segments, since, self._factor[segments])
        for sums in (self._recent, self._last_steps, self._last_expected):
            sums[:, segments] = 0.0
        named = np.zeros((1, len(self._segments)))
        named[0, segments] = 1.0
        within = self._rollups.sums([named])[0] == self._rollups.sums([np.ones_like(named)])[0]
        for paths, peaks, rows in (
            (self._paths, self._peaks, segments),
            (self._rollup_paths, self._rollup_peaks, np.flatnonzero(within)),
        ):
            paths[:, rows] = np.minimum(paths[:, rows], 0.0)
            peaks[rows] = 0.0

    def undo_new_normal(self, segments: Ints) -> None:
        self._declared_hours[segments] = 0.0
        self._find_factor()

    def members(self, name: tuple[str, ...]) -> Sequence[tuple[str, ...]]:
        return [self._segments[row] for row in self.rows(name).tolist()]

    @property
    def history_days(self) -> float:
        return float(self._baseline.learnt_days.max(initial=0.0))

    def recent(self, name: tuple[str, ...], buckets: int) -> tuple[Ints, Floats]:
        return self._rings.recent(self._told(name), buckets * self._bucket_seconds)

    def _told(self, name: tuple[str, ...]) -> Ints:
        """The segments that a line tells of: of a roll-up not those about which nobody is paged."""
        rows = self.rows(name)
        told = rows[self._quiet_since[rows] == 0]
        return told if len(told) else rows

    def kept(self) -> Iterator[tuple[int, Floats, Floats]]:
        """The hours of the past that are kept, oldest first: number since 1970, contacts by 5 minutes (12, S), share of

        each that was observed (12,). Those of the last day as they came, older ones spread over their hour.
        """
        now = self._baseline.hour
        if now is None:
            return
        share = np.arange(SLOTS_OF_HOUR)[:, None]
        for hour in range(now - ARCHIVE_HOURS, now + 1):
            whole, part = self._baseline.archived(hour)
            counts = (whole // SLOTS_OF_HOUR + (share < whole % SLOTS_OF_HOUR)).astype(np.float64)
            observed = np.full(SLOTS_OF_HOUR, part)
            if not part:  # younger than a day
                counts, observed = self._rings.hour(hour * HOUR)
            if observed.any():
                yield hour, counts, observed

    # --- a step -------------------------------------------------------------------------------------------------

    def _enter(self, start: int, seconds: int) -> Floats:
        """Begin what begins with this bucket; gives the baseline's contacts in it, (S,)."""
        hour, step = start // HOUR, start // self._step_seconds
        before = self._baseline.hour
        if before != hour:
            level = self._baseline.level
            if before is not None:
                for past in range(max(before, hour - DAY_HOURS - 1) + 1, hour + 1):
                    self._learn_hour(past - DAY_HOURS - 1)
                    self._stood_out[past % (DAY_HOURS + 1)] = 0
                    self._partial[past % (DAY_HOURS + 1)] = False
                    self._unlearnt[past % (DAY_HOURS + 1)] = False
            self._baseline.enter(hour)
            # What was expected is told by the level as it is learnt now, so that nothing declared is multiplied twice.
            now = self._lasting[1] * self._baseline.level / level
            self._lasting[1] = np.where(self._declared_hours > 0, now, self._lasting[1])
        if self._step != step:
            if self._step is not None:
                self._begin_step(step - self._step)
            self._step = step
            self._step_observed[:], self._step_expected[:] = 0.0, 0.0
            self._in_event[:] = False
            self._find_factor()
        self._end = start + seconds
        first, last = start % HOUR / SLOT_SECONDS, (start % HOUR + seconds) / SLOT_SECONDS
        if last - first <= 1:
            return np.asarray(self._baseline.rates[int(first)] * (seconds / SLOT_SECONDS))
        return np.asarray(self._baseline.rates[int(first) : int(last)].sum(axis=0))

    def _with_events(self, start: int, expected: Floats, factors: Floats | None) -> Floats:
        """The baseline's contacts as events change them; notes what they touch, and begins again where one is over."""
        if factors is None:
            if not self._quiet_since.any():
                return expected
            factors = np.ones(len(expected))
        quiet = np.isnan(factors)
        over = np.flatnonzero((self._quiet_since > 0) & ~quiet)
        if len(over):
            self._begin_again(over)
        self._quiet_since[quiet & (self._quiet_since == 0)] = start
        touched = factors != 1.0
        self._in_event |= touched
        self._unlearnt[start // HOUR % (DAY_HOURS + 1)] |= touched
        return np.where(quiet, expected, expected * factors)

    def _begin_again(self, segments: Ints) -> None:
        """Nobody was paged about these, now somebody is: what came meanwhile is no evidence, and in no excess."""
        self._paths[:, segments], self._peaks[segments] = evidence.NOTHING, 0.0
        self._step_observed[segments], self._step_expected[segments] = 0.0, 0.0
        for since in np.unique(self._quiet_since[segments]).tolist():
            self._rings.take_as_expected(since, segments[self._quiet_since[segments] == since])
        self._quiet_since[segments] = 0

    def _learn_hour(self, hour: int) -> None:
        if self._partial[hour % (DAY_HOURS + 1)]:
            return
        counts, covered = self._rings.hour(hour * HOUR)
        self._baseline.learn(
            hour,
            counts,
            covered,
            self._stood_out[hour % (DAY_HOURS + 1)].astype(np.int64),
            np.where(
                (self._declared_hours > DECLARED_HOURS - DECLARED_LEARNT_HOURS) & (hour >= self._declared_since),
                np.inf,  # it is no incident, however little of it there is yet
                np.maximum(self._up_hours, self._down_hours),
            ),
            self._unlearnt[hour % (DAY_HOURS + 1)],
        )

    def _begin_step(self, steps: int) -> None:
        """What the step three before says of the slow noise enters now. steps: how many have passed."""
        keep = np.exp(-steps / RECENT_MEMORY_STEPS)
        self._recent *= keep
        if steps == 1:
            self._recent += np.stack([self._last_steps[0], self._last_expected[0]])
        else:  # nobody observed what lies between: no step lies three before
            if steps * self._step_seconds > HOUR:  # and what was risen then need not be risen still
                for paths, peaks in ((self._paths, self._peaks), (self._rollup_paths, self._rollup_peaks)):
                    np.minimum(paths, 0.0, out=paths)
                    peaks[:] = 0.0
            self._last_steps[:], self._last_expected[:] = 0.0, 0.0
        e = self._recent[1]
        keep_memory = np.exp(-1 / (DISPERSION_DAYS * self._steps_per_day))
        beyond = np.minimum((self._recent[0] - e) ** 2, 9 * (e + 0.08 * e**2)) - e / (1 + np.exp(-1 / 24))
        moments = keep_memory * self._recent_moments + np.stack([beyond, e**2]) / 12
        self._recent_moments = np.where(self._in_event, self._recent_moments, moments)

    def _slow_noise(self) -> tuple[Floats, Floats]:
        """What the last hours say: relative deviation as it is to be believed, and its standard deviation, (S,)."""
        moments = self._recent_moments
        variance = np.clip((moments[0] + 0.05 * SHRINK) / (moments[1] + SHRINK), 1e-4, 0.3)
        raw = (self._recent[0] - self._recent[1]) * variance / (1 + variance * self._recent[1])
        return raw, np.sqrt(variance)

    def _find_factor(self) -> None:
        """What the baseline is multiplied with in this step, and the size of the counts' distribution."""
        raw, sd = self._slow_noise()
        slope = np.clip(self._regression[0] / self._regression[1], 0, 1)
        self._factor = 1 + slope * np.clip(raw, -RECENT_DOWN * sd, RECENT_UP * sd)
        lasting = (self._up_hours > LASTING_HOURS) | (self._down_hours > LASTING_DOWN_HOURS)
        self._factor = np.where(lasting, (self._lasting[0] + 5) / (self._lasting[1] + 5), 1.0) * self._factor
        declared = (self._lasting[0] + DECLARED_CONTACTS) / (self._lasting[1] + DECLARED_CONTACTS)
        self._factor = np.where(self._declared_hours > 0, declared, self._factor)
        moments = self._bucket_moments
        self._size = 1 / np.clip((moments[0] + 0.4 * SHRINK) / (moments[1] + 5 * SHRINK), 0.005, 1.0)

    def _declared(self) -> Floats:
        """What the baseline is multiplied with where a person said what is normal, else 1, (S,)."""
        return np.where(self._declared_hours > 0, self._factor, 1.0)

    def _push(self, start: int, seconds: int, observed: Ints, expected: Floats) -> None:
        """Let a bucket, or a part of one, enter the windows and its step."""
        self._rings.push(start, seconds, observed, expected * self._declared())
        self._step_observed += observed
        self._step_expected += expected

    def _weigh(self, end: int) -> tuple[Floats, Floats]:
        """The paths with what has come of the step until `end`; they last when it is whole."""
        into = end % self._step_seconds
        part = into / self._step_seconds if into else 1.0
        y, m, day = self._step_observed, self._step_expected * self._factor, self._day_now()
        doubt = self._baseline.doubt + BASELINE_VARIANCE
        judged = self._baseline.learnt_days >= YOUNG_DAYS
        margin = MARGIN * np.sqrt(doubt + (COMMON_SCATTER * (day - 1)) ** 2)
        own = judged * evidence.increments(y, m * day * (1 + margin), self._size)
        paths = evidence.added(self._paths, own, part)
        margin = 1 + ROLLUP_MARGIN * np.sqrt(doubt)
        quiet = self._quiet_since > 0
        heard = judged & ~quiet
        summed = [heard * self._clipped(y, m * day * margin)]
        if self._countries is not None:  # a country's roll-up believes in a good day only after a while
            summed.append(heard * self._clipped(y, m * self._common.then(self._countries) * margin))
        rollup_paths = evidence.added(self._rollup_paths, self._rollups.sums(summed, self._country_at), part)
        if not heard.all():  # a roll-up of such segments alone has nothing to tell
            rollup_paths[:, self._rollups.sums([heard.astype(np.float64)])[0] == 0] = evidence.NOTHING
        if not into:
            self._paths, self._rollup_paths = paths, rollup_paths
            evidence.begun_again(paths, self._peaks)
            evidence.begun_again(rollup_paths, self._rollup_peaks)
            self._end_step()
        return paths, rollup_paths

    def _clipped(self, observed: Floats, expected: Floats) -> Floats:
        return np.clip(evidence.increments(observed, expected, self._size), -evidence.CLIP, evidence.CLIP)

    def _day_now(self) -> Floats:
        """Factor of the segments' expected counts by the day of their country, (S,)."""
        if self._countries is None:
            return np.ones(len(self._segments))
        return self._common.now(self._countries)

    def _window_dispersion(self) -> Floats:
        moments = self._window_moments
        expected = np.maximum(self._rings.expected_sums, 1e-3)
        prior = SHRINK * (2 + 1 / expected)
        thought = WINDOW_DISPERSION[-self._windows :, None] if self._windows else np.zeros((0, 1))
        return np.maximum((moments[:, 0] + thought * prior) / (moments[:, 1] + prior), 0.0)

    def _end_step(self) -> None:
        y, mu = self._step_observed.copy(), self._step_expected * self._day_now()
        keep = np.exp(-1 / (DISPERSION_DAYS * self._steps_per_day))
        normal = mu * self._declared()
        touched = np.flatnonzero(self._in_event)
        if len(touched):
            y[touched] = normal[touched]
        if self._countries is not None:
            self._common.note(y, self._step_expected * self._declared(), self._countries)
        before = {name: getattr(self, f"_{name}")[..., touched] for name in _SPARED if len(touched)}
        self._note_windows(keep)
        self._note_noise(y, normal, keep)
        for name, spared in before.items():
            getattr(self, f"_{name}")[..., touched] = spared
        self._last_steps = np.concatenate([self._last_steps[1:], y[None]])
        self._last_expected = np.concatenate([self._last_expected[1:], normal[None]])
        fade = np.exp(-1 / LASTING_MEMORY_STEPS)
        self._lasting = np.where(self._in_event, self._lasting, fade * self._lasting + np.stack([y, mu]))
        left = np.maximum(0.0, self._declared_hours - self._step_seconds / HOUR)
        near = np.abs(self._factor - 1) < DECLARED_NEAR
        self._declared_hours = np.where(near & (left < DECLARED_HOURS - DECLARED_LEARNT_HOURS), 0.0, left)

    def _note_windows(self, keep: float) -> None:
        """How far each window lies from its expectation, and what that says of the hours in it."""
        observed, expected = np.maximum(self._rings.observed_sums, 0), np.maximum(self._rings.expected_sums, 1e-3)
        spread = self._window_dispersion() + self._baseline.doubt
        variance = expected + expected**2 * spread
        away = 2 * (np.sqrt(observed + 0.375) - np.sqrt(expected + 0.375)) / np.sqrt(variance / expected)
        calm = np.abs(away) < FAR
        lengths = np.array(self._rings.seconds) / self._step_seconds
        moments = np.stack([np.minimum((observed - expected) ** 2, 9 * variance) - expected, expected**2], axis=1)
        kept = np.where(calm, keep, 1.0)[:, None]
        self._window_moments = kept * self._window_moments + calm[:, None] * moments / lengths[:, None, None]
        up, down = np.zeros(len(self._segments), dtype=bool), np.zeros(len(self._segments), dtype=bool)
        mature = self._baseline.learnt_days > OWN_DAYS
        for number, seconds in enumerate(self._rings.seconds):
            hits = np.flatnonzero((np.abs(away[number]) > (FAR if number else FAR + 1)) & mature)
            if not len(hits):
                continue
            sign = np.sign(away[number, hits]).astype(np.int8)
            first = (self._end or 0) - seconds
            for hour in range(first // HOUR, ((self._end or 1) - 1) // HOUR + 1):
                self._stood_out[hour % (DAY_HOURS + 1), hits] = sign
            if seconds >= 6 * HOUR:
                up[hits[sign > 0]], down[hits[sign < 0]] = True, True
        hours = self._step_seconds / HOUR
        # What has turned round in the last hours is over, however a whole day still looks.
        last = away[min(1, self._windows - 1)] if self._windows else np.zeros(0)
        before = self._up_hours
        self._up_hours = np.where(up, before + hours, np.maximum(0, before - 12 * hours))
        # What is expected from now on is the new normal: what was gathered against the old one is no evidence.
        new = (self._up_hours > LASTING_HOURS) & (before <= LASTING_HOURS)
        self._paths[:, new] = np.minimum(self._paths[:, new], 0.0)
        self._peaks[new] = 0.0
        self._down_hours = np.where(down & (last < 0.5), self._down_hours + hours, 0.0)

    def _note_noise(self, y: Floats, mu: Floats, keep: float) -> None:
        """Learn the over-dispersion of a step, and how far the last hours carry into it."""
        raw, sd = self._slow_noise()
        slope = np.clip(self._regression[0] / self._regression[1], 0, 1)
        expected = mu * (1 + slope * np.clip(raw, -RECENT_DOWN * sd, RECENT_UP * sd))
        calm = np.abs(raw) < 3 * sd
        believed = np.clip(raw, -RECENT_DOWN * sd, sd)
        weighed = calm / (1 + 0.1 * mu) * np.stack([(y - mu) * believed, mu * believed**2])
        self._regression = np.where(calm, keep, 1.0) * self._regression + weighed
        beyond = np.minimum((y - expected) ** 2, 9 * (mu + 0.2 * mu**2) + 9)
        self._bucket_moments = keep * self._bucket_moments + np.stack([beyond - expected, expected**2])

    # --- state --------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        arrays = {name: getattr(self, f"_{name}").copy() for name in (*_SUMS, *_STEP, *_EVENTS)}
        return {
            "segments": list(self._segments),
            "step": self._step,
            "end": self._end,
            "partial": self._partial.copy(),
            "rings": self._rings.state(),
            "baseline": self._baseline.state(),
            "common": self._common.state(),
            **arrays,
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        self.add_segments([tuple(segment) for segment in tree["segments"]])
        self._step, self._end, self._partial = tree["step"], tree["end"], tree["partial"]
        self._rings.restore(tree["rings"])
        self._baseline.restore(tree["baseline"])
        self._common.restore(tree["common"])
        for name in (*_SUMS, *_STEP, *_EVENTS):
            made, saved = getattr(self, f"_{name}"), tree[name]
            if saved.shape != made.shape or saved.dtype != made.dtype:
                raise ValueError(f"{name} is of shape {saved.shape}, not {made.shape}: a state of other rules")
            setattr(self, f"_{name}", saved)
