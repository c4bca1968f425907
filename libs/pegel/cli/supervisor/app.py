"""The supervisor: checks, prepares, starts a process a service, shows their lines, and ends them all together."""

import asyncio
import http.client
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Final

from pegel.cli.supervisor.child import Child, how_it_ended
from pegel.cli.supervisor.ports import SERVICES, ports_of, wait_until_free
from pegel.cli.supervisor.screen import Screen
from pegel.runtime.settings import ConfigurationError, Settings

STOP_SECONDS: Final = 8.0
"""From SIGTERM to SIGKILL, so that all is over within 10 s."""

DRAIN_SECONDS: Final = 0.5
"""Nobody balances load over services on one machine, so draining only has to let open requests end."""

SAY_EVERY_SECONDS: Final = 10.0
BANK: Final = "bank"
Task = asyncio.Task[None]


def run_all(settings: Settings, *, simulate: bool) -> int:
    """Run until a signal or the end of a child; returns the exit code. Raises ConfigurationError.

    0 after SIGTERM, 130 after Ctrl-C, 2 when a child names a fault of the configuration, 1 when one ends otherwise.
    """
    if simulate:
        _may_simulate(settings)
    ports_of(settings)
    return asyncio.run(_Supervisor(settings, simulate=simulate).run())


def _may_simulate(settings: Settings) -> None:
    faults = []
    way_out = "; use `pegel run --no-simulate` (make run SIMULATE=0)"
    if settings.clock == "data":
        faults.append(f"PEGEL_CLOCK=data: the simulated bank lives in the present{way_out}")
    if settings.log_url:
        faults.append(
            f"PEGEL_LOG_URL={settings.log_url}: the simulated bank's contacts are never mixed with it{way_out}"
        )
    if settings.database_url:
        faults.append(f"PEGEL_DATABASE_URL is set: the simulated bank's incidents are never mixed with it{way_out}")
    if faults:
        raise ConfigurationError(faults)


class _StopError(Exception):
    """A child ended that should not have."""

    def __init__(self, child: Child, code: int) -> None:
        super().__init__(child.name)
        self.child, self.code = child, code


class _Supervisor:
    def __init__(self, settings: Settings, *, simulate: bool) -> None:
        self.settings = settings
        self.simulate = simulate
        self.data_dir = settings.data_dir / "demo" if simulate else settings.data_dir
        self.screen = Screen()
        self.children: list[Child] = []
        self.signalled: signal.Signals | None = None
        self.stopping = False

    async def run(self) -> int:
        """Everything, from the first check to the end of the last child."""
        loop = asyncio.get_running_loop()
        began = time.monotonic()
        work = asyncio.create_task(self._start_and_watch(began))

        def on_signal(number: signal.Signals) -> None:
            if self.signalled is None:
                self.signalled = number
                work.cancel()
            else:  # asked twice: no more patience
                for child in self.children:
                    child.signal(signal.SIGKILL)

        self.screen.on_closed = lambda: on_signal(signal.SIGHUP)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # `nohup pegel run`
                loop.add_signal_handler(number, on_signal, number)
        try:
            return await work
        except asyncio.CancelledError:
            await self._stop("stopping")
            return 130 if self.signalled == signal.SIGINT else 0
        except _StopError as stop:
            await self._stop("stopping the others")
            self.screen.strong(f"{stop.child.name} ended: {how_it_ended(stop.code)}. Its last lines:")
            for line in stop.child.last_lines:
                self.screen.line(f"  {line}")
            return 2 if stop.code == 2 else 1
        finally:
            for child in self.children:  # whatever went wrong above
                child.signal(signal.SIGKILL)

    async def _start_and_watch(self, began: float) -> int:
        with self.screen.step("ports free"):
            await wait_until_free(self.settings)
        environment = self._environment()
        # Each service makes what is missing, the database on SQLite too; but that log and settings agree is to be known
        # before anything is started.
        child, code = await self._prepare(f"log in {self._place()}", ["streams", "create"], environment)
        if code:
            for line in child.last_lines:
                print(line, file=sys.stderr, flush=True)
            return 2 if code == 2 else 1
        watched = [await self._start(name, ["serve", name, "--end-with-stdin"], environment) for name in SERVICES]
        waiting = [asyncio.create_task(self._ready(name, port)) for name, port in ports_of(self.settings).items()]
        try:
            await _all_or_failure(waiting, watched)
            self._say_ready(time.monotonic() - began)
            if self.simulate:  # only now: it would take the processor from the services that start
                watched.append(await self._start(BANK, ["simulate", "--end-with-stdin"], environment))
            await asyncio.gather(*watched)
        finally:
            for task in (*watched, *waiting):
                task.cancel()
        raise AssertionError("a child that ends raises")

    async def _start(self, name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> Task:
        """A child, and the task that raises when it ends."""
        child = await Child.start(name, arguments, environment, self.screen.child)
        self.children.append(child)
        return asyncio.create_task(self._watch(child))

    def _environment(self) -> Mapping[str, str]:
        environment = {**os.environ, "PEGEL_DATA_DIR": str(self.data_dir)}
        environment.setdefault("PEGEL_DRAIN_SECONDS", str(DRAIN_SECONDS))
        if self.screen.terminal:
            environment.setdefault("PEGEL_LOG_FORMAT", "text")
        return environment

    def _place(self) -> str:
        return self.settings.log_url or str(self.data_dir / "log")

    async def _prepare(self, text: str, arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[Child, int]:
        """Run a command to its end, silently; it and its exit code."""
        began = time.monotonic()
        child = await Child.start(arguments[0], arguments, environment, lambda *_: None)
        self.children.append(child)
        code = await child.ended()
        self.children.remove(child)
        self.screen.done(text if code == 0 else f"{text}: failed", time.monotonic() - began)
        return child, code

    async def _watch(self, child: Child) -> None:
        raise _StopError(child, await child.ended())

    async def _ready(self, name: str, port: int) -> None:
        """Until the service says that it is ready; says now and then what it waits for."""
        began = said = time.monotonic()
        while True:
            state = await asyncio.to_thread(_readiness, self.settings.host, port)
            now = time.monotonic()
            if state is None:
                self.screen.done(f"{name} ready", now - began)
                return
            if now - said > SAY_EVERY_SECONDS:
                said = now
                self.screen.line(f"{name} is not ready yet: {state}")
            await asyncio.sleep(0.1)

    def _say_ready(self, seconds: float) -> None:
        address = f"http://{'127.0.0.1' if self.settings.loopback else self.settings.host}"
        ports = ports_of(self.settings)
        self.screen.strong(f"ready after {seconds:.1f} s; data in {self.data_dir}; Ctrl-C stops everything")
        self.screen.strong(f"  dashboard  {address}:{ports['dashboard']}/")
        self.screen.line(f"  contacts   {address}:{ports['ingest']}/v1/contacts  (POST)")
        self.screen.line(f"  incidents  {address}:{ports['alerter']}/v1/incidents")
        if self.simulate:
            self.screen.line(f"  commands   PEGEL_DATA_DIR={self.data_dir} pegel audit")

    async def _stop(self, why: str) -> None:
        running = [child for child in self.children if child.running]
        if not running:
            return
        with self.screen.step(why):
            for child in running:
                child.signal(signal.SIGTERM)
            ends = [asyncio.create_task(child.ended()) for child in running]
            _, late = await asyncio.wait(ends, timeout=STOP_SECONDS)
            if late:
                for child in running:
                    if child.running:
                        self.screen.line(f"{child.name} did not end within {STOP_SECONDS:.0f} s and is killed")
                        child.signal(signal.SIGKILL)
                await asyncio.wait(ends, timeout=1.0)


async def _all_or_failure(awaited: Sequence[Task], watched: Sequence[Task]) -> None:
    """Until all awaited are done; raises what one of them, or of the watched, raises."""
    waiting = set(awaited)
    while waiting:
        done, _ = await asyncio.wait([*waiting, *watched], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        waiting -= done


def _readiness(host: str, port: int) -> str | None:
    """None when ready, else what it waits for."""
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = answer.read()
        if answer.status == 200:
            return None
        return str(json.loads(body).get("waiting_for"))
    except (OSError, http.client.HTTPException, ValueError):
        return "it does not answer yet"
    finally:
        connection.close()
