"""The judge's state machine: counts records in, window, spike and bucket records out.

A bucket is judged once every partition has closed it; partitions are added in their order, so the order of arrival
changes nothing. What is added to a bucket judged before is passed on as a late window.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, Protocol

import msgspec
import numpy as np

from pegel.detector.judge.domain.history import History, HistoryParts
from pegel.detector.judge.domain.judgement import Ints, Judgement
from pegel.detector.judge.domain.lines import ClaimLine, CountsLine, Row, merged
from pegel.detector.judge.domain.segments import Segments
from pegel.detector.judge.domain.spikes import CLOSE_SECONDS, SpikeTracker
from pegel.detector.judge.domain.writing import Writer
from pegel.schemas.base import LogRecord
from pegel.schemas.detection import Covered, PartitionTotals, WindowStatus

MISSING_MS: Final = 60_000
"""Wall mode: a partition that has not closed a bucket this long (append time) after the first one did is left out."""
LIVE_KEPT_SECONDS: Final = 86_400
"""How long live buckets are kept for a history that comes after them."""
GAPS_KEPT_SECONDS: Final = 35 * 86_400
"""Gaps are remembered as long as a late contact may come (ingest's age limit)."""


class In(NamedTuple):
    """A record of the stream counts as the judge takes it."""

    offset: int
    time_ms: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Rules:
    """What was chosen when the log was made, and how many segments are kept apart."""

    clock: Literal["wall", "data"]
    bucket_seconds: int
    delay_seconds: int
    partitions: int
    dimensions: tuple[str, ...]
    made_at_ms: int
    max_segments: int


class Fence(Protocol):
    """Who may write: drops what an old owner writes, and what was seen (pegel.eventlog.fencing)."""

    def claim(self, producer: str, epoch: int) -> None: ...

    def passes(self, producer: str, epoch: int, output_id: tuple[int, int]) -> bool: ...


_counts = msgspec.json.Decoder(CountsLine)
_claim = msgspec.json.Decoder(ClaimLine)


@dataclass(slots=True)
class _Partition:
    first: int | None = None
    closed_to: int | None = None
    gaps: list[tuple[int, int]] = field(default_factory=list)
    pending: dict[int, list[Row]] = field(default_factory=lambda: defaultdict(list))
    covered: Covered | None = None

    def gap(self, bucket: int) -> bool:
        return any(start <= bucket < end for start, end in self.gaps)


class Judge:
    """The state. `apply` takes the records of counts in order; a replay gives the same outputs."""

    def __init__(
        self,
        rules: Rules,
        epoch: int,
        make_detector: Callable[[], Any],
        fence: Fence,
    ) -> None:
        """make_detector: a fresh judge.ports.Detector."""
        self._rules = rules
        self._make_detector = make_detector
        self._detector = make_detector()
        self._fence = fence
        self._partitions = [_Partition() for _ in range(rules.partitions)]
        self._segments = Segments(rules.dimensions, rules.max_segments)
        self._known = 0
        # The first bucket judged is the first that begins after the log was made.
        self._first = -(-rules.made_at_ms // (rules.bucket_seconds * 1000)) if rules.clock == "wall" else None
        self._next = self._first
        self._gaps: deque[tuple[int, int]] = deque()
        self._spikes = SpikeTracker(rules.bucket_seconds)
        self._closings: deque[tuple[int, int]] = deque()
        """(closed_to, append time in ms) of the partition that was first to close so far."""
        self._late: list[tuple[int, list[Row]]] = []
        self._history = HistoryParts()
        self._live: list[tuple[int, Ints, Ints | None]] | None = []
        self.history_steps = 0
        self.refusals: list[str] = []
        self._writer = Writer(epoch, rules.bucket_seconds, self._segments)
        self._time_ms = 0

    @property
    def next_bucket(self) -> int | None:
        """The first bucket that is not judged yet."""
        return self._next

    @property
    def spikes_up(self) -> int:
        return len(self._spikes.up)

    @property
    def segments(self) -> int:
        return len(self._segments.names)

    def apply(self, records: Iterable[tuple[In, str]]) -> list[LogRecord]:
        """Take records (with their kind) in order; returns what is to be appended to windows, in order."""
        for record, kind in records:
            self._writer.begin(record.offset)
            self._time_ms = max(self._time_ms, record.time_ms)
            if kind == "counts":
                self._take_counts(record.value)
                self._judge_ready()
            elif kind == "claim":
                claim = _claim.decode(record.value)
                self._fence.claim(claim.producer, claim.epoch)
            elif kind in ("history", "history_end"):
                self._take_history(kind, record.value)
        return self._writer.take()

    def _take_history(self, kind: str, value: bytes) -> None:
        """Learn a history that is whole into a fresh detector, and then the live buckets since."""
        try:
            history = self._history.take(kind, value)
        except ValueError as error:
            self.refusals.append(str(error))
            return
        if history is None:
            return
        if self._live is None:
            self.refusals.append(
                f"a history is taken within {LIVE_KEPT_SECONDS // 3600} h of the first live bucket only"
            )
            return
        for segment in history.segments:
            self._segments.of(segment)
        self._detector = self._make_detector()
        self._known = 0
        self._make_known()
        self._learn(history)
        seconds = self._rules.bucket_seconds
        for bucket, observed, skip in self._live:
            whole = np.pad(observed, (0, self._known - len(observed)))
            self._detector.judge(bucket * seconds, whole)
            self._detector.learn(bucket * seconds, seconds, whole, skip=skip)

    def _learn(self, history: History) -> None:
        rows = [self._segments.of(segment) for segment in history.segments]
        until = self._live[0][0] * self._rules.bucket_seconds if self._live else None
        for number, counts in enumerate(history.counts):
            start = history.start + number * history.step_seconds
            if until is not None and start + history.step_seconds > until:
                break  # what was seen live is not learnt twice
            observed = np.zeros(self._known, dtype=np.int64)
            observed[rows] = counts
            self._detector.learn(start, history.step_seconds, observed)
            self.history_steps += 1

    def _make_known(self) -> None:
        """Tell the detector of segments that it doesn't know yet."""
        new = self._segments.names[self._known :]
        if new:
            self._detector.add_segments(new)
            self._known += len(new)

    def _take_counts(self, value: bytes) -> None:
        line = _counts.decode(value)
        if not self._fence.passes(line.origin.producer, line.origin.epoch, (line.origin.offset, line.origin.place)):
            return
        partition = self._partitions[line.origin.partition]
        rows = line.additions
        late: dict[int, list[Row]] = defaultdict(list)
        for bucket, cell, contacts, handled in zip(
            rows.bucket, rows.cell, rows.contacts, rows.handled_seconds, strict=True
        ):
            judged = bucket < self._next if self._next is not None else bucket < line.closed_from
            (late if judged else partition.pending)[bucket].append((rows.cells[cell], contacts, handled))
        if not line.last:
            self._late.extend(sorted(late.items()))
            return
        if partition.first is None:
            partition.first = partition.closed_to = line.closed_from
        if line.gap_from < line.gap_to:
            partition.gaps.append((line.gap_from, line.gap_to))
        partition.closed_to = max(partition.closed_to or 0, line.closed_to)
        if not self._closings or line.closed_to > self._closings[-1][0]:
            self._closings.append((line.closed_to, self._time_ms))
        partition.covered = Covered(
            partition=line.origin.partition, offset=line.origin.offset, totals=PartitionTotals(**line.totals)
        )
        self._late.extend(sorted(late.items()))
        if self._next is None and all(p.first is not None for p in self._partitions):
            self._next = min(p.first for p in self._partitions if p.first is not None)

    def _judge_ready(self) -> None:
        """Judge every bucket that all partitions have closed, or that was waited for long enough."""
        self._pass_on_late()
        while self._next is not None:
            bucket = self._next
            missing = tuple(n for n, p in enumerate(self._partitions) if p.closed_to is None or p.closed_to <= bucket)
            if missing and (len(missing) == len(self._partitions) or not self._waited_for(bucket)):
                return
            if any(p.gap(bucket) for p in self._partitions):
                self._gap(bucket)
            else:
                self._observed(bucket, missing)
            for p in self._partitions:
                p.gaps = [g for g in p.gaps if g[1] > self._next]
            while self._gaps and (self._next - self._gaps[0][1]) * self._rules.bucket_seconds > GAPS_KEPT_SECONDS:
                self._gaps.popleft()
            self._pass_on_late()

    def _waited_for(self, bucket: int) -> bool:
        if self._rules.clock != "wall":
            return False
        while self._closings and self._closings[0][0] <= bucket:
            self._closings.popleft()
        return bool(self._closings) and self._time_ms >= self._closings[0][1] + MISSING_MS

    def _collect(self, bucket: int) -> list[Row]:
        rows: list[Row] = []
        for p in self._partitions:  # in partition order, whatever came first
            rows.extend(p.pending.pop(bucket, ()))
        return merged(rows)

    def _observed(self, bucket: int, missing: tuple[int, ...]) -> None:
        rows = self._collect(bucket)
        numbers = self._number(rows)
        observed = np.zeros(self._known, dtype=np.int64)
        np.add.at(observed, numbers, [row[1] for row in rows])
        start = bucket * self._rules.bucket_seconds
        judgement: Judgement = self._detector.judge(start, np.maximum(observed, 0))
        spiking = sorted(self._spikes.up)
        skip = np.array(spiking, dtype=np.int64) if spiking else None
        self._keep_live(bucket, observed, skip)
        # An incident is not learnt, and neither is a bucket that nobody saw whole.
        if not missing:
            self._detector.learn(start, self._rules.bucket_seconds, np.maximum(observed, 0), skip=skip)
        self._next = bucket + 1
        self._writer.window(bucket, "observed", rows, numbers, self._detector.version, observed, judgement)
        self._follow_spikes(bucket, observed, judgement)
        self._writer.bucket(bucket, bucket + 1, "observed", missing, self._covered())

    def _keep_live(self, bucket: int, observed: Ints, skip: Ints | None) -> None:
        """Keep the first live buckets for a history that may still come."""
        if self._live is None:
            return
        self._live.append((bucket, observed, skip))
        if (bucket - self._live[0][0]) * self._rules.bucket_seconds >= LIVE_KEPT_SECONDS:
            self._live = None

    def _gap(self, bucket: int) -> None:
        """A gap: what was counted is passed on and charged; a run of empty gaps is one record."""
        assert self._next is not None  # noqa: S101
        end = min([g[1] for p in self._partitions for g in p.gaps if g[0] <= bucket < g[1]], default=bucket + 1)
        end = max(bucket + 1, min(end, *(p.closed_to or bucket + 1 for p in self._partitions)))
        filled = sorted({b for p in self._partitions for b in p.pending if bucket <= b < end})
        while bucket < end:
            if filled and filled[0] == bucket:
                to = bucket + 1
                filled.pop(0)
                rows = self._collect(bucket)
                self._writer.window(bucket, "gap", rows, self._number(rows), self._detector.version)
            else:
                to = filled[0] if filled else end
            self._detector.skip_gap(to - bucket)
            self._gaps.append((bucket, to))
            self._next = to
            self._writer.bucket(bucket, to, "gap", (), self._covered())
            bucket = to

    def _pass_on_late(self) -> None:
        late, self._late = self._late, []
        for bucket, apart in late:
            rows = merged(apart)
            numbers = self._number(rows)
            status: WindowStatus = "late"
            if self._first is not None and bucket < self._first:
                status = "early"
            elif any(start <= bucket < end for start, end in self._gaps):
                status = "gap"
            elif self._next is not None:
                for number, (_, contacts, _) in zip(numbers, rows, strict=True):
                    self._detector.add_late(self._next - bucket, number, contacts)
                    self._spikes.add_late(number, bucket * self._rules.bucket_seconds, contacts)
            self._writer.window(bucket, status, rows, numbers, self._detector.version)

    def _number(self, rows: list[Row]) -> list[int]:
        """Segment numbers of the rows; new segments are made known to the detector."""
        numbers = [self._segments.number(cell) for cell, _, _ in rows]
        self._make_known()
        return numbers

    def _follow_spikes(self, bucket: int, observed: Ints, judgement: Judgement) -> None:
        end = (bucket + 1) * self._rules.bucket_seconds
        for state, spike in self._spikes.follow(end, observed, judgement, self._detector.recent, self._name):
            at = min(end, spike.last_above + CLOSE_SECONDS) if state == "resolved" else end
            self._writer.spike(state, spike, at, self._detector.version)

    def _covered(self) -> tuple[Covered, ...]:
        return tuple(p.covered for p in self._partitions if p.covered is not None)

    def _name(self, row: int) -> str:
        return "/".join(self._segments.names[row])
