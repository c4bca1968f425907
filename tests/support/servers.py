"""Real servers for tests: each is started on a free port, waited for until it answers, and stopped.

A server that is not installed fails the test with a sentence that says what to install; nothing is skipped.
All are context managers; tests/conftest.py makes session fixtures of them.
"""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import psycopg
import pytest

from support.wait import until_sync

ROOT: Final = Path(__file__).resolve().parents[2]
KAFKA: Final = ROOT / "deploy/dev/kafka/kafka.sh"
POSTGRES_BIN: Final = Path("/usr/lib/postgresql/15/bin")
START_SECONDS: Final = 60.0


def missing(what: str, package: str) -> NoReturn:
    """Fails the test and says what to install."""
    pytest.fail(f"{what} is missing: run `make deps-debian` (Debian 12: apt install {package})", pytrace=False)


def command(name: str, what: str, package: str) -> Path:
    """The path of a command, or a failed test that names the package it comes in."""
    found = shutil.which(name)
    if found is None:
        missing(f"{what} ({name})", package)
    return Path(found)


def free_port(run: int = 1) -> int:
    """The first of `run` neighbouring ports of loopback that are free now."""
    while True:
        with socket.socket() as first:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                for further in range(port + 1, port + run):
                    with socket.socket() as other:
                        other.bind(("127.0.0.1", further))
            except (OSError, OverflowError):
                continue
            return port


def answers(url: str) -> bool:
    """Whether a GET of `url` is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - an address on loopback, made here
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


@contextmanager
def process(arguments: Sequence[str | Path], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A child that ends with the block, and with this process however that ends (setpriv is part of util-linux)."""
    with log.open("wb") as output:
        child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def wait_ready(child: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Waits until `url` answers; AssertionError with the end of the log when the process ends before."""

    def ready() -> bool:
        assert child.poll() is None, f"ended with {child.returncode}: {log.read_text('utf-8', 'replace')[-2000:]}"
        return answers(url)

    until_sync(ready, START_SECONDS)


@contextmanager
def kafka() -> Iterator[str]:
    """Apache Kafka by the project's own script. Yields host:port; streams are told apart by a prefix a test."""
    command("java", "Java 17", "openjdk-17-jre-headless")
    command("mvn", "Maven", "maven")
    with tempfile.TemporaryDirectory(prefix="pegel-kafka-") as data:
        environment = {**os.environ, "KAFKA_DATA": data, "KAFKA_PORT": str(free_port(2))}
        started = subprocess.run([KAFKA, "start"], env=environment, capture_output=True, text=True, check=False)
        assert started.returncode == 0, started.stderr
        try:
            yield started.stdout.split()[-1]
        finally:
            subprocess.run([KAFKA, "stop"], env=environment, check=True)


@dataclass(frozen=True)
class PostgresServer:
    """A running PostgreSQL on loopback. `admin` is a superuser; nobody needs a password."""

    port: int
    admin: str = "pegel"

    def url(self, database: str, user: str | None = None) -> str:
        """SQLAlchemy's URL of a database."""
        return f"postgresql+psycopg://{user or self.admin}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Runs one statement as the superuser, in a transaction of its own."""
        with psycopg.connect(self.url(database).replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(statement.encode())

    @contextmanager
    def database(self) -> Iterator[str]:
        """A fresh empty database, dropped at the end. Yields its name."""
        name = f"pegel_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name}")
        try:
            yield name
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")


@dataclass
class PostgresCluster:
    """PostgreSQL 15 of Debian on a folder of its own, without fsync: made once, started as often as asked."""

    folder: Path
    port: int

    @property
    def server(self) -> PostgresServer:
        return PostgresServer(self.port)

    def __post_init__(self) -> None:
        if not (POSTGRES_BIN / "initdb").exists():
            missing(f"PostgreSQL 15 ({POSTGRES_BIN}/initdb)", "postgresql-15")
        # PostgreSQL refuses to run as root; Debian's package made a user for it.
        self._become: list[str] = (
            ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        )
        if self._become:
            shutil.chown(self.folder, "postgres")
        options = ["-D", f"{self.folder}/data", "-U", self.server.admin, "-A", "trust", "-E", "UTF8", "--no-sync"]
        made = subprocess.run(
            [*self._become, f"{POSTGRES_BIN}/initdb", *options],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
        )
        assert made.returncode == 0, made.stderr

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """The server, ready; its process group's first process, which SIGQUIT stops at once and SIGTERM gently."""
        log = self.folder / "log"
        options = [f"port={self.port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self.folder}"]
        words = [word for option in [*options, "fsync=off"] for word in ("-c", option)]
        run = [*self._become, f"{POSTGRES_BIN}/postgres", "-D", f"{self.folder}/data", *words]
        with process(run, log) as child:

            def ready() -> bool:
                assert child.poll() is None, f"PostgreSQL ended: {log.read_text()[-2000:]}"
                try:
                    self.server.execute("SELECT 1")
                except psycopg.OperationalError:
                    return False
                return True

            until_sync(ready, START_SECONDS)
            yield child


@contextmanager
def postgres() -> Iterator[PostgresServer]:
    """PostgreSQL 15 of Debian, in a folder of its own."""
    if not (POSTGRES_BIN / "initdb").exists():
        missing(f"PostgreSQL 15 ({POSTGRES_BIN}/initdb)", "postgresql-15")
    with tempfile.TemporaryDirectory(prefix="pegel-postgres-") as folder:
        cluster = PostgresCluster(Path(folder), free_port())
        with cluster.running():
            yield cluster.server


@contextmanager
def alertmanager() -> Iterator[str]:
    """Prometheus' Alertmanager with one receiver that sends nothing. Yields its base URL."""
    executable = command("prometheus-alertmanager", "Alertmanager", "prometheus-alertmanager")
    with tempfile.TemporaryDirectory(prefix="pegel-alertmanager-") as folder:
        configuration, log, port = Path(folder, "alertmanager.yml"), Path(folder, "log"), free_port()
        configuration.write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
        options = [f"--config.file={configuration}", f"--storage.path={folder}/data", "--cluster.listen-address="]
        with process([executable, *options, f"--web.listen-address=127.0.0.1:{port}"], log) as child:
            wait_ready(child, f"http://127.0.0.1:{port}/-/ready", log)
            yield f"http://127.0.0.1:{port}"


@contextmanager
def prometheus(targets: Sequence[str]) -> Iterator[str]:
    """Prometheus that scrapes `targets` (host:port) every second. Yields its base URL."""
    executable = command("prometheus", "Prometheus", "prometheus")
    with tempfile.TemporaryDirectory(prefix="pegel-prometheus-") as folder:
        configuration, log, port = Path(folder, "prometheus.yml"), Path(folder, "log"), free_port()
        configuration.write_text(
            "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
            f"scrape_configs: [{{job_name: pegel, static_configs: [{{targets: {list(targets)!r}}}]}}]\n"
        )
        options = [f"--config.file={configuration}", f"--storage.tsdb.path={folder}/data"]
        with process([executable, *options, f"--web.listen-address=127.0.0.1:{port}"], log) as child:
            wait_ready(child, f"http://127.0.0.1:{port}/-/ready", log)
            yield f"http://127.0.0.1:{port}"


def promtool() -> Path:
    """Prometheus' checker of metrics and rules."""
    return command("promtool", "promtool", "prometheus")


CHROMIUM_FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> Path:
    """Debian's Chromium, for Playwright's executable_path. Playwright's own browsers are not fetched."""
    return command("chromium", "Chromium", "chromium")
