"""The calendar of a world: when it begins, local time with its changes, holidays, paydays, month's ends."""

from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

import holidays
import numpy as np

from support.worlds.options import BUCKET_SECONDS, COUNTRIES, Bools, Ints, stream

DAY_SECONDS: Final = 86_400
FIRST_YEAR: Final = 2023
LAST_YEAR: Final = 2026
PAYDAY_RULES: Final = (("1",), ("15",), ("25",), ("last",), ("1", "15"), ("15", "last"), ("1", "25"))
"""Days of the month on which a country is paid; one of these sets is drawn for each country."""


@dataclass(frozen=True)
class Clock:
    """A country's local time at each of T buckets."""

    week_bucket: Ints
    """[T] bucket of the local week, Monday 00:00 = 0."""
    day_bucket: Ints
    """[T] bucket of the local day."""
    day: Ints
    """[T] index into `dates`."""
    dates: tuple[date, ...]
    """[D] the local days that the buckets touch."""
    changes: tuple[int, ...]
    """Buckets with which another offset from UTC begins."""


@dataclass(frozen=True)
class Days:
    """What the local days of a country are, each [D]."""

    weekend: Bools
    holiday: Bools
    after_holiday: Bools
    """The day after a holiday, if it is none itself."""
    payday: Bools
    month_end: Bools
    """The last two days of a month."""


def clock(zone: str, start: datetime, buckets: int, *, follow_changes: bool = True) -> Clock:
    """Local time in `zone` of `buckets` buckets from `start`; without changes, the first offset holds throughout."""
    info = ZoneInfo(zone)
    hours = -(-buckets * BUCKET_SECONDS // 3600)
    # Every change of the last decades falls on a full hour of UTC, so one look an hour is enough.
    offset = np.array(
        [_offset_seconds(info, start + timedelta(hours=h)) for h in range(hours if follow_changes else 1)]
    )
    at = np.arange(buckets) * BUCKET_SECONDS // 3600 if follow_changes else np.zeros(buckets, np.int64)
    offset = offset[at]
    local = int(start.timestamp()) + np.arange(buckets, dtype=np.int64) * BUCKET_SECONDS + offset
    number = local // DAY_SECONDS
    day_bucket = local % DAY_SECONDS // BUCKET_SECONDS
    first = date(1970, 1, 1) + timedelta(days=int(number[0]))
    return Clock(
        week_bucket=(number + 3) % 7 * (DAY_SECONDS // BUCKET_SECONDS) + day_bucket,  # 1970 began on a Thursday
        day_bucket=day_bucket,
        day=number - number[0],
        dates=tuple(first + timedelta(days=d) for d in range(int(number[-1] - number[0]) + 1)),
        changes=tuple(int(t) for t in np.flatnonzero(np.diff(offset)) + 1),
    )


def _offset_seconds(info: ZoneInfo, when: datetime) -> int:
    offset = when.astimezone(info).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


def days(code: str, dates: Sequence[date], payday_rules: Sequence[str]) -> Days:
    """What each of the local days is in the country with this ISO code."""
    free = _holidays(code)
    paid = _paydays(dates[0], dates[-1], payday_rules, free)
    holiday = np.array([d in free for d in dates])
    after = np.array([d - timedelta(days=1) in free for d in dates]) & ~holiday
    return Days(
        weekend=np.array([d.weekday() >= 5 for d in dates]),
        holiday=holiday,
        after_holiday=after,
        payday=np.array([d in paid for d in dates]),
        month_end=np.array([d.day >= monthrange(d.year, d.month)[1] - 1 for d in dates]),
    )


@cache
def _holidays(code: str) -> frozenset[date]:
    """The nation-wide public holidays of a country in the years of worlds, and a year around them."""
    return frozenset(holidays.country_holidays(code, years=range(FIRST_YEAR - 1, LAST_YEAR + 2)))


def _paydays(first: date, last: date, rules: Sequence[str], free: frozenset[date]) -> set[date]:
    """The days of payment, each brought forward to the working day before when it is none."""
    found = set()
    # A month more at the end: the payday of the 1st may be brought forward into the month before.
    for month in range(first.year * 12 + first.month - 1, last.year * 12 + last.month + 1):
        year, number = divmod(month, 12)
        length = monthrange(year, number + 1)[1]
        for rule in rules:
            day = date(year, number + 1, length if rule == "last" else int(rule))
            while day.weekday() >= 5 or day in free:
                day -= timedelta(days=1)
            found.add(day)
    return found


def draw_payday_rules(rng: np.random.Generator) -> tuple[str, ...]:
    """The days of payment of one country."""
    return PAYDAY_RULES[rng.integers(len(PAYDAY_RULES))]


def draw_start(seed: int, weeks: int, history_weeks: int) -> datetime:
    """A Monday 00:00 UTC of 2023 to 2026; every other world has a clock change in its evaluated weeks, somewhere."""
    rng = stream(seed, "start")
    monday = datetime(FIRST_YEAR, 1, 2, tzinfo=UTC)
    last = datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC) - timedelta(weeks=weeks)
    mondays = [monday + timedelta(weeks=n) for n in range((last - monday).days // 7 + 1)]
    changes = _change_days()

    def changing(start: datetime) -> bool:
        # Not in the last week: what follows the change is to be seen, too.
        first, end = start + timedelta(weeks=history_weeks), start + timedelta(weeks=weeks)
        return any(first <= change < end - timedelta(weeks=1) for change in changes)

    wanted = rng.random() < 0.5
    chosen = [m for m in mondays if changing(m) == wanted]
    return chosen[rng.integers(len(chosen))]


@cache
def _change_days() -> tuple[datetime, ...]:
    """The days (UTC) of all clock changes in the countries of a world."""
    noon = datetime(FIRST_YEAR, 1, 1, 12, tzinfo=UTC)
    found = set()
    for country in COUNTRIES:
        info = ZoneInfo(country.zone)
        number = (LAST_YEAR - FIRST_YEAR + 1) * 366
        offsets = [_offset_seconds(info, noon + timedelta(days=d)) for d in range(number)]
        found |= {noon + timedelta(days=d) for d in range(1, number) if offsets[d] != offsets[d - 1]}
    return tuple(sorted(found))
