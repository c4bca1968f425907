"""What a world is made of; every cause can be left out, so that one can be looked at alone."""

import zlib
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]

BUCKET_SECONDS: Final = 300
"""Worlds are drawn in buckets of five minutes; minutes are made of these afterwards."""
HOUR: Final = 12
DAY: Final = 288
WEEK: Final = 2016


@dataclass(frozen=True)
class Country:
    """A country of a world: ISO 3166 code, and the zone that stands for all of it."""

    code: str
    zone: str


COUNTRIES: Final = (
    Country("ES", "Europe/Madrid"),
    Country("PT", "Europe/Lisbon"),
    Country("GB", "Europe/London"),
    Country("PL", "Europe/Warsaw"),
    Country("DE", "Europe/Berlin"),
    Country("TR", "Europe/Istanbul"),
    Country("US", "America/New_York"),
    Country("MX", "America/Mexico_City"),
    Country("BR", "America/Sao_Paulo"),
    Country("AR", "America/Argentina/Buenos_Aires"),
    Country("CL", "America/Santiago"),
    Country("CO", "America/Bogota"),
)
TOPICS: Final = (
    *("atm", "cards", "login", "transfer", "loan", "mortgage", "account", "app", "fraud", "fees"),
    *("insurance", "invest", "branch", "statement", "payments"),
)


@dataclass(frozen=True)
class Incidents:
    """How many incidents of each kind are tried; a few find no place."""

    spikes: int = 90
    burns: int = 45
    topic_wide: int = 16
    country_wide: int = 12


@dataclass(frozen=True)
class Options:
    """The causes of a world. The defaults are a realistic one; `plain()` is one without calendar and changes."""

    weeks: int = 10
    history_weeks: int = 4
    countries: tuple[Country, ...] = COUNTRIES
    topics: tuple[str, ...] = TOPICS
    start: datetime | None = None
    """Midnight UTC of the first day; drawn from the seed (a Monday) when not given."""
    incidents: Incidents = field(default_factory=Incidents)
    clock_changes: bool = True
    holidays: bool = True
    paydays: bool = True
    month_ends: bool = True
    country_days: bool = True
    """Good and bad days of a whole country."""
    births: bool = True
    retirements: bool = True
    steps: bool = True
    """New normals overnight, in 5 % of the segments."""
    ramps: bool = False
    """Rises of x1.3 to x2 over days, in 8 % of the segments, as the simpler bench has them."""
    batches: bool = True
    noise: bool = True
    """The slow noise of segments and countries on the log of the rate."""

    @property
    def buckets(self) -> int:
        """Buckets of five minutes in the world."""
        return self.weeks * WEEK

    @property
    def history(self) -> int:
        """Buckets of five minutes before the evaluated ones."""
        return self.history_weeks * WEEK


def plain(options: Options | None = None) -> Options:
    """A world like the simpler bench's: rhythm, noise, growth, batches and slow rises, but no calendar."""
    return replace(
        options or Options(),
        clock_changes=False,
        holidays=False,
        paydays=False,
        month_ends=False,
        country_days=False,
        births=False,
        retirements=False,
        steps=False,
        ramps=True,
    )


def stream(seed: int, name: str) -> np.random.Generator:
    """The random numbers of one cause: leaving another cause out changes none of them."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])
