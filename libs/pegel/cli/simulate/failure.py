"""How the cash machines in Spain fail: contacts a second, by the seconds since it began."""

from dataclasses import dataclass
from typing import Final

RAMP_SECONDS: Final = 60.0
CONTACTS_A_MINUTE: Final = 25.0


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure of `minutes` minutes, that grows within one and is mended within two."""

    minutes: float

    @property
    def over_seconds(self) -> float:
        """When nobody calls for it any more."""
        return self.minutes * 60 + 2 * RAMP_SECONDS

    def rate(self, second: float) -> float:
        """Contacts a second, this long after it began."""
        grown = min(second / RAMP_SECONDS, 1.0)
        left = min((self.over_seconds - second) / (2 * RAMP_SECONDS), 1.0)
        return max(min(grown, left), 0.0) * CONTACTS_A_MINUTE / 60
