"""Tells readers that a stream's file has changed, whoever changed it."""

import asyncio
import sqlite3
from pathlib import Path

from pegel.eventlog.port import LogError
from pegel.eventlog.sqlite import files

POLL_SECONDS = 0.02


class Watch:
    """Tells that a stream's file has changed: one look every 20 ms, and only while somebody waits.

    PRAGMA data_version reads a counter in shared memory, in microseconds and without a transaction, so it may be done
    on the event loop.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # In a thread, and patient: the first look after a crash has to go through the WAL.
        with files.explained(path):
            self._connection = files.connect(path, files.BUSY_SECONDS)
        self.version()
        self._connection.execute("PRAGMA busy_timeout = 0")
        self._waiting: set[asyncio.Future[None]] = set()
        self._task: asyncio.Task[None] | None = None

    def version(self) -> int:
        """Another number after each commit of anyone."""
        try:
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error as error:
            if files.is_locked(error):
                return -1  # somebody closes or restores the file: look again
            raise files.explain(error, self._path) from error

    async def changed(self, version: int, wait_seconds: float) -> None:
        """Returns once version() is another, or when the time is up."""
        if self.version() != version:
            return
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look(version))
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await asyncio.wait([waiting], timeout=wait_seconds)
        finally:
            self._waiting.discard(waiting)

    async def _look(self, version: int) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(POLL_SECONDS)
                now = self.version()
                if now != version:
                    version = now
                    self._wake()
        except LogError:
            self._wake()  # who waits will look again, and be told

    def _wake(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        self._waiting.clear()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._wake()
        self._connection.close()
