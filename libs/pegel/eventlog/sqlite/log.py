"""The embedded log: a folder with one SQLite file a stream. Durable on one machine with nothing but Python."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pegel.eventlog.port import Appended, Bounds, EventLog, Member, NewRecord, Reader, StreamSpec
from pegel.eventlog.sqlite import files
from pegel.eventlog.sqlite.reader import SqliteMember, SqliteReader
from pegel.eventlog.sqlite.stream import OpenStream
from pegel.eventlog.sqlite.watch import Timer

READ_THREADS = 4
log = logging.getLogger(__name__)


class SqliteLog(EventLog):
    """Any number of processes of one machine may have it open. Used from one event loop; close it at the end.

    deadline_seconds: how long an append waits for a file that another process has locked.
    """

    def __init__(self, folder: Path, deadline_seconds: float = 5.0) -> None:
        self.folder, self.deadline_seconds = folder, deadline_seconds
        self._threads = ThreadPoolExecutor(READ_THREADS, thread_name_prefix="log-read")
        self._timer = Timer()
        self._streams: dict[str, OpenStream] = {}
        self._readers: list[SqliteReader] = []

    async def create(self, streams: Sequence[StreamSpec]) -> Sequence[str]:
        loop, made = asyncio.get_running_loop(), []
        for spec in streams:
            path = self._stream(spec.name).path
            if await loop.run_in_executor(self._threads, files.make, path, spec):
                made.append(spec.name)
            elif differs := await loop.run_in_executor(self._threads, files.kept_otherwise, path, spec):
                log.warning("%s", differs)
        return made

    async def partitions(self, stream: str) -> int:
        path = self._stream(stream).path
        file = await asyncio.get_running_loop().run_in_executor(self._threads, files.describe, path)
        return file.partitions if file else 0

    async def append(self, stream: str, partition: int, records: Sequence[NewRecord]) -> Sequence[Appended]:
        return await self._stream(stream).append(partition, records)

    async def bounds(self, stream: str) -> Mapping[int, Bounds]:
        return await self._stream(stream).bounds()

    def reader(self, stream: str, positions: Mapping[int, int]) -> Reader:
        reader = SqliteReader(self._stream(stream), positions)
        self._readers.append(reader)
        return reader

    def member(self, stream: str, group: str) -> Member:
        member = SqliteMember(self._stream(stream), group)
        self._readers.append(member)
        return member

    async def close(self) -> None:
        """Waits for the appends under way; readers and members that are still open are closed too."""
        for reader in self._readers:
            await reader.close()
        for stream in self._streams.values():
            await stream.close()
        self._timer.close()
        self._threads.shutdown()

    def _stream(self, name: str) -> OpenStream:
        if name not in self._streams:
            self._streams[name] = OpenStream(self.folder, name, self._threads, self._timer, self.deadline_seconds)
        return self._streams[name]
