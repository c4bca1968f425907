"""Alerters on one PostgreSQL, one of which stalls: the other takes over, and the one that wakes changes nothing."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from pegel.alerter.database import Database, DatabaseLocked, DatabaseUnavailable, engine, migrate, positions
from pegel.alerter.database.positions import NotInCharge, Position
from pegel.alerter.paging import pipeline
from pegel.alerter.windows import consumer
from pegel.eventlog.connect import connect
from pegel.eventlog.identity import open_identity
from pegel.eventlog.memory import MemoryLog
from pegel.runtime.settings import Settings, load
from support.alerters import Clock, alerter, pass_bucket
from support.servers import PostgresServer
from support.wait import until, until_sync
from support.windows import START, Windows, append, cell

pytestmark = pytest.mark.postgres
BUCKETS = 3000
CELLS = [cell(country=country, topic=topic) for country in ("ES", "PT", "DE") for topic in ("atm", "login", "loan")]


@contextmanager
def serving(settings: Settings, url: str) -> Iterator[subprocess.Popen[bytes]]:
    """An alerter of its own, killed at the end of the block."""
    environment = {
        **os.environ,
        "PEGEL_DATA_DIR": str(settings.data_dir),
        "PEGEL_DATABASE_URL": url,
        "PEGEL_CLOCK": "data",
        "PEGEL_ALERTER_PORT": "0",
    }
    command = [sys.executable, "-m", "pegel", "serve", "alerter"]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=environment, **quiet) as child:  # type: ignore[call-overload]
        try:
            yield child
        finally:
            child.kill()


def asked(url: str, query: str) -> list[tuple[Any, ...]]:
    asking = create_engine(url)
    try:
        with asking.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]
    finally:
        asking.dispose()


def applied(url: str) -> int:
    """Up to where both readers have come."""
    rows = asked(url, "SELECT min(next_offset), count(*) FROM positions")
    return int(rows[0][0]) if rows[0][1] == 2 else 0


@pytest.mark.timeout(240)
async def test_one_that_was_stopped_in_the_middle_wakes_and_changes_nothing(postgres_url: str, tmp_path: Path) -> None:
    migrate(postgres_url)
    settings = load({}, data_dir=tmp_path, clock="data")
    log, windows = connect(settings), Windows(start=START - timedelta(days=30))
    await open_identity(log, settings)

    async def fill(count: int) -> int:
        records = []
        for number in range(count):
            spikes = [windows.spike(segment=("ES", f"t{windows.now}"))] if number % 50 == 0 else []
            records += windows.bucket([(cell, 1 + number % 3) for cell in CELLS], spikes=spikes)
        await append(log, records)
        return (await log.bounds("windows"))[0].end

    for _ in range(BUCKETS // 500):
        end = await fill(500)
    with ExitStack() as stack:
        one = stack.enter_context(serving(settings, postgres_url))
        until_sync(lambda: 0.1 * end < applied(postgres_url), 60)
        one.send_signal(signal.SIGSTOP)
        stopped_at = applied(postgres_url)
        assert stopped_at < end, "it was faster than the test"
        stack.enter_context(serving(settings, postgres_url))
        until_sync(lambda: applied(postgres_url) == end, 90)
        one.send_signal(signal.SIGCONT)
        end = await fill(100)
        until_sync(lambda: applied(postgres_url) == end, 60)
        # both live: the one that woke found that another is in charge
        assert one.poll() is None
        until_sync(lambda: asked(postgres_url, "SELECT count(*) FROM outbox WHERE state = 'pending'") == [(0,)], 60)
    await log.close()

    ((entries, contacts, micros),) = asked(
        postgres_url, "SELECT count(*), sum(quantity), sum(amount_micros) FROM ledger_entries"
    )
    assert (entries, contacts) == ((BUCKETS + 100) * len(CELLS), windows.contacts)
    assert asked(postgres_url, "SELECT sum(contacts), sum(amount_micros) FROM cost_hours") == [(contacts, micros)]
    opened = (BUCKETS + 100) // 50
    assert asked(postgres_url, "SELECT count(*), count(DISTINCT incident_id) FROM transitions") == [(opened, opened)]
    assert asked(postgres_url, "SELECT count(*), max(attempts) FROM outbox") == [(opened, 1)]


def test_a_transaction_that_stalls_holds_its_row_no_longer_than_a_moment(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # stalled:  moves the position to 5 ...... (its session is ended) ......... commit: refused
    # other:                           waits for the row, moves it to 9
    monkeypatch.setattr("pegel.alerter.database.engine.IDLE_SECONDS", 1)
    migrate(postgres_url)
    stalled, other = Database(postgres_url), Database(postgres_url)
    moved, woken = threading.Event(), threading.Event()
    said: list[BaseException] = []

    def stall() -> None:
        try:
            with stalled.write() as connection:
                positions.move(connection, "ledger", "log", 0, Position(5))
                moved.set()
                assert woken.wait(30)
                connection.execute(text("SELECT 1"))
        except DatabaseUnavailable as error:
            said.append(error)

    try:
        with other.write() as connection:
            positions.start(connection, "ledger", "log")
        thread = threading.Thread(target=stall)
        thread.start()
        assert moved.wait(30)
        with other.write() as connection:
            positions.move(connection, "ledger", "log", 0, Position(9))
        woken.set()
        thread.join()
        assert "idle-in-transaction timeout" in str(said[0])
        with pytest.raises(NotInCharge), stalled.write() as connection:
            positions.move(connection, "ledger", "log", 0, Position(5))
        with other.read() as connection:
            found = positions.load(connection, "ledger")
        assert found is not None
        assert found.next_offset == 9
    finally:
        stalled.close()
        other.close()


def test_one_that_stalls_within_a_run_of_commands_is_put_out(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # PostgreSQL's own time-outs don't see it: the run is not at its end, so the session isn't idle.
    monkeypatch.setattr("pegel.alerter.database.engine.IDLE_SECONDS", 1)
    migrate(postgres_url)
    other = Database(postgres_url, lock_seconds=3)
    plain = make_url(postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)
    stalled = psycopg.connect(
        plain, application_name="pegel", options="-c idle_in_transaction_session_timeout=1s -c statement_timeout=2s"
    )
    try:
        with other.write() as connection:
            positions.start(connection, "ledger", "log")
        stalled.pgconn.enter_pipeline_mode()
        for command in (b"BEGIN", b"UPDATE positions SET next_offset = 5"):
            stalled.pgconn.send_query_params(command, None)
        stalled.pgconn.send_flush_request()
        stalled.pgconn.flush()
        assert other.end_stalled() == 0  # not yet
        with pytest.raises(DatabaseLocked), other.write() as connection:
            positions.move(connection, "ledger", "log", 0, Position(9))
        assert other.end_stalled() == 1
        with other.write() as connection:
            positions.move(connection, "ledger", "log", 0, Position(9))
        assert other.end_stalled() == 0
    finally:
        stalled.close()
        other.close()


def test_a_row_that_is_held_is_waited_for_only_so_long(postgres_url: str) -> None:
    migrate(postgres_url)
    holder, other = Database(postgres_url), Database(postgres_url, lock_seconds=1)
    try:
        with holder.write() as connection:
            positions.start(connection, "ledger", "log")
        with holder.write() as connection:
            positions.move(connection, "ledger", "log", 0, Position(5))
            with pytest.raises(DatabaseUnavailable, match="lock timeout"), other.write() as waiting:
                positions.move(waiting, "ledger", "log", 0, Position(9))
    finally:
        holder.close()
        other.close()


async def test_pages_go_out_within_30_seconds_of_postgresqls_return(
    postgres_server: PostgresServer, postgres_database: str, postgres_url: str, tmp_path: Path
) -> None:
    migrate(postgres_url)
    settings = Settings(data_dir=tmp_path, database_url=SecretStr(postgres_url))
    log, windows, clock = MemoryLog(), Windows(), Clock(START)
    async with alerter(settings, log, now=clock) as running:
        await pass_bucket(log, windows, clock, counts=[(cell(), 5)])
        await running.applied(windows.now)
        postgres_server.execute(f"ALTER DATABASE {postgres_database} ALLOW_CONNECTIONS false")
        hang_up = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{postgres_database}'"  # noqa: S608
        postgres_server.execute(hang_up)
        await pass_bucket(log, windows, clock, counts=[(cell(), 30)], spikes=[windows.spike(onset_minutes=1)])
        # it has failed so often that it waits longest between its attempts
        consumer_waits = 'pegel_dependency_up{dependency="database"} 0.0'

        async def waits() -> bool:
            return consumer_waits in (await running.client.get("/metrics")).text

        await until(waits, 20)
        postgres_server.execute(f"ALTER DATABASE {postgres_database} ALLOW_CONNECTIONS true")
        await until(lambda: running.memory.taken, 30)
        await running.applied(windows.now)
        assert [page.kind for _, page, _ in running.memory.taken] == ["opened"]
        assert (await running.costs())["contacts"] == 35


def test_the_longest_wait_for_a_database_is_shorter_than_the_promise() -> None:
    # it comes back just after an attempt began: that attempt's time-out, one wait, then the page's look
    longest = engine.CONNECT_SECONDS + max(consumer.BACK_OFF_SECONDS) + engine.CONNECT_SECONDS + pipeline.LOOK_SECONDS
    assert longest + pipeline.COST_WAIT.total_seconds() < 30
