"""A model whose scores a test writes down, and counted buckets from plain lists."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import numpy as np

from pegel.cli.backtest.counts import Counts, counted
from pegel.cli.backtest.holidays import Holidays
from pegel.cli.backtest.running import Ints, Lines, Listener, Names, Ran, Setting, SpikeEvent, Step, run

MONDAY = int(datetime(2024, 11, 4, tzinfo=UTC).timestamp())
ATM = ("ES", "atm")
EVERYTHING = ("*", "*")


def counts_of(rows: dict[tuple[str, ...], Sequence[int]], bucket_seconds: int = 300, start: int = MONDAY) -> Counts:
    """Segment to its counts from `start` on; all as long; the first and the last bucket have a contact somewhere."""
    names = sorted(rows)
    cells = sorted(
        (start // bucket_seconds + place, code, contacts)
        for code, name in enumerate(names)
        for place, contacts in enumerate(rows[name])
        if contacts
    )
    bucket, code, contacts = (np.array(column, dtype=np.int64) for column in zip(*cells, strict=True))
    return counted(bucket_seconds, ("country", "topic")[: len(names[0])], bucket, code, contacts, names)


def setting(bucket_seconds: int = 300, false_pages_per_week: float = 1.0) -> Setting:
    return Setting(bucket_seconds, ("country", "topic"), lambda _: "UTC", Holidays("none"), false_pages_per_week)


class Scripted:
    """Says of everything together what it was told to: a roll-up's score a bucket, and spikes. Segments have none."""

    name = "scripted"

    def __init__(self, scores: Sequence[float] = (), spikes: Sequence[SpikeEvent] = (), expected: float = 1.0) -> None:
        self._scores, self._spikes, self._expected = scores, spikes, expected
        self.segments: list[tuple[str, ...]] = []
        self.seen: list[tuple[int, list[int]]] = []

    def add_segments(self, names: Names) -> None:
        self.segments.extend(names)

    def step(self, start: int, observed: Ints) -> Step:
        place = len(self.seen)
        self.seen.append((start, observed.tolist()))
        score = self._scores[place] if place < len(self._scores) else float("nan")
        end = start + 300
        whole = _lines(np.array([observed.sum()]), self._expected * len(observed), score)
        its = _lines(observed, self._expected, float("nan"))
        return Step(its, whole, (EVERYTHING,), [spike for spike in self._spikes if spike.at == end])


def _lines(observed: Ints, expected: float, score: float) -> Lines:
    normal = np.full(len(observed), expected)
    return Lines(observed, normal, normal * 0.5, normal * 2, np.full(len(observed), score))


def event(state: str, minute: int, segment: tuple[str, ...] = ATM, **fields: object) -> SpikeEvent:
    """Of the spike that opened at `opened` (minutes after MONDAY, as minute, onset)."""
    opened = int(str(fields.pop("opened", minute)))
    onset = int(str(fields.pop("onset", opened - 10)))
    values: dict[str, object] = {
        "score": 1.0,
        "window_seconds": 900,
        "observed": 31,
        "expected": 2.0,
        "observed_since_onset": 40,
        "expected_since_onset": 4.0,
        "explanation": "31 contacts in 15 min, 2 expected.",
    }
    return SpikeEvent(
        state=state,
        spike_id=f"{'/'.join(segment)}@{opened}",
        segment=segment,
        at=MONDAY + minute * 60,
        onset=MONDAY + onset * 60,
        opened_at=MONDAY + opened * 60,
        **{**values, **fields},
    )  # type: ignore[arg-type]


def ran(model: Scripted, counts: Counts, *listeners: Listener, judged_from: int = 0) -> Ran:
    ignore: Callable[[int], None] = lambda _: None  # noqa: E731
    return run(model, counts, judged_from, listeners, ignore)
