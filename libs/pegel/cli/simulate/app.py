"""`pegel simulate`: the bank's past, then its present, then failing cash machines."""

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pegel.cli.history import has_history, steps_learnt, write
from pegel.cli.ingest import IngestClient
from pegel.cli.log import opened
from pegel.cli.simulate.failure import Failure
from pegel.cli.simulate.history import records
from pegel.cli.simulate.live import Live
from pegel.cli.simulate.world import CONTACTS_A_WEEK, COUNTRIES, TOPICS, World
from pegel.eventlog.identity import Identity, read_identity
from pegel.eventlog.port import EventLog
from pegel.runtime.settings import ConfigurationError, Settings

FAILS_AFTER_SECONDS: Final = 15.0
"""After the history was learnt."""
DIMENSIONS: Final = ("country", "topic")


@dataclass(frozen=True, slots=True)
class Options:
    """As on the command line."""

    seed: int
    weeks: int
    failing_minutes: int
    end_with_stdin: bool


def simulate_bank(settings: Settings, options: Options) -> int:
    """Run until it is stopped (SIGTERM: 0, Ctrl-C: 130). Raises ConfigurationError."""
    return asyncio.run(_Bank(settings, options).run())


def say(text: str) -> None:
    """One line on standard output."""
    print(text, flush=True)


class _Bank:
    def __init__(self, settings: Settings, options: Options) -> None:
        self.settings, self.options = settings, options
        self.world = World(options.seed)

    async def run(self) -> int:
        """Until it is told to stop. SIGINT is asyncio's business: it ends in KeyboardInterrupt."""
        loop = asyncio.get_running_loop()
        work = asyncio.create_task(self._work())
        told = False

        def stop() -> None:
            nonlocal told
            told = True
            work.cancel()

        loop.add_signal_handler(signal.SIGTERM, stop)
        if self.options.end_with_stdin:
            _watch_stdin(loop, stop)
        try:
            await work
        except asyncio.CancelledError:
            if not told:
                raise
        return 0

    async def _work(self) -> None:
        async with opened(self.settings) as log, IngestClient(self.settings, on_away=_say_away) as ingest:
            identity = await self._identity(log)
            live = Live(self.world, ingest, say)
            say(
                f"a bank of {len(COUNTRIES)} countries and {len(TOPICS)} topics,"
                f" about {CONTACTS_A_WEEK:,} contacts a week"
            )
            tasks = [asyncio.create_task(live.run()), asyncio.create_task(self._story(log, identity, live))]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _identity(self, log: EventLog) -> Identity:
        identity = await read_identity(log)
        faults = []
        if identity.meta.clock != "wall":
            faults.append(
                "PEGEL_CLOCK=data: the simulated bank lives in the present, but this log's time moves by ticks"
            )
        if identity.meta.dimensions != DIMENSIONS:
            given = ",".join(identity.meta.dimensions)
            faults.append(f"PEGEL_DIMENSIONS={given}: the simulated bank's history is by {','.join(DIMENSIONS)}")
        if faults:
            raise ConfigurationError(faults)
        return identity

    async def _story(self, log: EventLog, identity: Identity, live: Live) -> None:
        if not await has_history(log):
            began = time.monotonic()
            encoded = await asyncio.to_thread(records, self.world, identity, self.options.weeks)
            await write(log, encoded)
            say(f"{self.options.weeks} weeks of history written in {time.monotonic() - began:.1f} s; it is learnt now")
        began = time.monotonic()
        steps = await self._learnt()
        say(f"history learnt: {steps:,} steps, after {time.monotonic() - began:.1f} s")
        if self.options.failing_minutes:
            await asyncio.sleep(FAILS_AFTER_SECONDS)
            live.fail(Failure(self.options.failing_minutes), time.time())
            say("cash machines in Spain begin to fail (country ES, topic atm): a page is due within three minutes")

    async def _learnt(self) -> int:
        """Wait until the judge has learnt a history; how many steps."""
        while True:
            if steps := await asyncio.to_thread(steps_learnt, self.settings.detector_port):
                return steps
            await asyncio.sleep(0.25)


def _say_away(why: str | None) -> None:
    say(
        "ingest takes contacts again"
        if why is None
        else f"ingest takes no contacts at the moment: {why}; they are kept"
    )


def _watch_stdin(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    """The supervisor holds the other end: when it dies, however it dies, we stop too."""

    def wait() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        with contextlib.suppress(RuntimeError):  # the loop has ended before
            loop.call_soon_threadsafe(stop)

    threading.Thread(target=wait, name="stdin", daemon=True).start()
