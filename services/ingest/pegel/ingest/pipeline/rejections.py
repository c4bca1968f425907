"""What was rejected, read back from the log: by ingest itself, and later by counter and judge. Nothing is stored here.

Of counter and judge a reader takes what their rightful owner wrote, once (pegel.eventlog.fencing). The fence is filled
by the records that are read: a claim that stands before them is known by the epoch of what follows it.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from pegel.eventlog.fencing import Fence, Seen, head
from pegel.eventlog.port import REJECTED, Bounds, EventLog, LogUnavailable, PositionOutOfRange, Reader, Record
from pegel.ingest import metrics
from pegel.schemas.rejected import FieldError, RejectedEntry, RejectedPage, RejectedReason

LOOKED_AT_MAX: Final = 20_000
"""Records that one question may take."""
LOOK_BACK: Final = 1_000
"""Records before a cursor that are read for the fence: copies stand close to one another."""
FETCH_RECORDS: Final = 2_000
"""So many are looked at before others have their turn."""
_NOTHING: Final = (-1, -1)
_CLAIM_HEAD: Final = b'{"kind":"claim"'


class BusyError(Exception):
    """Too many wait to read."""


@dataclass(frozen=True, slots=True)
class Question:
    """Which items; without cursor the newest first.

    source: None: everybody's. cursor: from this offset on, the oldest first. before: nothing from this offset on.
    """

    limit: int = 100
    source: str | None = None
    reason: RejectedReason | None = None
    since: datetime | None = None
    cursor: int | None = None
    before: int | None = None


class _Error(msgspec.Struct):
    field: str
    reason: str


class _Origin(msgspec.Struct):
    producer: str
    epoch: int
    offset: int
    place: int


class _Line(msgspec.Struct):
    """What is read of a record: not its `item`."""

    kind: Literal["rejected"]
    v: Literal[1]
    reason: RejectedReason
    what: Literal["contact", "amendment", "tick", "record"]
    errors: list[_Error]
    source: str | None = None
    event_id: str | None = None
    amendment_id: str | None = None
    partition: int | None = None
    offset: int | None = None
    origin: _Origin | None = None


_decode: Final = msgspec.json.Decoder(_Line).decode


@dataclass(slots=True)
class Sieve:
    """Keeps of the stream, in order, what a question asks for. first: the offset from which on items are kept."""

    question: Question
    first: int
    found: list[tuple[int, int, _Line]] = field(default_factory=list)
    """Offset, time and line."""
    _fence: Fence = field(default_factory=Fence)

    def look(self, record: Record) -> None:
        """Take the next record."""
        try:
            if record.value.startswith(_CLAIM_HEAD):
                claim = head(record.value)
                if claim.producer is not None and claim.epoch is not None:
                    self._fence.claim(claim.producer, claim.epoch)
                return
            line = _decode(record.value)
        except msgspec.DecodeError:
            return  # of another version, or none of ours
        if line.origin is not None and not self._passes(line.origin):
            return
        if record.offset >= self.first and self._asked(record, line):
            self.found.append((record.offset, record.time_ms, line))

    def _passes(self, origin: _Origin) -> bool:
        producer, epoch = origin.producer, origin.epoch
        known = self._fence.seen.get(producer)
        if known is not None and epoch > known.epoch:
            # Its claim stands before all that was read, so what was read of the producer until now is a zombie's.
            self.found = [each for each in self.found if each[2].origin is None or each[2].origin.producer != producer]
            self._fence.seen[producer] = Seen(epoch, _NOTHING)
        return self._fence.passes(producer, epoch, (origin.offset, origin.place))

    def _asked(self, record: Record, line: _Line) -> bool:
        asked = self.question
        return (
            (asked.source is None or line.source == asked.source)
            and (asked.reason is None or line.reason == asked.reason)
            and (asked.since is None or record.time_ms >= asked.since.timestamp() * 1000)
        )


class Rejections:
    """Answers questions one at a time, each with a bounded amount of work. Close it before its log."""

    def __init__(self, events: EventLog, deadline_seconds: float, waiting_max: int = 16) -> None:
        self._events, self._deadline_seconds, self._waiting_max = events, deadline_seconds, waiting_max
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._reader: Reader | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def page(self, question: Question) -> RejectedPage:
        """Raises BusyError; LogUnavailable, at the latest when the deadline is over."""
        if self._waiting >= self._waiting_max:
            raise BusyError
        self._waiting += 1
        try:
            async with asyncio.timeout(self._deadline_seconds), self._turn:
                return await self._page(question)
        except TimeoutError:
            raise LogUnavailable(f"stream {REJECTED} was not read within {self._deadline_seconds:g} s") from None
        except PositionOutOfRange as error:  # what is kept changed while it was read
            raise LogUnavailable(str(error)) from None
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        self._drop()
        await asyncio.gather(*self._closing)

    def _drop(self) -> None:
        """Let go of the reader; nobody waits until it is closed, which takes a while with the log away."""
        reader, self._reader = self._reader, None
        if reader is not None:
            task = asyncio.create_task(reader.close(), name="close the reader of rejected")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def _page(self, question: Question) -> RejectedPage:
        bounds = (await self._events.bounds(REJECTED))[0]
        if question.before is not None:
            bounds = Bounds(bounds.begin, min(max(question.before, bounds.begin), bounds.end))
        if question.cursor is None:
            return await self._newest(question, bounds)
        first = min(max(question.cursor, bounds.begin), bounds.end)
        sieve = Sieve(question, first)
        begin, end = max(first - LOOK_BACK, bounds.begin), min(first + LOOKED_AT_MAX, bounds.end)
        # Nothing is read where nothing came: that is what a sender that polls is told most of the time.
        looked_to = await self._read(sieve, begin, end, oldest=True) if first < end else first
        found = sieve.found
        if len(found) > question.limit:
            found = found[: question.limit]
            looked_to = found[-1][0] + 1
        return RejectedPage(items=tuple(_entries(found)), next=looked_to, older=first if first > bounds.begin else None)

    async def _newest(self, question: Question, bounds: Bounds) -> RejectedPage:
        begin, end = max(bounds.end - LOOKED_AT_MAX, bounds.begin), bounds.end
        sieve = Sieve(question, begin)
        if begin < end:
            await self._read(sieve, begin, end, oldest=False)
        found = sieve.found[-question.limit :]
        rest = len(sieve.found) > len(found)
        older = found[0][0] if rest else begin if begin > bounds.begin else None
        return RejectedPage(items=tuple(_entries(reversed(found))), next=end, older=older)

    async def _read(self, sieve: Sieve, begin: int, end: int, *, oldest: bool) -> int:
        """Look at the records from begin on, up to end or (oldest) until more than the limit are found; where it ended.

        The caller sets the deadline.
        """
        try:
            reader = self._reader
            if reader is None:
                reader = self._reader = self._events.reader(REJECTED, {0: begin})
            else:
                reader.seek(0, begin)
            at = begin
            while at < end:
                records = (await reader.fetch(max_records=min(FETCH_RECORDS, end - at))).get(0, ())
                metrics.REJECTED_LOOKED_AT.inc(len(records))
                for record in records:
                    at = record.offset + 1
                    if record.offset < end:
                        sieve.look(record)
                if len(sieve.found) > sieve.question.limit:
                    if oldest:
                        break
                    del sieve.found[: -sieve.question.limit - 1]  # the one more says that there are older ones
            return min(at, end)
        except BaseException:
            self._drop()  # nobody knows where it stands
            raise


def _entries(found: Iterable[tuple[int, int, _Line]]) -> Iterable[RejectedEntry]:
    for _, time_ms, line in found:
        yield RejectedEntry(
            time=datetime.fromtimestamp(time_ms / 1000, UTC),
            reason=line.reason,
            what=line.what,
            source=line.source,
            event_id=line.event_id,
            amendment_id=line.amendment_id,
            errors=tuple(FieldError(field=error.field, reason=error.reason) for error in line.errors),
            partition=line.partition,
            offset=line.offset,
        )
