"""Whose local time holds: one zone for all, or the zone of a column's value (a country's, or the name of a zone)."""

from collections.abc import Iterable, Mapping
from zoneinfo import ZoneInfo, available_timezones

from pegel.cli.replay.times import zone_of
from pegel.runtime.settings import ConfigurationError

UTC = "UTC"
COUNTRY = "country"


class Zones:
    """fixed: for everything. by: the column that says it, with zones: its values' zones; a value without one is UTC.

    named: somebody said so, so that times without a zone may be read by it.
    """

    def __init__(
        self,
        dimensions: tuple[str, ...],
        *,
        fixed: str | None = None,
        by: str | None = None,
        zones: Mapping[str, str] | None = None,
        named: bool = True,
    ) -> None:
        self.fixed, self.by, self.named = fixed, by, named
        self._at = dimensions.index(by) if by is not None else None
        self._zones = zones or {}
        self._all = available_timezones() if by is not None else frozenset[str]()

    def of(self, segment: tuple[str, ...]) -> str:
        """The name of a segment's zone. A roll-up over several zones is in UTC."""
        if self._at is None:
            return self.fixed or UTC
        return self.known(segment[self._at]) or UTC

    def known(self, value: str) -> str | None:
        """The zone of a value of the column `by`: DE, de, Europe/Berlin."""
        return self._zones.get(value.strip().upper()) or (value if value in self._all else None)

    def info(self, value: str) -> ZoneInfo:
        """The zone of times in a row with this value of the column `by`."""
        return ZoneInfo(self.fixed or self.known(value) or UTC)

    def without(self, values: Iterable[str]) -> list[str]:
        """Those of the column's values that have no zone."""
        return [] if self.by is None else sorted({value for value in values if self.known(value) is None})


def make_zones(dimensions: tuple[str, ...], *, tz: str | None, by: str | None, of_country: Mapping[str, str]) -> Zones:
    """By the options; with neither, by the country where that is a column of the segment.

    Raises ConfigurationError for both, for no such zone, and for a column that is not of the segment: a segment whose
    contacts are of several zones has no local time.
    """
    if tz is not None and by is not None:
        raise ConfigurationError(["--tz and --tz-by: give one of them"])
    if tz is not None:
        zone_of(tz)
        return Zones(dimensions, fixed=tz)
    if by is not None and by not in dimensions:
        raise ConfigurationError(
            [f"--tz-by {by}: is none of the segment's columns ({', '.join(dimensions) or 'none'})"]
        )
    named = by is not None
    by = by or (COUNTRY if COUNTRY in dimensions else None)
    return Zones(dimensions, by=by, zones=of_country, named=named)
