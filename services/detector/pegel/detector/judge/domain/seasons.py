"""Local time: which hour of its local week a segment is in, by the zone of its country."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

HOURS_OF_WEEK = 168


@lru_cache(maxsize=4096)
def hour_of_week(zone: str, hour_since_1970: int) -> int:
    """0 is Monday 00:00 to 01:00 local. Zones off by half an hour count by the hour that begins the UTC hour."""
    local = datetime.fromtimestamp(hour_since_1970 * 3600, UTC).astimezone(ZoneInfo(zone))
    return local.weekday() * 24 + local.hour


class Zones:
    """Zone of a segment: by its country, else UTC. country_at: place of the country among the dimensions, or None."""

    def __init__(self, zone_of_country: Mapping[str, str], country_at: int | None) -> None:
        self._zone_of_country, self._country_at = zone_of_country, country_at

    def of(self, segment: tuple[str, ...]) -> str:
        if self._country_at is None:
            return "UTC"
        return self._zone_of_country.get(segment[self._country_at], "UTC")
