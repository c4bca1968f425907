"""The models that --model names: the product's own, and every estimator that can judge counts, by its dotted name."""

import difflib
from collections.abc import Sequence
from functools import partial
from typing import Final

from pegel.cli.backtest.beside import EstimatorModel
from pegel.cli.backtest.detectors import DetectorModel
from pegel.cli.backtest.running import Factory, Model, Setting
from pegel.detector.judge.domain.models.kernel import Kernel
from pegel.detector.judge.domain.models.named import PARAMETERS, UnfitEstimatorError, make
from pegel.runtime.settings import ConfigurationError

DEFAULT: Final = "pegel"


def _pegel(setting: Setting) -> Model:
    return DetectorModel(DEFAULT, setting, Kernel)


MODELS: Final[dict[str, Factory]] = {DEFAULT: _pegel, **{name: partial(EstimatorModel, name) for name in PARAMETERS}}
"""Those that have parameters that suit counts; others run with their own defaults."""


KNOW_HOLIDAYS: Final = frozenset({DEFAULT})
"""Models that don't take a holiday for any other day."""


KNOW_EVENTS: Final = frozenset({DEFAULT})
"""Models that expect what the calendar says."""


def chosen(names: Sequence[str]) -> dict[str, Factory]:
    """Name to factory, in their order. Raises ConfigurationError that says why a name is no model."""
    factories: dict[str, Factory] = {}
    faults = []
    for name in names or (DEFAULT,):
        try:
            factories[name] = _factory(name)
        except UnfitEstimatorError as error:
            faults.append(f"--model {name}: {error}; {_nearest(name)}")
    if faults:
        raise ConfigurationError(faults)
    return factories


def _factory(name: str) -> Factory:
    """Raises UnfitEstimatorError, which names the method that an estimator lacks, before a file is read."""
    if name == DEFAULT:
        return MODELS[name]
    if "." not in name:
        raise UnfitEstimatorError("there is no such model")
    make(name)
    return MODELS.get(name) or partial(EstimatorModel, name)


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, MODELS, 1)
    return f"the nearest is {near[0]}" if near else f"the models are {', '.join(MODELS)}"
