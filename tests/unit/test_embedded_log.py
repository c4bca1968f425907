"""The embedded log when its disk is full, its file locked or not its own, when time passes, and under load."""

import asyncio
import gc
import resource
import sqlite3
import threading
import time
import weakref
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from pegel.eventlog.port import (
    CONTACTS,
    META,
    Appended,
    LogError,
    LogUnavailable,
    NewRecord,
    PositionOutOfRange,
    StreamSpec,
)
from pegel.eventlog.sqlite import SqliteLog, files, writer
from support.wait import until

RECORD = [NewRecord(b"x" * 1000)]


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    log = SqliteLog(tmp_path, deadline_seconds=0.3)
    await log.create([StreamSpec(CONTACTS, 2)])
    yield log
    await log.close()


def contacts(log: SqliteLog) -> Path:
    return log.folder / f"{CONTACTS}.sqlite"


async def test_a_locked_file_is_named_and_appends_go_on_afterwards(log: SqliteLog) -> None:
    with closing(sqlite3.connect(contacts(log), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogUnavailable, match=r"contacts\.sqlite is locked by another process$"):
            await log.append(CONTACTS, 0, RECORD)
        reader = log.reader(CONTACTS, {0: 0})
        assert await reader.fetch(wait_seconds=0.1) == {}, "readers don't mind"
    assert (await log.append(CONTACTS, 0, RECORD))[0].offset == 0, "what was given up is not appended later"


async def test_a_short_lock_only_delays(log: SqliteLog) -> None:
    with closing(sqlite3.connect(contacts(log), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        append = asyncio.ensure_future(log.append(CONTACTS, 0, RECORD))
        await asyncio.sleep(0.05)
        assert not append.done()
        other.execute("COMMIT")
        assert (await append)[0].offset == 0


async def test_a_full_disk_is_named_and_appends_go_on_when_there_is_space(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = files.connect

    def with_little_space(path: Path, busy_seconds: float) -> sqlite3.Connection:
        connection = real(path, busy_seconds)
        connection.execute("PRAGMA max_page_count = 20")  # SQLite then says what it says when the disk is full
        return connection

    with monkeypatch.context() as patched:
        patched.setattr(files, "connect", with_little_space)
        (first,) = await log.append(CONTACTS, 0, RECORD)
        with pytest.raises(LogUnavailable, match=r"^no space is left on the disk of .*contacts\.sqlite$"):
            await log.append(CONTACTS, 0, RECORD * 100)
    (second,) = await log.append(CONTACTS, 0, RECORD)
    assert (first.offset, second.offset) == (0, 1), "nothing of the append that failed stays"


async def test_a_write_that_the_system_refuses_leaves_the_log_as_it_was(log: SqliteLog) -> None:
    await log.append(CONTACTS, 0, RECORD)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, hard))
        with pytest.raises(LogUnavailable, match=r"contacts\.sqlite can't be read or written: "):
            await log.append(CONTACTS, 0, RECORD * 200)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (await log.append(CONTACTS, 0, RECORD))[0].offset == 1


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    log = SqliteLog(tmp_path / "file" / "log")
    with pytest.raises(LogUnavailable, match=r"file/log/contacts\.sqlite can't be used: Not a directory"):
        await log.create([StreamSpec(CONTACTS, 1)])
    await log.close()


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"no database at all" * 1000, "is not a sound log file"), (b"", "has format 0; this version of Pegel reads 1")],
)
async def test_a_file_that_is_no_stream_is_named(log: SqliteLog, content: bytes, said: str) -> None:
    (log.folder / f"{META}.sqlite").write_bytes(content)
    with pytest.raises(LogError, match=rf"meta\.sqlite {said}") as caught:
        await log.append(META, 0, RECORD)
    assert not isinstance(caught.value, LogUnavailable), "to try again would be in vain"


async def test_a_stream_half_made_is_made_anew(log: SqliteLog) -> None:
    (log.folder / f"{META}.new").write_bytes(b"the process was killed here")
    assert await log.create([StreamSpec(META, 1)]) == [META]
    assert await log.partitions(META) == 1


async def test_time_never_falls_when_the_clock_does(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([5_000, 7_000, 6_000, 3_000, 8_000])
    monkeypatch.setattr(time, "time_ns", lambda: next(clock) * 1_000_000)
    placed: list[Appended] = []
    for _ in range(5):
        placed += await log.append(CONTACTS, 0, RECORD)
    assert [place.time_ms for place in placed] == [5_000, 7_000, 7_000, 7_000, 8_000]


async def test_appends_that_wait_share_a_commit(log: SqliteLog) -> None:
    with closing(files.connect(contacts(log), 1)) as watching:
        before = watching.execute("PRAGMA data_version").fetchone()[0]
        commits = 0

        async def count() -> None:
            nonlocal before, commits
            while True:
                now = watching.execute("PRAGMA data_version").fetchone()[0]
                commits, before = commits + (now != before), now
                await asyncio.sleep(0)

        counting = asyncio.ensure_future(count())
        await asyncio.gather(*(log.append(CONTACTS, number % 2, RECORD) for number in range(200)))
        counting.cancel()
    assert 1 <= commits <= 20


@pytest.mark.parametrize(("records", "size_bytes"), [(30, 1 << 20), (2_000, 20_000)])
@pytest.mark.parametrize("spec", [StreamSpec(META, 1, retention_bytes=50_000), StreamSpec(META, 1, 1e-6)])
async def test_retention_forgets_the_oldest_but_never_the_last(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch, spec: StreamSpec, records: int, size_bytes: int
) -> None:
    monkeypatch.setattr(writer, "TRIM_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(writer, "TRIM_RECORDS", records)
    monkeypatch.setattr(writer, "TRIM_BYTES", size_bytes)
    await log.create([spec])
    behind = log.reader(META, {0: 0})

    async def trimmed() -> bool:
        *_, last = await log.append(META, 0, RECORD * 5)
        begin, end = (await log.bounds(META))[0]
        assert begin <= last.offset
        assert end == last.offset + 1
        kept_bytes = (end - begin) * len(RECORD[0].value)
        assert spec.retention_bytes is None or end < 100 or kept_bytes <= 60_000
        return begin > 100

    await until(trimmed, 20)
    with pytest.raises(PositionOutOfRange):
        await behind.fetch()


async def test_another_retention_than_a_stream_was_made_with_is_a_warning(
    log: SqliteLog, caplog: pytest.LogCaptureFixture
) -> None:
    """What was made stays as it is: nothing is forgotten earlier because somebody runs a command without settings."""
    made, other = StreamSpec(META, 1, 900.0), StreamSpec(META, 1, 200.5, 1000)
    for spec in (made, made, other):
        await log.create([spec])
    (said,) = [record.getMessage() for record in caplog.records]
    path = contacts(log).with_name("meta.sqlite")
    assert said.startswith(f"{path} was made with retention_hours = 900.0, retention_bytes = NULL, the settings say ")
    command = said.partition(f'sqlite3 {path} "')[2].removesuffix('"')
    assert command == "UPDATE stream SET retention_hours = 200.5, retention_bytes = 1000"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(command)
    caplog.clear()
    await log.create([other])
    assert not caplog.records


async def test_without_retention_nothing_is_forgotten(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "TRIM_EVERY_SECONDS", 0.0)
    for _ in range(5):
        await log.append(CONTACTS, 0, RECORD)
    assert (await log.bounds(CONTACTS))[0] == (0, 5)


async def test_readers_do_not_let_the_wal_grow(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's own checkpoint never restarts the WAL while there is always one who reads it."""
    monkeypatch.setattr(files, "WAL_BYTES_KEPT", 256 * 1024)
    wal = contacts(log).with_name(f"{contacts(log).name}-wal")
    stop = asyncio.Event()

    async def read_by_turns() -> None:
        with closing(files.connect(contacts(log), 1)) as one, closing(files.connect(contacts(log), 1)) as other:
            here, there = one, other
            here.execute("BEGIN")
            while not stop.is_set():
                here.execute("SELECT max(time_ms) FROM p0").fetchone()
                await asyncio.sleep(0.005)
                there.execute("BEGIN")
                there.execute("SELECT max(time_ms) FROM p0").fetchone()
                here.execute("COMMIT")
                here, there = there, here

    async def read() -> int:
        reader, count = log.reader(CONTACTS, {0: 0, 1: 0}), 0
        while not stop.is_set():
            count += sum(map(len, (await reader.fetch(max_records=50, wait_seconds=0)).values()))
        return count

    reading, by_turns = asyncio.ensure_future(read()), asyncio.ensure_future(read_by_turns())
    largest = 0
    for _ in range(150):
        await asyncio.gather(*(log.append(CONTACTS, partition, RECORD * 20) for partition in range(2)))
        largest = max(largest, wal.stat().st_size)
    stop.set()
    await by_turns
    assert await reading > 0
    assert 256 * 1024 <= largest <= 5 * 1024 * 1024  # 8 MiB without the own checkpoint


class Weighed(list[NewRecord]):
    """Records of which one can tell whether anybody still holds them."""


async def given_up(log: SqliteLog) -> "weakref.ref[Weighed]":
    """An append that the log did not acknowledge in time."""
    records = Weighed(RECORD * 1000)
    with pytest.raises(LogUnavailable, match=r"took nothing for 0\.1 s"):
        await log.append(CONTACTS, 0, records)
    return weakref.ref(records)


async def test_a_disk_that_hangs_holds_no_records_that_nobody_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()
    write = writer.Writer._write

    def hang(self: writer.Writer, appends: list[writer._Append]) -> None:
        goes_on.wait(20)
        write(self, appends)

    log = SqliteLog(tmp_path, deadline_seconds=0.1)
    await log.create([StreamSpec(CONTACTS, 2)])
    monkeypatch.setattr(writer.Writer, "_write", hang)
    kept = [
        await asyncio.create_task(given_up(log)) for _ in range(3)
    ]  # the first is in the thread's hands, the others wait behind it
    gc.collect()
    assert [found() for found in kept] == [None] * 3
    goes_on.set()
    assert (await log.append(CONTACTS, 0, RECORD))[0].offset == 0
    await log.close()
