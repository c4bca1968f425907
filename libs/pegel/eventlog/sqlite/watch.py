"""Tells readers that a stream's file has changed, whoever changed it.

PRAGMA data_version reads a counter in shared memory, in microseconds and without a transaction, so it may be done on
the event loop. One timer serves all streams of a log, and only while somebody waits: being woken costs more than that.
"""

import asyncio
import sqlite3
from pathlib import Path

from pegel.eventlog.port import LogError
from pegel.eventlog.sqlite import files

POLL_SECONDS = 0.02


class Timer:
    """Lets the watches that somebody waits for look at their files."""

    def __init__(self) -> None:
        self._watches: set[Watch] = set()
        self._next: asyncio.TimerHandle | None = None

    def add(self, watch: "Watch") -> None:
        self._watches.add(watch)
        if self._next is None:
            self._next = asyncio.get_running_loop().call_later(POLL_SECONDS, self._look)

    def close(self) -> None:
        self._watches.clear()
        if self._next is not None:
            self._next.cancel()

    def _look(self) -> None:
        self._next = None
        self._watches = {watch for watch in self._watches if watch.look()}
        if self._watches:
            self._next = asyncio.get_running_loop().call_later(POLL_SECONDS, self._look)


class Watch:
    """The changes of one file. Made in a thread: the first look after a crash has to go through the WAL."""

    def __init__(self, path: Path, timer: Timer) -> None:
        self._path, self._timer = path, timer
        with files.explained(path):
            self._connection = files.connect(path, files.BUSY_SECONDS)
        self._seen = self.version()
        self._connection.execute("PRAGMA busy_timeout = 0")
        self._waiting: set[asyncio.Future[None]] = set()

    def version(self) -> int:
        """Another number after each commit of anyone. Raises LogUnavailable, LogError."""
        try:
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error as error:
            if files.is_locked(error):
                return -1  # somebody closes or restores the file: look again
            raise files.explain(error, self._path) from error

    async def changed(self, version: int, wait_seconds: float) -> None:
        """Returns once version() is another, or when the time is up; now and then for nothing."""
        if self.version() != version:
            return
        if not self._waiting:
            self._seen = version
            self._timer.add(self)
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await asyncio.wait([waiting], timeout=wait_seconds)
        finally:
            self._waiting.discard(waiting)

    def look(self) -> bool:
        """Wake those who wait if there was a change; whether somebody still waits."""
        try:
            changed = bool(self._waiting) and self.version() != self._seen
        except LogError:
            changed = True  # who waits will look too, and be told
        if changed:
            self._wake()
        return bool(self._waiting)

    def close(self) -> None:
        self._wake()
        self._connection.close()

    def _wake(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        self._waiting.clear()
