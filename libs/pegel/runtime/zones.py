"""Whose local time holds in a country: the zone where most of its people live, or one of the user's own."""

import functools
import importlib.resources
from collections.abc import Mapping
from typing import Final
from zoneinfo import available_timezones

from pegel.schemas.countries import COUNTRIES

MOST_PEOPLE: Final[Mapping[str, str]] = {
    "AU": "Australia/Sydney",
    "BR": "America/Sao_Paulo",
    "CA": "America/Toronto",
    "PS": "Asia/Hebron",
    "RU": "Europe/Moscow",
    "UA": "Europe/Kyiv",
    "UM": "Pacific/Wake",
    "UZ": "Asia/Tashkent",
}
"""Countries of several zones whose first row in tzdata's zone.tab is another: there they stand from east to west, or by
the alphabet. A test names every country of several zones, so that one that tzdata adds is looked at."""


def zone_of_country(own: str = "") -> dict[str, str]:
    """IANA zone by ISO 3166 code. own: as in PEGEL_ZONES, `BR=America/Manaus,US=America/Chicago`.

    Raises ValueError with a line for each fault in it.
    """
    zones, faults = _own(own)
    if faults:
        raise ValueError("\n".join(faults))
    return {**_usual(), **zones}


def zone_faults(own: str) -> list[str]:
    """A line for each fault in a mapping of the user's own."""
    return _own(own)[1]


def _own(text: str) -> tuple[dict[str, str], list[str]]:
    zones: dict[str, str] = {}
    faults = []
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    known = available_timezones() if entries else set()
    for entry in entries:
        country, equals, zone = (part.strip() for part in entry.partition("="))
        country = country.upper()
        if not (equals and country and zone):
            faults.append(f"{entry} is not COUNTRY=ZONE, as in BR=America/Manaus")
            continue
        if country not in COUNTRIES:
            faults.append(f"{entry}: {country} is no country's code (ISO 3166-1 alpha-2)")
        elif country in zones:
            faults.append(f"{entry}: {country} is named twice")
        if zone not in known:
            faults.append(f"{entry}: there is no zone {zone}; give a name like Europe/Madrid or UTC")
        zones.setdefault(country, zone)
    return zones, faults


@functools.cache
def _usual() -> dict[str, str]:
    """From zone.tab, which lists the zones of each country alone; in zone1970.tab countries share theirs.

    A country without people (BV, HM) has none.
    """
    zones: dict[str, str] = {}
    table = importlib.resources.files("tzdata.zoneinfo").joinpath("zone.tab").read_text("utf-8")
    for line in table.splitlines():
        if not line.startswith("#"):
            country, _, zone, *_ = line.split("\t")
            zones.setdefault(country, zone)
    return {**zones, **MOST_PEOPLE}
