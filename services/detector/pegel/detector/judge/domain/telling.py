"""Gathers what is to be said of a spike from the detector that saw it."""

from typing import Final

import numpy as np

from pegel.detector.judge.domain.explaining import TREND_SECONDS, Carrier, Facts, band, carried, rarity_weeks, trend
from pegel.detector.judge.domain.spikes import Lines, Spike

DAY: Final = 86_400


def facts_of(spike: Spike, detector: Lines, dimensions: tuple[str, ...], bucket_seconds: int) -> Facts:
    """Trend, rarity, band, and which members of a roll-up carry the excess of its telling window."""
    lower, upper = band(spike.window_expected, spike.window_variance)
    half = max(1, TREND_SECONDS // max(60, bucket_seconds))
    seen, normal = detector.recent(spike.line, max(1, 2 * TREND_SECONDS // bucket_seconds))
    return Facts(
        lower=lower,
        upper=upper,
        rarity_weeks=rarity_weeks(spike, detector.history_days / 7),
        trend=trend(
            (max(0, int(seen[:-half].sum())), max(0, int(seen[-half:].sum()))),
            (float(normal[:-half].sum()), float(normal[-half:].sum())),
        ),
        carriers=_carriers(spike, detector, dimensions),
    )


def _carriers(spike: Spike, detector: Lines, dimensions: tuple[str, ...]) -> tuple[Carrier, ...]:
    """Of each dimension that the line leaves out: the values by their share of the excess."""
    open_places = [place for place, value in enumerate(spike.line) if value == "*"]
    if not open_places:
        return ()
    sums: list[dict[str, float]] = [{} for _ in open_places]
    for segment in detector.members(spike.line):
        windows = detector.windows(segment)
        at = int(np.argmin(np.abs(windows.seconds - spike.window_seconds)))
        excess = float(windows.observed[at] - windows.expected[at])
        for by_value, place in zip(sums, open_places, strict=True):
            by_value[segment[place]] = by_value.get(segment[place], 0.0) + excess
    return tuple(
        carrier
        for by_value, place in zip(sums, open_places, strict=True)
        for carrier in carried(dimensions[place], list(by_value.items()))
    )
