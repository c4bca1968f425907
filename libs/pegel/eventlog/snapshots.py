"""Claims and snapshots of one producer, on its partition of the stream state.

A new owner appends a claim; its offset is the epoch. A snapshot is a run of chunks and, last, a manifest. One that
stands after a newer claim is void: its writer was overtaken and did not know. Every claim, chunk and manifest names the
manifest before it, so a restore finds the newest whole one from the end:

    claim 0   chunk 1   chunk 2   manifest 3   chunk 4   manifest 5   claim 6   chunk 7   (crash)
                                  previous -   prev. 3   prev. 3      prev. 5   prev. 5

The writer that names a manifest knows that it is not void, so whatever stands last leads to one to begin at; from there
on every claim is seen.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NamedTuple

import msgspec
from pydantic import ValidationError

from pegel.eventlog.fencing import NOTHING, Fence, Seen, head
from pegel.eventlog.port import STATE, EventLog, NewRecord, Record
from pegel.runtime import logs
from pegel.runtime.settings import ConfigurationError
from pegel.schemas.detection import ChunkPlace, ClaimRecord, ManifestRecord, OutputMark

log = logs.get(__name__)
CHUNK_BYTES_MAX: Final = 512 * 1024
CHUNKS_HELD_MAX: Final = 256
"""Kept while the manifest is looked for that names them; what a larger snapshot lacks is read again."""
KIND, EPOCH, PREVIOUS = "kind", "epoch", "previous_manifest"
"""Headers of a chunk; its value is a part of the state and nothing else."""


class Overtaken(Exception):  # noqa: N818 (what happened to us)
    """Another claimed the partition: what was written since is void."""


class Snapshot(NamedTuple):
    """A snapshot that was found whole. at: its manifest's offset; time_ms: when that was appended."""

    manifest: ManifestRecord
    at: int
    time_ms: int
    body: bytes


class Line(NamedTuple):
    """What a record of state is. epoch: its writer's; of a claim its own offset. previous: the manifest before it."""

    kind: str
    epoch: int
    previous: int | None


def line(record: Record) -> Line | None:
    """What a record of state is; None when it is none of ours."""
    headers = dict(record.headers)
    try:
        if headers.get(KIND) == b"chunk":
            previous = int(headers[PREVIOUS]) if PREVIOUS in headers else None
            found = Line("chunk", int(headers[EPOCH]), previous)
        else:
            said = head(record.value)
            if said.kind == "claim":
                found = Line("claim", record.offset, said.previous_manifest)
            elif said.kind == "manifest" and said.epoch is not None:
                found = Line("manifest", said.epoch, said.previous_manifest)
            else:
                return None
    except (KeyError, ValueError, msgspec.DecodeError):
        return None
    # What points at itself, or ahead, was not written by us.
    return (
        found if found.epoch <= record.offset and (found.previous is None or found.previous < record.offset) else None
    )


class Claim:
    """The right to write for a producer, until another takes it. Used by one task at a time."""

    def __init__(self, eventlog: EventLog, partition: int, producer: str, log_id: str) -> None:
        """partition: of the stream state."""
        self._log, self._partition, self._producer, self._log_id = eventlog, partition, producer, log_id
        self.epoch = -1
        self._next = 0
        self._base: int | None = None
        """The manifest that what we append names as the one before it: whole, and not void."""

    async def take(self, outputs: Sequence[str], owner: str) -> Mapping[str, int]:
        """Claim: on state, then on each output stream. Returns where the claims on the output streams stand."""
        self._base = await _hint(self._log, self._partition)
        claim = ClaimRecord(producer=self._producer, owner=owner, previous_manifest=self._base)
        (at,) = await self._log.append(STATE, self._partition, [NewRecord(claim.encode())])
        self.epoch, self._next = at.offset, at.offset + 1
        named = ClaimRecord(producer=self._producer, owner=owner, epoch=at.offset)
        places = {}
        for stream in outputs:
            (place,) = await self._log.append(stream, 0, [NewRecord(named.encode())])
            places[stream] = place.offset
        return places

    async def snapshots(self, beat: Callable[[], None] = lambda: None) -> AsyncGenerator[Snapshot, None]:
        """Whole snapshots, newest first. beat: called while it reads.

        Raises ConfigurationError for a snapshot of another log.
        """
        async for found in snapshots(self._log, self._partition, self.epoch, self._log_id, beat):
            self._base = max(self._base, found.at) if self._base is not None else found.at
            yield found

    async def save(self, body: bytes, version: str, position: int, outputs: Mapping[str, OutputMark]) -> ManifestRecord:
        """Append a snapshot. The caller has seen every output up to `position` acknowledged.

        Raises Overtaken, LogUnavailable; after either the next one begins anew.
        """
        places = []
        headers = [(KIND, b"chunk"), (EPOCH, str(self.epoch).encode())]
        if self._base is not None:
            headers.append((PREVIOUS, str(self._base).encode()))
        for start in range(0, max(1, len(body)), CHUNK_BYTES_MAX):
            part = body[start : start + CHUNK_BYTES_MAX]
            offset = await self._append(NewRecord(part, headers=tuple(headers)))
            places.append(ChunkPlace(offset=offset, size_bytes=len(part), sha256=sha256(part).hexdigest()))
        manifest = ManifestRecord(
            producer=self._producer,
            epoch=self.epoch,
            log_id=self._log_id,
            version=version,
            position=position,
            chunks=tuple(places),
            outputs=dict(outputs),
            previous_manifest=self._base,
        )
        self._base = await self._append(NewRecord(manifest.encode()))
        return manifest

    async def contested(self, end: int | None = None) -> bool:
        """Whether another has claimed since. end: of the partition, where it was looked up already."""
        if end is None:
            end = (await self._log.bounds(STATE))[self._partition].end
        return await self._claimed_before(end)

    async def _append(self, record: NewRecord) -> int:
        (at,) = await self._log.append(STATE, self._partition, [record])
        if await self._claimed_before(at.offset):
            raise Overtaken(f"{self._producer} was claimed by another after epoch {self.epoch}")
        self._next = at.offset + 1
        return at.offset

    async def _claimed_before(self, end: int) -> bool:
        """Whether a claim stands between the last record known to be ours, or nobody's, and `end`."""
        async for record in _read(self._log, self._partition, self._next, end):
            found = line(record)
            if found is not None and found.kind == "claim":
                return True
        self._next = max(self._next, end)
        return False


async def snapshots(
    eventlog: EventLog, partition: int, until: int, log_id: str | None = None, beat: Callable[[], None] = lambda: None
) -> AsyncGenerator[Snapshot, None]:
    """Whole snapshots of a partition of state that stand before `until`, newest first. For tools too.

    Raises ConfigurationError for a snapshot of another log (where log_id is given).
    """
    begin = (await eventlog.bounds(STATE))[partition].begin
    held, chunks = await _look_through(eventlog, partition, begin, until, beat)
    while held:
        record, manifest = held.pop()
        if log_id is not None and manifest.log_id != log_id:
            raise ConfigurationError(
                [
                    f"stream state/{partition}, offset {record.offset}: a snapshot of log {manifest.log_id}, "
                    f"but this is log {log_id}: streams of two logs were mixed; point PEGEL_LOG_URL at the streams "
                    "of one log, or restore the stream state of this one"
                ]
            )
        body = await _body(eventlog, partition, manifest, chunks, beat)
        chunks = {}
        if isinstance(body, bytes):
            yield Snapshot(manifest, record.offset, record.time_ms, body)
        else:
            log.error("snapshot_corrupt", partition=partition, offset=record.offset, reason=body.why)
        previous = manifest.previous_manifest
        if not held and previous is not None and begin <= previous < record.offset:
            async for older in _read(eventlog, partition, previous, previous + 1):
                before = _manifest(older)
                if before is not None:
                    held.append((older, before))


async def _look_through(
    eventlog: EventLog, partition: int, begin: int, until: int, beat: Callable[[], None]
) -> tuple[list[tuple[Record, ManifestRecord]], dict[int, bytes]]:
    """The manifests that are not void, from a known good one on; and the chunks of the last one, as far as read."""
    newest = -1
    chunks: dict[int, bytes] = {}
    held: list[tuple[Record, ManifestRecord]] = []
    base = await _hint(eventlog, partition, until)
    async for record in _read(eventlog, partition, max(begin, base or 0), until):
        beat()
        found = line(record)
        if found is None or found.epoch < newest:
            continue  # nothing of ours, or of one who was overtaken
        newest = found.epoch
        if found.kind == "chunk":
            chunks[record.offset] = record.value
            if len(chunks) > CHUNKS_HELD_MAX:  # also of snapshots that were begun again and again, and never finished
                del chunks[next(iter(chunks))]
        elif found.kind == "manifest":
            manifest = _manifest(record)
            if manifest is not None:
                held.append((record, manifest))
                wanted = {place.offset for place in manifest.chunks}
                chunks = {offset: value for offset, value in chunks.items() if offset in wanted}
    # Nearly always so already: one whose append was given up, and got in after the next, is not the newest.
    held.sort(key=lambda each: (each[1].epoch, each[1].position))
    return held, chunks


@dataclass(frozen=True, slots=True)
class _Broken:
    why: str


async def _body(
    eventlog: EventLog, partition: int, manifest: ManifestRecord, at_hand: Mapping[int, bytes], beat: Callable[[], None]
) -> bytes | _Broken:
    """The chunks of a manifest together, if each is what it must be."""
    parts = []
    values = dict(at_hand)
    if manifest.chunks and any(place.offset not in values for place in manifest.chunks):
        first, last = manifest.chunks[0].offset, manifest.chunks[-1].offset
        if first < (await eventlog.bounds(STATE))[partition].begin:
            return _Broken("its first chunk is kept no more")
        async for record in _read(eventlog, partition, first, last + 1):
            beat()
            values[record.offset] = record.value
    for place in manifest.chunks:
        value = values.get(place.offset)
        if value is None:
            return _Broken(f"the chunk at {place.offset} is missing")
        if sha256(value).hexdigest() != place.sha256:
            return _Broken(f"the chunk at {place.offset} has another SHA-256")
        parts.append(value)
    return b"".join(parts)


def _manifest(record: Record) -> ManifestRecord | None:
    try:
        return ManifestRecord.decode(record.value)
    except ValidationError:
        return None


async def _hint(eventlog: EventLog, partition: int, until: int | None = None) -> int | None:
    """A manifest that is not void, at or before the newest: what the last record of ours names as the one before it."""
    begin, end = (await eventlog.bounds(STATE))[partition]
    at = (end if until is None else until) - 1
    while at >= begin:
        async for record in _read(eventlog, partition, at, at + 1):
            found = line(record)
            if found is not None:
                return found.previous
        at -= 1
    return None


async def _read(eventlog: EventLog, partition: int, first: int, end: int) -> AsyncIterator[Record]:
    """The records from first to end (exclusive)."""
    if first >= end:
        return
    reader = eventlog.reader(STATE, {partition: first})
    try:
        while reader.positions()[partition] < end:
            for record in (await reader.fetch(max_records=64)).get(partition, ()):
                if record.offset >= end:
                    return
                yield record
    finally:
        await reader.close()


async def highest_seen(
    eventlog: EventLog,
    stream: str,
    producer: str,
    epoch: int,
    *,
    before: int,
    since: tuple[int, Seen] | None = None,
    beat: Callable[[], None] = lambda: None,
) -> Seen:
    """The highest id of the producer's outputs that readers take, of those before its claim of `epoch` at `before`.

    And the highest epoch claimed there, which may be of one who claimed on state after us, and here before us. What
    stood before the claim can't change any more: an older owner's later writes are dropped by their epoch. since: from
    where to read, and what was known there (of a snapshot).
    """
    begin = (await eventlog.bounds(stream))[0].begin
    first, seen = since if since is not None else (0, NOTHING)
    if first < begin:
        # A claim may be gone, so whose outputs count can't be told. To repeat them all is safe: readers have seen them.
        return seen
    fence = Fence({producer: seen})
    reader = eventlog.reader(stream, {0: first})
    needle = producer.encode()
    try:
        while reader.positions()[0] < before:
            beat()
            for record in (await reader.fetch()).get(0, ()):
                if record.offset >= before:
                    break
                if needle not in record.value:
                    continue
                try:
                    found = head(record.value)
                except msgspec.DecodeError:
                    continue  # whoever reads the stream quarantines it
                if found.kind == "claim" and found.producer == producer and found.epoch is not None:
                    fence.claim(producer, found.epoch)
                elif found.origin is not None and found.origin.producer == producer and found.origin.epoch < epoch:
                    fence.passes(producer, found.origin.epoch, (found.origin.offset, found.origin.place))
    finally:
        await reader.close()
    return fence.seen[producer]
