"""Reads a record of counts: whole and within bounds, or not at all. What is taken afterwards can't fail."""

from dataclasses import dataclass
from typing import Any, Final

import msgspec
from pydantic import ValidationError

from pegel.detector.judge.domain.lines import (
    CalendarCancelLine,
    CalendarLine,
    ClaimLine,
    CountsLine,
    CustomersLine,
    FeedbackLine,
    HeadLine,
    HistoryEndLine,
    HistoryLine,
    PromotionLine,
)
from pegel.schemas.detection import CUSTOMERS_MAX, HASH_BYTES, PartitionTotals

DAY: Final = 86_400
AHEAD_SECONDS_MAX: Final = DAY
"""Wall mode: how far beyond the log's time a closed bucket may end; more than the clocks of two brokers differ."""
OBSERVED_SECONDS_MAX: Final = 2 * DAY
"""A record closes fewer buckets than this that are no gap: what skips a day is one."""
SECONDS_END: Final = 7_258_118_400
"""2200-01-01: times that come from outside lie before it."""


class Unreadable(Exception):  # noqa: N818 (what it is of the record)
    """The record is quarantined. field: where the fault is; the text says which, without the value."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


Line = (
    CountsLine
    | ClaimLine
    | HistoryLine
    | HistoryEndLine
    | PromotionLine
    | CalendarLine
    | CalendarCancelLine
    | FeedbackLine
)
_head = msgspec.json.Decoder(HeadLine)
_decoders: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    "counts": msgspec.json.Decoder(CountsLine),
    "claim": msgspec.json.Decoder(ClaimLine),
    "history": msgspec.json.Decoder(HistoryLine),
    "history_end": msgspec.json.Decoder(HistoryEndLine),
    "promotion": msgspec.json.Decoder(PromotionLine),
    "calendar": msgspec.json.Decoder(CalendarLine),
    "calendar_cancel": msgspec.json.Decoder(CalendarCancelLine),
    "feedback": msgspec.json.Decoder(FeedbackLine),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """What a record may say in this log. dimensions: their number."""

    wall: bool
    bucket_seconds: int
    delay_seconds: int
    partitions: int
    dimensions: int

    def line(self, value: bytes, time_ms: int) -> Line:
        """The record. time_ms: the log's time. Raises Unreadable."""
        try:
            head = _head.decode(value)
            if head.v != 1:
                raise Unreadable("v", f"version {str(head.v)[:20]} is not known")
            if head.kind not in _decoders:
                raise Unreadable("kind", "this kind does not belong on counts")
            line: Line = _decoders[head.kind].decode(value)
        except RecursionError:
            raise Unreadable("record", "nested too deeply") from None
        except ValueError as error:  # msgspec's are
            reason, _, field = str(error).partition(" - at `$.")
            raise Unreadable(field.rstrip("`") or "record", reason) from None
        if isinstance(line, CountsLine):
            self._check_counts(line, time_ms)
        elif isinstance(line, ClaimLine):
            self._check_producer("producer", line.producer)
        elif isinstance(line, HistoryLine):
            self._check_history(line)
        elif isinstance(line, PromotionLine) and line.bucket * self.bucket_seconds > SECONDS_END:
            raise Unreadable("bucket", "lies after 2199")
        elif isinstance(line, CalendarLine):
            self._check_calendar(line)
        elif isinstance(line, FeedbackLine):
            self._check_feedback(line, time_ms)
        return line

    def _check_producer(self, field: str, producer: str) -> None:
        if not any(producer == f"counter/{number}" for number in range(self.partitions)):
            raise Unreadable(field, "is no counter of this log")

    def _check_counts(self, line: CountsLine, time_ms: int) -> None:
        origin, rows = line.origin, line.additions
        if origin.partition >= self.partitions:
            raise Unreadable("origin.partition", f"the log has {self.partitions} partitions")
        if origin.producer != f"counter/{origin.partition}":
            raise Unreadable("origin.producer", "is not the counter of the partition")
        gap = 0
        if line.gap_from < line.gap_to:
            gap = line.gap_to - line.gap_from
            if line.gap_from < line.closed_from or line.gap_to > line.closed_to:
                raise Unreadable("gap_to", "the gap does not lie within what is closed")
        if not 0 <= line.closed_from <= line.closed_to:
            raise Unreadable("closed_to", "closes no range of buckets")
        seconds = self.bucket_seconds
        if line.closed_to * seconds > SECONDS_END or (
            self.wall and (line.closed_to * seconds - AHEAD_SECONDS_MAX) * 1000 > time_ms
        ):
            raise Unreadable("closed_to", "closes buckets of the future")
        if (line.closed_to - line.closed_from - gap) * seconds > OBSERVED_SECONDS_MAX + self.delay_seconds:
            raise Unreadable("closed_to", "closes more at once than a counter does")
        if not len(rows.bucket) == len(rows.cell) == len(rows.contacts) == len(rows.handled_seconds):
            raise Unreadable("additions", "the columns differ in length")
        if rows.bucket and not 0 <= min(rows.bucket) <= max(rows.bucket) < line.closed_to:
            raise Unreadable("additions.bucket", "is not of the buckets closed, nor earlier")
        if rows.cell and not 0 <= min(rows.cell) <= max(rows.cell) < len(rows.cells):
            raise Unreadable("additions.cell", "is no number of a cell")
        if line.customers is not None:
            self._check_customers(line.customers, line.closed_to)
        try:
            PartitionTotals(**line.totals)
        except (ValidationError, TypeError):
            raise Unreadable("totals", "are not those of a partition") from None

    def _check_customers(self, rows: CustomersLine, closed_to: int) -> None:
        if not len(rows.bucket) == len(rows.segment) == len(rows.contacts) == len(rows.hashes):
            raise Unreadable("customers", "the columns differ in length")
        if rows.bucket and not 0 <= min(rows.bucket) <= max(rows.bucket) < closed_to:
            raise Unreadable("customers.bucket", "is not of the buckets closed, nor earlier")
        if any(len(segment) != self.dimensions for segment in rows.segment):
            raise Unreadable("customers.segment", f"the log has {self.dimensions} dimensions")
        for contacts, hashes in zip(rows.contacts, rows.hashes, strict=True):
            customers, rest = divmod(len(hashes), HASH_BYTES)
            if rest or not 1 <= customers <= min(contacts, CUSTOMERS_MAX):
                raise Unreadable("customers.hashes", "are not those of a segment's bucket")

    def _check_history(self, line: HistoryLine) -> None:
        if len(line.segments) != len(line.counts):
            raise Unreadable("counts", "not a row for each segment")
        if any(len(segment) != self.dimensions for segment in line.segments):
            raise Unreadable("segments", f"the log has {self.dimensions} dimensions")
        steps = max((len(row) for row in line.counts), default=0)
        start = line.start.timestamp()
        if start < 0 or start + steps * line.step_seconds > SECONDS_END:
            raise Unreadable("start", "lies outside 1970 to 2199")

    def _check_calendar(self, line: CalendarLine) -> None:
        if len(line.line) != self.dimensions:
            raise Unreadable("line", f"the log has {self.dimensions} dimensions")
        if not 0 <= line.since.timestamp() < line.until.timestamp() <= SECONDS_END:
            raise Unreadable("until", "is not after since, or they lie outside 1970 to 2199")
        if (line.factor is None) == line.paging:
            raise Unreadable("factor", "an event has either a factor or no paging")

    def _check_feedback(self, line: FeedbackLine, time_ms: int) -> None:
        start = line.bucket * self.bucket_seconds
        if not 0 <= start <= SECONDS_END or (self.wall and (start - AHEAD_SECONDS_MAX) * 1000 > time_ms):
            raise Unreadable("bucket", "is of the future, or before 1970")
        if line.verdict == "undo":
            if line.undoes is None:
                raise Unreadable("undoes", "names nothing to undo")
            return
        if len(line.segment) != self.dimensions:
            raise Unreadable("segment", f"the log has {self.dimensions} dimensions")
        if line.verdict == "new_normal" and (line.since is None or not 0 <= line.since.timestamp() <= SECONDS_END):
            raise Unreadable("since", "says not from when on it is normal")
