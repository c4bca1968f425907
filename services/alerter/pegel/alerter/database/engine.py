"""Connections and transactions. They block: the event loop works with them in `Database.call`."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, func, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from pegel.runtime.settings import ConfigurationError

BUSY_SECONDS: Final = 5.0
"""How long a transaction waits for another process's lock on the SQLite file."""
CONNECT_SECONDS: Final = 5
THREADS: Final = 8
NAME: Final = "pegel"
"""Of an alerter's connections, in PostgreSQL's lists."""
P = ParamSpec("P")
T = TypeVar("T")
STATEMENT_SECONDS: Final = 60
LOCK_SECONDS: Final = 10
"""How long a transaction on PostgreSQL waits for a row that another one holds."""
IDLE_SECONDS: Final = 15
"""A transaction that PostgreSQL hears nothing of for so long is ended: who stalls holds its rows no longer."""


ENDED: Final = frozenset({"25P03", "25P04"})
"""SQLSTATEs by which PostgreSQL says that it ended a transaction that stalled."""
LOCK_TIMEOUT: Final = "55P03"
STALLED: Final = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user AND application_name = :name
    AND state <> 'idle' AND wait_event_type = 'Client' AND state_change < clock_timestamp() - :seconds * interval '1 s'
"""


class DatabaseUnavailable(Exception):  # noqa: N818 (a state of the database, not a mistake)
    """The database is away, locked or full. Nothing was committed, or it can't be known: read again what is there."""


class DatabaseLocked(DatabaseUnavailable):
    """Another transaction holds what this one needs, for longer than is waited for."""


class Database:
    """One database. `read` and `write` are transactions; they raise DatabaseUnavailable when trying again may help.

    Raises ConfigurationError, which names PEGEL_DATABASE_URL, when the URL is of no kind that is known.
    """

    def __init__(
        self, url: str, *, statement_seconds: int = STATEMENT_SECONDS, lock_seconds: int = LOCK_SECONDS
    ) -> None:
        self.url: Final = _parse(url)
        self.sqlite: Final = self.url.get_backend_name() == "sqlite"
        self.engine: Final[Engine] = (
            _sqlite(self.url) if self.sqlite else _postgresql(self.url, statement_seconds, lock_seconds)
        )
        self._writer: Final = self.engine.execution_options(writes=True)
        one_state = {} if self.sqlite else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._reader: Final = self.engine.execution_options(**one_state)
        # SQLite has one writer; who waits in a queue of this process needn't poll the file's lock.
        self._one_writer: Final = threading.Lock() if self.sqlite else contextlib.nullcontext()
        self._threads: Final = ThreadPoolExecutor(THREADS, "database")

    @property
    def shown(self) -> str:
        """The URL without its password."""
        return self.url.render_as_string(hide_password=True)

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database."""
        with _translated(), self._reader.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is committed at the end of the block. On SQLite it holds the write lock from its start."""
        with self._one_writer, _translated(), self._writer.begin() as connection:
            yield connection

    def end_stalled(self) -> int:
        """End the sessions of alerters that stall within a transaction; how many. Nothing to do on SQLite.

        PostgreSQL does so by itself between two commands, but not within a run of them (an executemany) that an alerter
        which was stopped has sent a part of.
        """
        if self.sqlite:
            return 0
        with self.write() as connection:
            return len(connection.execute(text(STALLED), {"name": NAME, "seconds": IDLE_SECONDS}).all())

    def make_folder(self) -> None:
        """SQLite makes the file but not its folder."""
        if self.sqlite and self.url.database:
            try:
                Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ConfigurationError([f"PEGEL_DATABASE_URL={self.shown}: {error.strerror}"]) from None

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what blocks in a thread of the database's own."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(*args, **kwargs))

    def close(self) -> None:
        """Waits for what is running."""
        self._threads.shutdown()
        self.engine.dispose()


def clock(connection: Connection, now: datetime) -> datetime:
    """The time that all who share this database have in common; now: that of this machine.

    PostgreSQL's own clock; a SQLite file has but one machine, whose clock it is.
    """
    if connection.dialect.name == "sqlite":
        return now
    found: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return found.astimezone(UTC)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigurationError(
            ["PEGEL_DATABASE_URL is no URL of the form postgresql+psycopg://... or sqlite:///file"]
        ) from None
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in ("postgresql+psycopg", "sqlite") or (
        parsed.drivername == "sqlite" and parsed.database in (None, "", ":memory:")
    ):
        shown = parsed.render_as_string(hide_password=True)
        raise ConfigurationError(
            [f"PEGEL_DATABASE_URL={shown}: only postgresql+psycopg://... and sqlite:///file are known"]
        )
    return parsed


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        kind = DatabaseLocked if getattr(error.orig, "sqlstate", None) == LOCK_TIMEOUT else DatabaseUnavailable
        raise kind(first_line(_first_fault(error))) from error
    except DBAPIError as error:
        if not error.connection_invalidated and getattr(error.orig, "sqlstate", None) not in ENDED:
            raise
        raise DatabaseUnavailable(first_line(error.orig)) from error
    except PoolTimeoutError as error:
        raise DatabaseUnavailable("all connections are in use") from error


def _first_fault(error: BaseException) -> BaseException:
    """What the driver said first: a full disk makes SQLite undo the whole transaction, so undoing a part fails next."""
    found, before = error, error.__context__
    while before is not None:
        if isinstance(before, DBAPIError):
            found = before
        before = before.__context__
    return found.orig or found if isinstance(found, DBAPIError) else found


def first_line(error: BaseException | None) -> str:
    """What a driver said, in a line."""
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]


def _sqlite(url: URL) -> Engine:
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS}, pool_timeout=BUSY_SECONDS, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _: object) -> None:
        connection.isolation_level = None  # transactions begin where we say so, not where the driver guesses
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(url: URL, statement_seconds: int, lock_seconds: int) -> Engine:
    return create_engine(
        url,
        pool_pre_ping=True,
        pool_timeout=CONNECT_SECONDS,
        hide_parameters=True,
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "application_name": NAME if statement_seconds <= STATEMENT_SECONDS else f"{NAME} migrate",
            "options": (
                f"-c statement_timeout={statement_seconds}s -c lock_timeout={lock_seconds}s "
                f"-c idle_in_transaction_session_timeout={IDLE_SECONDS}s"
            ),
            # A server that vanished without a word is noticed within 20 seconds, also while its answer is waited for.
            "tcp_user_timeout": 20_000,
            "keepalives_idle": 5,
            "keepalives_interval": 5,
            "keepalives_count": 3,
        },
    )
