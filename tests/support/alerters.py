"""An alerter in the test's own process: its real parts on a log in memory or in files, and a fake receiver."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import uvicorn

from pegel.alerter.app import Alerter, utc_now
from pegel.alerter.database import Database
from pegel.alerter.ledger.adapters.file import FilePriceBook
from pegel.alerter.ownership.adapters.file import FileOwnerRules
from pegel.alerter.paging.adapters.memory import MemoryNotifier
from pegel.alerter.paging.ports import Notifier
from pegel.alerter.settings import source
from pegel.eventlog.memory import MemoryLog
from pegel.eventlog.port import EventLog
from pegel.runtime.auth import Tokens
from pegel.runtime.serve import Service
from pegel.runtime.settings import Settings
from pegel.schemas.base import LogRecord
from support.wait import until
from support.windows import Windows, append


class Clock:
    """The alerter's wall clock, set by the test."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at


async def pass_bucket(
    log: EventLog, windows: Windows, clock: Clock, records: Sequence[LogRecord] | None = None, **bucket: Any
) -> None:
    """The next bucket is judged, ten seconds after its end. records: those of a bucket made before; the clock stays.

    The clock is the log's too, where that is in memory.
    """
    if isinstance(log, MemoryLog):
        log.clock_ms = lambda: int(clock.at.timestamp() * 1000)
    if records is None:
        records = windows.bucket(**bucket)
        clock.at = windows.now + timedelta(seconds=10)
    await append(log, records)


class Uncloseable:
    """A log that several alerters of a test share: none of them closes it."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def close(self) -> None:
        """The test does."""


@dataclass
class Running:
    """A served alerter."""

    alerter: Alerter
    service: Service
    client: httpx.AsyncClient
    memory: MemoryNotifier
    stop: asyncio.Event
    task: asyncio.Task[None]

    async def incidents(self, **query: str) -> list[dict[str, Any]]:
        answer = await self.client.get("/v1/incidents", params=query)
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    async def costs(self, **query: str) -> dict[str, Any]:
        answer = await self.client.get("/v1/costs", params=query)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def applied(self, as_of: datetime) -> None:
        """Wait until incidents and ledger have both come to this time."""
        wanted = as_of.astimezone(UTC)

        async def both() -> bool:
            found = [(await self.client.get(path)).json()["as_of"] for path in ("/v1/incidents", "/v1/costs")]
            return all(text is not None and datetime.fromisoformat(text) >= wanted for text in found)

        await until(both, 20)

    async def ended(self) -> None:
        """Stop it as SIGTERM would."""
        self.stop.set()
        await self.task


@asynccontextmanager
async def alerter(
    settings: Settings,
    log: EventLog,
    *,
    receivers: list[Notifier] | None = None,
    now: Callable[[], datetime] = utc_now,
    standby_seconds: float = 0.1,
    tokens: Tokens | None = None,
    ready: bool = True,
) -> AsyncIterator[Running]:
    """Runs until the block ends. A receiver in memory is there beside those given."""
    memory = MemoryNotifier()
    served = Alerter(
        settings,
        tokens or Tokens(None),
        Database(settings.resolved_database_url),
        FileOwnerRules(source(settings.config_dir, "ownership.yaml"), settings.segment_dimensions),
        FilePriceBook(source(settings.config_dir, "prices.yaml"), settings.currency),
        [memory, *(receivers or [])],
        connect_log=lambda _: Uncloseable(log),
        now=now,
        standby_seconds=standby_seconds,
    )
    service, stop = served.service(), asyncio.Event()
    transport = httpx.ASGITransport(service.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://alerter") as client:
        task = asyncio.ensure_future(service.run(stop))
        try:
            if ready:
                await until(lambda: service.probe.readiness()[0] == 200 or task.done(), 10)
            yield Running(served, service, client, memory, stop, task)
        finally:
            stop.set()
            await asyncio.gather(task, return_exceptions=not ready)


@asynccontextmanager
async def listening(settings: Settings, log: EventLog, **over: Any) -> AsyncIterator[tuple[Running, int]]:
    """The same behind a port of loopback: for what only a real connection shows."""
    async with alerter(settings, log, **over) as running:
        config = uvicorn.Config(running.service.app, port=0, log_config=None, access_log=False, lifespan="off")
        server = uvicorn.Server(config)
        server.capture_signals = nullcontext  # type: ignore[method-assign,assignment]
        serving = asyncio.ensure_future(server.serve())
        try:
            await until(lambda: server.started)
            yield running, server.servers[0].sockets[0].getsockname()[1]
        finally:
            server.should_exit = True
            await serving
