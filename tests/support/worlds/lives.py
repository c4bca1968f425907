"""What changes for good: topics that are born or retired, new normals overnight, and slow rises."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from support.worlds.calendar import Clock
from support.worlds.options import DAY, HOUR, Floats, Ints, Options, stream


@dataclass(frozen=True)
class Lives:
    """The lasting changes of a world's S segments."""

    factor: Floats
    """[S,T] of the rate; 0 where the segment does not live."""
    born_at: Ints
    """[S] first bucket with contacts; 0 for those that were always there."""
    retired_at: Ints
    """[S] first bucket without contacts for good; T for those that stay."""
    step_at: Ints
    """[S] bucket of a new normal, or with which a slow rise begins; -1 for none."""


def draw_lives(seed: int, options: Options, clocks: Sequence[Clock]) -> Lives:
    """All lasting changes; they fall between a fifth and nine tenths of the world."""
    countries, topics, buckets = len(options.countries), len(options.topics), options.buckets
    segments = countries * topics
    lives = Lives(
        factor=np.ones((segments, buckets)),
        born_at=np.zeros(segments, np.int64),
        retired_at=np.full(segments, buckets, np.int64),
        step_at=np.full(segments, -1, np.int64),
    )
    order = stream(seed, "lives").permutation(topics)
    if options.births:
        _births(stream(seed, "births"), lives, order[:-1], countries, topics)
    if options.retirements and topics > 1:
        _retirement(stream(seed, "retirements"), lives, int(order[-1]), countries, topics)
    if options.steps:
        _steps(stream(seed, "steps"), lives, clocks, topics)
    if options.ramps:
        _ramps(stream(seed, "ramps"), lives)
    return lives


def _moment(rng: np.random.Generator, buckets: int) -> int:
    """A bucket at which something that lasts may begin."""
    return int(rng.integers(buckets // 5, buckets * 9 // 10))


def _some_countries(rng: np.random.Generator, countries: int) -> Ints:
    """All countries, or a few of them."""
    number = countries if rng.random() < 0.2 else min(countries, rng.integers(1, 4))
    return rng.permutation(countries)[:number]


def _births(rng: np.random.Generator, lives: Lives, order: Ints, countries: int, topics: int) -> None:
    """One or two topics that nobody had before; at once, or taken up over days."""
    buckets = lives.factor.shape[1]
    for topic in order[: 1 if rng.random() < 0.65 else 2]:
        at = _moment(rng, buckets)
        ramp_days = 0.0 if rng.random() < 0.3 else rng.uniform(1, 14)
        rows = _some_countries(rng, countries) * topics + topic
        taken_up = np.clip((np.arange(buckets) - at + 1) / max(1.0, ramp_days * DAY), 0, 1)
        # What is new is small: nobody starts with the contacts of the current account.
        lives.factor[rows] *= taken_up * np.exp(rng.uniform(np.log(0.03), np.log(0.5)))
        lives.born_at[rows] = at


def _retirement(rng: np.random.Generator, lives: Lives, topic: int, countries: int, topics: int) -> None:
    """One topic that ends; at once, or fading over days."""
    buckets = lives.factor.shape[1]
    at = _moment(rng, buckets)
    fade_days = 0.0 if rng.random() < 0.5 else rng.uniform(1, 5)
    rows = _some_countries(rng, countries) * topics + topic
    left = np.clip((at - np.arange(buckets)) / max(1.0, fade_days * DAY), 0, 1)
    lives.factor[rows] *= left
    lives.retired_at[rows] = at


def _steps(rng: np.random.Generator, lives: Lives, clocks: Sequence[Clock], topics: int) -> None:
    """New normals: from one night on, x0.5 to x2.5 for good."""
    segments, buckets = lives.factor.shape
    for segment in rng.choice(segments, round(0.05 * segments), replace=False):
        night = clocks[segment // topics].day_bucket < 4 * HOUR
        at = _moment(rng, buckets)
        at = int(at + np.argmax(night[at:]))
        times = np.exp(rng.uniform(np.log(0.5), np.log(2.5)))
        lives.factor[segment, at:] *= times
        lives.step_at[segment] = at


def _ramps(rng: np.random.Generator, lives: Lives) -> None:
    """Slow rises: x1.3 to x2 over two to seven days, for good."""
    segments, buckets = lives.factor.shape
    for segment in rng.choice(segments, round(0.08 * segments), replace=False):
        at = _moment(rng, buckets)
        done = np.clip((np.arange(buckets) - at) / (rng.uniform(2, 7) * DAY), 0, 1)
        lives.factor[segment] *= rng.uniform(1.3, 2.0) ** done
        lives.step_at[segment] = at
