"""What false pages sit on: each bucket of each stream has one cause, the first that applies."""

from typing import Final

import numpy as np

from support.worlds.alarms import Alarms
from support.worlds.options import Bools, Bytes
from support.worlds.world import CLOCK_WEEK, COUNTRY_DAY, HOLIDAY, PAYDAY, World

CAUSES: Final = (
    "clock change",
    "holiday",
    "payday or month's end",
    "good or bad day",
    "birth, retirement or new normal",
    "roll-up",
    "other",
)
"""The week after a clock change; a holiday or the day after; ... ; 14 days after a lasting change; none of these."""
CHANGE_DAYS: Final = 14


def causes(world: World) -> Bytes:
    """[S+K+C,N] index into CAUSES for every stream and evaluated bucket.

    A roll-up over countries has a cause of the calendar if a quarter of its countries have it, and a lasting change if
    one of its segments has.
    """
    marks = world.marks[:, world.history :]
    topics, countries = len(world.topics), len(world.countries)
    segments = topics * countries
    changed = _changed(world)
    by_topic = changed.reshape(countries, topics, -1)
    cause = np.full((segments + topics + countries, marks.shape[1]), CAUSES.index("other"), np.uint8)
    cause[segments:] = CAUSES.index("roll-up")
    changed_streams = np.concatenate([changed, by_topic.any(axis=0), by_topic.any(axis=1)])
    cause[changed_streams] = CAUSES.index("birth, retirement or new normal")
    # From the last to the first: the first that applies stands.
    for bit, name in reversed(tuple(zip((CLOCK_WEEK, HOLIDAY, PAYDAY, COUNTRY_DAY), CAUSES[:4], strict=True))):
        has = (marks & bit) > 0
        anywhere = np.broadcast_to(has.mean(axis=0) >= 0.25, (topics, has.shape[1]))
        cause[np.concatenate([has[world.country], anywhere, has])] = CAUSES.index(name)
    return cause


def _changed(world: World) -> Bools:
    """[S,N] whether a segment was born, retired or stepped within the last 14 days."""
    length = CHANGE_DAYS * 86_400 // world.bucket_seconds
    buckets = world.counts.shape[1]
    changed = np.zeros(world.counts.shape, bool)
    for at in (
        np.where(world.born_at > 0, world.born_at, -1),
        np.where(world.retired_at < buckets, world.retired_at, -1),
        world.step_at,
    ):
        for segment in np.flatnonzero(at >= 0):
            changed[segment, at[segment] : at[segment] + length] = True
    return changed[:, world.history :]


def by_cause(cause: Bytes, false: Alarms) -> dict[str, int]:
    """How many of the false pages open on each cause."""
    number = np.bincount(cause[false.stream, false.start], minlength=len(CAUSES))
    return dict(zip(CAUSES, number.tolist(), strict=True))


def shares(cause: Bytes) -> dict[str, float]:
    """How much of the time of all streams each cause takes: what chance alone would give."""
    number = np.bincount(cause.ravel(), minlength=len(CAUSES))
    return dict(zip(CAUSES, (number / cause.size).tolist(), strict=True))
