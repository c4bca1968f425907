"""The loop that applies buckets to the database: effect and position in one transaction, moved by compare-and-set."""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, Protocol

from sqlalchemy import Connection

from pegel.alerter import metrics
from pegel.alerter.database import Database, DatabaseLocked, DatabaseUnavailable, positions, quarantine
from pegel.alerter.database.positions import NotInCharge, OtherLog, Position
from pegel.alerter.database.quarantine import PassedOver
from pegel.alerter.windows.buckets import Assembler, Bucket, LogEnd, Unreadable
from pegel.alerter.windows.tail import Tail
from pegel.eventlog.identity import accepted_losses, loss_to_accept
from pegel.eventlog.port import WINDOWS, Bounds, EventLog, LogUnavailable, PositionOutOfRange, Reader, Record
from pegel.runtime import logs
from pegel.runtime.errors import OperationalError
from pegel.runtime.probes import Probe
from pegel.runtime.settings import ConfigurationError

BUCKETS_MAX: Final = 200
"""Buckets in one transaction, at most."""
RECORDS_MAX: Final = 2_000
"""Records fetched at once: what is applied before the loop looks whether it should stop."""
BACK_OFF_SECONDS: Final = (0.5, 1.0, 2.0, 5.0, 10.0)

log = logs.get(__name__)


class Effect(Protocol):
    """What a part makes of buckets, in the transaction that moves its position. `now` is the alerter's own clock."""

    def __call__(
        self, connection: Connection, buckets: Sequence[Bucket], now: datetime, end: LogEnd | None = None
    ) -> None: ...


class TooManyUnreadable(OperationalError):  # noqa: N818
    """More records were passed over than is borne: something is wrong that passing over does not mend."""


class Consumer:
    """One reader of windows: `incidents` or `ledger`.

    now: the wall clock. applied: called in the event loop after each commit with the number of buckets.
    standby_seconds: how often one that is not in charge looks; after three looks at a position that stands still
    although there is more to read, it tries to take over. unreadable_max: records that may be passed over since the
    start. withhold_after: when it begins further behind the log's end than this, its position says so.
    """

    def __init__(
        self,
        name: str,
        *,
        log: EventLog,
        log_id: str,
        database: Database,
        effect: Effect,
        kinds: Collection[str],
        probe: Probe,
        now: Callable[[], datetime],
        applied: Callable[[int], None] = lambda _: None,
        standby_seconds: float = 3.0,
        unreadable_max: int = 100,
        withhold_after: timedelta | None = None,
    ) -> None:
        self.name, self.position = name, Position()
        self._log, self._log_id, self._database, self._effect, self._kinds = log, log_id, database, effect, kinds
        self._probe, self._now, self._applied, self._standby_seconds = probe, now, applied, standby_seconds
        self._unreadable_max, self._withhold_after = unreadable_max, withhold_after
        self._loaded = False
        self._failures = 0
        self._unreadable: set[int] = set()

    async def open(self) -> None:
        """Find the position. Raises ConfigurationError (another log, a position the log has not), and what is away."""
        try:
            self.position = await self._database.call(self._start)
        except OtherLog as error:
            raise ConfigurationError(
                [
                    f"PEGEL_DATABASE_URL={self._database.shown}: the database belongs to log {error.found}, "
                    f"the log at PEGEL_LOG_URL is {error.expected}: name the log of this database, or a database of "
                    "its own for this log"
                ]
            ) from None
        bounds = (await self._log.bounds(WINDOWS))[0]
        if self.position.next_offset > bounds.end:
            raise ConfigurationError([self._ahead(bounds)])
        if self.position.next_offset < bounds.begin:
            await self._pass_over_loss(bounds)
        if self._withhold_after is not None and self.position.next_offset < bounds.end:
            await self._look_how_far_behind(bounds, self._withhold_after)
        self._loaded = True

    async def run(self, stop: asyncio.Event) -> None:
        """Until stop is set; what is away is waited for.

        Raises ConfigurationError (its position is lost), TooManyUnreadable.
        """
        while not stop.is_set():
            try:
                if not self._loaded:
                    await self.open()
                await self._lead(stop)
            except NotInCharge:
                await self._stand_by(stop)
            except PositionOutOfRange as error:
                if error.offset >= error.begin:
                    raise ConfigurationError([self._ahead(Bounds(error.begin, error.end))]) from None
                # The log forgot what was not read yet; `open` says whether that is accepted.
            except (DatabaseUnavailable, LogUnavailable) as error:
                what = "database" if isinstance(error, DatabaseUnavailable) else "log"
                self._probe.dependency(what, str(error))
                log.warning("waiting", consumer=self.name, dependency=what, reason=str(error))
                if isinstance(error, DatabaseLocked):
                    await self._end_stalled()
                await sleep(stop, BACK_OFF_SECONDS[min(self._failures, len(BACK_OFF_SECONDS) - 1)])
                self._failures += 1
                # Waiting for what is away is all that can be done: a restart would mend nothing.
                self._probe.progress(self.name)
            # Whatever was read beyond the position is forgotten: it is read again from what the database says.
            self._loaded = False

    def _start(self) -> Position:
        with self._database.write() as connection:
            return positions.start(connection, self.name, self._log_id)

    async def _pass_over_loss(self, bounds: Bounds) -> None:
        """Go on from the log's begin if what is gone was accepted as lost. Raises ConfigurationError otherwise."""
        before = self.position
        if (await accepted_losses(self._log)).get((WINDOWS, 0), 0) < bounds.begin:
            told = loss_to_accept(WINDOWS, 0, before.next_offset, bounds.begin)
            raise ConfigurationError([f"the position of {self.name} is lost: {told}"])
        lost = PassedOver(
            self.name, WINDOWS, 0, before.next_offset, bounds.begin, "lost", "accepted by `pegel log accept-loss`"
        )
        to = replace(before, next_offset=bounds.begin)

        def move() -> None:
            with self._database.write() as connection:
                positions.move(connection, self.name, self._log_id, before.next_offset, to)
                quarantine.note(connection, [lost], self._now())

        await self._database.call(move)
        log.error("passed_over_loss", consumer=self.name, offset=before.next_offset, next_offset=bounds.begin)
        self.position = to

    async def _look_how_far_behind(self, bounds: Bounds, withhold_after: timedelta) -> None:
        """Before anything is applied or sent: far behind, the position says so, and no page leaves."""
        tail = Tail(self._log)
        try:
            first = await tail.record_time_ms(self.position.next_offset)
            newest = await tail.time_ms(bounds.end)
        finally:
            await tail.close()
        if first is not None and newest - first > withhold_after.total_seconds() * 1000:

            def withhold() -> None:
                with self._database.write() as connection:
                    if positions.load(connection, self.name) == self.position:  # else another has come further
                        positions.set_catching_up(connection, self.name, True)

            await self._database.call(withhold)

    async def _lead(self, stop: asyncio.Event) -> None:
        assembler = Assembler(self.position.seen or {}, self._kinds)
        reader, tail = self._log.reader(WINDOWS, {0: self.position.next_offset}), Tail(self._log)
        metrics.IN_CHARGE.labels(self.name).set(1)
        try:
            while not stop.is_set():
                records = await _fetch(reader, stop)
                end = (await self._log.bounds(WINDOWS))[0].end
                if records:
                    reached = records[-1].offset + 1 >= end
                    time_ms = records[-1].time_ms if reached else await tail.time_ms(end)
                    done = await self._database.call(self._apply_all, assembler, records, LogEnd(time_ms, reached))
                    self._probe.dependency("database", None)
                    if done:
                        self._applied(done)
                self._measure(records, end)
                self._probe.dependency("log", None)
                if records or reader.positions()[0] >= end:
                    self._probe.progress(self.name)
                self._failures = 0
        finally:
            metrics.IN_CHARGE.labels(self.name).set(0)
            await tail.close()
            await reader.close()

    def _apply_all(self, assembler: Assembler, records: Sequence[Record], end: LogEnd) -> int:
        """In a worker thread. The number of buckets applied."""
        done = 0
        completed = assembler.take(records)
        buckets = list(islice(completed, BUCKETS_MAX))
        while buckets:
            following = list(islice(completed, BUCKETS_MAX))
            self._check(its for bucket in buckets for its in bucket.unreadable)
            self._apply(buckets, end._replace(reached=end.reached and not following))
            done += len(buckets)
            buckets = following
        self._check(assembler.unreadable)
        return done

    def _check(self, unreadable: Iterable[Unreadable]) -> None:
        """Raise TooManyUnreadable when with these there are too many."""
        for its in unreadable:
            self._unreadable.add(its.offset)
            if len(self._unreadable) > self._unreadable_max:
                raise TooManyUnreadable(
                    f"{self.name}: more than {self._unreadable_max} records of windows can't be read since the start "
                    f"(PEGEL_UNREADABLE_MAX); the last at offset {its.offset}: {its.reason}. If a newer Pegel wrote "
                    "them, run that; else raise the limit to pass them over"
                )

    def _apply(self, buckets: Sequence[Bucket], end: LogEnd) -> None:
        last = buckets[-1]
        to = Position(last.offset + 1, last.seen, last.end.to, last.end.as_of)
        passed_over = [
            PassedOver(self.name, WINDOWS, 0, its.offset, its.offset + 1, "unreadable", its.reason)
            for bucket in buckets
            for its in bucket.unreadable
        ]
        with self._database.write() as connection:
            # First, so that on PostgreSQL a second alerter waits here for the first one's row and not in the effect.
            positions.move(connection, self.name, self._log_id, self.position.next_offset, to)
            quarantine.note(connection, passed_over, self._now())
            self._effect(connection, buckets, self._now(), end)
        self.position = to
        metrics.BUCKETS.labels(self.name).inc(len(buckets))
        for its in passed_over:
            metrics.QUARANTINED.labels(self.name).inc()
            log.error("quarantined", consumer=self.name, stream=WINDOWS, offset=its.record_offset, reason=its.reason)

    def _measure(self, records: Sequence[Record], end: int) -> None:
        metrics.LAG_RECORDS.labels(self.name).set(end - self.position.next_offset)
        age = self._now().timestamp() - records[-1].time_ms / 1000 if records else 0.0
        caught_up = not records or records[-1].offset + 1 >= end
        metrics.LAG_SECONDS.labels(self.name).set(0.0 if caught_up else max(age, 0.0))

    async def _end_stalled(self) -> None:
        """Who holds the position and has stopped in the middle of a transaction is put out of it."""
        with contextlib.suppress(DatabaseUnavailable):
            if ended := await self._database.call(self._database.end_stalled):
                log.warning("stalled_sessions_ended", consumer=self.name, sessions=ended)

    async def _stand_by(self, stop: asyncio.Event) -> None:
        """Another alerter is in charge: return when it seems to be so no longer."""
        log.info("standing_by", consumer=self.name)
        before, looks = -1, 0
        while looks < 3 and not await sleep(stop, self._standby_seconds):
            self._probe.progress(self.name)
            with contextlib.suppress(DatabaseUnavailable, LogUnavailable):
                at = await self._database.call(self._load)
                end = (await self._log.bounds(WINDOWS))[0].end
                looks = looks + 1 if at == before and at < end else 0
                before = at

    def _load(self) -> int:
        with self._database.read() as connection:
            found = positions.load(connection, self.name)
        return found.next_offset if found else 0

    def _ahead(self, bounds: Bounds) -> str:
        return (
            f"the position of {self.name} is lost: PEGEL_DATABASE_URL={self._database.shown} has applied windows up to "
            f"offset {self.position.next_offset}, but the log ends at {bounds.end}: it was restored from an older copy;"
            " restore the database of the same time or before"
        )


async def _fetch(reader: Reader, stop: asyncio.Event) -> Sequence[Record]:
    """What is there; nothing when stop is set meanwhile."""
    fetching, stopping = (
        asyncio.ensure_future(reader.fetch(max_records=RECORDS_MAX)),
        asyncio.ensure_future(stop.wait()),
    )
    try:
        await asyncio.wait([fetching, stopping], return_when=asyncio.FIRST_COMPLETED)
        return (await fetching).get(0, ()) if fetching.done() else ()
    finally:
        for task in (fetching, stopping):
            task.cancel()
        await asyncio.gather(fetching, stopping, return_exceptions=True)


async def sleep(stop: asyncio.Event, seconds: float) -> bool:
    """Wait; True at once when stop is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
    return stop.is_set()
