"""The loop that applies buckets to the database: effect and position in one transaction, moved by compare-and-set."""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from itertools import islice
from typing import Final, Protocol

from sqlalchemy import Connection

from pegel.alerter import metrics
from pegel.alerter.database import Database, DatabaseUnavailable, positions
from pegel.alerter.database.positions import NotInCharge, OtherLog, Position
from pegel.alerter.windows.buckets import Assembler, Bucket
from pegel.eventlog.port import WINDOWS, EventLog, LogUnavailable, PositionOutOfRange, Reader, Record
from pegel.runtime import logs
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

    def __call__(self, connection: Connection, buckets: Sequence[Bucket], now: datetime) -> None: ...


class Consumer:
    """One reader of windows: `incidents` or `ledger`.

    now: the wall clock. applied: called in the event loop after each commit with the number of buckets.
    standby_seconds: how often one that is not in charge looks; after three looks at a position that stands still
    although there is more to read, it tries to take over.
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
    ) -> None:
        self.name, self.position = name, Position()
        self._log, self._log_id, self._database, self._effect, self._kinds = log, log_id, database, effect, kinds
        self._probe, self._now, self._applied, self._standby_seconds = probe, now, applied, standby_seconds
        self._loaded = False
        self._failures = 0

    async def open(self) -> None:
        """Find the position. Raises ConfigurationError (another log, a position the log has not), and what is away."""
        try:
            self.position = await self._database.call(self._start)
        except OtherLog as error:
            raise ConfigurationError(
                [
                    f"PEGEL_DATABASE_URL={self._database.shown}: the database belongs to log {error.found}, "
                    f"the log at PEGEL_LOG_URL is {error.expected}"
                ]
            ) from None
        begin, end = (await self._log.bounds(WINDOWS))[0]
        if not begin <= self.position.next_offset <= end:
            raise self._lost(PositionOutOfRange(WINDOWS, 0, self.position.next_offset, begin, end))
        self._loaded = True

    async def run(self, stop: asyncio.Event) -> None:
        """Until stop is set; what is away is waited for. Raises ConfigurationError (position lost), Unreadable."""
        while not stop.is_set():
            try:
                if not self._loaded:
                    await self.open()
                await self._lead(stop)
            except NotInCharge:
                await self._stand_by(stop)
            except PositionOutOfRange as error:
                raise self._lost(error) from None
            except (DatabaseUnavailable, LogUnavailable) as error:
                what = "database" if isinstance(error, DatabaseUnavailable) else "log"
                self._probe.dependency(what, str(error))
                log.warning("waiting", consumer=self.name, dependency=what, reason=str(error))
                await sleep(stop, BACK_OFF_SECONDS[min(self._failures, len(BACK_OFF_SECONDS) - 1)])
                self._failures += 1
                self._probe.progress()  # waiting for what is away is all that can be done: a restart would mend nothing
            # Whatever was read beyond the position is forgotten: it is read again from what the database says.
            self._loaded = False

    def _start(self) -> Position:
        with self._database.write() as connection:
            return positions.start(connection, self.name, self._log_id)

    async def _lead(self, stop: asyncio.Event) -> None:
        assembler = Assembler(self.position.seen or {}, self._kinds)
        reader = self._log.reader(WINDOWS, {0: self.position.next_offset})
        metrics.IN_CHARGE.labels(self.name).set(1)
        try:
            while not stop.is_set():
                records = await _fetch(reader, stop)
                if records:
                    done = await self._database.call(self._apply_all, assembler, records)
                    self._probe.dependency("database", None)
                    if done:
                        self._applied(done)
                await self._measure(records)
                self._probe.dependency("log", None)
                self._probe.progress()
                self._failures = 0
        finally:
            metrics.IN_CHARGE.labels(self.name).set(0)
            await reader.close()

    def _apply_all(self, assembler: Assembler, records: Sequence[Record]) -> int:
        """In a worker thread. The number of buckets applied."""
        done = 0
        completed = iter(assembler.take(records))
        while buckets := list(islice(completed, BUCKETS_MAX)):
            self._apply(buckets)
            done += len(buckets)
        return done

    def _apply(self, buckets: Sequence[Bucket]) -> None:
        last = buckets[-1]
        to = Position(last.offset + 1, last.seen, last.end.to, last.end.as_of)
        with self._database.write() as connection:
            # First, so that on PostgreSQL a second alerter waits here for the first one's row and not in the effect.
            positions.move(connection, self.name, self._log_id, self.position.next_offset, to)
            self._effect(connection, buckets, self._now())
        self.position = to
        metrics.BUCKETS.labels(self.name).inc(len(buckets))

    async def _measure(self, records: Sequence[Record]) -> None:
        end = (await self._log.bounds(WINDOWS))[0].end
        behind = end - self.position.next_offset
        metrics.LAG_RECORDS.labels(self.name).set(behind)
        age = self._now().timestamp() - records[-1].time_ms / 1000 if records else 0.0
        caught_up = not records or records[-1].offset + 1 >= end
        metrics.LAG_SECONDS.labels(self.name).set(0.0 if caught_up else max(age, 0.0))

    async def _stand_by(self, stop: asyncio.Event) -> None:
        """Another alerter is in charge: return when it seems to be so no longer."""
        log.info("standing_by", consumer=self.name)
        before, looks = -1, 0
        while looks < 3 and not await sleep(stop, self._standby_seconds):
            self._probe.progress()
            with contextlib.suppress(DatabaseUnavailable, LogUnavailable):
                at = await self._database.call(self._load)
                end = (await self._log.bounds(WINDOWS))[0].end
                looks = looks + 1 if at == before and at < end else 0
                before = at

    def _load(self) -> int:
        with self._database.read() as connection:
            found = positions.load(connection, self.name)
        return found.next_offset if found else 0

    def _lost(self, error: PositionOutOfRange) -> ConfigurationError:
        return ConfigurationError([f"the position of {self.name} is lost: {error}"])


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
