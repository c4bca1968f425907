"""The alerter and its database: exactly once through crashes, one in charge of two, and what must stop it."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine, text

from pegel.alerter.database import Database, DatabaseUnavailable, check_schema, migrate, positions
from pegel.alerter.database.positions import NotInCharge, Position
from pegel.alerter.incidents.pipeline.rising import Rising
from pegel.alerter.ledger.pipeline import Booking
from pegel.eventlog.fencing import Seen
from pegel.eventlog.identity import open_identity
from pegel.eventlog.memory import MemoryLog
from pegel.eventlog.port import WINDOWS
from pegel.runtime.settings import ConfigurationError, Settings
from support.alerters import Running, alerter
from support.databases import BOTH, database_url
from support.servers import PostgresServer
from support.wait import until
from support.windows import Windows, append, cell

BUCKETS = 40


@pytest.fixture(params=BOTH)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    url = database_url(request, request.param, tmp_path)
    migrate(url)
    return Settings(data_dir=tmp_path, database_url=SecretStr(url))


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


async def story(settings: Settings) -> tuple[MemoryLog, Windows]:
    """Forty buckets with contacts, a late one now and then, and four spikes that open and end."""
    log, windows = MemoryLog(), Windows(start=datetime.now().astimezone().replace(second=0, microsecond=0))
    await open_identity(log, settings)
    await append(log, [windows.claim()])
    for number in range(BUCKETS):
        spikes = []
        if number % 10 == 3:
            spikes = [windows.spike(segment=("ES", f"t{number}"), spike_id=f"s{number}")]
        if number % 10 == 7:
            spikes = [windows.spike("resolved", segment=("ES", f"t{number - 4}"), spike_id=f"s{number - 4}")]
        late = [(3, cell(channel="chat"), 1)] if number % 7 == 0 else []
        counts = [(cell(), 1 + number % 5), (cell(topic="login"), 2)]
        await append(log, windows.bucket(counts, spikes=spikes, late=late))
    return log, windows


def content(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    """What the story must leave in the database, however often it was interrupted."""
    queries = {
        "entries": "SELECT id, quantity, amount_micros FROM ledger_entries ORDER BY id",
        "hours": "SELECT hour, segment, team, topic, contacts, amount_micros FROM cost_hours ORDER BY 1, 2, 3, 4",
        "incidents": "SELECT id, state, team FROM incidents ORDER BY id",
        "transitions": "SELECT incident_id, from_state, to_state, reason FROM transitions ORDER BY incident_id, id",
        "pages": "SELECT page_id, receiver FROM outbox ORDER BY 1, 2",
        "cut": "SELECT record_offset FROM ledger_cut",
        "positions": "SELECT consumer, next_offset FROM positions ORDER BY 1",
    }
    engine = create_engine(settings.resolved_database_url)
    with engine.connect() as connection:
        found = {name: [tuple(row) for row in connection.execute(text(query))] for name, query in queries.items()}
    engine.dispose()
    return found


def check(url: str) -> None:
    """What serving does first."""
    database = Database(url)
    try:
        check_schema(database)
    finally:
        database.close()


class Crash(BaseException):
    """The process is gone."""


async def test_a_crash_between_effect_and_position_changes_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pegel.alerter.windows.consumer.BUCKETS_MAX", 3)
    log, windows = await story(settings)
    # Both readers do 14 transactions; every third one of either dies before it is committed.
    crashes = iter([number % 3 == 2 for number in range(40)])
    for part in (Rising, Booking):
        original = part.__call__

        def crashing(self: Any, *given: Any, original: Any = original) -> None:
            original(self, *given)
            if next(crashes, False):
                raise Crash

        monkeypatch.setattr(part, "__call__", crashing)
    died = 0
    for _ in range(60):
        async with alerter(settings, log, ready=False) as running:
            await until(partial(_done, running, settings, log), 20)
            if not running.task.done():
                break
            died += isinstance(running.task.exception(), Crash)
    assert died >= 5
    interrupted = content(settings)
    assert sum(quantity for _, quantity, _ in interrupted["entries"]) == windows.contacts
    assert len(interrupted["incidents"]) == 4
    assert len(interrupted["transitions"]) == 8
    assert len({row[0] for row in interrupted["pages"]}) == len(interrupted["pages"]) == 8
    assert {offset for _, offset in interrupted["positions"]} == {(await log.bounds(WINDOWS))[0].end}


def _done(running: Running, settings: Settings, log: MemoryLog) -> bool:
    """It died, or both readers are at the end."""
    if running.task.done():
        return True
    end = len(log._streams[WINDOWS][0].records)
    return [offset for _, offset in content(settings)["positions"]] == [end, end]


def test_a_position_is_moved_only_from_where_it_was(settings: Settings) -> None:
    database = Database(settings.resolved_database_url)
    try:
        with database.write() as connection:
            positions.start(connection, "ledger", "log")
        with database.write() as connection:
            positions.move(connection, "ledger", "log", 0, Position(5, {"judge/0": Seen(1, (2, 3))}))

        def moved_by_another(before: int, log_id: str) -> None:
            with database.write() as connection:
                positions.move(connection, "ledger", log_id, before, Position(9))

        for before, log_id in ((0, "log"), (4, "log"), (5, "another log")):
            with pytest.raises(NotInCharge):
                moved_by_another(before, log_id)
        with database.read() as connection:
            assert positions.load(connection, "ledger") == Position(5, {"judge/0": Seen(1, (2, 3))})
    finally:
        database.close()


async def test_two_alerters_on_one_database_do_all_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pegel.alerter.windows.consumer.BUCKETS_MAX", 2)
    log, windows = await story(settings)
    async with alerter(settings, log) as one, alerter(settings, log) as other:
        await one.applied(windows.now)
        # what one has done, the other answers too
        await other.applied(windows.now)
        await until(lambda: len(one.memory.taken) + len(other.memory.taken) == 8)
        found = content(settings)
        assert sum(quantity for _, quantity, _ in found["entries"]) == windows.contacts
        assert len(found["transitions"]) == 8
        sent = [page_id for its in (one, other) for page_id, *_ in its.memory.taken]
        assert len(set(sent)) == 8
        for page_id, state in _states(settings):
            assert state == "sent", page_id


def _states(settings: Settings) -> list[tuple[str, str]]:
    engine = create_engine(settings.resolved_database_url)
    with engine.connect() as connection:
        rows = [(row[0], row[1]) for row in connection.execute(text("SELECT page_id, state FROM outbox"))]
    engine.dispose()
    return rows


async def test_a_second_alerter_takes_over(settings: Settings) -> None:
    log, windows = await story(settings)
    async with alerter(settings, log) as other:
        async with alerter(settings, log) as one:
            await one.applied(windows.now)
        await append(log, windows.bucket([(cell(), 5)]))
        await other.applied(windows.now)
    assert sum(quantity for _, quantity, _ in content(settings)["entries"]) == windows.contacts


async def test_a_restart_goes_on_where_it_stopped(settings: Settings) -> None:
    log, windows = await story(settings)
    for _ in range(3):
        async with alerter(settings, log) as running:
            await running.applied(windows.now)
            await append(log, windows.bucket([(cell(), 5)]))
            await running.applied(windows.now)
    assert sum(quantity for _, quantity, _ in content(settings)["entries"]) == windows.contacts


async def test_the_database_of_another_log_is_refused(settings: Settings) -> None:
    log, windows = await story(settings)
    async with alerter(settings, log) as running:
        await running.applied(windows.now)
    other = MemoryLog()
    ids = [(await open_identity(its, settings)).meta.log_id for its in (log, other)]
    async with alerter(settings, other, ready=False) as running:
        await until(running.task.done)
        error = running.task.exception()
        assert isinstance(error, ConfigurationError)
        (fault,) = error.faults
        assert all(name in fault for name in ids)
        assert "PEGEL_DATABASE_URL" in fault


async def test_a_position_that_the_log_lost_stops_the_service(on_sqlite: Settings) -> None:
    log, windows = await story(on_sqlite)
    async with alerter(on_sqlite, log) as running:
        await running.applied(windows.now)
    await append(log, windows.bucket([(cell(), 5)]))
    log.trim(WINDOWS, 0, (await log.bounds(WINDOWS))[0].end)
    async with alerter(on_sqlite, log, ready=False) as running:
        await until(running.task.done)
        error = running.task.exception()
        assert isinstance(error, ConfigurationError)
        (fault,) = error.faults
        assert fault.startswith("the position of incidents is lost: stream windows, partition 0: offset ")
        assert fault.endswith("accept the loss: pegel log accept-loss windows --partition 0 --reason ...")


async def test_a_fault_in_the_ledger_stops_no_page(on_sqlite: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Booking, "__call__", broken)
    log, _ = await story(on_sqlite)
    async with alerter(on_sqlite, log) as running:
        await until(lambda: len(running.memory.taken) == 8, 20)
        assert all(cost is None for *_, cost in running.memory.taken)
        status, body = running.service.probe.readiness()
        assert status == 200
        assert body["dependencies"]["ledger"] == "a defect of Pegel (ZeroDivisionError)"  # type: ignore[index]
        assert (await running.costs())["as_of"] is None


async def test_a_locked_database_is_waited_for(on_sqlite: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pegel.alerter.database.engine.BUSY_SECONDS", 0.1)
    log, windows = await story(on_sqlite)
    async with alerter(on_sqlite, log) as running:
        await running.applied(windows.now)
        (incident, *_) = await running.incidents()
        with closing(sqlite3.connect(on_sqlite.data_dir / "pegel.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            await append(log, windows.bucket([(cell(), 5)]))
            await until(lambda: running.service.probe.dependencies["database"] is not None)
            answer = await running.client.post(f"/v1/incidents/{incident['id']}/acknowledge", json={})
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert answer.headers["content-type"] == "application/problem+json"
            assert running.service.probe.readiness()[0] == 200
            other.execute("ROLLBACK")
        await running.applied(windows.now)
        await until(lambda: running.service.probe.dependencies["database"] is None)
    assert sum(quantity for _, quantity, _ in content(on_sqlite)["entries"]) == windows.contacts


async def test_a_full_disk_is_waited_for(on_sqlite: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    log, windows = await story(on_sqlite)
    async with alerter(on_sqlite, log) as running:
        await running.applied(windows.now)
        full = True
        write = Database.write

        def writing(self: Database) -> Any:
            if full:
                # SQLite says the same when the disk is full: the file may not grow any more.
                with self.engine.connect() as connection:
                    pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
                    connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
            return write(self)

        monkeypatch.setattr(Database, "write", writing)
        for _ in range(40):
            await append(log, windows.bucket([(cell(site=f"s{number}"), 1) for number in range(50)]))
        await until(lambda: "full" in (running.service.probe.dependencies["database"] or ""), 20)
        full = False
        monkeypatch.setattr(Database, "write", _unlimited(write))
        await running.applied(windows.now)
    assert sum(quantity for _, quantity, _ in content(on_sqlite)["entries"]) == windows.contacts


def _unlimited(write: Callable[[Database], Any]) -> Callable[[Database], Any]:
    def writing(self: Database) -> Any:
        with self.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count=1073741823")
        return write(self)

    return writing


def test_a_file_that_is_no_database_is_named(on_sqlite: Settings) -> None:
    path = on_sqlite.data_dir / "pegel.sqlite"
    path.write_text("this is a letter to my grandmother, and much longer than a page header" * 100)
    with pytest.raises(ConfigurationError) as error:
        check(on_sqlite.resolved_database_url)
    assert error.value.faults == [f"PEGEL_DATABASE_URL=sqlite:///{path}: file is not a database"]


@pytest.mark.parametrize("url", ["nonsense", "mysql://u:secret@h/d", "sqlite://", "sqlite:///:memory:"])
def test_a_url_of_no_known_kind_is_named_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        Database(url)
    assert "PEGEL_DATABASE_URL" in error.value.faults[0]
    assert "secret" not in error.value.faults[0]


@pytest.mark.postgres
async def test_postgresql_that_goes_away_is_waited_for(postgres_server: PostgresServer, tmp_path: Path) -> None:
    with postgres_server.database() as name:
        url = postgres_server.url(name)
        migrate(url)
        settings = Settings(data_dir=tmp_path, database_url=SecretStr(url))
        log, windows = await story(settings)
        async with alerter(settings, log) as running:
            await running.applied(windows.now)
            postgres_server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            hang_up = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"  # noqa: S608
            postgres_server.execute(hang_up)
            await append(log, windows.bucket([(cell(), 5)]))
            await until(lambda: running.service.probe.dependencies["database"] is not None, 20)
            answer = await running.client.get("/v1/incidents")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            postgres_server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            await until(lambda: _all_booked(settings, windows), 30)
            await until(lambda: running.service.probe.dependencies["database"] is None, 20)


def _all_booked(settings: Settings, windows: Windows) -> bool:
    booked: int = sum(quantity for _, quantity, _ in content(settings)["entries"])
    return booked == windows.contacts


@pytest.mark.postgres
async def test_it_serves_under_a_role_that_cannot_create_tables(
    postgres_server: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    role = f"serving_{postgres_database}"
    postgres_server.execute(f"CREATE ROLE {role} LOGIN")
    try:
        serving = postgres_server.url(postgres_database, role)
        postgres_server.execute(f"REVOKE CREATE ON SCHEMA public FROM PUBLIC, {role}", postgres_database)

        with pytest.raises(ConfigurationError) as error:
            check(serving)
        assert "the database has no tables of Pegel, this version needs schema" in error.value.faults[0]
        assert "run `pegel migrate`" in error.value.faults[0]
        with pytest.raises(ConfigurationError, match="permission denied"):
            migrate(serving)

        migrate(postgres_server.url(postgres_database))
        for statement in (
            f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {role}",
            f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}",
        ):
            postgres_server.execute(statement, postgres_database)
        settings = Settings(data_dir=tmp_path, database_url=SecretStr(serving))
        log, windows = await story(settings)
        async with alerter(settings, log) as running:
            await running.applied(windows.now)
            (incident, *_) = await running.incidents()
            await until(lambda: len(running.memory.taken) == 8, 20)
            assert incident["team"] == "unattributed"
    finally:
        postgres_server.execute(f"DROP OWNED BY {role}", postgres_database)
        postgres_server.execute(f"DROP ROLE {role}")


@pytest.mark.postgres
def test_a_database_that_is_away_is_not_a_wrong_one() -> None:
    with pytest.raises(DatabaseUnavailable):
        check("postgresql+psycopg://nobody@127.0.0.1:1/none")
