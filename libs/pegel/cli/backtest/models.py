"""The models that --model names, and which estimators can't be one."""

import difflib
import importlib
from collections.abc import Sequence
from typing import Final

from pegel.cli.backtest.detectors import DetectorModel
from pegel.cli.backtest.running import Factory, Model, Setting
from pegel.detector.judge.domain.models.kernel import Kernel
from pegel.runtime.settings import ConfigurationError

DEFAULT: Final = "pegel"
RIVER: Final = "river."
LEARN: Final = "learn_one"
SAY: Final = ("score_one", "forecast")


def _pegel(setting: Setting) -> Model:
    return DetectorModel("pegel", setting, Kernel)


MODELS: Final[dict[str, Factory]] = {"pegel": _pegel}
NO_HOLIDAYS: Final = frozenset({"pegel"})
"""Models that take a holiday for any other day."""


def chosen(names: Sequence[str]) -> dict[str, Factory]:
    """Name to factory, in their order. Raises ConfigurationError that says why a name is no model."""
    faults = [fault for name in names if name not in MODELS and (fault := _fault(name))]
    if faults:
        raise ConfigurationError(faults)
    return {name: MODELS[name] for name in names or (DEFAULT,)}


def refuse(estimator: object) -> str | None:
    """Why an estimator can't be a model, naming the method that it lacks; None when it has what is needed.

    It must learn one thing after another, and either score one (an anomaly detector) or forecast (a time series).
    """
    if not callable(getattr(estimator, LEARN, None)):
        return f"it has no method {LEARN}"
    if not any(callable(getattr(estimator, method, None)) for method in SAY):
        return f"it has no method {SAY[0]} (and no {SAY[1]} either)"
    return None


def _fault(name: str) -> str:
    reason = None
    if name.startswith(RIVER):
        module, _, kind = name.rpartition(".")
        try:
            reason = refuse(getattr(importlib.import_module(module), kind))
        except (ImportError, AttributeError):
            reason = "river has no such estimator"
    near = difflib.get_close_matches(name, MODELS, 1)
    models = f"the nearest is {near[0]}" if near else f"the models are {', '.join(MODELS)}"
    return f"--model {name}: {reason or 'there is no such model'}; {models}"
