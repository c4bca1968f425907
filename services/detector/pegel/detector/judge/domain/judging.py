"""The judge's state machine: counts records in, window, spike and bucket records out.

A bucket is judged once every partition has closed it; partitions are added in their order, so the order of arrival
changes nothing. What is added to a bucket judged before is passed on as a late window.
"""

from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from pegel.detector.judge.domain import challengers
from pegel.detector.judge.domain.carriers import Carriers
from pegel.detector.judge.domain.challengers import Challengers
from pegel.detector.judge.domain.customers import Customers
from pegel.detector.judge.domain.events import Events
from pegel.detector.judge.domain.feedback import Feedback
from pegel.detector.judge.domain.history import History, HistoryParts
from pegel.detector.judge.domain.judgement import Ints, Judgement, Windows
from pegel.detector.judge.domain.lines import (
    SMALL_MAX,
    CalendarCancelLine,
    CalendarLine,
    ClaimLine,
    CountsLine,
    FeedbackLine,
    HistoryEndLine,
    HistoryLine,
    PromotionLine,
    Row,
    merged,
)
from pegel.detector.judge.domain.partition import Partition
from pegel.detector.judge.domain.reading import Reading, Unreadable
from pegel.detector.judge.domain.segments import Segments
from pegel.detector.judge.domain.spikes import CLOSE_SECONDS, SpikeTracker
from pegel.detector.judge.domain.telling import Contacts, facts_of
from pegel.detector.judge.domain.writing import Writer
from pegel.schemas.base import LogRecord
from pegel.schemas.detection import Covered, WindowStatus

STATE_VERSION: Final = "judge/3"
"""Of the tree that `Judge.state` gives; a tree of another version is not restored."""
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
    false_pages_per_week: float


class Fence(Protocol):
    """Who may write: drops what an old owner writes, and what was seen (pegel.eventlog.fencing)."""

    def claim(self, producer: str, epoch: int) -> None: ...

    def passes(self, producer: str, epoch: int, output_id: tuple[int, int]) -> bool: ...


class Readable(Protocol):
    """A record of the log, as far as the judge looks at it."""

    @property
    def offset(self) -> int: ...

    @property
    def time_ms(self) -> int: ...

    @property
    def value(self) -> bytes: ...


class _Live(NamedTuple):
    """Live buckets [bucket, to) kept for a history. observed: None for a gap; whole: no partition was left out."""

    bucket: int
    to: int
    observed: NDArray[np.int32] | None = None
    whole: bool = True


class Judge:
    """The state. `apply` takes the records of counts in order; a replay gives the same outputs.

    No record makes it raise: one that can't be read is quarantined as a whole, and what is read was checked before.
    """

    def __init__(
        self,
        rules: Rules,
        epoch: int,
        make_detector: Callable[[], Any],
        fence: Fence,
        models: challengers.Rules = challengers.ALONE,
    ) -> None:
        """make_detector: a fresh judge.ports.Detector. models: which model pages, and which run beside it."""
        self._rules = rules
        self._make_detector = make_detector
        self._detector = make_detector()
        self._models = Challengers(models)
        self._fence = fence
        self._reading = Reading(
            wall=rules.clock == "wall",
            bucket_seconds=rules.bucket_seconds,
            delay_seconds=rules.delay_seconds,
            partitions=rules.partitions,
            dimensions=len(rules.dimensions),
        )
        self._partitions = [Partition() for _ in range(rules.partitions)]
        self._segments = Segments(rules.dimensions, rules.max_segments)
        self._known = 0
        # The first bucket judged is the first that begins after the log was made.
        self._first = -(-rules.made_at_ms // (rules.bucket_seconds * 1000)) if rules.clock == "wall" else None
        self._next = self._first
        self._gaps: list[tuple[int, int]] = []
        """Apart and in order."""
        self.feedback = Feedback(rules.bucket_seconds)
        self._spikes = SpikeTracker(rules.bucket_seconds, rules.false_pages_per_week, self.feedback.raised)
        self._carriers = Carriers(rules.dimensions, rules.bucket_seconds)
        self._customers = Customers(rules.bucket_seconds)
        self._closings: deque[tuple[int, int]] = deque()
        """Wall mode: (closed_to, append time in ms) of the partition that was first to close so far."""
        self._late: list[tuple[int, list[Row]]] = []
        self.events = Events(rules.bucket_seconds)
        self._history = HistoryParts()
        self._live: list[_Live] | None = []
        self.history_steps = 0
        self.unreadable = 0
        """Records quarantined so far."""
        self.refusals: list[str] = []
        self._writer = Writer(epoch, rules.bucket_seconds, self._segments)
        self._time_ms = 0

    @property
    def next_bucket(self) -> int | None:
        """The first bucket that is not judged yet."""
        return self._next

    @property
    def model(self) -> str:
        """Version of the model that pages."""
        return self._models.version(self._detector)

    @property
    def spikes_up(self) -> int:
        return len(self._spikes.up)

    @property
    def spikes_withheld(self) -> int:
        """Lines that one or two customers alone raised within the hour."""
        return len(self._spikes.withheld)

    @property
    def segments(self) -> int:
        return len(self._segments.names)

    @property
    def models(self) -> Challengers:
        return self._models

    def state(self) -> dict[str, Any]:
        """All but the fence, as a tree (pegel.detector.state): copies, so that judging may go on meanwhile."""
        return {
            "next": self._next,
            "time_ms": self._time_ms,
            "known": self._known,
            "contacts": self._writer.contacts,
            "unreadable": self.unreadable,
            "history_steps": self.history_steps,
            "segments": self._segments.state(),
            "partitions": [partition.state() for partition in self._partitions],
            "gaps": list(self._gaps),
            "closings": list(self._closings),
            "spikes": self._spikes.state(),
            "carriers": self._carriers.state(),
            "customers": self._customers.state(),
            "events": self.events.state(),
            "feedback": self.feedback.state(),
            "history": self._history.state(),
            "live": None if self._live is None else list(self._live),
            "detector": self._detector.state(),
            "models": self._models.state(),
        }

    @classmethod
    def restored(
        cls,
        rules: Rules,
        epoch: int,
        make_detector: Callable[[], Any],
        fence: Fence,
        tree: Mapping[str, Any],
        models: challengers.Rules = challengers.ALONE,
    ) -> Self:
        """A judge that goes on as the one whose state this is (the tree's arrays become its own).

        Raises KeyError, TypeError, ValueError for a tree of another version or of other rules.
        """
        judge = cls(rules, epoch, make_detector, fence, models)
        if len(tree["partitions"]) != rules.partitions:
            raise ValueError(f"a state of {len(tree['partitions'])} partitions, not {rules.partitions}")
        judge._next, judge._time_ms, judge._known = tree["next"], tree["time_ms"], tree["known"]
        judge._writer.contacts = tree["contacts"]
        judge.unreadable, judge.history_steps = tree["unreadable"], tree["history_steps"]
        judge._segments.restore(tree["segments"])
        judge._partitions = [Partition.restored(partition) for partition in tree["partitions"]]
        judge._gaps = [(start, end) for start, end in tree["gaps"]]
        judge._closings.extend((closed_to, time_ms) for closed_to, time_ms in tree["closings"])
        judge._spikes.restore(tree["spikes"])
        judge._carriers.restore(tree["carriers"])
        judge._customers.restore(tree["customers"])
        judge.events.restore(tree["events"])
        judge.feedback.restore(tree["feedback"])
        judge._history.restore(tree["history"])
        judge._live = None if tree["live"] is None else [_Live(*live) for live in tree["live"]]
        judge._detector.restore(tree["detector"])
        judge._models.restore(tree.get("models"), judge._detector, judge._segments.names)
        return judge

    def apply(self, records: Iterable[Readable]) -> list[LogRecord]:
        """Take records in order; returns what is to be appended: RejectedRecord to rejected, else to windows."""
        for record in records:
            self._writer.begin(record.offset)
            self._time_ms = max(self._time_ms, record.time_ms)
            try:
                line = self._reading.line(record.value, self._time_ms)
            except Unreadable as fault:
                self.unreadable += 1
                self._writer.unreadable(fault)
                continue
            if isinstance(line, CountsLine):
                self._take_counts(line)
                self._judge_ready()
                for opinion in self._models.take():
                    self._writer.challenger(opinion)
            elif isinstance(line, ClaimLine):
                self._fence.claim(line.producer, line.epoch)
            elif isinstance(line, PromotionLine):
                self._models.promote(line, self._next)
            elif isinstance(line, CalendarLine | CalendarCancelLine):
                self.events.take(line, self._next)
            elif isinstance(line, FeedbackLine):
                self.feedback.take(line, self._next)
            else:
                self._take_history(line)
        return self._writer.take()

    def _take_history(self, line: HistoryLine | HistoryEndLine) -> None:
        """Learn a history that is whole into a fresh detector, and then the live buckets since."""
        try:
            if isinstance(line, HistoryLine):
                if self._live is not None:  # else it would be refused at its end: its parts are not kept
                    self._history.take(line)
                return
            if self._live is None:
                raise ValueError(  # noqa: TRY301
                    f"a history is taken within {LIVE_KEPT_SECONDS // 3600} h of the first live bucket only"
                )
            history = self._history.end(line)
        except ValueError as error:
            self.refusals.append(str(error))
            return
        for segment in history.segments:
            self._segments.of(segment)
        self._detector = self._make_detector()
        self._known = 0
        self._make_known()
        self._learn(history)
        seconds = self._rules.bucket_seconds
        for live in self._live:
            if live.observed is None:
                self._detector.skip_gap(live.to - live.bucket)
                continue
            observed = np.pad(live.observed.astype(np.int64), (0, self._known - len(live.observed)))
            start = live.bucket * seconds
            factors = self.events.factors(start, self._segments.names)
            self._detector.judge(start, observed, whole=live.whole, factors=factors)
        self.feedback.again(self._segments.names, self._detector)
        self._models.relearn(self._detector, self._segments.names)

    def _learn(self, history: History) -> None:
        rows = [self._segments.of(segment) for segment in history.segments]
        until = self._live[0].bucket * self._rules.bucket_seconds if self._live else None
        for number, counts in enumerate(history.counts):
            start = history.start + number * history.step_seconds
            if until is not None and start + history.step_seconds > until:
                break  # what was seen live is not learnt twice
            observed = np.zeros(self._known, dtype=np.int64)
            np.add.at(observed, rows, counts)  # several rows are one segment beyond the limit
            self._detector.learn(start, history.step_seconds, observed)
            self.history_steps += 1

    def _make_known(self) -> None:
        """Tell the detector of segments that it doesn't know yet."""
        new = self._segments.names[self._known :]
        if new:
            self._detector.add_segments(new)
            self._known += len(new)

    def _take_counts(self, line: CountsLine) -> None:
        origin, rows = line.origin, line.additions
        if not self._fence.passes(origin.producer, origin.epoch, (origin.offset, origin.place)):
            return
        partition = self._partitions[origin.partition]
        self._customers.take(line.customers)
        late: dict[int, list[Row]] = defaultdict(list)
        for bucket, cell, contacts, handled in zip(
            rows.bucket, rows.cell, rows.contacts, rows.handled_seconds, strict=True
        ):
            judged = self._next is not None and bucket < self._next
            (late if judged else partition.pending)[bucket].append((rows.cells[cell], contacts, handled))
        self._late.extend(sorted(late.items()))
        if not line.last:
            return
        partition.closed(line, self._first)
        if self._rules.clock == "wall" and (not self._closings or line.closed_to > self._closings[-1][0]):
            self._closings.append((line.closed_to, self._time_ms))
        if self._next is None and all(p.first is not None for p in self._partitions):
            self._next = min(p.first for p in self._partitions if p.first is not None)
            for p in self._partitions:
                for bucket in sorted(its for its in p.pending if its < self._next):
                    self._late.append((bucket, p.pending.pop(bucket)))

    def _judge_ready(self) -> None:
        """Judge every bucket that all partitions have closed, or that was waited for long enough."""
        self._pass_on_late()
        while self._next is not None:
            bucket = self._next
            while self._closings and self._closings[0][0] <= bucket:
                self._closings.popleft()
            missing = tuple(n for n, p in enumerate(self._partitions) if p.closed_to is None or p.closed_to <= bucket)
            if missing and (len(missing) == len(self._partitions) or not self._waited_for_missing()):
                break
            if any(p.gap(bucket) for p in self._partitions):
                self._gap(bucket)
            else:
                self._observed(bucket, missing)
            for p in self._partitions:
                p.judged_to(self._next)
            self._pass_on_late()

    def _waited_for_missing(self) -> bool:
        """Whether the first partition to close the next bucket did so long enough ago; never in data mode."""
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
        self.feedback.hold(bucket, self._segments.names, self._detector, self._spikes)
        # A bucket that nobody saw whole is judged, and not learnt.
        factors = self.events.factors(start, self._segments.names)
        judgement: Judgement = self._detector.judge(start, np.maximum(observed, 0), whole=not missing, factors=factors)
        names = self._segments.names
        judgement = self._models.judge(
            bucket, start, np.maximum(observed, 0), judgement, names, self._detector, whole=not missing
        )
        kept = np.clip(observed, 0, SMALL_MAX).astype(np.int32)
        self._keep_live(_Live(bucket, bucket + 1, kept, whole=not missing))
        self._next = bucket + 1
        self._carriers.add(bucket, rows, numbers)
        self._customers.enter(bucket, bucket, self._segments.of)
        self._writer.window(bucket, "observed", rows, numbers, self.model, observed, judgement)
        self._writer.rollups(bucket, self.model, judgement.rollups)
        self._follow_spikes(bucket, observed, judgement)
        self._writer.bucket(bucket, bucket + 1, "observed", missing, self._covered())

    def _keep_live(self, live: _Live) -> None:
        """Keep the first live buckets for a history that may still come; after a day none is taken."""
        if self._live is None or (not self._live and live.observed is None):
            return
        self._live.append(live)
        if (live.bucket - self._live[0].bucket) * self._rules.bucket_seconds >= LIVE_KEPT_SECONDS:
            self._live = None
            self._history.drop()

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
                self._writer.window(bucket, "gap", rows, self._number(rows), self.model)
            else:
                to = filled[0] if filled else end
            self._detector.skip_gap(to - bucket)
            self._keep_live(_Live(bucket, to))
            self._remember_gap(bucket, to)
            self._next = to
            self._writer.bucket(bucket, to, "gap", (), self._covered())
            bucket = to

    def _remember_gap(self, start: int, end: int) -> None:
        if self._gaps and self._gaps[-1][1] == start:
            start = self._gaps.pop()[0]
        self._gaps.append((start, end))
        old = end - GAPS_KEPT_SECONDS // self._rules.bucket_seconds
        if self._gaps[0][1] < old:
            self._gaps = [gap for gap in self._gaps if gap[1] >= old]

    def _in_gap(self, bucket: int) -> bool:
        after = bisect_right(self._gaps, bucket, key=lambda gap: gap[0])
        return after > 0 and bucket < self._gaps[after - 1][1]

    def _pass_on_late(self) -> None:
        late, self._late = self._late, []
        for bucket, apart in late:
            rows = merged(apart)
            numbers = self._number(rows)
            status: WindowStatus = "late"
            if self._first is not None and bucket < self._first:
                status = "early"
            elif self._in_gap(bucket):
                status = "gap"
            elif self._next is not None:
                for number, (_, contacts, _) in zip(numbers, rows, strict=True):
                    self._detector.add_late(self._next - bucket, number, contacts)
                    self._spikes.add_late(self._segments.names[number], bucket * self._rules.bucket_seconds, contacts)
                self._carriers.add(bucket, rows, numbers)
            self._writer.window(bucket, status, rows, numbers, self.model)
        if self._next is not None:
            for bucket in self._customers.waiting(self._next):
                if (self._first is not None and bucket < self._first) or self._in_gap(bucket):
                    self._customers.drop(bucket)
                else:
                    self._customers.enter(bucket, self._next - 1, self._segments.of)

    def _number(self, rows: list[Row]) -> list[int]:
        """Segment numbers of the rows; new segments are made known to the detector."""
        numbers = [self._segments.number(cell) for cell, _, _ in rows]
        self._make_known()
        return numbers

    def _follow_spikes(self, bucket: int, observed: Ints, judgement: Judgement) -> None:
        end = (bucket + 1) * self._rules.bucket_seconds
        names, seconds, detector = self._segments.names, self._rules.bucket_seconds, self._detector
        number_of, quiet = self._segments.of, self.events.quiet

        def are_few(line: tuple[str, ...], windows: Windows, window: int) -> bool:
            return self._customers.are_few([number_of(n) for n in detector.members(line)], end, windows, window)

        for state, spike in self._spikes.follow(end, names, observed, judgement, detector, quiet, are_few):
            at = min(end, spike.last_above + CLOSE_SECONDS) if state == "resolved" else end
            contacts = Contacts(self._carriers, self._customers, number_of, self._spikes.up, judgement.rollups)
            facts = facts_of(spike, detector, self._rules.dimensions, seconds, end=end, contacts=contacts)
            events = self.events.names(end - seconds, detector.members(spike.line))
            raised = self.feedback.raised.get(spike.line)
            self._writer.spike(state, spike, facts, at, self.model, events=events, bar_raised=raised)

    def _covered(self) -> tuple[Covered, ...]:
        return tuple(p.covered for p in self._partitions if p.covered is not None)
