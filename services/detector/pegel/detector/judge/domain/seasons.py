"""Local time: where a moment lies in the local day and week of a segment, by the zone of its country."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from pegel.detector.judge.domain.judgement import Ints

HOURS_OF_WEEK: Final = 168
SLOT_SECONDS: Final = 300
SLOTS_OF_DAY: Final = 288
SLOTS_OF_HOUR: Final = 12
KEPT_HOURS: Final = 2000


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
        self._zone_of_country, self._country_at = zone_of_country, country_at

    def of(self, segment: tuple[str, ...]) -> str:
        if self._country_at is None:
            return "UTC"
        return self._zone_of_country.get(segment[self._country_at], "UTC")


class LocalTimes:
    """The zones of S segments, and where the hours lie in each."""

    def __init__(self, zones: Zones) -> None:
        self._zones = zones
        self._names: list[str] = []
        self._of: list[int] = []
        self.zone_of = np.zeros(0, dtype=np.int64)
        self._hours: dict[int, Ints] = {}
        """Hours of the week in all zones, of the hours that were asked for: a refit asks for thousands again."""

    def add_segments(self, segments: "list[tuple[str, ...]]") -> None:
        known = len(self._names)
        for segment in segments:
            zone = self._zones.of(segment)
            if zone not in self._names:
                self._names.append(zone)
            self._of.append(self._names.index(zone))
        self.zone_of = np.array(self._of, dtype=np.int64)
        if len(self._names) != known:
            self._hours.clear()

    def _in_zones(self, hour: int) -> Ints:
        known = self._hours.get(hour)
        if known is None:
            known = np.array([hour_of_week(zone, hour) for zone in self._names], dtype=np.int64)
            self._hours[hour] = known
            if len(self._hours) > KEPT_HOURS:
                del self._hours[next(iter(self._hours))]
        return known

    def hours_of_week(self, hour: int) -> Ints:
        """Of the segments, in this hour since 1970, shape (S,)."""
        return self._in_zones(hour)[self.zone_of]

    def slots(self, hour: int) -> Ints:
        """The 12 slots of the local day that make up this hour, shape (12, S)."""
        first = np.array([first_slot(zone, hour) for zone in self._names], dtype=np.int64)[self.zone_of]
        return (first + np.arange(SLOTS_OF_HOUR)[:, None]) % SLOTS_OF_DAY

    def past_hours_of_week(self, end: int, hours: int, segments: Ints) -> Ints:
        """Of some segments, in the hours [end - hours, end), shape (hours, len(segments))."""
        table = np.array([self._in_zones(hour) for hour in range(end - hours, end)]).reshape(hours, -1)
        return np.asarray(table[:, self.zone_of[segments]], dtype=np.int64)
