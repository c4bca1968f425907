"""Runs services in one process: binds, serves, drains, ends. The only place with signal handlers and exit codes.

On SIGTERM (or SIGINT): /readyz says 503, after PEGEL_DRAIN_SECONDS no new request is taken, open ones are answered,
the services' loops flush and end, exit code 0. A loop that fails ends the process with code 1, a wrong configuration
with 2, a loop that is stuck with 75 (pegel.runtime.watchdog).
"""

import asyncio
import contextlib
import errno
import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

import uvicorn
import uvloop
from fastapi import FastAPI

from pegel.runtime import logs
from pegel.runtime.errors import OperationalError
from pegel.runtime.probes import Probe
from pegel.runtime.settings import PREFIX, ConfigurationError, Settings
from pegel.runtime.watchdog import Watchdog

log = logs.get(__name__)
GRACE_SECONDS = 20.0
"""What draining may take in all, after which the process ends all the same; Kubernetes kills at 30."""


@dataclass(frozen=True)
class Service:
    """A service ready to be served. run: its loop, until the event is set; it flushes before it returns."""

    name: str
    port: int
    app: FastAPI
    probe: Probe
    run: Callable[[asyncio.Event], Awaitable[None]]


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals are handled once for all services, in `serve`


def bind(host: str, service: str, port: int) -> socket.socket:
    """A listening socket. Raises ConfigurationError that names the port's setting when it is in use."""
    setting = f"{PREFIX}{service.upper()}_PORT={port}"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigurationError([f"{setting}: port {port} of {host} is in use by another process"]) from None
        raise ConfigurationError([f"{setting}: can't listen on {host}: {error.strerror or error}"]) from None
    listener.setblocking(False)
    return listener


def serve(services: Sequence[Service], settings: Settings, *, end_with_stdin: bool = False) -> int:
    """Serve until a signal or a failure; returns the exit code. end_with_stdin: stop when standard input ends."""
    listeners = [bind(settings.host, service.name, service.port) for service in services]
    gc.set_threshold(50_000, 20, 20)  # a third of the reader's time goes into young generations otherwise
    gc.freeze()
    for service in services:
        service.probe.stuck_after_seconds = settings.stuck_seconds
    watchdog = Watchdog([service.probe for service in services])
    watchdog.start()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(services, listeners, settings, end_with_stdin))
    finally:
        watchdog.stop()


async def _serve(
    services: Sequence[Service], listeners: Sequence[socket.socket], settings: Settings, end_with_stdin: bool
) -> int:
    loop = asyncio.get_running_loop()
    told, stop = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    if end_with_stdin:
        _watch_stdin(loop, told)
    servers = []
    for service in services:
        config = uvicorn.Config(
            service.app,
            log_config=None,
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=int(GRACE_SECONDS) // 2,
            server_header=False,
            h11_max_incomplete_event_size=64 * 1024,
        )
        servers.append(_Server(config))
    http = [
        asyncio.create_task(server.serve(sockets=[listener]), name=f"http {service.name}")
        for server, listener, service in zip(servers, listeners, services, strict=True)
    ]
    loops = [asyncio.create_task(_run(service, stop), name=service.name) for service in services]
    waiting = asyncio.create_task(told.wait(), name="signal")
    done, _ = await asyncio.wait([waiting, *http, *loops], return_when=asyncio.FIRST_COMPLETED)
    code = 0 if waiting in done else 1
    for task in (*http, *loops):
        if task in done:
            code = _fault(task)
    for service in services:
        service.probe.draining = True
    if waiting in done:
        await asyncio.sleep(settings.drain_seconds)
    for server in servers:
        server.should_exit = True
    try:
        async with asyncio.timeout(GRACE_SECONDS):
            await asyncio.gather(*http, return_exceptions=True)
            stop.set()
            results = await asyncio.gather(*loops, return_exceptions=True)
    except TimeoutError:
        log.warning("drain_timed_out", seconds=GRACE_SECONDS)
        return code or 1
    finally:
        waiting.cancel()
    for result, task in zip(results, loops, strict=True):
        if isinstance(result, BaseException) and task not in done:
            code = code or _fault(task)
    return code


async def _run(service: Service, stop: asyncio.Event) -> None:
    await service.run(stop)
    if not stop.is_set():
        raise RuntimeError(f"the loop of {service.name} ended by itself")


def _fault(task: "asyncio.Task[None]") -> int:
    """Say why a task ended the process, in lines without a traceback where a person can mend it; the exit code."""
    error = task.exception() if not task.cancelled() else None
    if isinstance(error, ConfigurationError):
        for fault in error.faults:
            print(fault, file=sys.stderr, flush=True)  # noqa: T201  (for the person who starts it, as the CLI does)
        return 2
    if isinstance(error, OperationalError):
        log.error("failed", task=task.get_name(), reason=str(error))
    elif error is None:
        log.error("ended", task=task.get_name())
    else:
        log.error("failed", task=task.get_name(), error=type(error).__name__, reason=str(error), exc_info=error)
    return 1


def _watch_stdin(loop: asyncio.AbstractEventLoop, told: asyncio.Event) -> None:
    """The supervisor holds the other end of our standard input: when it dies, however it dies, we stop too."""

    def wait() -> None:
        with contextlib.suppress(OSError, ValueError):
            while os.read(0, 4096):
                pass
        with contextlib.suppress(RuntimeError):  # the loop has ended before
            loop.call_soon_threadsafe(told.set)

    threading.Thread(target=wait, name="stdin", daemon=True).start()
