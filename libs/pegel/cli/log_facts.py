"""What there is to say of a log: its streams, who reads and writes them and how far, snapshots, accepted losses."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from pegel.alerter.database import Database, DatabaseUnavailable
from pegel.alerter.database.tables import positions
from pegel.eventlog.identity import Identity, Loss, loss_to_accept, losses, read_identity
from pegel.eventlog.port import CONTACTS, COUNTS, STATE, STREAMS, WINDOWS, Bounds, EventLog, Record
from pegel.eventlog.snapshots import line
from pegel.runtime.settings import Settings
from pegel.schemas.detection import ClaimRecord, ManifestRecord

FETCH_SECONDS: Final = 2.0
"""For the newest record of a partition, which is there; more only when a broker is slow."""
ALERTER: Final = ("incidents", "ledger")
"""The alerter's readers of windows."""


class PartitionFacts(NamedTuple):
    """A partition of a stream. newest_ms: append time of its last record."""

    stream: str
    partition: int
    begin: int
    end: int
    newest_ms: int | None


@dataclass(frozen=True, slots=True)
class ReaderFacts:
    """Who reads a partition. position: the next record it takes, as known from its newest snapshot, or the database.

    None: it is not known, or it has not begun and reads from offset 0 (`begun`). as_of_ms: when that was so.
    """

    reader: str
    stream: str
    partition: int
    position: int | None
    known_from: Literal["snapshot", "database"]
    as_of_ms: int | None = None
    begun: bool = True

    @property
    def reads_from(self) -> int | None:
        """Where it would read on; None when that is not known."""
        return self.position if self.begun else 0


class WriterFacts(NamedTuple):
    """The newest claim for a producer's partition of state."""

    producer: str
    epoch: int
    owner: str
    claimed_ms: int


class SnapshotFacts(NamedTuple):
    """The newest snapshot that is not void. offset: of its manifest on state; position: in the stream it reads."""

    producer: str
    offset: int
    saved_ms: int
    size_bytes: int
    position: int
    version: str
    log_id: str


class Positions(NamedTuple):
    """What the alerter's database says: consumer, log id, next offset, end of its last bucket. fault: why it can't."""

    rows: tuple[tuple[str, str, int, int | None], ...]
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything, as of now_ms."""

    identity: Identity
    now_ms: int
    partitions: tuple[PartitionFacts, ...]
    readers: tuple[ReaderFacts, ...]
    writers: tuple[WriterFacts, ...]
    snapshots: tuple[SnapshotFacts, ...]
    losses: tuple[Loss, ...]
    database: Positions

    def bounds(self, stream: str, partition: int) -> Bounds:
        """What a partition has; nothing when the stream is missing."""
        for found in self.partitions:
            if (found.stream, found.partition) == (stream, partition):
                return Bounds(found.begin, found.end)
        return Bounds(0, 0)

    def accepted(self, stream: str, partition: int) -> int:
        """The offset below which all is accepted as lost."""
        places = [loss.record for loss in self.losses]
        return max((loss.before for loss in places if (loss.stream, loss.partition) == (stream, partition)), default=0)

    def faults(self) -> Iterator[str]:
        """A line for everything that stops a service, with the way out."""
        log_id = self.identity.meta.log_id
        for snapshot in self.snapshots:
            if snapshot.log_id != log_id:
                yield f"the snapshot of {snapshot.producer} is of log {snapshot.log_id}: streams of two logs are mixed"
        for consumer, found, *_ in self.database.rows:
            if found != log_id:
                yield (
                    f"the database's position of {consumer} is of log {found}: it belongs to another log"
                    " (PEGEL_DATABASE_URL, PEGEL_LOG_URL)"
                )
        for reader in self.readers:
            begin, end = self.bounds(reader.stream, reader.partition)
            if (position := reader.reads_from) is None:
                continue
            if position < begin and self.accepted(reader.stream, reader.partition) < begin:
                yield f"{reader.reader}: {loss_to_accept(reader.stream, reader.partition, position, begin)}"
            elif position > end:
                yield (
                    f"{reader.reader}: offset {position} is to be read, but stream {reader.stream}, partition"
                    f" {reader.partition}, ends at {end}: the log is older than the reader's state; restore both of the"
                    " same time"
                )


async def gather(log: EventLog, settings: Settings) -> Facts:
    """Read it all. Raises ConfigurationError where no log was made yet; LogUnavailable."""
    identity = await read_identity(log)
    # Positions first and the streams' ends last: so that no position seems to lie beyond its stream's end.
    database = await asyncio.to_thread(alerter_positions, settings.resolved_database_url)
    there = [stream for stream in STREAMS if await log.partitions(stream)]
    writers, snapshots = [], []
    for partition, found in sorted((await log.bounds(STATE) if STATE in there else {}).items()):
        writer, snapshot = await _state(log, partition, found)
        writers += [writer] if writer else []
        snapshots += [snapshot] if snapshot else []
    bounds = {stream: await log.bounds(stream) for stream in there}
    newest = dict(zip(there, await asyncio.gather(*(_newest(log, name, bounds[name]) for name in there)), strict=True))
    partitions = [
        PartitionFacts(stream, partition, *found, newest[stream].get(partition))
        for stream in there
        for partition, found in sorted(bounds[stream].items())
    ]
    return Facts(
        identity,
        time.time_ns() // 1_000_000,
        tuple(partitions),
        tuple(_readers(identity, snapshots, database)),
        tuple(writers),
        tuple(snapshots),
        tuple(await losses(log)),
        database,
    )


def alerter_positions(url: str) -> Positions:
    """Where the alerter's readers stand; nothing is written. Raises ConfigurationError for a URL of no database."""
    database = Database(url)
    try:
        if database.sqlite and not Path(database.url.database or "").exists():
            return Positions((), f"{database.shown}: there is no database yet")
        with database.read() as connection:
            rows = connection.execute(
                select(positions.c.consumer, positions.c.log_id, positions.c.next_offset, positions.c.as_of)
            ).all()
    except (DatabaseUnavailable, SQLAlchemyError) as error:
        reason = str(getattr(error, "orig", None) or error)
        return Positions((), f"{database.shown}: {next(iter(reason.splitlines()), type(error).__name__)}")
    finally:
        database.close()
    return Positions(
        tuple(
            (row.consumer, row.log_id, row.next_offset, int(row.as_of.timestamp() * 1000) if row.as_of else None)
            for row in sorted(rows)
        )
    )


def _readers(identity: Identity, snapshots: list[SnapshotFacts], database: Positions) -> Iterator[ReaderFacts]:
    saved = {snapshot.producer: snapshot for snapshot in snapshots}
    reads = [(f"counter/{number}", CONTACTS, number) for number in range(identity.meta.partitions)]
    for producer, stream, partition in [*reads, ("judge/0", COUNTS, 0)]:
        if (found := saved.get(producer)) is None:
            yield ReaderFacts(producer, stream, partition, None, "snapshot", begun=False)
        else:
            yield ReaderFacts(producer, stream, partition, found.position, "snapshot", found.saved_ms)
    rows = {consumer: (position, as_of) for consumer, _, position, as_of in database.rows}
    for consumer in sorted({*ALERTER, *rows}):
        position, as_of = rows.get(consumer, (None, None))
        begun = position is not None or database.fault is not None
        yield ReaderFacts(consumer, WINDOWS, 0, position, "database", as_of, begun)


async def _newest(log: EventLog, stream: str, bounds: Mapping[int, Bounds]) -> dict[int, int]:
    """The append time of the last record, by partition."""
    wanted = {partition: end - 1 for partition, (begin, end) in bounds.items() if end > begin}
    found: dict[int, int] = {}
    reader = log.reader(stream, wanted)
    try:
        async with asyncio.timeout(FETCH_SECONDS):
            while found.keys() != wanted.keys():
                fetched = await reader.fetch(max_records=max(len(wanted), 1), wait_seconds=FETCH_SECONDS)
                found.update({partition: records[-1].time_ms for partition, records in fetched.items() if records})
    except TimeoutError:
        pass
    finally:
        await reader.close()
    return found


async def _state(log: EventLog, partition: int, bounds: Bounds) -> tuple[WriterFacts | None, SnapshotFacts | None]:
    """The newest claim of a partition of state, and the newest manifest that is not void (pegel.eventlog.snapshots)."""
    begin, end = bounds
    first = begin
    for at in range(end - 1, begin - 1, -1):  # the last record of ours names a manifest to begin at
        said = [line(record) async for record in _records(log, partition, at, at + 1)]
        if said and said[0] is not None:
            first = max(begin, said[0].previous or 0)
            break
    newest = -1
    claim: Record | None = None
    manifest: tuple[Record, ManifestRecord] | None = None
    async for record in _records(log, partition, first, end):
        found = line(record)
        if found is None or found.epoch < newest:
            continue
        newest = found.epoch
        if found.kind == "claim":
            claim = record
        elif found.kind == "manifest" and (read := _decoded(record)) is not None:
            manifest = (record, read)
    if claim is None and newest >= begin:
        async for record in _records(log, partition, newest, newest + 1):
            claim = record
    return _writer(claim), _snapshot(manifest)


def _writer(record: Record | None) -> WriterFacts | None:
    if record is None:
        return None
    try:
        claim = ClaimRecord.decode(record.value)
    except ValidationError:
        return None
    return WriterFacts(claim.producer, record.offset, claim.owner, record.time_ms)


def _snapshot(found: tuple[Record, ManifestRecord] | None) -> SnapshotFacts | None:
    if found is None:
        return None
    record, manifest = found
    size_bytes = sum(chunk.size_bytes for chunk in manifest.chunks)
    return SnapshotFacts(
        manifest.producer,
        record.offset,
        record.time_ms,
        size_bytes,
        manifest.position,
        manifest.version,
        manifest.log_id,
    )


def _decoded(record: Record) -> ManifestRecord | None:
    try:
        return ManifestRecord.decode(record.value)
    except ValidationError:
        return None


async def _records(log: EventLog, partition: int, first: int, end: int) -> AsyncIterator[Record]:
    reader = log.reader(STATE, {partition: first})
    try:
        while reader.positions()[partition] < end:
            for record in (await reader.fetch(max_records=64)).get(partition, ()):
                if record.offset >= end:
                    return
                yield record
    finally:
        await reader.close()
