"""Contacts as sources send them, and ingest as a test has it: on a log in memory, in this process or behind a port."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from pegel.eventlog.memory import MemoryLog
from pegel.eventlog.port import CONTACTS, REJECTED, Record
from pegel.ingest.app import build
from pegel.runtime.probes import Probe
from pegel.runtime.serve import Service
from pegel.runtime.settings import load
from pegel.schemas.contact import TickRecord
from pegel.schemas.rejected import RejectedRecord
from support.wait import until

JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}


def contact(**over: object) -> dict[str, Any]:
    """A valid contact of this moment. over: other values; None leaves a field out."""
    values: dict[str, Any] = {
        "event_id": str(uuid.uuid4()),
        "occurred_at": datetime.now(UTC).isoformat(),
        "country": "ES",
        "topic": "atm",
        "channel": "phone",
    }
    return {name: value for name, value in (values | over).items() if value is not None}


class SlowLog(MemoryLog):
    """Acknowledges contacts only when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.let = asyncio.Event()

    async def append(self, stream: str, partition: int, records: Any) -> Any:
        if stream == CONTACTS and any(record.key is not None for record in records):
            await self.let.wait()
        return await super().append(stream, partition, records)


@dataclass(frozen=True)
class RunningIngest:
    """Ingest, ready, and the log it writes to."""

    client: httpx.AsyncClient
    log: MemoryLog
    probe: Probe

    async def records(self, stream: str) -> list[Record]:
        """All records of a stream, by partition and offset."""
        partitions = await self.log.partitions(stream)
        reader = self.log.reader(stream, dict.fromkeys(range(partitions), 0))
        found = await reader.fetch(max_records=1_000_000, wait_seconds=0)
        return [record for partition in sorted(found) for record in found[partition]]

    async def contacts(self) -> list[Record]:
        """The records of the stream contacts that are no ticks."""
        return [record for record in await self.records(CONTACTS) if not record.value.startswith(b'{"kind":"tick"')]

    async def ticks(self) -> list[tuple[int, TickRecord]]:
        """Partition and tick."""
        records = await self.records(CONTACTS)
        return [
            (record.partition, TickRecord.decode(record.value))
            for record in records
            if record.value.startswith(b'{"kind":"tick"')
        ]

    async def rejected(self) -> list[RejectedRecord]:
        return [RejectedRecord.decode(record.value) for record in await self.records(REJECTED)]

    async def metric(self, line: str) -> float:
        """The value of a sample of /metrics, 0 when there is none yet; `line` is its name with labels as written."""
        text = (await self.client.get("/metrics")).text
        values = [found.rpartition(" ")[2] for found in text.splitlines() if found.rpartition(" ")[0] == line]
        return float(values[0]) if values else 0.0


def made(folder: Path, log: MemoryLog, settings: Mapping[str, object]) -> Service:
    """Ingest on that log. Ticks are rare unless a test asks for them."""
    values: dict[str, object] = {"data_dir": folder, "tick_seconds": 60, "bucket_seconds": 120, **settings}
    return build(load({}, **values), lambda _: log)


@asynccontextmanager
async def running(folder: Path, log: MemoryLog | None = None, **settings: object) -> AsyncIterator[RunningIngest]:
    """Ingest in this process, asked without a socket."""
    log = MemoryLog() if log is None else log
    service = made(folder, log, settings)
    stop = asyncio.Event()
    loop = asyncio.ensure_future(service.run(stop))
    await until(lambda: loop.done() or service.probe.waiting_for is None)
    transport = httpx.ASGITransport(app=service.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://ingest") as client:
        try:
            yield RunningIngest(client, log, service.probe)
        finally:
            stop.set()
            await loop


@contextmanager
def _no_signals() -> Iterator[None]:
    yield


@asynccontextmanager
async def listening(folder: Path, log: MemoryLog | None = None, **settings: object) -> AsyncIterator[int]:
    """Ingest behind a port of loopback, in this process: for what only a real connection shows."""
    service = made(folder, MemoryLog() if log is None else log, settings)
    stop = asyncio.Event()
    config = uvicorn.Config(service.app, port=0, log_config=None, access_log=False, lifespan="on")
    server = uvicorn.Server(config)
    server.capture_signals = _no_signals  # type: ignore[method-assign]
    tasks = [asyncio.ensure_future(service.run(stop)), asyncio.ensure_future(server.serve())]
    try:
        await until(lambda: server.started and service.probe.waiting_for is None)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        stop.set()
        await asyncio.gather(*tasks)
