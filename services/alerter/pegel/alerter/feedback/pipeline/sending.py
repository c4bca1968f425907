"""Sends what waits in the outbox of counts, in order."""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime
from typing import Final

from pegel.alerter.database import Database, DatabaseUnavailable, counts_outbox
from pegel.alerter.database.counts_outbox import Waiting
from pegel.eventlog.port import COUNTS, EventLog, LogUnavailable, NewRecord
from pegel.runtime import logs
from pegel.runtime.probes import Probe

LOOK_SECONDS: Final = 2.0
AT_ONCE: Final = 100

log = logs.get(__name__)


class CountsSender:
    """One loop; several alerters may run it at once (database.counts_outbox)."""

    def __init__(self, event_log: EventLog, database: Database, *, probe: Probe, now: Callable[[], datetime]) -> None:
        self._log, self._database, self._probe, self._now = event_log, database, probe, now

    async def run(self, stop: asyncio.Event) -> None:
        """Until stop is set. What can't be sent or noted is sent again."""
        while not stop.is_set():
            self._probe.progress("feedback")
            try:
                while not stop.is_set() and await self.send_next():
                    pass
            except DatabaseUnavailable as error:
                self._probe.dependency("database", str(error))
            except LogUnavailable as error:
                self._probe.dependency("log", str(error))
                log.warning("counts_not_sent", reason=str(error), retry_seconds=LOOK_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await stop.wait()

    async def send_next(self) -> bool:
        """Append the oldest that wait; whether there were any. Raises DatabaseUnavailable, LogUnavailable."""
        waiting = await self._database.call(self._waiting)
        if not waiting:
            return False
        await self._log.append(COUNTS, 0, [NewRecord(each.value) for each in waiting])
        await self._database.call(self._note, waiting)
        self._probe.dependency("log", None)
        return True

    def _waiting(self) -> list[Waiting]:
        with self._database.read() as connection:
            return counts_outbox.unsent(connection, AT_ONCE)

    def _note(self, waiting: list[Waiting]) -> None:
        with self._database.write() as connection:
            counts_outbox.note_sent(connection, [each.row_id for each in waiting], self._now())
