"""Lengths of time as they are given to options: 30s, 5m, 1h, 28d, 4w."""

import re
from typing import Final

from pegel.runtime.settings import ConfigurationError

UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LENGTH = re.compile(r"([0-9]+)([smhdw])")


def seconds_of(option: str, text: str) -> int:
    """'5m' is 300. Raises ConfigurationError that names the option."""
    found = _LENGTH.fullmatch(text.strip().lower())
    if found is None:
        raise ConfigurationError([f"{option} {text}: is not a length of time; give 30s, 5m, 1h, 28d or 4w"])
    return int(found[1]) * UNITS[found[2]]


def bucket_seconds_of(text: str) -> int:
    """A bucket as the services take it: at most an hour, and hours are whole numbers of buckets."""
    seconds = seconds_of("--bucket", text)
    if not 1 <= seconds <= 3600 or 3600 % seconds:
        raise ConfigurationError([f"--bucket {text}: an hour must be a whole number of buckets: 1m, 5m, 15m or 1h"])
    return seconds
