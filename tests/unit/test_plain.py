"""An estimator told as plain values and made again goes on as the one that was told, to the bit."""

import random
from collections import defaultdict, deque
from typing import Any

import numpy as np
import pytest

from pegel.detector.judge.domain.models.named import PARAMETERS, UnfitEstimatorError, make
from pegel.detector.judge.domain.models.plain import made, told
from pegel.detector.state import decode, encode

PACKAGES = ("river",)


def through_bytes(thing: object) -> Any:
    return made(decode(encode({"nodes": told(thing, PACKAGES)}))["nodes"], PACKAGES)


def learn(name: str, estimator: Any, numbers: range) -> list[float]:
    """Scores or forecasts on the way."""
    said = []
    for number in numbers:
        rng = np.random.default_rng(number)
        x, y = {"contacts": float(rng.random()), "week": number % 168 / 168}, float(rng.poisson(5) + 1)
        if "Half" in name:
            said.append(estimator.score_one(x))
            estimator.learn_one(x)
        elif "Gauss" in name:
            said.append(estimator.score_one(x, y))
            estimator.learn_one(x, y)
        else:
            estimator.learn_one(y)
            said.append(estimator.forecast(1)[0] if number > 170 else 0.0)
    return said


@pytest.mark.parametrize("name", PARAMETERS)
def test_it_goes_on_the_same(name: str) -> None:
    estimator = make(name)
    learn(name, estimator, range(2100))
    again = through_bytes(estimator)
    assert type(again) is type(estimator)
    assert learn(name, again, range(2100, 2500)) == learn(name, estimator, range(2100, 2500))
    assert len(set(learn(name, again, range(2500, 2600)))) > 10


@pytest.mark.parametrize("name", PARAMETERS)
def test_one_that_has_learnt_nothing_can_be_told(name: str) -> None:
    again = through_bytes(make(name))
    assert learn(name, again, range(2100)) == learn(name, make(name), range(2100))


def test_what_is_shared_stays_shared_and_what_holds_itself_too() -> None:
    inner: list[Any] = [1, 2.5, None, "x", True]
    thing = {"a": inner, "b": (inner, frozenset({3})), "c": deque([inner], maxlen=2), 4: defaultdict(float, {"k": 1.0})}
    inner.append(thing)
    again = through_bytes(thing)
    assert again["a"] is again["b"][0] is again["c"][0]
    assert again["a"][5] is again
    assert again["a"][:5] == [1, 2.5, None, "x", True]
    assert again["c"].maxlen == 2
    assert again[4]["new"] == 0.0


def test_a_generator_of_numbers_goes_on() -> None:
    rng = random.Random(5)
    rng.gauss(0, 1)
    again = through_bytes(rng)
    assert [again.gauss(0, 1) for _ in range(3)] == [rng.gauss(0, 1) for _ in range(3)]


def test_what_is_told_is_not_touched_by_what_comes_later() -> None:
    estimator = make("river.anomaly.HalfSpaceTrees")
    learn("Half", estimator, range(300))
    nodes = told(estimator, PACKAGES)
    before = encode({"nodes": nodes})
    learn("Half", estimator, range(300, 400))
    assert encode({"nodes": nodes}) == before


@pytest.mark.parametrize(
    ("thing", "named"),
    [
        ([len], "builtins.builtin_function_or_method"),
        ({"f": lambda: 1}, "builtins.function"),
        ([UnfitEstimatorError], "pegel.detector"),
        ([1j], "builtins.complex"),
        ([eval.__class__], "builtins.builtin_function_or_method"),
    ],
)
def test_what_cannot_be_saved_is_refused_by_its_name(thing: object, named: str) -> None:
    with pytest.raises(UnfitEstimatorError, match=f"its state can't be saved: it holds a {named}"):
        told(thing, PACKAGES)


@pytest.mark.parametrize(
    "path",
    [
        "os:system",
        "builtins:eval",
        "builtins:object",
        "subprocess:Popen",
        "river.base:nothing",
        "river.utils:random.os",
    ],
)
def test_nodes_of_anything_else_make_nothing(path: str) -> None:
    shape = ["shape", path, [], []]
    for node in (["object", 1, []], ["native", path, ["true"], None], ["class", path]):
        with pytest.raises((ValueError, AttributeError)):
            made([node, shape], PACKAGES)
