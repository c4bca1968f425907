"""Spikes: episodes in which a line is above its baseline beyond chance: opened, updated, resolved.

A line is a segment or a roll-up. A spike opens where the line's score reaches what was promised (false pages a week),
and is over when it has been below, by a margin, for an hour.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from math import log10, sqrt
from typing import Any, Final, Protocol

import numpy as np

from pegel.detector.judge.domain.judgement import Floats, Ints, Judgement, Windows
from pegel.schemas.detection import SpikeState

HYSTERESIS: Final = 0.5
"""Powers of ten below the line at which a spike still counts as up: so that it does not flap."""
CLOSE_SECONDS: Final = 3600
ONSET_SECONDS: Final = 6 * 3600
"""How far back an onset is looked for; a whole day where a longer window tells more."""
NAME_MAX: Final = 200
MOSTLY: Final = 0.7
"""A roll-up of whose excess a segment in a spike has so much is that segment's spike."""
GROWN: Final = 1.25
"""An update is written when the excess has grown by a quarter since the last."""


AreFew = Callable[[tuple[str, ...], Windows, int], bool]
"""Whether a line stands out in a window (by its place) only because a few customers came again and again."""


class Lines(Protocol):
    """What is asked of the detector (judge.ports.Detector) about a line."""

    @property
    def history_days(self) -> float: ...

    def over(self, name: tuple[str, ...]) -> None: ...

    def members(self, name: tuple[str, ...]) -> Sequence[tuple[str, ...]]: ...

    def windows(self, name: tuple[str, ...]) -> Windows: ...

    def recent(self, name: tuple[str, ...], buckets: int) -> tuple[Ints, Floats]: ...


@dataclass(slots=True)
class Spike:
    """A spike that is up. Times in seconds since 1970; observed, expected: contacts since the onset.

    window_*: the most telling window, ending with the last bucket in which it was above; variance: of its count when
    nothing is wrong. score: as it was then; peak: the highest.
    """

    spike_id: str
    line: tuple[str, ...]
    opened_at: int
    onset: int
    observed: int
    expected: float
    told_excess: float
    last_above: int
    window_seconds: int = 0
    window_observed: int = 0
    window_expected: float = 0.0
    window_variance: float = 0.0
    score: float = 0.0
    peak: float = 0.0
    lines: int = field(default=1)
    """How many lines share the promise: what is rare for all of them is as many times as rare for one."""

    def look(self, windows: Windows, score: float, lines: int) -> None:
        """Take the window that tells most."""
        best = telling(windows)
        self.window_seconds = int(windows.seconds[best])
        self.window_observed = max(0, int(windows.observed[best]))
        self.window_expected = float(windows.expected[best])
        self.window_variance = float(windows.variance[best])
        self.score, self.lines = score, lines
        self.peak = max(self.peak, score)


def telling(windows: Windows) -> int:
    """Which window lies furthest above what is expected, in standard deviations."""
    away = (windows.observed - windows.expected) / np.sqrt(np.maximum(windows.variance, 1e-9))
    return int(np.argmax(away))


def lately_above(windows: Windows) -> bool:
    """Whether the last hour has more than is usual: where few contacts come, evidence fades slowly when all is over."""
    hour = min(1, len(windows.seconds) - 1)
    return bool(windows.observed[hour] > windows.expected[hour])


class SpikeTracker:
    """Which lines are in a spike. Feed `follow` each bucket judged; it says what opened, grew, or is over."""

    def __init__(
        self,
        bucket_seconds: int,
        false_pages_per_week: float,
        raised: Mapping[tuple[str, ...], float] | None = None,
    ) -> None:
        """raised: by how much the bars of some lines are higher (judge.domain.feedback); it may change."""
        self._bucket_seconds = bucket_seconds
        self._raised: Mapping[tuple[str, ...], float] = {} if raised is None else raised
        self._ending: set[tuple[str, ...]] = set()
        """Spikes that are over because somebody said so; told with the bucket that is judged next."""
        self.bar = -log10(false_pages_per_week)
        self.up: dict[tuple[str, ...], Spike] = {}
        self.withheld: dict[tuple[str, ...], int] = {}
        """Lines that one or two customers alone raised within the hour, and when they did last: no spike of theirs."""

    def follow(
        self,
        end: int,
        segments: list[tuple[str, ...]],
        observed: Ints,
        judgement: Judgement,
        detector: Lines,
        quiet: Callable[[Sequence[tuple[str, ...]]], bool] = lambda _: False,
        are_few: AreFew = lambda *_: False,
    ) -> list[tuple[SpikeState, Spike]]:
        """Of a bucket that ends at `end`. observed: contacts of the segments in it.

        quiet: whether nobody is paged about these segments: no spike opens there, one that is up stays.
        """
        told: list[tuple[SpikeState, Spike]] = []
        for line, spike in list(self.up.items()):
            # Nobody observed the hour in which it would have ended, so it ended then: what rises now is another one.
            if line in self._ending or end - self._bucket_seconds - spike.last_above >= CLOSE_SECONDS:
                told.append(("resolved", self._end(line, detector)))
        ended = {spike.line for _, spike in told}  # its evidence was of then
        self._ending.clear()
        self.withheld = {line: last for line, last in self.withheld.items() if end - last < CLOSE_SECONDS}
        count = len(segments) + len(judgement.rollups.names)
        groups = (
            (segments, judgement.score, observed, judgement.expected),
            (judgement.rollups.names, judgement.rollups.score, judgement.rollups.observed, judgement.rollups.expected),
        )
        for names, scores, seen, normal in groups:
            risen = [n for n in np.flatnonzero(scores >= self.bar).tolist() if names[n] not in {*self.up, *ended}]
            for number in risen:
                if scores[number] < self.bar_of(names[number]) or quiet(detector.members(names[number])):
                    continue
                if not self._is_of_one_segment(names[number], detector) and not self._withhold(
                    names[number], end, detector, are_few
                ):
                    spike = self._open(names[number], end, float(scores[number]), count, detector)
                    told.append(("opened", spike))
            numbers = {name: number for number, name in enumerate(names) if name in self.up}
            for line, number in numbers.items():
                spike = self.up[line]
                if spike.opened_at == end:
                    continue
                spike.observed += int(seen[number])
                spike.expected += float(normal[number])
                if scores[number] >= self.bar_of(line) - HYSTERESIS:
                    windows = detector.windows(line)
                    if lately_above(windows):
                        spike.last_above = end
                        spike.look(windows, float(scores[number]), count)
                excess = spike.observed - spike.expected
                if end - spike.last_above >= CLOSE_SECONDS:
                    told.append(("resolved", self._end(line, detector)))
                elif excess >= spike.told_excess * GROWN and spike.last_above == end:
                    spike.told_excess = excess
                    told.append(("updated", spike))
        return told

    def bar_of(self, line: tuple[str, ...]) -> float:
        """The score from which on a line is in a spike."""
        return self.bar + self._raised.get(line, 0.0)

    def end(self, line: tuple[str, ...]) -> None:
        """What is up within this line is normal from now on: its spikes are over."""
        self._ending.update(name for name in self.up if covers(line, name))

    def add_late(self, line: tuple[str, ...], bucket_start: int, contacts: int) -> None:
        """Contacts of an earlier bucket came late: they belong to a spike that was up by then."""
        for spike in self.up.values():
            if bucket_start >= spike.onset and covers(spike.line, line):
                spike.observed += contacts

    def state(self) -> dict[str, Any]:
        return {
            "up": [asdict(spike) for spike in self.up.values()],
            "withheld": [[line, end] for line, end in self.withheld.items()],
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        spikes = [Spike(**{**spike, "line": tuple(spike["line"])}) for spike in tree["up"]]
        self.up = {spike.line: spike for spike in spikes}
        self.withheld = {tuple(line): end for line, end in tree.get("withheld", ())}

    def _withhold(self, line: tuple[str, ...], end: int, detector: Lines, are_few: AreFew) -> bool:
        """One caller's 29 calls are no outage: what they left of evidence is forgotten, so that it fades with them."""
        windows = detector.windows(line)
        if not are_few(line, windows, telling(windows)):
            return False
        detector.over(line)
        self.withheld[line] = end
        return True

    def _is_of_one_segment(self, line: tuple[str, ...], detector: Lines) -> bool:
        """Whether a roll-up says nothing that the spike of one of its segments does not say."""
        members = detector.members(line)
        if members == [line]:
            return False
        if len(members) < 2:
            return True
        windows = detector.windows(line)
        best = telling(windows)
        excess = float(windows.observed[best] - windows.expected[best])
        up = [detector.windows(name) for name in members if name in self.up]
        most = max((float(one.observed[best] - one.expected[best]) for one in up), default=0.0)
        return most > MOSTLY * excess

    def _end(self, line: tuple[str, ...], detector: Lines) -> Spike:
        detector.over(line)
        return self.up.pop(line)

    def _open(self, line: tuple[str, ...], end: int, score: float, lines: int, detector: Lines) -> Spike:
        windows = detector.windows(line)
        seconds = max(ONSET_SECONDS, int(windows.seconds[telling(windows)]))
        seen, normal = detector.recent(line, max(1, seconds // self._bucket_seconds))
        rise = onset_of(seen, normal)
        cell_seconds = max(60, self._bucket_seconds)
        bucket_start = datetime.fromtimestamp(end - self._bucket_seconds, UTC)
        spike = self.up[line] = Spike(
            spike_id=f"{shortened('/'.join(line))}@{bucket_start:%Y-%m-%dT%H:%M:%SZ}",
            line=line,
            opened_at=end,
            onset=end - rise * cell_seconds,
            observed=max(0, int(seen[-rise:].sum())),
            expected=float(normal[-rise:].sum()),
            told_excess=0.0,
            last_above=end,
        )
        spike.told_excess = spike.observed - spike.expected
        spike.look(windows, score, lines)
        return spike


def covers(line: tuple[str, ...], segment: tuple[str, ...]) -> bool:
    """Whether a segment belongs to a line."""
    return all(mine in {"*", value} for mine, value in zip(line, segment, strict=True))


def onset_of(observed: Ints, expected: Floats) -> int:
    """How many of these buckets (oldest first, the last one just judged) belong to the rise, at least 1.

    The rise begins after the lowest point of the cumulative sum of observed minus expected (Page, Continuous Inspection
    Schemes, 1954), less a quarter of what chance may add, so that a quiet hour before it isn't taken for its begin.
    """
    slack = 0.5 * sqrt(max(float(expected.mean()), 0.04)) if len(expected) else 0.0
    walk = np.concatenate([[0.0], np.cumsum(observed - expected - slack)])
    lowest = len(walk) - 2 - int(np.argmin(walk[-2::-1])) if len(walk) > 1 else 0
    return max(1, len(observed) - lowest)


def shortened(name: str) -> str:
    """A segment's name as part of an id, which has 256 characters; what is cut off stands as its hash."""
    if len(name) <= NAME_MAX:
        return name
    return f"{name[: NAME_MAX - 17]}~{blake2b(name.encode(), digest_size=8).hexdigest()}"
