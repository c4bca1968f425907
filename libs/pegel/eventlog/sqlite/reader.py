"""Readers of a stream's file: each reads in a thread, a statement a partition, and waits for the file's watch."""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Mapping, Sequence

from pegel.eventlog.port import LogError, Member, PositionOutOfRange, Reader, Record
from pegel.eventlog.sqlite import files
from pegel.eventlog.sqlite.headers import unpack
from pegel.eventlog.sqlite.stream import OpenStream, bounds

LOCK_POLL_SECONDS = 0.1
FETCH_BYTES_MAX = 16 * 1024 * 1024
"""A fetch ends with the record that reaches this: 10,000 chunks of a snapshot would be 5 GB."""


class SqliteReader(Reader):
    """Reads in the threads of the log; a fetch that is cancelled leaves the positions as they were."""

    def __init__(self, stream: OpenStream, positions: Mapping[int, int]) -> None:
        self._stream, self._threads = stream, stream.threads
        self._positions = dict(positions)
        self._connection: sqlite3.Connection | None = None
        self._nothing_since: int | None = None
        self._closed = False

    async def fetch(self, *, max_records: int = 10_000, wait_seconds: float = 1.0) -> Mapping[int, Sequence[Record]]:
        if self._closed:
            raise LogError(f"the reader of {self._stream.name} was closed")
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_seconds
        while True:
            watch = await self._stream.watch()
            version = watch.version()
            if version != self._nothing_since or version < 0:
                # The version is older than the look, so nothing that comes after the look is missed.
                found = await loop.run_in_executor(self._threads, self._read, dict(self._positions), max_records)
                if found:
                    # The next fetch begins with another partition, so that a full one lets the others have their turn.
                    first = next(iter(found))
                    self._positions[first] = self._positions.pop(first)
                    for partition, records in found.items():
                        self._positions[partition] = records[-1].offset + 1
                    return found
                self._nothing_since = version
            left = until - loop.time()
            if left <= 0:
                await asyncio.sleep(0)  # who asks again and again without waiting shall not stop the others
                return {}
            await watch.changed(version, left)

    def seek(self, partition: int, offset: int) -> None:
        self._positions[partition] = offset
        self._nothing_since = None

    def positions(self) -> Mapping[int, int]:
        return dict(self._positions)

    async def close(self) -> None:
        self._closed = True
        self._positions.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            await asyncio.get_running_loop().run_in_executor(self._threads, connection.close)

    def _read(self, positions: Mapping[int, int], limit: int) -> dict[int, list[Record]]:
        found: dict[int, list[Record]] = {}
        size_bytes = 0
        with files.explained(self._stream.path):
            if self._connection is None:
                self._connection = files.connect(self._stream.path, self._stream.deadline_seconds)
            for partition, position in positions.items():
                statements = self._stream.statements(partition)
                records = []
                # Each statement is a transaction of its own, over before this thread's work is.
                cursor = self._connection.execute(statements.read, (position, limit))
                for offset, time_ms, key, value, headers in cursor:
                    records.append(Record(partition, offset, time_ms, key, value, unpack(headers)))
                    size_bytes += len(value)
                    if size_bytes >= FETCH_BYTES_MAX:
                        break
                cursor.close()
                if not records or records[0].offset != position:
                    self._check_position(partition, position)
                if records:
                    found[partition] = records
                    limit -= len(records)
                if limit <= 0 or size_bytes >= FETCH_BYTES_MAX:
                    break
        return found

    def _check_position(self, partition: int, position: int) -> None:
        assert self._connection is not None  # noqa: S101 (for mypy)
        begin, end = bounds(self._connection, self._stream.statements(partition))
        if not begin <= position <= end:
            raise PositionOutOfRange(self._stream.name, partition, position, begin, end)


class SqliteMember(SqliteReader, Member):
    """A group has one active member: whoever holds a lock on a file beside the stream's; the others wait for it.

    The kernel lets go of the lock when its owner dies, however it dies, so another takes over at once.
    """

    def __init__(self, stream: OpenStream, group: str) -> None:
        super().__init__(stream, {})
        self._lock_path = stream.path.with_name(f"{stream.name}.{group}.lock")
        self._lock: int | None = None
        self._assigned: frozenset[int] = frozenset()
        self._generation = 0
        self._asked = False

    @property
    def assigned(self) -> frozenset[int]:
        return self._assigned

    @property
    def joined(self) -> bool:
        return self._asked

    @property
    def generation(self) -> int:
        return self._generation

    async def fetch(self, *, max_records: int = 10_000, wait_seconds: float = 1.0) -> Mapping[int, Sequence[Record]]:
        if self._closed or self._lock is not None:
            return await super().fetch(max_records=max_records, wait_seconds=wait_seconds)
        file = await self._stream.file()
        clock = asyncio.get_running_loop().time
        until = clock() + wait_seconds
        while not self._take_lock():
            self._asked = True
            left = until - clock()
            if left <= 0:
                return {}
            await asyncio.sleep(min(LOCK_POLL_SECONDS, left))
        self._asked = True
        self._assigned = frozenset(range(file.partitions))
        self._generation += 1
        return {}

    def start(self, partition: int, offset: int) -> None:
        if partition in self._assigned:
            super().seek(partition, offset)

    def seek(self, partition: int, offset: int) -> None:
        if partition in self._positions:
            super().seek(partition, offset)

    async def commit(self, positions: Mapping[int, int]) -> bool:
        """Nothing to note: the embedded log has no lag metrics of its own. Who holds the lock is the member."""
        return positions.keys() <= self._assigned

    async def close(self) -> None:
        await super().close()
        if self._assigned:
            self._assigned = frozenset()
            self._generation += 1
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take_lock(self) -> bool:
        with files.explained(self._lock_path):
            lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                return False
            self._lock = lock
            return True
