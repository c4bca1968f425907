"""Local time: where a moment lies in the local day and week of a segment, by the zone of its country."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from pegel.detector.judge.domain.days import KINDS, Calendar
from pegel.detector.judge.domain.judgement import Ints

HOURS_OF_WEEK: Final = 168
SLOT_SECONDS: Final = 300
SLOTS_OF_DAY: Final = 288
SLOTS_OF_HOUR: Final = 12
KEPT_HOURS: Final = 2000
EPOCH: Final = date(1970, 1, 1)


@lru_cache(maxsize=8192)
def offset_seconds(zone: str, hour_since_1970: int) -> int:
    """What local time is ahead of UTC in this hour (it changes within an hour nowhere but on Lord Howe)."""
    offset = datetime.fromtimestamp(hour_since_1970 * 3600, UTC).astimezone(ZoneInfo(zone)).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())


@lru_cache(maxsize=8192)
def hour_of_week(zone: str, hour_since_1970: int) -> int:
    """0 is Monday 00:00 to 01:00 local. Zones off by half an hour count by the hour that begins the UTC hour."""
    local = hour_since_1970 * 3600 + offset_seconds(zone, hour_since_1970)
    return (local // 3600 + 72) % HOURS_OF_WEEK  # 1970 began on a Thursday


def first_slot(zone: str, hour_since_1970: int) -> int:
    """Which 5 minutes of the local day this hour begins with, 0 to 287."""
    local = hour_since_1970 * 3600 + offset_seconds(zone, hour_since_1970)
    return local // SLOT_SECONDS % SLOTS_OF_DAY


class Zones:
    """Zone of a segment: by its country, else UTC. country_at: place of the country among the dimensions, or None."""

    def __init__(self, zone_of_country: Mapping[str, str], country_at: int | None) -> None:
        self._zone_of_country, self.country_at = zone_of_country, country_at

    def of(self, segment: tuple[str, ...]) -> str:
        if self.country_at is None:
            return "UTC"
        return self._zone_of_country.get(segment[self.country_at], "UTC")


def local_date(zone: str, hour_since_1970: int) -> date:
    """The day on which this hour begins."""
    return EPOCH + timedelta(days=(hour_since_1970 * 3600 + offset_seconds(zone, hour_since_1970)) // 86_400)


class Place(NamedTuple):
    """Where the clock and the calendar are the same."""

    zone: str
    country: str


class LocalTimes:
    """The places of S segments, and where the hours lie in each."""

    def __init__(self, zones: Zones, calendar: Calendar) -> None:
        self._zones, self._calendar = zones, calendar
        self._places: list[Place] = []
        self._of: list[int] = []
        self.place_of = np.zeros(0, dtype=np.int64)
        self._weeks: dict[int, Ints] = {}
        """Hours of the week at all places, of the hours that were asked for: a refit asks for thousands again."""
        self._kinds: dict[int, NDArray[np.bool_]] = {}
        """Kinds of the day at all places, (F, places), the same way."""

    def add_segments(self, segments: "list[tuple[str, ...]]") -> None:
        known = len(self._places)
        for segment in segments:
            place = Place(self._zones.of(segment), self._calendar.country(segment))
            if place not in self._places:
                self._places.append(place)
            self._of.append(self._places.index(place))
        self.place_of = np.array(self._of, dtype=np.int64)
        if len(self._places) != known:
            self._weeks.clear()
            self._kinds.clear()

    def _weeks_at(self, hour: int) -> Ints:
        known = self._weeks.get(hour)
        if known is None:
            known = np.array([hour_of_week(place.zone, hour) for place in self._places], dtype=np.int64)
            _keep(self._weeks, hour, known)
        return known

    def _kinds_at(self, hour: int) -> NDArray[np.bool_]:
        known = self._kinds.get(hour)
        if known is None:
            known = np.zeros((len(KINDS), len(self._places)), dtype=bool)
            for number, place in enumerate(self._places):
                known[list(day_kinds(self._calendar, place.country, local_date(place.zone, hour))), number] = True
            _keep(self._kinds, hour, known)
        return known

    def hours_of_week(self, hour: int) -> Ints:
        """Of the segments, in this hour since 1970, shape (S,)."""
        return self._weeks_at(hour)[self.place_of]

    def kinds(self, hour: int) -> NDArray[np.bool_]:
        """What of days.KINDS the segments' day is in this hour, (F, S)."""
        return self._kinds_at(hour)[:, self.place_of]

    def slots(self, hour: int) -> Ints:
        """The 12 slots of the local day that make up this hour, shape (12, S)."""
        first = np.array([first_slot(place.zone, hour) for place in self._places], dtype=np.int64)[self.place_of]
        return (first + np.arange(SLOTS_OF_HOUR)[:, None]) % SLOTS_OF_DAY

    def past_hours_of_week(self, end: int, hours: int, segments: Ints) -> Ints:
        """Of some segments, in the hours [end - hours, end), shape (hours, len(segments))."""
        table = np.array([self._weeks_at(hour) for hour in range(end - hours, end)]).reshape(hours, -1)
        return np.asarray(table[:, self.place_of[segments]], dtype=np.int64)

    def past_kinds(self, end: int, hours: int, segments: Ints) -> NDArray[np.bool_]:
        """The same of the kinds of days, shape (F, hours, len(segments))."""
        table = np.stack([self._kinds_at(hour) for hour in range(end - hours, end)], axis=1)
        return np.asarray(table[:, :, self.place_of[segments]])


def _keep(kept: dict[int, Any], hour: int, value: Any) -> None:
    kept[hour] = value
    if len(kept) > KEPT_HOURS:
        del kept[next(iter(kept))]


@lru_cache(maxsize=16384)
def day_kinds(calendar: Calendar, country: str, day: date) -> tuple[int, ...]:
    """As the calendar says; it is asked 24 times."""
    return calendar.kinds(country, day)
