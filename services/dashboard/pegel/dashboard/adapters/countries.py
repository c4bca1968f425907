"""Countries' English names, from tzdata's iso3166.tab (public domain), which is installed with Pegel."""

from importlib import resources
from typing import Final

SHORTENED: Final = {"GB": "United Kingdom"}
"""Where the file's name, made for choosing a time zone, is not what one says."""


def country_names() -> dict[str, str]:
    """ISO 3166-1 alpha-2 code to name, for every code."""
    table = (resources.files("tzdata.zoneinfo") / "iso3166.tab").read_text("utf-8")
    pairs = (line.split("\t", 1) for line in table.splitlines() if line and not line.startswith("#"))
    return dict(pairs) | SHORTENED
