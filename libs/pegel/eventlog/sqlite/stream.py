"""A stream of the embedded log as one process has it open: its file, who watches it, who writes it."""

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from pegel.eventlog.port import Appended, Bounds, LogError, NewRecord
from pegel.eventlog.sqlite import files
from pegel.eventlog.sqlite.watch import Timer, Watch
from pegel.eventlog.sqlite.writer import Writer


class OpenStream:
    """Opened at first use, by a thread of `threads`. Raises LogError where there is no such stream or partition."""

    def __init__(
        self, folder: Path, name: str, threads: ThreadPoolExecutor, timer: Timer, deadline_seconds: float
    ) -> None:
        self.name, self.path = name, folder / f"{name}.sqlite"
        self.threads, self.deadline_seconds = threads, deadline_seconds
        self._timer = timer
        self._opening = asyncio.Lock()
        self._file: files.StreamFile | None = None
        self._statements: list[files.Statements] = []
        self._watch: Watch | None = None
        self._writer: Writer | None = None

    async def file(self) -> files.StreamFile:
        """What the stream's file says. Raises LogUnavailable, LogError."""
        async with self._opening:
            if self._file is None:
                file = await asyncio.get_running_loop().run_in_executor(self.threads, files.describe, self.path)
                if file is None:
                    raise LogError(f"the log {self.path.parent} has no stream {self.name}")
                self._file, self._statements = file, file.statements
            return self._file

    def statements(self, partition: int) -> files.Statements:
        """Of a partition, once `file` was awaited."""
        if not 0 <= partition < len(self._statements):
            raise LogError(f"stream {self.name} has no partition {partition}, only {len(self._statements)}")
        return self._statements[partition]

    async def watch(self) -> Watch:
        if self._watch is None:
            await self.file()
            async with self._opening:
                if self._watch is None:
                    self._watch = await asyncio.get_running_loop().run_in_executor(
                        self.threads, Watch, self.path, self._timer
                    )
        return self._watch

    async def append(self, partition: int, records: Sequence[NewRecord]) -> Sequence[Appended]:
        file = await self.file()
        self.statements(partition)
        if self._writer is None:
            self._writer = Writer(file, self.deadline_seconds)
        return await self._writer.append(partition, records) if records else []

    async def bounds(self) -> Mapping[int, Bounds]:
        await self.file()
        return await asyncio.get_running_loop().run_in_executor(self.threads, self._bounds)

    def _bounds(self) -> Mapping[int, Bounds]:
        with files.explained(self.path), closing(files.connect(self.path, self.deadline_seconds)) as connection:
            return {partition: bounds(connection, statements) for partition, statements in enumerate(self._statements)}

    async def close(self) -> None:
        if self._writer is not None:
            await self._writer.close()
        if self._watch is not None:
            self._watch.close()


def bounds(connection: sqlite3.Connection, statements: files.Statements) -> Bounds:
    """What a partition has: both 0 as long as nothing was appended; the last record is never forgotten."""
    first = connection.execute(statements.begin).fetchone()
    last = connection.execute(statements.end).fetchone()
    return Bounds(first[0], last[0] + 1) if first and last else Bounds(0, 0)
