"""A TCP proxy on loopback that cuts connections when a test says so. It runs in a thread with a loop of its own."""

import asyncio
import contextlib
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Proxy:
    """Passes everything on between `port` and `target`. Its methods may be called from any thread."""

    port: int
    target: int
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    cut_so_far: int = 0

    def cut(self, chance: random.Random, share: float = 1.0) -> int:
        """Cut each connection with this probability, in the middle of whatever it carries; how many were cut."""

        async def cut() -> int:
            chosen = [writer for writer in self._open if chance.random() < share]
            for writer in chosen:
                writer.transport.abort()
            return len(chosen)

        number = asyncio.run_coroutine_threadsafe(cut(), self._loop).result(10)
        self.cut_so_far += number
        return number

    async def _serve(self, ready: threading.Event) -> None:
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", self.port)
        ready.set()
        async with server:
            await server.serve_forever()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, here = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        self._open.add(writer)
        try:
            await asyncio.gather(_pump(reader, here), _pump(there, writer))
        finally:
            self._open.discard(writer)
            for each in (writer, here):
                each.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(64 * 1024):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()  # either end that is gone takes the other with it


@contextmanager
def proxy(port: int, target: int) -> Iterator[Proxy]:
    """Listens until the block ends."""
    passing = Proxy(port, target)
    ready = threading.Event()

    def run() -> None:
        asyncio.set_event_loop(passing._loop)
        with contextlib.suppress(asyncio.CancelledError):
            passing._loop.run_until_complete(serving)

    serving = passing._loop.create_task(passing._serve(ready))
    thread = threading.Thread(target=run, name="proxy", daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield passing
    finally:

        def end() -> None:
            for task in asyncio.all_tasks(passing._loop):
                task.cancel()

        passing._loop.call_soon_threadsafe(end)
        thread.join(10)
        passing._loop.close()
