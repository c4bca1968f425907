"""`pegel` as a person runs it: real processes, on free ports, with data in a folder of the test's own."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pegel.cli.app import main
from support.wait import until_sync

SERVICES = ("ingest", "detector", "alerter", "dashboard")
START_SECONDS = 25.0


@dataclass
class Place:
    """A folder and four free ports. environment: what of PEGEL_ is set there."""

    folder: Path
    ports: dict[str, int]
    environment: dict[str, str] = field(default_factory=dict)

    def env(self, over: Mapping[str, str] | None = None) -> dict[str, str]:
        """The whole environment of a process there."""
        ports = {f"PEGEL_{name.upper()}_PORT": str(port) for name, port in self.ports.items()}
        data = {"PEGEL_DATA_DIR": str(self.folder / "data"), "PYTHONWARNINGS": "error"}
        return {**os.environ, **data, **ports, **self.environment, **(over or {})}

    def pegel(self, *arguments: str, over: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "pegel", *arguments],
            cwd=self.folder,
            env=self.env(over),
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def answers(self, name: str, path: str = "/readyz") -> int:
        """The status a service answers with; 0 when nobody listens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[name], timeout=2)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def silent(self) -> bool:
        """Whether nobody listens on any of the ports."""
        return not any(self.answers(name) for name in SERVICES)

    def processes(self) -> dict[int, str]:
        """Processes that have this folder in their environment, and their command lines: what is left behind."""
        found = {}
        mark = f"PEGEL_DATA_DIR={self.folder}".encode()
        for proc in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (proc / "environ").read_bytes():
                    command = (proc / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    if command:  # one that has ended and is not waited for yet has none
                        found[int(proc.name)] = command
        return found


@dataclass(frozen=True)
class Said:
    """What a command that ran in this process said, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


class InProcess:
    """Runs commands that end at once in this process: a new one takes half a second to begin."""

    def __init__(self, here: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._here, self._monkeypatch, self._capsys = here, monkeypatch, capsys

    def __call__(self, *arguments: str, over: Mapping[str, str] | None = None) -> Said:
        with self._monkeypatch.context() as patch:
            patch.setattr("sys.argv", ["pegel", *arguments])
            patch.chdir(self._here.folder)
            for name, value in self._here.env(over).items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                main()
        out, err = self._capsys.readouterr()
        return Said(int(ended.value.code or 0), out, err)


@contextmanager
def place(folder: Path) -> Iterator[Place]:
    """A place; every process that is left there is ended after the test."""
    here = Place(folder, dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True)))
    try:
        yield here
    finally:
        for pid in here.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@dataclass
class Run:
    """`pegel run`, in the foreground of a terminal that is a file."""

    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def output(self) -> str:
        return self.log.read_text("utf-8", "replace")

    def ready(self, seconds: float = START_SECONDS) -> None:
        """Wait until it says so."""

        def said() -> bool:
            assert self.process.poll() is None, self.output
            return "\nready after " in self.output

        until_sync(said, seconds)

    def end(self, number: signal.Signals, seconds: float = 12.0) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(seconds)


@contextmanager
def running(here: Place, *arguments: str, over: Mapping[str, str] | None = None) -> Iterator[Run]:
    """`pegel run ARGUMENTS`; interrupted in the end if it still runs."""
    log = here.folder / "run.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "pegel", "run", *arguments],
            cwd=here.folder,
            env=here.env(over),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    run = Run(process, log)
    try:
        yield run
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def post(port: int, path: str, body: object) -> int:
    """POST JSON to this machine; the status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        return connection.getresponse().status
    finally:
        connection.close()
