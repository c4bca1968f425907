"""The alerter's composition root."""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Final, TypeVar

from sqlalchemy import Connection

from pegel.alerter import metrics
from pegel.alerter.database import Database, DatabaseUnavailable, check_schema, counts_outbox, outbox
from pegel.alerter.feedback.pipeline import store as feedback
from pegel.alerter.feedback.pipeline.sending import CountsSender
from pegel.alerter.http.costs import booked_as_of, incident_micros, rounded
from pegel.alerter.http.routes import add_routes
from pegel.alerter.incidents.domain.paging import STALE_AFTER
from pegel.alerter.incidents.pipeline import rising, store
from pegel.alerter.ledger import pipeline as booking
from pegel.alerter.ledger.adapters.file import FilePriceBook
from pegel.alerter.ledger.adapters.sql import SqlLedger
from pegel.alerter.ledger.ports import LedgerConflict, PriceBook
from pegel.alerter.ownership.adapters.file import FileOwnerRules
from pegel.alerter.ownership.ports import OwnerRules
from pegel.alerter.paging.adapters.console import ConsoleNotifier
from pegel.alerter.paging.adapters.webhook import WebhookNotifier
from pegel.alerter.paging.pipeline import Sender
from pegel.alerter.paging.ports import Notifier
from pegel.alerter.settings import source
from pegel.alerter.windows.consumer import BACK_OFF_SECONDS, Consumer, Effect, TooManyUnreadable, sleep
from pegel.eventlog.connect import connect
from pegel.eventlog.identity import Identity, open_identity
from pegel.eventlog.port import EventLog, LogUnavailable
from pegel.runtime import logs
from pegel.runtime.auth import Tokens
from pegel.runtime.http import make_app
from pegel.runtime.probes import Probe
from pegel.runtime.serve import Service
from pegel.runtime.settings import ConfigurationError, Settings
from pegel.schemas.feedback import Promise
from pegel.schemas.incident import Money

BODY_BYTES_MAX: Final = 64 * 1024
MEASURE_SECONDS: Final = 5.0
LEDGER_RETRY_SECONDS: Final = 30.0
T = TypeVar("T")

log = logs.get(__name__)


def utc_now() -> datetime:
    return datetime.now(UTC)


def build(settings: Settings) -> Service:
    """The service. Raises ConfigurationError with all that is wrong with its files and settings."""
    faults: list[str] = []

    def made(make: Callable[[], T]) -> T | None:
        try:
            return make()
        except ConfigurationError as error:
            faults.extend(error.faults)
            return None

    ownership, price_list = source(settings.config_dir, "ownership.yaml"), source(settings.config_dir, "prices.yaml")
    tokens = made(lambda: Tokens.load(settings))
    owners = made(lambda: FileOwnerRules(ownership, settings.segment_dimensions))
    prices = made(lambda: FilePriceBook(price_list, settings.currency))
    database = made(lambda: Database(settings.resolved_database_url))
    receivers = made(lambda: _receivers(settings))
    if tokens is None or owners is None or prices is None or database is None or receivers is None:
        raise ConfigurationError(faults)
    return Alerter(settings, tokens, database, owners, prices, receivers).service()


def _receivers(settings: Settings) -> list[Notifier]:
    receivers: list[Notifier] = [ConsoleNotifier()]
    if settings.webhook_url is not None and settings.webhook_secret is not None:
        receivers.append(WebhookNotifier(settings.webhook_url, settings.webhook_secret.get_secret_value()))
    return receivers


class Alerter:
    """The service, put together of its parts. connect_log opens the log, in the event loop; now: the wall clock.

    Receivers named in `local` are on this machine; all others ring somebody.
    """

    def __init__(
        self,
        settings: Settings,
        tokens: Tokens,
        database: Database,
        owners: OwnerRules,
        prices: PriceBook,
        receivers: Sequence[Notifier],
        *,
        connect_log: Callable[[Settings], EventLog] = connect,
        now: Callable[[], datetime] = utc_now,
        local: tuple[str, ...] = ("terminal",),
        standby_seconds: float = 3.0,
    ) -> None:
        self._settings, self._database, self._connect_log, self._now = settings, database, connect_log, now
        self._standby_seconds = standby_seconds
        self._probe = Probe("alerter")
        names = tuple(its.receiver for its in receivers)
        self._rising = rising.Rising(
            owners,
            settings.segment_dimensions,
            settings.clock,
            real=tuple(name for name in names if name not in local),
            local=tuple(name for name in names if name in local),
            booked=booked_of,
            currency=prices.currency,
        )
        self._booking = booking.Booking(SqlLedger, owners, prices)
        jitter = random.Random().random  # noqa: S311 (spreads retries, guards nothing)
        self._senders = [
            Sender(its, database, cost=self._cost, probe=self._probe, now=now, jitter=jitter) for its in receivers
        ]
        self._app = make_app(
            "alerter",
            self._probe,
            title="Pegel alerter",
            description="Incidents, and what contacts cost by cause.",
            body_bytes_max=BODY_BYTES_MAX,
        )
        add_routes(
            self._app,
            settings=settings,
            tokens=tokens,
            database=database,
            owners=owners,
            probe=self._probe,
            now=now,
        )

    def service(self) -> Service:
        return Service("alerter", self._settings.alerter_port, self._app, self._probe, self.run)

    async def run(self, stop: asyncio.Event) -> None:
        """Read windows, page and book until stop is set. Raises ConfigurationError."""
        try:
            await self._until_there(stop, "database", lambda: self._database.call(check_schema, self._database))
            event_log = self._connect_log(self._settings)
            try:
                await self._serve(event_log, stop)
            finally:
                await event_log.close()
        except _Stopped:
            return
        finally:
            await asyncio.to_thread(self._database.close)

    async def _serve(self, event_log: EventLog, stop: asyncio.Event) -> None:
        identity = await self._until_there(stop, "log", lambda: open_identity(event_log, self._settings))
        incidents = self._consumer("incidents", event_log, identity, self._rising, rising.KINDS, self._wake)
        ledger = self._consumer("ledger", event_log, identity, self._booking, booking.KINDS, self._booked)
        counts = CountsSender(event_log, self._database, probe=self._probe, now=self._now)
        for consumer in (incidents, ledger):
            await self._until_there(stop, "database", consumer.open)
        self._probe.ready()
        log.info("ready", log_id=identity.meta.log_id, incidents=incidents.position.next_offset)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(incidents.run(stop))
                tasks.create_task(self._ledger(ledger, stop))
                tasks.create_task(self._measure(stop))
                tasks.create_task(counts.run(stop))
                for sender in self._senders:
                    tasks.create_task(sender.run(stop))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    def _consumer(
        self,
        name: str,
        event_log: EventLog,
        identity: Identity,
        effect: Effect,
        kinds: Sequence[str],
        applied: Callable[[int], None],
    ) -> Consumer:
        return Consumer(
            name,
            log=event_log,
            log_id=identity.meta.log_id,
            database=self._database,
            effect=effect,
            kinds=kinds,
            probe=self._probe,
            now=self._now,
            applied=applied,
            standby_seconds=self._standby_seconds,
            unreadable_max=self._settings.unreadable_max,
            withhold_after=STALE_AFTER if name == "incidents" and identity.meta.clock == "wall" else None,
        )

    async def _ledger(self, ledger: Consumer, stop: asyncio.Event) -> None:
        """A fault in the ledger stops no page: it is said, and tried again."""
        while not stop.is_set():
            try:
                await ledger.run(stop)
            except (ConfigurationError, TooManyUnreadable):  # going on would leave a hole in the books
                raise
            except Exception as error:
                known = isinstance(error, LedgerConflict)
                self._probe.dependency("ledger", str(error) if known else f"a defect of Pegel ({type(error).__name__})")
                if known:
                    log.error("ledger_stopped", reason=str(error), retry_seconds=LEDGER_RETRY_SECONDS)  # noqa: TRY400
                else:
                    log.exception("ledger_failed", error=type(error).__name__)
                await sleep(stop, LEDGER_RETRY_SECONDS)

    async def _measure(self, stop: asyncio.Event) -> None:
        """Gauges that the database knows."""

        def look() -> tuple[dict[str, int], dict[str, int], int, Promise]:
            with self._database.read() as connection:
                return (
                    store.open_by_state(connection),
                    outbox.waiting(connection),
                    counts_outbox.waiting(connection),
                    feedback.promise_of(connection, self._settings.false_pages_per_week),
                )

        while True:
            try:
                by_state, waiting, counts, promise = await self._database.call(look)
            except DatabaseUnavailable as error:
                self._probe.dependency("database", str(error))
            else:
                for state in ("open", "acknowledged"):
                    metrics.INCIDENTS_OPEN.labels(state).set(by_state.get(state, 0))
                for sender in self._senders:
                    metrics.OUTBOX_PAGES.labels(sender.receiver).set(waiting.get(sender.receiver, 0))
                metrics.OUTBOX_COUNTS.set(counts)
                metrics.PROMISED.set(promise.false_pages_per_week_promised)
                metrics.SEEN.set(_or_nan(promise.false_pages_per_week_seen))
                metrics.ANSWERED.set(_or_nan(promise.pages_answered_share))
            if await sleep(stop, MEASURE_SECONDS):
                return

    def _wake(self, _: int) -> None:
        for sender in self._senders:
            sender.wake()

    def _booked(self, _: int) -> None:
        self._probe.dependency("ledger", None)

    def _cost(self, incident_id: str) -> Money | None:
        """Excess cost so far; None as long as the ledger has not booked what the incident knows."""
        with self._database.read() as connection:
            ledger, incident = SqlLedger(connection), store.get(connection, incident_id)
            booked = booked_as_of(ledger)
            if booked is None or booked < incident.latest.at:
                return None
            micros = incident_micros(ledger, incident)
            return rounded(micros, self._settings.currency)

    async def _until_there(self, stop: asyncio.Event, what: str, reach: Callable[[], Awaitable[T]]) -> T:
        """What `reach` returns once what it needs is there; raises _Stopped when stop comes first."""
        failures = 0
        while not stop.is_set():
            try:
                found = await reach()
            except (DatabaseUnavailable, LogUnavailable) as error:
                self._probe.wait_for(what)
                self._probe.dependency(what, str(error))
                log.warning("waiting", dependency=what, reason=str(error))
                await sleep(stop, BACK_OFF_SECONDS[min(failures, len(BACK_OFF_SECONDS) - 1)])
                failures += 1
            else:
                self._probe.dependency(what, None)
                return found
        raise _Stopped


def booked_of(connection: Connection, incident: store.Found) -> rising.Booked:
    """Put together here, because incidents and the ledger don't know one another."""
    ledger = SqlLedger(connection)
    return rising.Booked(incident_micros(ledger, incident), booked_as_of(ledger))


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


class _Stopped(Exception):  # noqa: N818
    """Stop was set before the service was ready."""
