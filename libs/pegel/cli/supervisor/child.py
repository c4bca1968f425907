"""A child process: in a session of its own, ended with its supervisor whichever way that ends."""

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

LAST_LINES: Final = 20
READ_BYTES: Final = 64 * 1024


class Child:
    """One process of `python -m pegel ...`.

    It leads a session of its own, so that a Ctrl-C in the terminal reaches the supervisor alone. Its standard input is
    a pipe that the supervisor holds open: where the child was told --end-with-stdin, it stops when the supervisor is
    gone, even by kill -9.
    """

    def __init__(self, name: str, process: asyncio.subprocess.Process, show: Callable[[str, str], None]) -> None:
        self.name = name
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._process = process
        self._show = show
        self._readers = [
            asyncio.create_task(self._read(stream)) for stream in (process.stdout, process.stderr) if stream is not None
        ]

    @classmethod
    async def start(
        cls, name: str, arguments: Sequence[str], environment: Mapping[str, str], show: Callable[[str, str], None]
    ) -> "Child":
        """show: called with the name and each line, of standard output and error both."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "pegel",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**environment, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        return cls(name, process, show)

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    async def ended(self) -> int:
        """Wait until it has ended and its last lines are read; its exit code, or minus the signal that ended it."""
        code = await self._process.wait()
        # A grandchild that outlives it may hold the pipes; its lines are not waited for.
        await asyncio.wait(self._readers, timeout=1.0)
        return code

    def signal(self, number: signal.Signals) -> None:
        """To all processes of its session."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    async def _read(self, stream: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await stream.read(READ_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._take(line)
        if rest:
            self._take(rest)

    def _take(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip("\r")
        self.last_lines.append(text)
        self._show(self.name, text)


def how_it_ended(code: int) -> str:
    """An exit code as a person reads it."""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
