"""A model whose scores a test writes down, and counted buckets from plain lists."""

import dataclasses
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

import numpy as np

from pegel.cli.backtest.alarms import Alarms
from pegel.cli.backtest.counts import Counts, counted
from pegel.cli.backtest.curves import Curves
from pegel.cli.backtest.holidays import Holidays
from pegel.cli.backtest.labels import Label, Verdict, judged
from pegel.cli.backtest.report import Subject, render
from pegel.cli.backtest.results import Result
from pegel.cli.backtest.running import Ints, Lines, Listener, Names, Ran, Setting, SpikeEvent, Step, run
from pegel.cli.backtest.sensitivity import SETTINGS
from pegel.cli.backtest.sentences import Words

MONDAY = int(datetime(2024, 11, 4, tzinfo=UTC).timestamp())
ATM = ("ES", "atm")
EVERYTHING = ("*", "*")
WORDS = Words(("country", "topic"), {"ES": "Spain"}, MONDAY + 36_000, with_year=False, currency="EUR")


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


def event(
    state: Literal["opened", "updated", "resolved"],
    minute: int,
    segment: tuple[str, ...] = ATM,
    *,
    opened: int | None = None,
    onset: int | None = None,
    **fields: Any,
) -> SpikeEvent:
    """All times in minutes after MONDAY; a spike opens with `minute`, ten minutes after its onset."""
    opened = minute if opened is None else opened
    whole = SpikeEvent(
        state=state,
        spike_id=f"{'/'.join(segment)}@{opened}",
        segment=segment,
        at=MONDAY + minute * 60,
        onset=MONDAY + (opened - 10 if onset is None else onset) * 60,
        opened_at=MONDAY + opened * 60,
        score=1.0,
        window_seconds=900,
        observed=31,
        expected=2.0,
        observed_since_onset=40,
        expected_since_onset=4.0,
        explanation="31 contacts in 15 min, 2 expected.",
    )
    return dataclasses.replace(whole, **fields)


def ran(model: Scripted, counts: Counts, *listeners: Listener, judged_from: int = 0) -> Ran:
    ignore: Callable[[int], None] = lambda _: None  # noqa: E731
    return run(model, counts, judged_from, listeners, ignore)


def report_of(spikes: list[SpikeEvent], labels: list[Label] | None = None, file: str = "calls.csv") -> str:
    counts = counts_of({ATM: [2] * 4032, ("PT", "atm"): [1] * 4032})
    alarms = Alarms()
    curves = Curves(alarms)
    result_of = ran(Scripted((), spikes), counts, alarms, curves, judged_from=2016)
    verdict: Verdict | None = None
    if labels is not None:
        verdict = judged(labels, alarms.found, begin=counts.start, end=counts.end, bucket_seconds=300)
    result = Result(result_of, tuple(alarms.found), verdict, 1.5, 300)
    subject = Subject(
        file=file,
        counts=counts,
        judged_from=counts.start + 2016 * 300,
        setting=5.0,
        words=dataclasses.replace(WORDS, file_end=counts.end),
        zone_of=lambda segment: "Europe/Madrid" if segment[0] == "ES" else "UTC",
        cost=lambda its: Decimal(5) if its.segment == ATM else None,
    )
    return render(subject, [result], curves, dict.fromkeys(SETTINGS, 3))


def three_pages(file: str) -> str:
    """A report of a week with three pages: one that something known explains, and two that nothing does."""
    week = 10_080
    spikes = [
        event("opened", week + 100),
        event("resolved", week + 200, opened=week + 100),
        event("opened", week + 400, EVERYTHING),
        event("opened", week + 900, ("PT", "atm")),
    ]
    at = MONDAY + week * 60
    labels = [Label(ATM, at + 95 * 60, at + 150 * 60), Label(("FR", "atm"), at, at + 60)]
    return report_of(spikes, labels, file)
