"""The database's schema: migrated under a lock, checked at the start."""

import threading
from contextlib import nullcontext
from importlib.resources import files
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from pegel.alerter.database import Database, check_schema, migrate
from pegel.alerter.database.schema import SCHEMA
from pegel.alerter.database.tables import metadata
from pegel.alerter.ledger.adapters.sql import SqlLedger
from pegel.alerter.ledger.domain.sums import Sums, charge_digest
from pegel.runtime.settings import ConfigurationError
from pegel.schemas.detection import BucketRecord
from support.charges import charge
from support.databases import BOTH, database_url
from support.windows import Windows


@pytest.fixture(params=BOTH)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return database_url(request, request.param, tmp_path)


def test_the_migrations_make_the_tables_of_the_code(url: str) -> None:
    assert migrate(url) == (None, SCHEMA)
    database = Database(url)
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    database.close()


def test_the_schema_that_is_asked_for_is_the_newest_migration() -> None:
    script = ScriptDirectory(str(files("pegel.alerter.database") / "migrations"))
    assert script.get_current_head() == SCHEMA


def test_migrating_again_changes_nothing(url: str) -> None:
    migrate(url)
    assert migrate(url) == (SCHEMA, SCHEMA)


def test_what_was_booked_before_is_summed_up(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A database of the first schema, with three entries and a cut, as that version left it.
    monkeypatch.setattr("pegel.alerter.database.schema.SCHEMA", "0001")
    assert migrate(url) == (None, "0001")
    monkeypatch.undo()
    charges = [charge(number, quantity=number + 1) for number in range(3)]
    database = Database(url)
    with database.write() as connection:
        SqlLedger(connection)._insert(charges)
        cut = {"offset": 7, "record": cut_record().encode().decode(), "producers": '{"judge/0": [3, 7, 1]}'}
        connection.execute(text("INSERT INTO ledger_cut (id, record_offset, record) VALUES (1, :offset, :record)"), cut)
        connection.execute(
            text(
                "INSERT INTO positions (consumer, log_id, next_offset, producers) "
                "VALUES ('ledger', 'log', 8, :producers)"
            ),
            cut,
        )
    with pytest.raises(ConfigurationError) if not database.sqlite else nullcontext() as error:
        check_schema(database)  # it migrates a SQLite file
    if error is not None:
        assert error.value.faults[0].endswith(
            f"the database has schema 0001, this version needs schema {SCHEMA}: run `pegel migrate`"
        )
        assert migrate(url) == ("0001", SCHEMA)
    with database.read() as connection:
        ledger = SqlLedger(connection)
        expected = Sums().plus((its.quantity, its.currency, its.amount_micros, charge_digest(its)) for its in charges)
        assert ledger.totals() == expected
        found = ledger.cut()
        assert found is not None
        assert (found.record_offset, found.producers) == (7, {"judge/0": [3, 7, 1]})
    database.close()


def cut_record() -> BucketRecord:
    record = Windows().bucket()[-1]
    assert isinstance(record, BucketRecord)
    return record


def test_several_migrate_at_once(url: str) -> None:
    faults: list[BaseException] = []
    found: list[tuple[str | None, str]] = []

    def one() -> None:
        try:
            found.append(migrate(url))
        except BaseException as error:
            faults.append(error)
            raise

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert sorted(found, key=str) == [(SCHEMA, SCHEMA)] * 3 + [(None, SCHEMA)]


def test_a_newer_schema_is_left_alone(url: str) -> None:
    migrate(url)
    database = Database(url)
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigurationError) as error:
        check_schema(database)
    database.close()
    (fault,) = error.value.faults
    assert fault.endswith(f"the database has schema 9999, this version needs schema {SCHEMA}: run a newer Pegel")
    with pytest.raises(ConfigurationError, match="schema 9999"):
        migrate(url)


def test_a_schema_that_nobody_knows_is_named(url: str) -> None:
    migrate(url)
    database = Database(url)
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(ConfigurationError) as error:
        check_schema(database)
    database.close()
    (fault,) = error.value.faults
    assert fault.startswith("PEGEL_DATABASE_URL=")
    assert "0000" in fault
    with pytest.raises(ConfigurationError, match="0000"):
        migrate(url)


def test_a_sqlite_file_is_migrated_by_serving(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'new' / 'pegel.sqlite'}")
    check_schema(database)
    with database.read() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == SCHEMA
    database.close()


@pytest.mark.postgres
def test_postgresql_is_migrated_by_the_command_only(postgres_url: str) -> None:
    database = Database(postgres_url)
    with pytest.raises(ConfigurationError) as error:
        check_schema(database)
    (fault,) = error.value.faults
    assert fault.startswith("PEGEL_DATABASE_URL=postgresql+psycopg://pegel@127.0.0.1:")
    assert fault.endswith(
        f"the database has no tables of Pegel, this version needs schema {SCHEMA}: run `pegel migrate`"
    )
    migrate(postgres_url)
    check_schema(database)
    database.close()


def test_migrating_what_is_away_is_said_in_a_line() -> None:
    with pytest.raises(ConfigurationError) as error:
        migrate("postgresql+psycopg://nobody:secret@127.0.0.1:1/none")
    (fault,) = error.value.faults
    assert fault.startswith("PEGEL_DATABASE_URL=postgresql+psycopg://nobody:***@127.0.0.1:1/none: connection failed")
