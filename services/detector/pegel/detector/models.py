"""Which models may page in this process, by name: the product's own, and estimators of river's kind."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from pegel.detector.judge.domain.challengers import PEGEL, Challenger, Rules
from pegel.detector.judge.domain.days import Calendar
from pegel.detector.judge.domain.models.kernel import Kernel
from pegel.detector.judge.domain.seasons import Zones
from pegel.detector.judge.ports import Detector
from pegel.runtime.settings import ConfigurationError, Settings
from pegel.runtime.zones import zone_of_country

if TYPE_CHECKING:
    from pegel.detector.judge.domain.models.challenger import RiverChallenger

KNOWN: Final = (
    PEGEL,
    "river.anomaly.HalfSpaceTrees",
    "river.anomaly.GaussianScorer",
    "river.time_series.SNARIMAX",
    "river.time_series.HoltWinters",
)
"""Those that are tried; any other estimator of river's kind is taken by its dotted name."""


def check(settings: Settings) -> None:
    """Raises ConfigurationError that says of each name why it is no model: the method that is missing, above all."""
    faults = []
    for variable, names in (("PEGEL_MODEL", (settings.model,)), ("PEGEL_CHALLENGERS", settings.challenger_names)):
        for name in names:
            if name == PEGEL:
                continue
            try:
                if "." not in name:
                    raise ValueError(f"the models are {', '.join(KNOWN)}")  # noqa: TRY301
                _river(name, settings.bucket_seconds, Zones({}, None)).check()
            except ValueError as error:
                faults.append(f"{variable}={name}: {error}")
    if faults:
        raise ConfigurationError(faults)


def detector(settings: Settings, bucket_seconds: int, dimensions: tuple[str, ...]) -> Callable[[], Detector]:
    """Makes fresh detectors of the product's own kind."""
    zones = _zones(settings, dimensions)
    topic_at = dimensions.index("topic") if "topic" in dimensions else len(dimensions) - 1
    holidays = Calendar(zones.country_at, None if settings.holidays == "auto" else {})
    return partial(Kernel, bucket_seconds, zones, topic_at, holidays)


def _zones(settings: Settings, dimensions: tuple[str, ...]) -> Zones:
    return Zones(zone_of_country(settings.zones), dimensions.index("country") if "country" in dimensions else None)


def rules(settings: Settings, bucket_seconds: int, dimensions: tuple[str, ...]) -> Rules:
    """The models of the settings, for a judge of these buckets and dimensions."""
    zones = _zones(settings, dimensions)

    def make(name: str) -> Challenger:
        return _river(name, bucket_seconds, zones)

    return Rules(settings.model, tuple(name for name in settings.challenger_names if name != PEGEL), make)


def _river(name: str, bucket_seconds: int, zones: Zones) -> "RiverChallenger":
    """Raises ValueError."""
    # river takes a second and 60 MB to import, so only who asks for it pays.
    from pegel.detector.judge.domain.models.challenger import RiverChallenger  # noqa: PLC0415

    return RiverChallenger(name, bucket_seconds, zones)
