"""The incidents of a world: where they are, what they add, and the labels that say so."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from support.worlds.options import DAY, HOUR, Bools, Floats, Ints, Options, stream

Kind = Literal["spike", "burn", "topic", "country"]
KINDS: Final[tuple[Kind, ...]] = ("spike", "burn", "topic", "country")
ALL: Final = -1
"""In a label: every value of that dimension."""
LEAST_EXCESS: Final = 8
"""Contacts that an incident is expected to add at least; less is nobody's incident."""
TRIES: Final = 400


@dataclass(frozen=True)
class Label:
    """An incident: buckets [onset, end) of the segments that `members` names."""

    kind: Kind
    country: int
    topic: int
    onset: int
    end: int
    size: float
    """Times the normal rate, at the peak."""
    expected_excess: float
    excess: int = 0
    """Contacts that it really added."""


def members(label: Label, country: Ints, topic: Ints) -> Ints:
    """The segments that a label touches."""
    same_country = (country == label.country) | (label.country == ALL)
    return np.flatnonzero(same_country & ((topic == label.topic) | (label.topic == ALL)))


def spike_shape(length: int) -> Floats:
    """[length] a lognormal(0, 0.5) density over its first 99 %, peak 1 (the shape of Noufaily et al. 2013)."""
    x = (np.arange(length) + 0.5) / length * np.exp(0.5 * 2.326)
    density = np.exp(-0.5 * (np.log(x) / 0.5) ** 2) / x
    return np.asarray(density / density.max())


def plateau(length: int, ramp: int) -> Floats:
    """[length] a rise over `ramp` buckets, 1, and as slow a fall."""
    up = (np.arange(length) + 1) / max(1, ramp)
    down = (length - np.arange(length)) / max(1, ramp)
    return np.minimum(1.0, np.minimum(up, down))


@dataclass(frozen=True)
class _Plan:
    """One kind of incident: how many, x how much, how many buckets long, on which segments, in which shape."""

    kind: Kind
    number: int
    size: tuple[float, float]
    length: tuple[float, float]
    shape: Callable[[int], Floats]


def place(seed: int, options: Options, mu: Floats, alive: Bools) -> tuple[list[Label], Floats]:
    """Labels without their excess, and [S,T] what the incidents add in multiples of the rate.

    They lie in the evaluated weeks, on segments that live all the while, a day apart within a segment. Of an incident
    of a whole topic or country at least half of the segments live.
    """
    rng = stream(seed, "incidents")
    countries, topics = len(options.countries), len(options.topics)
    country, topic = np.repeat(np.arange(countries), topics), np.tile(np.arange(topics), countries)
    numbers = options.incidents
    plans = (
        _Plan("topic", numbers.topic_wide, (1.2, 1.5), (2 * HOUR, 12 * HOUR), lambda n: plateau(n, 3)),
        _Plan("country", numbers.country_wide, (1.2, 1.5), (2 * HOUR, 12 * HOUR), lambda n: plateau(n, 3)),
        _Plan("burn", numbers.burns, (1.2, 2.0), (12 * HOUR, 30 * HOUR), lambda n: plateau(n, n // 5)),
        _Plan("spike", numbers.spikes, (1.5, 10.0), (4, 6 * HOUR), spike_shape),
    )
    lift = np.zeros(mu.shape)
    busy = np.zeros(mu.shape, bool)
    labels: list[Label] = []
    for plan in plans:
        for _ in range(plan.number):
            for _try in range(TRIES):
                segment = int(rng.integers(len(country)))
                label = Label(
                    kind=plan.kind,
                    country=ALL if plan.kind == "topic" else int(country[segment]),
                    topic=ALL if plan.kind == "country" else int(topic[segment]),
                    onset=int(rng.integers(options.history + 6 * HOUR, options.buckets - 36 * HOUR)),
                    end=0,
                    size=round(_log_uniform(rng, plan.size), 3),
                    expected_excess=0,
                )
                label = replace(label, end=label.onset + round(_log_uniform(rng, plan.length)))
                if _put(rng, label, plan.shape, mu, alive, lift, busy, members(label, country, topic), labels):
                    break
    return sorted(labels, key=lambda label: label.onset), lift


def _log_uniform(rng: np.random.Generator, between: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(np.log(between[0]), np.log(between[1]))))


def _put(
    rng: np.random.Generator,
    label: Label,
    shape: Callable[[int], Floats],
    mu: Floats,
    alive: Bools,
    lift: Floats,
    busy: Bools,
    rows: Ints,
    labels: list[Label],
) -> bool:
    """Place the incident if it fits; whether it did."""
    at = slice(label.onset, label.end)
    if busy[rows, max(0, label.onset - DAY) : label.end + DAY].any():
        return False
    living = alive[rows, at].all(axis=1)
    if living.mean() < 0.5:
        return False
    scatter = rng.uniform(0.8, 1.2, len(rows)) if len(rows) > 1 else np.ones(1)
    add = ((label.size - 1) * scatter * living)[:, None] * shape(label.end - label.onset)
    expected = float((mu[rows, at] * add).sum())
    if expected < LEAST_EXCESS:
        return False
    lift[rows, at] += add
    busy[rows, at] = True
    labels.append(replace(label, expected_excess=round(expected, 1)))
    return True
