"""Which tables the database has: migrations, and the check at the start."""

import contextlib
from collections.abc import Iterator
from importlib.resources import files
from typing import Final

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DatabaseError

from pegel.alerter.database.engine import Database, DatabaseUnavailable, first_line
from pegel.runtime.settings import ConfigurationError

SCHEMA: Final = "0003"
"""The newest migration's revision; a test compares it with the folder."""
LOCK: Final = 0x7065_6765_6C  # "pegel"
MIGRATION_SECONDS: Final = 3600


def migrate(url: str) -> tuple[str | None, str]:
    """Bring the database to this version's schema, under a lock: the revisions before and after.

    Raises ConfigurationError: the database can't be reached or used, or has a newer schema.
    """
    database = Database(url, statement_seconds=MIGRATION_SECONDS, lock_seconds=MIGRATION_SECONDS)
    try:
        return _migrate(database)
    except DatabaseUnavailable as error:
        raise ConfigurationError([f"PEGEL_DATABASE_URL={database.shown}: {error}"]) from None
    finally:
        database.close()


def check_schema(database: Database) -> None:
    """Raise ConfigurationError unless the schema is this version's. A SQLite file is brought to it instead."""
    with _understood(database), database.read() as connection:
        found = _revision(connection)
    if found == SCHEMA:
        return
    if database.sqlite and (found is None or found < SCHEMA):
        _migrate(database)
        return
    raise ConfigurationError([_other(database, found)])


def _migrate(database: Database) -> tuple[str | None, str]:
    # Only who migrates pays for importing Alembic.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    with _understood(database), database.write() as connection:  # SQLite: BEGIN IMMEDIATE is the lock
        if not database.sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        found = _revision(connection)
        if found is not None and found > SCHEMA:
            raise ConfigurationError([_other(database, found)])
        if found != SCHEMA:
            config = Config()
            config.set_main_option("script_location", str(files(__package__) / "migrations"))
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, SCHEMA)
            except CommandError as error:  # a revision that is none of ours
                raise ConfigurationError([f"PEGEL_DATABASE_URL={database.shown}: {first_line(error)}"]) from None
        return found, SCHEMA


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def _other(database: Database, found: str | None) -> str:
    what = f"schema {found}" if found else "no tables of Pegel"
    way = "run a newer Pegel" if found and found > SCHEMA else "run `pegel migrate`"
    return f"PEGEL_DATABASE_URL={database.shown}: the database has {what}, this version needs schema {SCHEMA}: {way}"


@contextlib.contextmanager
def _understood(database: Database) -> Iterator[None]:
    """A file that is no database is the configuration's fault, and so is a role that may not read or make tables."""
    database.make_folder()
    try:
        yield
    except DatabaseUnavailable:
        raise
    except DatabaseError as error:
        raise ConfigurationError([f"PEGEL_DATABASE_URL={database.shown}: {first_line(error.orig)}"]) from None
