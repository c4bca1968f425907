"""The countries are those of ISO 3166-1, as tzdata has them."""

from importlib.resources import files

from pegel.schemas.countries import COUNTRIES


def test_they_are_those_of_tzdata() -> None:
    table = (files("tzdata") / "zoneinfo" / "iso3166.tab").read_text("utf-8")
    codes = {line.split("\t")[0] for line in table.splitlines() if line and not line.startswith("#")}
    assert codes == COUNTRIES
