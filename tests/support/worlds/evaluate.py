"""What a score finds in a world at a number of false pages a week: the rules of the bench, for any world.

A false page is an alarm that overlaps no incident (an hour before it and after it included) of its stream. An incident
is detected by the first alarm that opens between its onset and an hour after its end: a spike or burn on its own
segment, one of a whole topic or country on any of its segments or on its roll-up. Streams are the segments, then one
a topic, then one a country; scores may stop after the segments.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from support.worlds.alarms import Alarms, alarms
from support.worlds.incidents import KINDS, Kind, Label, members
from support.worlds.options import Bools, Ints, Singles
from support.worlds.world import World

WEEK_SECONDS: Final = 7 * 86_400
NEVER: Final = -1


@dataclass(frozen=True)
class Truth:
    """What is true in the N evaluated buckets of a world of S segments, K topics, C countries."""

    country: Ints
    """[S]"""
    topic: Ints
    """[S]"""
    countries: int
    topics: int
    extra: Ints
    """[S,N] contacts that incidents brought."""
    labels: tuple[Label, ...]
    """Onset and end count from the first evaluated bucket."""
    bucket_seconds: int

    @property
    def hour(self) -> int:
        """Buckets in an hour."""
        return 3600 // self.bucket_seconds

    @property
    def weeks(self) -> float:
        """Weeks evaluated."""
        return float(self.extra.shape[1] * self.bucket_seconds / WEEK_SECONDS)

    @property
    def streams(self) -> int:
        """S + K + C."""
        return len(self.country) + self.topics + self.countries

    @cached_property
    def busy_before(self) -> Ints:
        """[S+K+C,N+1] how many buckets before each lie within an hour of an incident that touches the stream."""
        segments, buckets = self.extra.shape
        busy: Bools = np.zeros((self.streams, buckets), bool)
        for label in self.labels:
            own = members(label, self.country, self.topic)
            rows = np.unique(np.r_[own, segments + self.topic[own], segments + self.topics + self.country[own]])
            busy[rows, max(0, label.onset - self.hour) : label.end + self.hour] = True
        before = np.zeros((self.streams, buckets + 1), np.int32)
        np.cumsum(busy, axis=1, out=before[:, 1:])
        return before

    def roll_ups(self, label: Label) -> list[int]:
        """The streams beside the segments on which an incident may be detected."""
        segments = len(self.country)
        if label.kind == "topic":
            return [segments + label.topic]
        if label.kind == "country":
            return [segments + self.topics + label.country]
        return []


def truth(world: World) -> Truth:
    """What is true in the evaluated weeks of a world."""
    shift = world.history
    return Truth(
        country=world.country,
        topic=world.topic,
        countries=len(world.countries),
        topics=len(world.topics),
        extra=world.extra[:, shift:].astype(np.int64),
        labels=tuple(
            Label(**(vars(label) | {"onset": label.onset - shift, "end": label.end - shift})) for label in world.labels
        ),
        bucket_seconds=world.bucket_seconds,
    )


@dataclass(frozen=True)
class Case:
    """The scores [S or S+K+C, N] of one world, and what is true in it."""

    scores: Singles
    truth: Truth

    def false(self, threshold: float) -> Alarms:
        """The alarms that overlap no incident."""
        found = alarms(self.scores, threshold, self.truth.hour)
        before = self.truth.busy_before
        wrong = before[found.stream, found.end] == before[found.stream, found.start]
        return Alarms(found.stream[wrong], found.start[wrong], found.end[wrong])


def false_a_week(cases: Sequence[Case], threshold: float) -> float:
    """False pages a week and world."""
    return sum(len(case.false(threshold)) for case in cases) / sum(case.truth.weeks for case in cases)


def threshold_for(cases: Sequence[Case], budget: float) -> float:
    """The lowest threshold whose false pages keep `budget` a week and world.

    It is looked for among the highest scores of all hours, by halving: false pages grow almost evenly with a falling
    threshold, not quite, since two alarms may become one.
    """
    peaks = np.unique(np.concatenate([_hourly_peaks(case) for case in cases]))[::-1]
    peaks = peaks[np.isfinite(peaks)]
    allowed = budget * sum(case.truth.weeks for case in cases)
    keeps, too_low = -1, len(peaks) - 1
    while too_low - keeps > 1:
        middle = (keeps + too_low) // 2
        if sum(len(case.false(float(peaks[middle]))) for case in cases) <= allowed:
            keeps = middle
        else:
            too_low = middle
    return float(peaks[max(keeps, 0)])


def _hourly_peaks(case: Case) -> Singles:
    hours = np.arange(0, case.scores.shape[1], case.truth.hour)
    peaks: Singles = np.fmax.reduceat(case.scores, hours, axis=1).ravel()
    return peaks


@dataclass(frozen=True)
class Finding:
    """How one incident was found."""

    kind: Kind
    delay_minutes: float
    """From the onset to the end of the bucket that opened the first alarm; NaN if it was not detected."""
    by_roll_up: bool
    """Whether its roll-up alone would have detected it."""
    excess_before: int
    """Excess contacts until then; all of them if it was not detected."""
    excess: int


def findings(case: Case, threshold: float) -> list[Finding]:
    """How each incident of the world was found."""
    truth_, scored = case.truth, len(case.scores)
    found = alarms(case.scores, threshold, truth_.hour)
    first_of = np.searchsorted(found.stream, np.arange(truth_.streams + 1))

    def first(rows: Sequence[int], label: Label) -> int:
        """The first alarm that opens in time on one of the streams."""
        opened = [found.start[first_of[row] : first_of[row + 1]] for row in rows if row < scored]
        at = np.concatenate([*opened, np.zeros(0, np.int64)])
        at = at[(at >= label.onset) & (at < label.end + truth_.hour)]
        return int(at.min()) if len(at) else NEVER

    result = []
    for label in truth_.labels:
        own = members(label, truth_.country, truth_.topic)
        roll_ups = truth_.roll_ups(label)
        at = first([*own.tolist(), *roll_ups], label)
        extra = truth_.extra[own, label.onset : label.end]
        until = at + 1 - label.onset
        result.append(
            Finding(
                kind=label.kind,
                delay_minutes=float("nan") if at == NEVER else until * truth_.bucket_seconds / 60,
                by_roll_up=first(roll_ups, label) != NEVER,
                excess_before=int((extra if at == NEVER else extra[:, :until]).sum()),
                excess=int(extra.sum()),
            )
        )
    return result


@dataclass(frozen=True)
class Summary:
    """What was found of one kind of incident, or of all."""

    number: int
    detected: float
    """Share."""
    delay_minutes_median: float
    delay_minutes_p90: float
    excess_before: float
    """Share of all excess contacts that came before the page."""
    by_roll_up: float
    """Share that the roll-up alone would have detected."""


def summaries(found: Sequence[Finding]) -> dict[str, Summary]:
    """By kind, and for all."""
    return {kind: summary([x for x in found if kind in {x.kind, "all"}]) for kind in (*KINDS, "all")}


def summary(found: Sequence[Finding]) -> Summary:
    """Of any findings."""
    delay = np.array([x.delay_minutes for x in found])
    detected = np.isfinite(delay)
    median, p90 = np.percentile(delay[detected], [50, 90]) if detected.any() else (np.nan, np.nan)
    excess = sum(x.excess for x in found)
    return Summary(
        number=len(found),
        detected=float(detected.mean()) if found else float("nan"),
        delay_minutes_median=float(median),
        delay_minutes_p90=float(p90),
        excess_before=sum(x.excess_before for x in found) / excess if excess else float("nan"),
        by_roll_up=float(np.mean([x.by_roll_up for x in found])) if found else float("nan"),
    )
