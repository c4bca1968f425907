"""What is known to have happened, and which pages found it, missed it, or were false."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from pegel.cli.backtest.alarms import Alarm
from pegel.cli.backtest.running import ALL
from pegel.runtime.settings import ConfigurationError

GRACE_SECONDS: Final = 3600
"""A page up to an hour after the end still found it, and one within an hour of it isn't false."""


@dataclass(frozen=True, slots=True)
class Label:
    """Something that happened. segment: ALL for every value of a dimension. Times in seconds since 1970 (UTC)."""

    segment: tuple[str, ...]
    onset: int
    end: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """found: label to the alarm that found it, in the labels' order. false: alarms that fit no label."""

    found: tuple[tuple[Label, Alarm], ...]
    missed: tuple[Label, ...]
    false: tuple[Alarm, ...]

    @property
    def delays_seconds(self) -> list[int]:
        return [alarm.opened_at - label.onset for label, alarm in self.found]

    def delay_minutes(self, percent: float) -> float | None:
        """A percentile of the delays; None when nothing was found."""
        return float(np.percentile(self.delays_seconds, percent)) / 60 if self.found else None


def judged(labels: Sequence[Label], alarms: Sequence[Alarm], *, begin: int, end: int, bucket_seconds: int) -> Verdict:
    """Of what happened in [begin, end), the judged time; labels that began before can't be found in time.

    A page comes with the end of a bucket, so one at the onset itself tells of what was before.
    """
    known = [label for label in labels if begin <= label.onset < end]
    found, missed = [], []
    for label in known:
        until = label.end + GRACE_SECONDS
        first = min(
            (
                alarm
                for alarm in alarms
                if _finds(label, alarm) and label.onset < alarm.opened_at and alarm.opened_at - bucket_seconds < until
            ),
            key=lambda alarm: alarm.opened_at,
            default=None,
        )
        if first is None:
            missed.append(label)
        else:
            found.append((label, first))
    false = [
        alarm
        for alarm in alarms
        if not any(
            touch(label.segment, alarm.segment)
            and alarm.opened_at - bucket_seconds < label.end + GRACE_SECONDS
            and label.onset - GRACE_SECONDS < alarm.over_at(end)
            for label in labels
        )
    ]
    return Verdict(tuple(found), tuple(missed), tuple(false))


def touch(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether a segment can be in both."""
    return all(a in (ALL, b) or b == ALL for a, b in zip(one, other, strict=True))


def _finds(label: Label, alarm: Alarm) -> bool:
    """Its own line, or any segment in it; a roll-up of more than the label says too little."""
    return all(a in (ALL, b) for a, b in zip(label.segment, alarm.segment, strict=True))


def read_labels(path: Path, dimensions: tuple[str, ...]) -> list[Label]:
    """A CSV with the segment's columns ('*' or empty: all), onset and end (ISO 8601 with a zone).

    dimensions: none where all rows are one segment.
    Raises ConfigurationError with all that is wrong.
    """
    faults, labels = [], []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            there = reader.fieldnames or ()
            lacking = [name for name in (*dimensions, "onset", "end") if name not in there]
            if lacking:
                has = ", ".join(there) or "none"
                raise ConfigurationError([f"--labels {path}: has no column {name}; it has {has}" for name in lacking])
            for row in reader:
                segment = tuple((row[name] or "").strip() or ALL for name in dimensions) or (ALL,)
                try:
                    labels.append(_label(segment, row["onset"], row["end"]))
                except ValueError as error:
                    faults.append(f"--labels {path}: line {reader.line_num}: {error}")
    except OSError as error:
        raise ConfigurationError([f"--labels {path}: {error.strerror}"]) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError([f"--labels {path}: can't be read: {error}"]) from None
    if faults:
        raise ConfigurationError(faults)
    return labels


def _label(segment: tuple[str, ...], onset: str | None, end: str | None) -> Label:
    label = Label(segment, _seconds(onset), _seconds(end))
    if label.end < label.onset:
        raise ValueError("the end is before the onset")
    return label


def _seconds(text: str | None) -> int:
    at = datetime.fromisoformat((text or "").strip())
    if at.tzinfo is None:
        raise ValueError(f"{text} has no zone; write 2024-11-12T02:22:00Z")
    return int(at.astimezone(UTC).timestamp())
