"""A stream's file: its tables, its statements, how it is made and opened, and what SQLite's errors mean to a person.

One table a partition, `p0`, `p1` ..., so that every append goes to the right-hand end of a B-tree. Offsets are dense,
and times and sizes never fall, so a record by offset, by age or by size is found by the primary key alone.
"""

import errno
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pegel.eventlog.port import LogError, LogUnavailable, StreamSpec

FORMAT = 1
"""PRAGMA user_version of a stream's file."""

BUSY_SECONDS = 2.0
"""How long opening waits for a process that restores the file after a crash, or closes it."""

WAL_BYTES_KEPT = 8 * 1024 * 1024

_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_AWAY = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}


class Statements:
    """The statements of one partition. The number is an int of ours: nothing of a user's gets into the text."""

    __slots__ = ("begin", "delete", "end", "insert", "read", "row")

    def __init__(self, partition: int) -> None:
        table = f"p{partition:d}"
        columns = '"offset", time_ms, "key", value, headers'
        self.insert = f"INSERT INTO {table} ({columns}, bytes_total) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608
        self.read = f'SELECT {columns} FROM {table} WHERE "offset" >= ? ORDER BY "offset" LIMIT ?'  # noqa: S608
        self.row = f'SELECT time_ms, bytes_total FROM {table} WHERE "offset" = ?'  # noqa: S608
        self.begin = f'SELECT "offset", time_ms, bytes_total FROM {table} ORDER BY "offset" LIMIT 1'  # noqa: S608
        self.end = f'SELECT "offset", time_ms, bytes_total FROM {table} ORDER BY "offset" DESC LIMIT 1'  # noqa: S608
        self.delete = f'DELETE FROM {table} WHERE "offset" < ?'  # noqa: S608


@dataclass(frozen=True, slots=True)
class StreamFile:
    """What a stream's file says of itself."""

    path: Path
    partitions: int
    retention_hours: float | None
    retention_bytes: int | None

    @property
    def statements(self) -> list[Statements]:
        return [Statements(partition) for partition in range(self.partitions)]


def is_locked(error: sqlite3.Error) -> bool:
    """Whether another process holds the lock, so that waiting may help."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _LOCKED


def explain(error: sqlite3.Error | OSError, path: Path) -> LogError:
    """The same as a sentence for a person, and as LogUnavailable where trying again may help."""
    if isinstance(error, OSError):
        if error.errno == errno.ENOSPC:
            return LogUnavailable(f"no space is left on the disk of {path}")
        return LogUnavailable(f"{path} can't be used: {error.strerror or error}")
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return LogUnavailable(f"no space is left on the disk of {path}")
    if code in _LOCKED:
        return LogUnavailable(f"{path} is locked by another process")
    if code in _AWAY:
        return LogUnavailable(f"{path} can't be read or written: {error}")
    return LogError(f"{path} is not a sound log file: {error}")


def make(path: Path, spec: StreamSpec) -> bool:
    """Make the stream's file, durably and whole or not at all. False when it was there. Raises LogUnavailable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.parent / "create.lock"):
            if path.exists():
                return False
            temporary = path.with_suffix(".new")
            for left_over in path.parent.glob(f"{temporary.name}*"):
                left_over.unlink()
            _fill(temporary, spec)
            temporary.replace(path)
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except (sqlite3.Error, OSError) as error:
        raise explain(error, path) from error
    return True


def _fill(path: Path, spec: StreamSpec) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE stream (partitions INTEGER, retention_hours REAL, retention_bytes INTEGER)")
        connection.execute(
            "INSERT INTO stream VALUES (?, ?, ?)", (spec.partitions, spec.retention_hours, spec.retention_bytes)
        )
        for partition in range(spec.partitions):
            connection.execute(
                f'CREATE TABLE p{partition:d} ("offset" INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, "key" BLOB,'
                " value BLOB NOT NULL, headers BLOB, bytes_total INTEGER NOT NULL)"
            )
        connection.execute(f"PRAGMA user_version = {FORMAT:d}")
        connection.execute("COMMIT")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def describe(path: Path) -> StreamFile | None:
    """What the file says, None when there is none. Raises LogUnavailable, LogError."""
    if not path.exists():
        return None
    with explained(path), closing(connect(path, BUSY_SECONDS)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version != FORMAT:
            raise LogError(f"{path} has format {version}; this version of Pegel reads {FORMAT}")
        return StreamFile(path, *connection.execute("SELECT * FROM stream").fetchone())


def kept_otherwise(path: Path, spec: StreamSpec) -> str | None:
    """What to say of a file that was made with another retention, and keeps it. Raises LogUnavailable, LogError."""
    file = describe(path)
    if file is None or (file.retention_hours, file.retention_bytes) == (spec.retention_hours, spec.retention_bytes):
        return None
    has, wanted = (
        f"retention_hours = {'NULL' if hours is None else hours}, retention_bytes = {size or 'NULL'}"
        for hours, size in ((file.retention_hours, file.retention_bytes), (spec.retention_hours, spec.retention_bytes))
    )
    change = f'sqlite3 {path} "UPDATE stream SET {wanted}"'  # noqa: S608 (told to a person, not executed)
    return (
        f"{path} was made with {has}, the settings say {wanted}; it stays so until, with the services stopped: {change}"
    )


def connect(path: Path, busy_seconds: float) -> sqlite3.Connection:
    """A connection in autocommit, for one thread at a time. The file must exist. Raises sqlite3.Error."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=busy_seconds, isolation_level=None,
        check_same_thread=False,
    )  # fmt: skip
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")  # the writer does it, see there
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_KEPT:d}")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Errors of SQLite and of the system leave as LogUnavailable or LogError."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise explain(error, path) from error


def first_offset(begin: int, end: int, kept: Callable[[int], bool]) -> int:
    """The first offset of [begin, end) that is kept, end if none is. kept is false up to some offset, then true."""
    while begin < end:
        middle = (begin + end) // 2
        if kept(middle):
            end = middle
        else:
            begin = middle + 1
    return begin
