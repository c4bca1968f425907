"""Which models may page in this process, by name: the product's own, and estimators of river's kind."""

from typing import TYPE_CHECKING, Final

from pegel.detector.judge.domain.challengers import PEGEL, Challenger, Rules
from pegel.detector.judge.domain.seasons import Zones
from pegel.runtime.settings import ConfigurationError, Settings

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


def rules(settings: Settings, bucket_seconds: int, zones: Zones) -> Rules:
    """The models of the settings, for a judge of these buckets and zones."""

    def make(name: str) -> Challenger:
        return _river(name, bucket_seconds, zones)

    return Rules(settings.model, tuple(name for name in settings.challenger_names if name != PEGEL), make)


def _river(name: str, bucket_seconds: int, zones: Zones) -> "RiverChallenger":
    """Raises ValueError."""
    # river takes a second and 60 MB to import, so only who asks for it pays.
    from pegel.detector.judge.domain.models.challenger import RiverChallenger  # noqa: PLC0415

    return RiverChallenger(name, bucket_seconds, zones)
