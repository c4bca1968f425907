"""Gathers what is to be said of a spike from the detector that saw it, and from what is known of the contacts."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple

from pegel.detector.judge.domain.carriers import Carriers, Excess
from pegel.detector.judge.domain.customers import Customers, Known
from pegel.detector.judge.domain.explaining import TREND_SECONDS, Carrier, Facts, band, carried, rarity_weeks, trend
from pegel.detector.judge.domain.judgement import Lines as Rollups
from pegel.detector.judge.domain.spikes import MOSTLY, Lines, Spike, covers, telling

MINUTE: Final = 60


class Contacts(NamedTuple):
    """What is known of the contacts behind the counts. number_of: a segment's number.

    up: lines that are in a spike; rollups: as they were scored with the bucket judged last.
    """

    carriers: Carriers
    customers: Customers
    number_of: Callable[[tuple[str, ...]], int]
    up: Mapping[tuple[str, ...], Spike]
    rollups: Rollups


def facts_of(
    spike: Spike,
    detector: Lines,
    dimensions: tuple[str, ...],
    bucket_seconds: int,
    *,
    end: int | None = None,
    contacts: Contacts | None = None,
) -> Facts:
    """Trend, rarity and band; what carries the excess of the telling window, who called in it, and what is above it.

    end: of the bucket judged last, where that is not the telling window's. contacts: None where only counts are known.
    """
    lower, upper = band(spike.window_expected, spike.window_variance)
    half = max(1, TREND_SECONDS // max(60, bucket_seconds))
    seen, normal = detector.recent(spike.line, max(1, 2 * TREND_SECONDS // bucket_seconds))
    members = _members(spike, detector, bucket_seconds, end)
    carriers = _left_out(spike, members, dimensions)
    known: Known | None = None
    if contacts is not None:
        numbers = [Excess(contacts.number_of(name), seen, usual) for name, seen, usual in members]
        carriers += contacts.carriers.of(numbers, spike.last_above, spike.window_seconds)
        known = contacts.customers.known([one.segment for one in numbers], spike.last_above, spike.window_seconds)
    return Facts(
        lower=lower,
        upper=upper,
        rarity_weeks=rarity_weeks(spike, detector.history_days / 7),
        trend=trend(
            (max(0, int(seen[:-half].sum())), max(0, int(seen[-half:].sum()))),
            (float(normal[:-half].sum()), float(normal[-half:].sum())),
        ),
        carriers=carriers,
        customers=known.customers if known is not None and known.customers else None,
        at_least=known is not None and (not known.whole or known.contacts < spike.window_observed),
        better=better_described_by(spike, detector, contacts.up, contacts.rollups) if contacts is not None else None,
        dimensions=dimensions,
    )


def better_described_by(
    spike: Spike, detector: Lines, up: Collection[tuple[str, ...]], rollups: Rollups
) -> tuple[str, ...] | None:
    """The roll-up that this spike is a part of: it is up itself or stands out more, and is not this spike alone.

    The narrowest of these, and of those the one that stands out most.
    """
    found: list[tuple[int, float, tuple[str, ...]]] = []
    for name, score in zip(rollups.names, rollups.score.tolist(), strict=True):
        if name == spike.line or not covers(name, spike.line) or not (name in up or score > spike.score):
            continue
        windows = detector.windows(name)
        best = telling(windows)
        its = detector.windows(spike.line)
        excess = float(windows.observed[best] - windows.expected[best])
        if float(its.observed[best] - its.expected[best]) <= MOSTLY * excess:
            found.append((name.count("*"), -score, name))
    return min(found)[2] if found else None


_Member = tuple[tuple[str, ...], float, float]
"""A segment of the line, with its contacts in the telling window, and what is expected."""


def _members(spike: Spike, detector: Lines, bucket_seconds: int, end: int | None) -> list[_Member]:
    cell = max(MINUTE, bucket_seconds)
    since = 0 if end is None else max(0, end - spike.last_above) // cell
    length = max(1, spike.window_seconds // cell)
    buckets = (since + length) * cell // bucket_seconds
    found: list[_Member] = []
    for segment in detector.members(spike.line):
        seen, normal = detector.recent(segment, buckets)
        window = slice(max(0, len(seen) - since - length), max(0, len(seen) - since))
        found.append((segment, float(seen[window].sum()), float(normal[window].sum())))
    return found


def _left_out(spike: Spike, members: Sequence[_Member], dimensions: tuple[str, ...]) -> tuple[Carrier, ...]:
    """Of each dimension that the line leaves out: the values by their share of the excess."""
    found: list[Carrier] = []
    for place in [place for place, value in enumerate(spike.line) if value == "*"]:
        sums: dict[str, float] = {}
        for segment, seen, normal in members:
            sums[segment[place]] = sums.get(segment[place], 0.0) + seen - normal
        found.extend(carried(dimensions[place], list(sums.items())))
    return tuple(found)
