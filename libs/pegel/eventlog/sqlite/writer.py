"""The one thread that writes a stream's file: all appends that wait are one commit, so they share its fsync."""

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from pegel.eventlog.port import Appended, LogError, LogUnavailable, NewRecord
from pegel.eventlog.sqlite import files
from pegel.eventlog.sqlite.headers import pack

GATHER_SECONDS = 0.001
"""How long the first append waits for others. It is also the gap in which another process gets its turn."""

RETRY_SECONDS = 0.0005
COMMIT_BYTES_MAX = 8 * 1024 * 1024
TRIM_EVERY_SECONDS = 10.0
TRIM_RECORDS = 2_000
TRIM_BYTES = 16 * 1024 * 1024
"""One step forgets at most so much, so that no append waits long for it; the next step follows the next append."""

RECORD_OVERHEAD_BYTES = 24
CHECKPOINT_SECONDS = 0.2
CHECKPOINT_RETRY_SECONDS = 0.1

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Append:
    partition: int
    records: Sequence[NewRecord]
    done: asyncio.Future[Sequence[Appended]]
    until: float

    @property
    def size_bytes(self) -> int:
        return sum(len(record.value) for record in self.records)


_Outcome = tuple[asyncio.Future[Sequence[Appended]], Sequence[Appended] | Exception]


class Writer:
    """Appends to one stream's file. Used from one event loop; deadline_seconds: after it an append is given up."""

    def __init__(self, file: files.StreamFile, deadline_seconds: float) -> None:
        self._file, self._deadline_seconds = file, deadline_seconds
        self._statements = file.statements
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Append | None] = queue.SimpleQueue()
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        self._trimmed_at = 0.0
        self._checkpoint_after, self._checkpoint_pause = 0.0, CHECKPOINT_RETRY_SECONDS
        self._untidy = False
        self._thread = threading.Thread(target=self._run, name=f"log-{file.path.stem}", daemon=True)
        self._thread.start()

    async def append(self, partition: int, records: Sequence[NewRecord]) -> Sequence[Appended]:
        """Raises LogUnavailable, at the latest deadline_seconds from now."""
        if self._closed:
            raise LogError(f"the log of {self._file.path} was closed")
        done: asyncio.Future[Sequence[Appended]] = self._loop.create_future()
        append = _Append(partition, records, done, time.monotonic() + self._deadline_seconds)
        self._queue.put(append)
        # The thread gives up at the deadline by itself; this is for a disk that does not come back from a call.
        try:
            async with asyncio.timeout(self._deadline_seconds + 1):
                return await done
        except TimeoutError:
            raise LogUnavailable(f"{self._file.path} took nothing for {self._deadline_seconds:g} s") from None
        finally:
            append.records = ()  # a disk that hangs keeps the queue: it shall not hold what nobody waits for

    async def close(self) -> None:
        """Waits for the appends under way."""
        self._closed = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join, self._deadline_seconds + 1)

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            time.sleep(GATHER_SECONDS)
            appends, size_bytes, last = [first], first.size_bytes, False
            while size_bytes < COMMIT_BYTES_MAX:
                try:
                    following = self._queue.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    last = True
                    break
                appends.append(following)
                size_bytes += following.size_bytes
            self._write(appends)
            if last:
                break
        if self._connection is not None:
            self._connection.close()

    def _write(self, appends: list[_Append]) -> None:
        try:
            appends = self._begin(appends)
            if not appends:
                return
            results = self._commit(appends)
        except (sqlite3.Error, OSError) as error:
            self._give_up(appends, files.explain(error, self._file.path))
            return
        except Exception as error:  # noqa: BLE001 (told to those who append; the thread must go on)
            self._give_up(appends, error)
            return
        self._tell([(append.done, result) for append, result in zip(appends, results, strict=True)])
        self._tidy()

    def _begin(self, appends: list[_Append]) -> list[_Append]:
        """Take the file's write lock. Returns the appends that were not given up meanwhile. Raises sqlite3.Error."""
        while True:
            try:
                self._opened().execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if not files.is_locked(error):
                    raise
                now = time.monotonic()
                late = [append for append in appends if append.until <= now]
                if late:
                    self._tell([(append.done, files.explain(error, self._file.path)) for append in late])
                    appends = [append for append in appends if append.until > now]
                if not appends:
                    return []
                time.sleep(RETRY_SECONDS)
            else:
                return appends

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = files.connect(self._file.path, busy_seconds=0)
        return self._connection

    def _commit(self, appends: list[_Append]) -> list[list[Appended]]:
        connection = self._opened()
        # Read after the lock was taken: so that time never falls from one commit to the next, whoever writes it.
        now_ms = time.time_ns() // 1_000_000
        ends: dict[int, tuple[int, int, int]] = {}
        results = []
        for append in appends:
            statements = self._statements[append.partition]
            if append.partition not in ends:
                last, last_ms, bytes_total = connection.execute(statements.end).fetchone() or (-1, 0, 0)
                ends[append.partition] = (last + 1, max(last_ms, now_ms), bytes_total)
            offset, time_ms, bytes_total = ends[append.partition]
            rows = []
            result = []
            for value, key, headers in append.records:
                packed = pack(headers)
                bytes_total += len(value) + len(key or b"") + len(packed or b"") + RECORD_OVERHEAD_BYTES
                rows.append((offset, time_ms, key, value, packed, bytes_total))
                result.append(Appended(offset, time_ms))
                offset += 1
            connection.executemany(statements.insert, rows)
            ends[append.partition] = (offset, time_ms, bytes_total)
            results.append(result)
        connection.execute("COMMIT")
        return results

    def _give_up(self, appends: list[_Append], error: Exception) -> None:
        # After an error of the disk nobody knows what the connection still believes: the next append opens a new one.
        if self._connection is not None:
            try:
                self._connection.close()
            except sqlite3.Error as closing:
                log.warning("%s could not be closed: %s", self._file.path, closing)
            self._connection = None
        self._tell([(append.done, error) for append in appends])

    def _tell(self, outcomes: Sequence[_Outcome]) -> None:
        def settle() -> None:
            for done, outcome in outcomes:
                if done.done():
                    continue  # the caller was cancelled
                if isinstance(outcome, Exception):
                    done.set_exception(outcome)
                else:
                    done.set_result(outcome)

        self._loop.call_soon_threadsafe(settle)

    def _tidy(self) -> None:
        """Keep the WAL short and forget what is too old. What goes wrong here harms no append: it is tried again."""
        try:
            self._checkpoint()
            self._trim()
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, sqlite3.Error) and files.is_locked(error):
                return  # another process is writing
            if not self._untidy:
                log.warning("not tidied, will be tried again: %s", files.explain(error, self._file.path))
            self._untidy = True
        else:
            self._untidy = False

    def _checkpoint(self) -> None:
        """Readers that are always reading would keep SQLite's own checkpoint from ever starting the WAL anew.

        PASSIVE moves most of it while others write; what TRUNCATE then has to do with all others waiting is little.
        """
        wal = self._file.path.with_name(f"{self._file.path.name}-wal")
        if self._connection is None or wal.stat().st_size < files.WAL_BYTES_KEPT:
            return
        if time.monotonic() < self._checkpoint_after:
            return
        self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        self._connection.execute(f"PRAGMA busy_timeout = {int(CHECKPOINT_SECONDS * 1000)}")
        try:
            busy = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            # Who reads for long (a backup, a shell) shall not make every append wait.
            self._checkpoint_pause = min(2 * self._checkpoint_pause, 5.0) if busy else CHECKPOINT_RETRY_SECONDS
            self._checkpoint_after = time.monotonic() + self._checkpoint_pause if busy else 0.0
        finally:
            self._connection.execute("PRAGMA busy_timeout = 0")

    def _trim(self) -> None:
        now = time.monotonic()
        if now < self._trimmed_at + TRIM_EVERY_SECONDS:
            return
        if self._file.retention_hours is None and self._file.retention_bytes is None:
            self._trimmed_at = now
            return
        behind = [self._trim_partition(statements) for statements in self._statements]
        if not any(behind):
            self._trimmed_at = now

    def _trim_partition(self, statements: files.Statements) -> bool:
        """Forget some of the oldest records, never the last one. Whether more are left to forget."""
        connection = self._opened()
        first = connection.execute(statements.begin).fetchone()
        if first is None:
            return False
        begin: int
        last: int
        begin, _, begin_bytes = first
        last, _, last_bytes = connection.execute(statements.end).fetchone()
        hours, size_bytes = self._file.retention_hours, self._file.retention_bytes
        oldest_ms = 0 if hours is None else time.time_ns() // 1_000_000 - int(hours * 3_600_000)
        oldest_bytes = 0 if size_bytes is None else last_bytes - size_bytes

        def row(offset: int) -> tuple[int, int]:
            # Another process may have forgotten it meanwhile.
            return connection.execute(statements.row, (offset,)).fetchone() or (-1, -1)

        def kept(offset: int) -> bool:
            time_ms, bytes_total = row(offset)
            return time_ms >= oldest_ms and bytes_total > oldest_bytes

        target = files.first_offset(begin, last, kept)
        step = files.first_offset(
            begin + 1, min(target, begin + TRIM_RECORDS), lambda offset: row(offset)[1] > begin_bytes + TRIM_BYTES
        )
        if target > begin:
            connection.execute(statements.delete, (step,))
        return target > step
