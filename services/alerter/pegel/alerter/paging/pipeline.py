"""Takes due pages from the outbox and sends them: one loop a receiver, so that a slow one delays nobody else."""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from pegel.alerter import metrics
from pegel.alerter.database import Database, DatabaseUnavailable, outbox
from pegel.alerter.database.engine import clock
from pegel.alerter.database.outbox import Due
from pegel.alerter.paging.domain.retry import GIVE_UP_AFTER, wait_seconds
from pegel.alerter.paging.ports import Failed, Notifier, Outcome, Refused, Sent
from pegel.runtime import logs
from pegel.runtime.probes import Probe
from pegel.schemas.incident import Money

LEASE: Final = timedelta(seconds=25)
"""A page that was claimed and not settled (its alerter died) is due again after it."""
ATTEMPT_SECONDS: Final = 15.0
"""An attempt is ended after it; none is begun unless the lease has longer to run."""
SETTLE_AGAIN_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 2.0
COST_WAIT: Final = timedelta(seconds=3)
"""How long a page waits for the ledger to book what it tells of; a ledger that is behind stops no page."""

log = logs.get(__name__)


class Sender:
    """Sends to one receiver. cost: of an incident by its id, None when it is not booked yet; it may block.

    jitter: 0 to 1, another each time. Call `wake` when pages may have come.
    """

    def __init__(
        self,
        notifier: Notifier,
        database: Database,
        *,
        cost: Callable[[str], Money | None],
        probe: Probe,
        now: Callable[[], datetime],
        jitter: Callable[[], float],
    ) -> None:
        self._notifier, self._database, self._cost = notifier, database, cost
        self._probe, self._now, self._jitter = probe, now, jitter
        self._woken, self._stop = asyncio.Event(), asyncio.Event()
        self._name = notifier.receiver

    @property
    def receiver(self) -> str:
        return self._name

    def wake(self) -> None:
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Until stop is set. A page that is being sent is sent to its end."""
        self._stop = stop
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                self._probe.progress(f"paging {self._name}")
                try:
                    while not stop.is_set() and await self.send_next():
                        pass
                except DatabaseUnavailable as error:
                    self._probe.dependency("database", str(error))
                self._woken.clear()
                woken = asyncio.create_task(self._woken.wait())
                try:
                    await asyncio.wait([stopping, woken], timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    woken.cancel()
        finally:
            stopping.cancel()
            await self._notifier.close()

    async def send_next(self) -> bool:
        """Send the oldest page that is due; False when there is none. Raises DatabaseUnavailable.

        Between the look at the lease and the attempt nothing is waited for. An alerter that stalls in mid-attempt may
        yet have sent when another sends again, under the same id; but it notes nothing then.
        """
        time = asyncio.get_running_loop().time
        before = time()
        due = await self._database.call(self._claim)
        if due is None:
            return False
        cost = await self._booked_cost(due)
        await asyncio.sleep(0)  # uvloop's clock stands still within a turn of the loop
        if LEASE.total_seconds() - (time() - before) <= ATTEMPT_SECONDS:
            self._lost(due, "before_sending")
            return True
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                outcome = await self._notifier.send(due.page_id, due.page, cost, self._now())
        except TimeoutError:
            outcome = Failed(f"no answer within {ATTEMPT_SECONDS:g} s")
        await self._note(due, outcome)
        return True

    async def _note(self, due: Due, outcome: Outcome) -> None:
        """How it went, and when it is tried again."""
        wait = timedelta()
        match outcome:
            case Sent(said):
                state: outbox.PageState = "sent"
            case Refused(said):
                state = "refused"
                log.error("page_refused", receiver=self._name, incident=due.page.incident_id, reason=said)
            case Failed(said, asked):
                gone = self._now() - due.written_at > GIVE_UP_AFTER
                seconds = wait_seconds(due.attempt, asked, self._jitter())
                state, wait = ("gave_up" if gone else "pending"), timedelta(seconds=seconds)
                log.warning(
                    "page_failed",
                    receiver=self._name,
                    incident=due.page.incident_id,
                    reason=said,
                    attempts=due.attempt,
                    retry_seconds=None if gone else round(seconds, 1),
                )
        if await self._settled(due, state, said, wait):
            metrics.PAGES.labels(self._name, "failed" if state == "pending" else state).inc()
        else:
            self._lost(due, "before_noting")
        self._probe.dependency(self._name, None if state == "sent" else said)

    async def _settled(self, due: Due, state: outbox.PageState, said: str, wait: timedelta) -> bool:
        """Noted; False when another has claimed the page meanwhile. A database that is away is waited for.

        What it noted before it went away (its answer was lost) counts as noted.
        """
        doubtful = False
        while True:
            try:
                return await self._database.call(self._settle, due, state, said, wait) or doubtful
            except DatabaseUnavailable as error:
                doubtful = True
                self._probe.dependency("database", str(error))
                if self._stop.is_set():
                    raise
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SETTLE_AGAIN_SECONDS):
                        await self._stop.wait()

    def _lost(self, due: Due, when: str) -> None:
        metrics.PAGES.labels(self._name, "lost_lease").inc()
        log.warning("page_lease_lost", receiver=self._name, incident=due.page.incident_id, when=when)

    async def _booked_cost(self, due: Due) -> Money | None:
        time = asyncio.get_running_loop().time
        until = time() + COST_WAIT.total_seconds()
        while True:
            try:
                cost = await self._database.call(self._cost, due.page.incident_id)
            except DatabaseUnavailable:
                cost = None
            if cost is not None or self._now() - due.written_at > COST_WAIT or time() >= until:
                return cost
            await asyncio.sleep(0.1)

    def _claim(self) -> Due | None:
        # Most looks find nothing, and a look that only reads keeps no lock that others wait for.
        with self._database.read() as connection:
            if not outbox.any_due(connection, self._name, clock(connection, self._now())):
                return None
        with self._database.write() as connection:
            return outbox.claim(connection, self._name, clock(connection, self._now()), LEASE)

    def _settle(self, due: Due, state: outbox.PageState, said: str, wait: timedelta) -> bool:
        with self._database.write() as connection:
            return outbox.settle(connection, due, state, said, clock(connection, self._now()) + wait)
