"""Spikes: episodes in which a segment is above its baseline beyond chance: opened, updated, resolved."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final

import numpy as np

from pegel.detector.judge.domain.judgement import Floats, Ints, Judgement
from pegel.schemas.detection import SpikeState

OPEN_SCORE: Final = 7.5
"""-log10 of the tail probability at which a spike opens: with 180 segments and 3 windows a minute about one false one a
week by chance; the promise in false pages a week is the issue Detection's."""
CLOSE_SCORE: Final = 3.0
"""Below this for CLOSE_SECONDS it is over: hysteresis, so that it does not flap."""
CLOSE_SECONDS: Final = 3600
HOLD_SECONDS_MAX: Final = 3600
"""Only windows up to this keep a spike up: a day's sum stays high for a day after the trouble is over."""
EXCESS_MIN: Final = 5.0
"""Contacts in the most telling window beyond what was expected."""
NAME_MAX: Final = 200
GROWN: Final = 1.25
"""An update is written when the excess has grown by a quarter since the last."""


@dataclass(slots=True)
class Spike:
    """A spike that is up. Times in seconds since 1970; counts since the onset."""

    spike_id: str
    row: int
    opened_at: int
    onset: int
    observed: int
    expected: float
    told_excess: float
    last_above: int
    opened_by_seconds: int
    window_seconds: int = 0
    window_observed: int = 0
    window_expected: float = 0.0
    score: float = 0.0

    def look(self, window: int, judgement: Judgement) -> None:
        """Take this window as the most telling one."""
        self.window_seconds = int(judgement.window_seconds[window])
        self.window_observed = int(judgement.window_observed[window, self.row])
        self.window_expected = float(judgement.window_expected[window, self.row])
        self.score = float(judgement.scores[window, self.row])


class SpikeTracker:
    """Which segments are in a spike. Feed `follow` each bucket judged; it says what opened, grew, or is over."""

    def __init__(self, bucket_seconds: int) -> None:
        self._bucket_seconds = bucket_seconds
        self.up: dict[int, Spike] = {}
        self._quiet_since: dict[int, int] = {}
        """When a segment's last spike was last above: a window that still covers it can't open another."""

    def follow(
        self,
        end: int,
        observed: Ints,
        judgement: Judgement,
        recent: Callable[[int, int], tuple[Ints, Floats]],
        name: Callable[[int], str],
    ) -> list[tuple[SpikeState, Spike]]:
        """Of a bucket that ends at `end`. recent: observed and expected of a segment's last buckets; name: its text."""
        told: list[tuple[SpikeState, Spike]] = []
        for row, spike in sorted(self.up.items()):
            # Nobody observed the hour in which it would have ended, so it ended then: what rises now is another one.
            if end - self._bucket_seconds - spike.last_above >= CLOSE_SECONDS:
                told.append(("resolved", self._end(row)))
        for row in np.flatnonzero(judgement.score >= OPEN_SCORE).tolist():
            if row not in self.up:
                window = self._telling(row, end, judgement)
                if window is not None:
                    told.append(("opened", self._open(row, end, window, judgement, recent, name)))
        for row in sorted(self.up):
            spike = self.up[row]
            if spike.opened_at == end:
                continue
            spike.observed += int(observed[row])
            spike.expected += float(judgement.expected[row])
            window = self._still_above(spike, judgement)
            if window is not None:
                spike.last_above = end
                spike.look(window, judgement)
            excess = spike.observed - spike.expected
            if end - spike.last_above >= CLOSE_SECONDS:
                told.append(("resolved", self._end(row)))
            elif excess >= spike.told_excess * GROWN:
                spike.told_excess = excess
                told.append(("updated", spike))
        return sorted(told, key=lambda one: one[1].row)

    def add_late(self, row: int, bucket_start: int, contacts: int) -> None:
        """Contacts of an earlier bucket came late: they belong to a spike that was up by then."""
        spike = self.up.get(row)
        if spike is not None and bucket_start >= spike.onset:
            spike.observed += contacts

    def state(self) -> dict[str, Any]:
        return {"up": [asdict(spike) for spike in self.up.values()], "quiet_since": list(self._quiet_since.items())}

    def restore(self, tree: Mapping[str, Any]) -> None:
        self.up = {spike["row"]: Spike(**spike) for spike in tree["up"]}
        self._quiet_since = dict(tree["quiet_since"])

    def _end(self, row: int) -> Spike:
        spike = self.up.pop(row)
        self._quiet_since[row] = spike.last_above
        return spike

    def _telling(self, row: int, end: int, judgement: Judgement) -> int | None:
        """The window with the highest score that may open a spike."""
        quiet_since = self._quiet_since.get(row)
        best, which = 0.0, None
        for number, seconds in enumerate(judgement.window_seconds.tolist()):
            if quiet_since is not None and end - seconds < quiet_since:
                continue
            excess = judgement.window_observed[number, row] - judgement.window_expected[number, row]
            score = float(judgement.scores[number, row])
            if score >= OPEN_SCORE and score > best and excess >= EXCESS_MIN:
                best, which = score, number
        return which

    @staticmethod
    def _still_above(spike: Spike, judgement: Judgement) -> int | None:
        """The most telling window of at most an hour, and no longer than the one that opened it, if it is above."""
        longest = min(spike.opened_by_seconds, HOLD_SECONDS_MAX)
        numbers = [n for n, seconds in enumerate(judgement.window_seconds.tolist()) if n == 0 or seconds <= longest]
        best = max(numbers, key=lambda n: float(judgement.scores[n, spike.row]))
        return best if judgement.scores[best, spike.row] >= CLOSE_SCORE else None

    def _open(
        self,
        row: int,
        end: int,
        window: int,
        judgement: Judgement,
        recent: Callable[[int, int], tuple[Ints, Floats]],
        name: Callable[[int], str],
    ) -> Spike:
        seconds = int(judgement.window_seconds[window])
        seen, normal = recent(row, max(1, seconds // self._bucket_seconds))
        rise = onset_of(seen, normal)
        bucket_start = datetime.fromtimestamp(end - self._bucket_seconds, UTC)
        spike = self.up[row] = Spike(
            spike_id=f"{name(row)}@{bucket_start:%Y-%m-%dT%H:%M:%SZ}",
            row=row,
            opened_at=end,
            opened_by_seconds=seconds,
            onset=end - rise * self._bucket_seconds,
            observed=int(seen[-rise:].sum()),
            expected=float(normal[-rise:].sum()),
            told_excess=0.0,
            last_above=end,
        )
        spike.told_excess = spike.observed - spike.expected
        spike.look(window, judgement)
        return spike


def onset_of(observed: Ints, expected: Floats) -> int:
    """How many of these buckets (oldest first, the last one just judged) belong to the rise, at least 1.

    The rise begins after the lowest point of the cumulative sum of observed minus expected (Page, Continuous Inspection
    Schemes, 1954).
    """
    walk = np.concatenate([[0.0], np.cumsum(observed - expected)])
    lowest = len(walk) - 2 - int(np.argmin(walk[-2::-1])) if len(walk) > 1 else 0
    return max(1, len(observed) - lowest)


def explain(spike: Spike, name: str, *, end: int) -> str:
    """One or two sentences from the fields alone, readable on a phone."""
    minutes = max(1, round((end - spike.onset) / 60))
    times = f", {spike.window_observed / spike.window_expected:.0f} times as many as usual" if (
        spike.window_expected >= 1 and spike.window_observed >= 2 * spike.window_expected
    ) else ""  # fmt: skip
    return (
        f"{name}: {spike.window_observed} contacts in {length_words(spike.window_seconds)}, "
        f"{number_words(spike.window_expected)} expected{times}. "
        f"Up for {minutes} min: {spike.observed} contacts so far, {number_words(spike.expected)} expected."
    )


def length_words(seconds: int) -> str:
    """900 -> '15 min', 86400 -> '24 h'."""
    return f"{seconds // 3600} h" if seconds >= 3600 else f"{max(1, seconds // 60)} min"


def number_words(value: float) -> str:
    """An expected count as a person says it: one decimal below 10, 'almost none' below 0.1."""
    return "almost none" if value < 0.1 else f"{value:.1f}" if value < 10 else f"{value:.0f}"


def shortened(name: str) -> str:
    """A segment's name as part of an id, which has 256 characters; what is cut off stands as its hash."""
    if len(name) <= NAME_MAX:
        return name
    return f"{name[: NAME_MAX - 17]}~{blake2b(name.encode(), digest_size=8).hexdigest()}"
