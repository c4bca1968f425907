"""The baseline: what is expected in the coming hour, learnt a day late.

Contacts are learnt when they are a day old: by then it is known whether they belonged to an incident, and that hour is
left out, unless the same hour stood out the same way a week before, or it has lasted too long to be an incident (a new
normal, which is learnt fast).
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pegel.detector.judge.domain.effects import DayEffects
from pegel.detector.judge.domain.judgement import Floats, Ints
from pegel.detector.judge.domain.rollups import RollUps
from pegel.detector.judge.domain.seasons import HOURS_OF_WEEK, SLOTS_OF_DAY, SLOTS_OF_HOUR, LocalTimes
from pegel.detector.judge.domain.shape import SLOT_MEMORY_DAYS, Kept, fitted

ARCHIVE_HOURS: Final = 6 * HOURS_OF_WEEK
DAY_HOURS: Final = 24
FAST_DAYS, SLOW_DAYS = 2.5, 14.0
"""Memories of the level."""
DRIFT: Final = 0.08
"""By so much the level is thought to move within the fast memory (relative)."""
NEW_LEVEL: Final = 16.0
"""Squared standard deviations beyond which the level has not drifted but jumped."""
RELEASE_HOURS: Final = 36
NEW_NORMAL_MEMORY_HOURS: Final = 12.0
YOUNG_HOURS: Final = 14 * 24
YOUNG_HOURS_MEMORY: Final = 96.0
"""In which the doubt in a young segment's baseline fades."""
BORROWED: Final = 150.0
"""Contacts that a borrowed week is worth."""
SLOT_CONTACTS_MIN: Final = 1e-3
TRUSTED: Final = 0.01
"""Relative variance of a special day's effect at which its contacts count half of others."""
_ROWS: Final = ("level_fast", "level_slow", "day_dispersion", "born", "learnt_hours", "level", "level_variance")


class Baseline:
    """Of S segments. Hours are numbered since 1970."""

    def __init__(self, times: LocalTimes, rollups: RollUps, topic_at: int) -> None:
        """topic_at: the dimension whose other segments a young one borrows from."""
        self._times, self._rollups, self._topic_at = times, rollups, topic_at
        self.effects = DayEffects()
        self._count = 0
        self.hour: int | None = None
        self._archive = np.zeros((ARCHIVE_HOURS, 0), dtype=np.int32)
        """Contacts; -1 where an event was."""
        self._observed = np.zeros(ARCHIVE_HOURS, dtype=np.float32)
        """Share of each hour that was observed."""
        self._archived = np.full(ARCHIVE_HOURS, -1, dtype=np.int64)
        """Which hour stands there."""
        self._hours = np.zeros((HOURS_OF_WEEK, 0), dtype=np.float32)
        self._hours_variance = np.zeros((HOURS_OF_WEEK, 0), dtype=np.float16)
        self._slots = np.zeros((SLOTS_OF_DAY, 0), dtype=np.float32)
        self._slot_counts = np.zeros((SLOTS_OF_DAY, 0), dtype=np.float32)
        self._slot_exposure = np.zeros((SLOTS_OF_DAY, 0), dtype=np.float32)
        self._stood_out = np.zeros((HOURS_OF_WEEK, 0), dtype=np.int8)
        """At this hour of the week last time: 1 above, -1 below."""
        self._level_fast = np.zeros((2, 0))
        self._level_slow = np.zeros((2, 0))
        self._day_dispersion = np.zeros(0)
        self._born = np.zeros(0, dtype=np.int64)
        self._learnt_hours = np.zeros(0)
        self._level = np.zeros(0)
        self._level_variance = np.zeros(0)
        self.rates = np.zeros((SLOTS_OF_HOUR, 0))
        """Contacts expected in each 5 minutes of this hour, (12, S)."""
        self.doubt = np.zeros(0)
        """Relative variance of what is expected, (S,)."""

    @property
    def learnt_days(self) -> Floats:
        return np.asarray(self._learnt_hours / 24)

    @property
    def level(self) -> Floats:
        """Contacts an hour, of an ordinary week, (S,)."""
        return self._level.copy()

    def add_segments(self, new: int) -> None:
        """Call after times and rollups know them."""

        def wider(array: Any, fill: float = 0.0) -> Any:
            return np.concatenate([array, np.full((*array.shape[:-1], new), fill, dtype=array.dtype)], axis=-1)

        self._count += new
        for name in ("archive", "slot_counts", "slot_exposure", "stood_out"):
            setattr(self, f"_{name}", wider(getattr(self, f"_{name}")))
        self._hours, self._slots = wider(self._hours, 1.0), wider(self._slots, 1.0)
        self._hours_variance = wider(self._hours_variance, 0.3)
        self._level_fast, self._level_slow = wider(self._level_fast, 0.5), wider(self._level_slow, 0.5)
        self._day_dispersion = wider(self._day_dispersion, 0.01)
        self._born = wider(self._born, -1 if self.hour is None else self.hour)
        self._learnt_hours = wider(self._learnt_hours)
        self._level, self._level_variance = wider(self._level, 1.0), wider(self._level_variance, 1.0)
        self.effects.add_segments(new)
        if self.hour is not None:
            self._look_up(self.hour)

    def enter(self, hour: int) -> None:
        """An hour begins: refit the segments whose turn it is, and look up its rates."""
        if self.hour is None:
            self._born[:] = hour
        self.hour = hour
        if hour % DAY_HOURS == 0 and self._count:
            self.effects.fit(self._rollups.like(self._topic_at), self._times.place_of)
        turn = np.arange(self._count) % DAY_HOURS
        young = hour - self._born < YOUNG_HOURS
        due = np.flatnonzero(np.where(young, turn % 6 == hour % 6, turn == hour % DAY_HOURS))
        if len(due):
            self._refit(due)
        self._look_up(hour)

    def learn(
        self,
        hour: int,
        counts: Floats,
        observed: Floats,
        stood_out: Ints,
        lasting_hours: Floats,
        unlearnt: NDArray[np.bool_],
    ) -> None:
        """Learn an hour. counts: (12, S); observed: share of each 5 minutes that was, (12,).

        stood_out: 1 where a window over it was far above, -1 far below, (S,); lasting_hours: for how long already.
        unlearnt: where an event of the calendar says nothing of an ordinary week, (S,).
        """
        if not observed.any() or not self._count:
            return
        rows = np.arange(self._count)
        of_week = self._times.hours_of_week(hour)
        lasting = lasting_hours > RELEASE_HOURS
        unlearnt = unlearnt | (hour < self._born)
        odd = (stood_out != 0) & ~lasting & (self._stood_out[of_week, rows] != stood_out) | unlearnt
        self._stood_out[of_week, rows] = np.where(unlearnt, self._stood_out[of_week, rows], stood_out)
        at = hour % ARCHIVE_HOURS
        self._archive[at] = np.where(unlearnt, -1, np.rint(np.minimum(counts.sum(axis=0), 2**31 - 1))).astype(np.int32)
        self._observed[at], self._archived[at] = observed.mean(), hour
        slots = self._times.slots(hour)
        hourly = self._hours[of_week, rows].astype(np.float64)
        kinds = self._times.kinds(hour)
        effect = self.effects.of(kinds, of_week % 24)
        exposure = (hourly * self._slots[slots, rows] * observed[:, None]).sum(axis=0)
        special = kinds & ~unlearnt
        if special.any():
            normal = self._level * exposure
            self.effects.learn(special, of_week % 24, counts.sum(axis=0), normal, float(observed.mean()))
        hourly = hourly * effect.factor
        exposure = exposure * effect.factor
        learnt = np.where(odd, 0.0, TRUSTED / (TRUSTED + effect.variance))
        for level, days in ((self._level_fast, FAST_DAYS), (self._level_slow, SLOW_DAYS)):
            keep = np.full(self._count, np.exp(-1 / (days * 24)))
            if days == FAST_DAYS:
                keep = np.where(lasting, np.exp(-1 / NEW_NORMAL_MEMORY_HOURS), keep)
            np.multiply(level, np.where(odd, 1.0, keep), out=level)
            level[0] += learnt * counts.sum(axis=0)
            level[1] += learnt * exposure
        self._find_level()
        keep = np.where(odd, 1.0, np.exp(-1 / SLOT_MEMORY_DAYS))
        self._slot_counts[slots, rows] = keep * self._slot_counts[slots, rows] + learnt * counts
        self._slot_exposure[slots, rows] = (
            keep * self._slot_exposure[slots, rows] + learnt * self._level * hourly * observed[:, None]
        )
        self._learnt_hours += ~odd * observed.mean()

    def archived(self, hour: int) -> tuple[Ints, float]:
        """Contacts of an hour that is kept, (S,), and the share of it that was observed: 0 of one that is not."""
        at = hour % ARCHIVE_HOURS
        there = self._archived[at] == hour
        return np.maximum(self._archive[at], 0).astype(np.int64), float(self._observed[at]) if there else 0.0

    def forget_incident(self, segments: Ints) -> None:
        """A person said that this is the new normal: what stood out there is learnt from now on."""
        self._stood_out[:, segments] = 1

    def _find_level(self) -> None:
        slow = (self._level_slow[0] + 0.5) / (self._level_slow[1] + 0.5)
        seen = self._level_fast[0]
        ratio = (seen + 0.5) / (self._level_fast[1] * slow + 0.5)
        noise = 1 / (seen + 1) + self._day_dispersion / FAST_DAYS
        # What is far beyond noise is no drift but a new level, and believed.
        moved = np.maximum(DRIFT**2, (ratio - 1) ** 2 - NEW_LEVEL * noise)
        trust = moved / (moved + noise)
        self._level = slow * (1 + trust * (ratio - 1))
        self._level_variance = trust * noise

    def _refit(self, due: Ints) -> None:
        if self.hour is None:
            return
        # What is learnt is a day old: the newest whole hour kept is that long ago.
        end = self.hour - DAY_HOURS
        kept = int((self._archived >= 0).sum())
        if kept < DAY_HOURS:
            return
        n = min(ARCHIVE_HOURS, -(-(end - int(self._archived[self._archived >= 0].min())) // DAY_HOURS) * DAY_HOURS)
        if n <= 0:
            return
        numbers = np.arange(end - n, end)
        at = numbers % ARCHIVE_HOURS
        there = (self._archived[at] == numbers) * self._observed[at]
        alive = there[:, None] * (numbers[:, None] >= self._born[due]) * (self._archive[np.ix_(at, due)] >= 0)
        borrowed, worth = self._borrowed(due)
        of_week = self._times.past_hours_of_week(end, n, due)
        effect = self.effects.of(self._times.past_kinds(end, n, due), of_week % 24, due)
        alive = alive * (TRUSTED / (TRUSTED + effect.variance))
        seen = alive.any(axis=0)
        self._hours[:, due[~seen]] = borrowed[:, ~seen]
        if not seen.any():
            return
        due, alive, borrowed, worth = due[seen], alive[:, seen], borrowed[:, seen], worth[seen]
        shape = fitted(
            Kept(
                counts=self._archive[np.ix_(at, due)] * (alive > 0),
                alive=alive.astype(np.float64),
                hours_of_week=of_week[:, seen],
                effects=effect.factor[:, seen],
                slot_counts=self._slot_counts[:, due].astype(np.float64),
                slot_exposure=self._slot_exposure[:, due].astype(np.float64),
                before=self._hours[:, due].astype(np.float64),
                borrowed=borrowed,
                borrowed_contacts=worth,
            )
        )
        self._hours[:, due], self._hours_variance[:, due] = shape.hours, shape.hours_variance
        self._slots[:, due] = shape.slots
        self._level_slow[:, due] = shape.level_sums
        self._day_dispersion[due] = shape.day_dispersion
        self._find_level()

    def _borrowed(self, due: Ints) -> tuple[Floats, Floats]:
        """The week of the topic elsewhere, and of all where the topic is young too; and what it is worth."""
        old = self._learnt_hours >= HOURS_OF_WEEK
        weight = np.where(old, np.sqrt(self._level), 0.0)
        week = self._hours * weight
        total = weight.sum()
        everything = week.sum(axis=1) / total if total > 0 else np.ones(HOURS_OF_WEEK)
        kind = self._rollups.like(self._topic_at)
        groups = np.unique(kind[due])
        lent = np.empty((HOURS_OF_WEEK, len(due)))
        for group in groups:
            members = np.flatnonzero((kind == group) & old)
            own = week[:, members].sum(axis=1) / weight[members].sum() if len(members) else everything
            lent[:, kind[due] == group] = own[:, None]
        age = (self.hour or 0) - self._born[due]
        worth = np.where(age < 4 * HOURS_OF_WEEK, BORROWED if total > 0 else 5.0, 0.0)
        return lent / np.maximum(lent.mean(axis=0), 1e-9), worth

    def _look_up(self, hour: int) -> None:
        rows = np.arange(self._count)
        of_week = self._times.hours_of_week(hour)
        hourly = self._level * self._hours[of_week, rows]
        effect = self.effects.of(self._times.kinds(hour), of_week % 24)
        hourly = hourly * effect.factor
        self.rates = np.maximum(hourly * self._slots[self._times.slots(hour), rows], SLOT_CONTACTS_MIN)
        young = np.exp(-self._learnt_hours / YOUNG_HOURS_MEMORY)
        self.doubt = self._level_variance + self._hours_variance[of_week, rows] + 1.2 * young + effect.variance

    def state(self) -> dict[str, Any]:
        arrays = {name: getattr(self, f"_{name}").copy() for name in (*_TABLES, *_ROWS)}
        return {
            "hour": self.hour,
            "rates": self.rates.copy(),
            "doubt": self.doubt.copy(),
            "effects": self.effects.state(),
            **arrays,
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Of one whose segments are known. Raises ValueError for a state of other rules."""
        self.hour, self.rates, self.doubt = tree["hour"], tree["rates"], tree["doubt"]
        self.effects.restore(tree["effects"])
        for name in (*_TABLES, *_ROWS):
            made, saved = getattr(self, f"_{name}"), tree[name]
            if saved.shape != made.shape or saved.dtype != made.dtype:
                raise ValueError(f"{name} is of shape {saved.shape}, not {made.shape}: a state of other rules")
            setattr(self, f"_{name}", saved)


_TABLES: Final = (
    "archive", "observed", "archived", "hours", "hours_variance", "slots", "slot_counts", "slot_exposure", "stood_out",
)  # fmt: skip
