"""Time passes: in wall mode every replica of ingest appends a tick to every partition, contacts or none."""

import asyncio
import contextlib

from pegel.eventlog.port import LogUnavailable
from pegel.ingest.pipeline.appends import Appends
from pegel.ingest.pipeline.intake import Intake
from pegel.runtime.probes import Probe


async def keep_time(
    intake: Intake, appends: Appends, probe: Probe, stop: asyncio.Event, *, seconds: float, wall: bool
) -> None:
    """Until stop: a tick every `seconds` (wall mode), or a look at a log that was away (data mode).

    A log that does not answer is tried again at the next turn; `Appends` says so once.
    """
    loop = asyncio.get_running_loop()
    due = loop.time()
    while not stop.is_set():
        probe.progress()
        if wall:
            with contextlib.suppress(LogUnavailable):
                await intake.tick(None)
        else:
            await appends.look()
        due = max(due + seconds, loop.time())  # ticks that were missed are not made up for
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(due):
                await stop.wait()
