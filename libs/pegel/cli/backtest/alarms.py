"""The pages of a run: spikes that opened in the buckets judged, with what became of them."""

import csv
import gzip
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from pegel.cli.backtest.running import QUIET_SECONDS, Listener, Names, SpikeEvent, Step

COLUMNS: Final = (
    "onset", "opened_at", "resolved_at", "peak_score", "observed", "expected", "excess", "explanation",
)  # fmt: skip


@dataclass(slots=True)
class Alarm:
    """A page. Times in seconds since 1970 (UTC). observed, expected: in the window that told most, of window_seconds.

    resolved_at: None while it is up. observed_since, expected_since: from onset to the end.
    """

    spike_id: str
    segment: tuple[str, ...]
    onset: int
    opened_at: int
    resolved_at: int | None
    peak_score: float
    window_seconds: int
    observed: int
    expected: float
    observed_since: int
    expected_since: float
    explanation: str
    telling_score: float

    @property
    def excess(self) -> float:
        """Contacts more than usual, from onset to the end."""
        return self.observed_since - self.expected_since

    def over_at(self, file_end: int) -> int:
        """When it was last above; the end of the file while it is up."""
        if self.resolved_at is None:
            return file_end
        return max(self.opened_at, self.resolved_at - QUIET_SECONDS)


class Alarms(Listener):
    """Listens to a run. found: in the order of opening."""

    def __init__(self) -> None:
        self.found: list[Alarm] = []
        self._up: dict[str, Alarm] = {}
        self._columns: dict[tuple[str, ...], int] = {}

    def step(self, step: Step, names: Names, *, judged: bool) -> None:
        for event in step.spikes:
            if event.state == "opened":
                if judged:
                    self._open(event)
                continue
            alarm = self._up.get(event.spike_id)
            if alarm is None:
                continue  # it opened in the history
            alarm.observed_since, alarm.expected_since = event.observed_since_onset, event.expected_since_onset
            if event.state == "resolved":
                alarm.resolved_at = event.at
                del self._up[event.spike_id]
            elif event.score > alarm.telling_score:
                _look(alarm, event)
        if self._up:
            self._note_peaks(step, names)

    def _open(self, event: SpikeEvent) -> None:
        alarm = Alarm(
            spike_id=event.spike_id,
            segment=event.segment,
            onset=event.onset,
            opened_at=event.opened_at,
            resolved_at=None,
            peak_score=event.score,
            window_seconds=event.window_seconds,
            observed=event.observed,
            expected=event.expected,
            observed_since=event.observed_since_onset,
            expected_since=event.expected_since_onset,
            explanation=event.explanation,
            telling_score=event.score,
        )
        self.found.append(alarm)
        self._up[event.spike_id] = alarm

    def _note_peaks(self, step: Step, names: Names) -> None:
        for alarm in self._up.values():
            for lines, its in ((step.segments, names), (step.rollups, step.rollup_names)):
                column = self._column(alarm.segment, its)
                if column is not None:
                    alarm.peak_score = float(np.fmax(alarm.peak_score, lines.score[column]))
                    break

    def _column(self, segment: tuple[str, ...], names: Names) -> int | None:
        """Where a segment stands among thousands of names: mostly where it stood before."""
        column = self._columns.get(segment)
        if column is None or column >= len(names) or names[column] != segment:
            if segment not in names:
                return None
            column = self._columns[segment] = names.index(segment)
        return column


def _look(alarm: Alarm, event: SpikeEvent) -> None:
    """Take the event's window as the one that tells most."""
    alarm.telling_score, alarm.window_seconds = event.score, event.window_seconds
    alarm.observed, alarm.expected = event.observed, event.expected


def write_alarms(path: Path, dimensions: Sequence[str], alarms: Iterable[Alarm]) -> None:
    """alarms.csv: a row a page."""
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["spike_id", *dimensions, *COLUMNS])
    for alarm in alarms:
        rows.writerow(
            [
                alarm.spike_id,
                *alarm.segment,
                iso(alarm.onset),
                iso(alarm.opened_at),
                "" if alarm.resolved_at is None else iso(alarm.resolved_at),
                f"{alarm.peak_score:.4f}",
                alarm.observed_since,
                f"{alarm.expected_since:.4f}",
                f"{alarm.excess:.4f}",
                alarm.explanation,
            ]
        )
    content = text.getvalue().encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def iso(seconds: int) -> str:
    """'2024-11-12T02:22:00Z'."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
