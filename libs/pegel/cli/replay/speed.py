"""How fast a file is replayed."""

import re
from dataclasses import dataclass

from pegel.runtime.settings import ConfigurationError

_SPEED = re.compile(r"(?P<number>[0-9]+(\.[0-9]+)?)(?P<unit>/s|x)")


@dataclass(frozen=True, slots=True)
class Speed:
    """contacts_a_second, or factor (a multiple of real time), or neither: as fast as they are taken."""

    contacts_a_second: float | None = None
    factor: float | None = None


def parse(text: str | None) -> Speed:
    """'3000/s', '60x', or None. Raises ConfigurationError."""
    if text is None:
        return Speed()
    found = _SPEED.fullmatch(text.strip().lower())
    if found is None or float(found["number"]) == 0:
        raise ConfigurationError([f"--speed {text}: give contacts a second (3000/s) or a multiple of real time (60x)"])
    number = float(found["number"])
    return Speed(contacts_a_second=number) if found["unit"] == "/s" else Speed(factor=number)
