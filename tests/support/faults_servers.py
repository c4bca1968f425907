"""A broker and a database that a test may stop, kill and start again on the same data."""

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from support import servers
from support.proxy import Proxy, proxy

SESSION_SECONDS: Final = 3.0
"""After this a member that gave no sign is taken for dead; 10 s where nobody says otherwise."""


@dataclass
class Broker:
    """One Kafka broker; `proxied` is its address by way of a proxy that can cut connections."""

    folder: Path
    port: int
    proxy_port: int

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def proxied(self) -> str:
        return f"127.0.0.1:{self.proxy_port}"

    @property
    def behind_proxy(self) -> int:
        """The port that the proxy passes on to."""
        return self.port + 2

    def start(self) -> None:
        self._run("start")

    def stop(self) -> None:
        """As an operator does: it closes its files and says goodbye."""
        self._run("stop")

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)

    def pause(self) -> None:
        """It keeps its connections and answers nobody."""
        os.kill(self._pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self._pid, signal.SIGCONT)

    @property
    def _pid(self) -> int:
        return int((self.folder / "pid").read_text())

    def _run(self, what: str) -> None:
        environment = {
            **os.environ,
            "KAFKA_DATA": str(self.folder),
            "KAFKA_PORT": str(self.port),
            "KAFKA_PROXY_PORT": str(self.proxy_port),
            "KAFKA_OPTIONS": "group.min.session.timeout.ms=1000",
        }
        done = subprocess.run([servers.KAFKA, what], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@dataclass
class Postgres:
    """One PostgreSQL server."""

    cluster: servers.PostgresCluster
    _running: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _child: subprocess.Popen[bytes] | None = None

    @property
    def server(self) -> servers.PostgresServer:
        return self.cluster.server

    def start(self) -> None:
        self._child = self._running.enter_context(self.cluster.running())

    def stop(self) -> None:
        """At once, as pg_ctl stop -m immediate: all connections are gone, and it recovers when it starts."""
        assert self._child is not None
        self._child.send_signal(signal.SIGQUIT)
        self._child.wait(30)
        self._running.close()

    def dump(self, database: str) -> Path:
        """A backup of a database, in a file."""
        path = self.cluster.folder / f"{database}.dump"
        with path.open("wb") as out:
            subprocess.run(
                ["pg_dump", "-h", "127.0.0.1", "-p", str(self.server.port), "-U", self.server.admin, "-Fc", database],
                stdout=out,
                check=True,
            )
        return path

    def restore(self, database: str, path: Path) -> None:
        """The database is that of the backup, and nothing else is left of it."""
        self.server.execute(f"DROP DATABASE {database} WITH (FORCE)")
        self.server.execute(f"CREATE DATABASE {database}")
        where = ["-h", "127.0.0.1", "-p", str(self.server.port), "-U", self.server.admin, "-d", database]
        subprocess.run(["pg_restore", *where, "--no-owner", str(path)], check=True)


@dataclass(frozen=True)
class Servers:
    """What all runs of a session share."""

    broker: Broker
    proxy: Proxy
    postgres: Postgres


@contextmanager
def running() -> Iterator[Servers]:
    """Both servers and the proxy, for a session. Fails, naming the package, where one is not installed."""
    servers.command("java", "Java 17", "openjdk-17-jre-headless")
    servers.command("mvn", "Maven", "maven")
    with contextlib.ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pegel-faults-")))
        for name in ("kafka", "postgres"):
            (data / name).mkdir()
        data.chmod(0o755)
        broker = Broker(data / "kafka", servers.free_port(3), servers.free_port())
        broker.start()
        stack.callback(broker.stop)
        cutting = stack.enter_context(proxy(broker.proxy_port, broker.behind_proxy))
        postgres = Postgres(servers.PostgresCluster(data / "postgres", servers.free_port()))
        postgres.start()
        stack.callback(postgres._running.close)
        yield Servers(broker, cutting, postgres)
