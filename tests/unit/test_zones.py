"""The zone of a country is that of most of its people, or the user's own."""

import importlib.resources
from collections import Counter

import pytest

from pegel.runtime.settings import ConfigurationError, load
from pegel.runtime.zones import MOST_PEOPLE, zone_of_country
from pegel.schemas.countries import COUNTRIES

LOOKED_AT = {
    "AQ": "Antarctica/McMurdo",
    "AR": "America/Argentina/Buenos_Aires",
    "AU": "Australia/Sydney",
    "BR": "America/Sao_Paulo",
    "CA": "America/Toronto",
    "CD": "Africa/Kinshasa",
    "CL": "America/Santiago",
    "CN": "Asia/Shanghai",
    "CY": "Asia/Nicosia",
    "DE": "Europe/Berlin",
    "EC": "America/Guayaquil",
    "ES": "Europe/Madrid",
    "FM": "Pacific/Chuuk",
    "GL": "America/Nuuk",
    "ID": "Asia/Jakarta",
    "KI": "Pacific/Tarawa",
    "KZ": "Asia/Almaty",
    "MH": "Pacific/Majuro",
    "MN": "Asia/Ulaanbaatar",
    "MX": "America/Mexico_City",
    "MY": "Asia/Kuala_Lumpur",
    "NZ": "Pacific/Auckland",
    "PF": "Pacific/Tahiti",
    "PG": "Pacific/Port_Moresby",
    "PS": "Asia/Hebron",
    "PT": "Europe/Lisbon",
    "RU": "Europe/Moscow",
    "UA": "Europe/Kyiv",
    "UM": "Pacific/Wake",
    "US": "America/New_York",
    "UZ": "Asia/Tashkent",
}
"""Every country that has several zones. A new one fails the test below: look where its people live."""


def rows() -> list[tuple[str, str]]:
    table = importlib.resources.files("tzdata.zoneinfo").joinpath("zone.tab").read_text("utf-8")
    cells = [line.split("\t") for line in table.splitlines() if not line.startswith("#")]
    return [(country, zone) for country, _, zone, *_ in cells]


def test_every_country_of_several_zones_was_looked_at() -> None:
    zones, number = zone_of_country(), Counter(country for country, _ in rows())
    assert {country: zones[country] for country, count in number.items() if count > 1} == LOOKED_AT


def test_a_zone_is_one_of_the_country_s_own() -> None:
    assert set(zone_of_country().items()) <= set(rows())


def test_the_table_names_only_what_the_first_row_gets_wrong() -> None:
    first = dict(reversed(rows()))
    assert {country for country, zone in MOST_PEOPLE.items() if first[country] == zone} == set()


def test_every_country_with_people_has_one() -> None:
    assert COUNTRIES - zone_of_country().keys() == {"BV", "HM"}


def test_one_s_own_comes_before() -> None:
    zones = zone_of_country(" BR=America/Manaus , us=America/Chicago,")
    assert (zones["BR"], zones["US"], zones["CA"]) == ("America/Manaus", "America/Chicago", "America/Toronto")
    assert zone_of_country()["BR"] == "America/Sao_Paulo"  # nothing stays of it


def test_all_faults_of_the_setting_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as fault:
        load({"PEGEL_ZONES": "XX=Mars/Olympus,BR,ES=Europe/Madrid,ES=Atlantic/Canary", "PEGEL_DIMENSIONS": ","})
    assert fault.value.faults == [
        "PEGEL_DIMENSIONS=',' names no dimension",
        "PEGEL_ZONES=XX=Mars/Olympus: XX is no country's code (ISO 3166-1 alpha-2)",
        "PEGEL_ZONES=XX=Mars/Olympus: there is no zone Mars/Olympus; give a name like Europe/Madrid or UTC",
        "PEGEL_ZONES=BR is not COUNTRY=ZONE, as in BR=America/Manaus",
        "PEGEL_ZONES=ES=Atlantic/Canary: ES is named twice",
    ]
    with pytest.raises(ValueError, match="no zone Mars"):
        zone_of_country("BR=Mars/Olympus")
