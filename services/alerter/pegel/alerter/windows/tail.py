"""When the newest record of windows was appended: by it the alerter knows how far it is behind."""

import asyncio
from typing import Final

from pegel.eventlog.port import WINDOWS, EventLog, LogUnavailable, Reader

LOOK_SECONDS: Final = 1.0
"""How long what was found holds."""
WAIT_SECONDS: Final = 5.0


class Tail:
    """Looks at the end of windows again and again; close it."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._reader: Reader | None = None
        self._looked = float("-inf")
        self._time_ms = 0

    async def time_ms(self, end: int) -> int:
        """Append time of the record before `end`, or of a later one. Raises LogUnavailable."""
        now = asyncio.get_running_loop().time
        if now() - self._looked < LOOK_SECONDS:
            return self._time_ms
        found = await self.record_time_ms(end - 1)
        if found is None:
            raise LogUnavailable("the newest record of windows can't be read")
        self._looked, self._time_ms = now(), max(self._time_ms, found)
        return self._time_ms

    async def record_time_ms(self, offset: int) -> int | None:
        """Append time of the first record at or after an offset; None when there is none."""
        if self._reader is None:
            self._reader = self._log.reader(WINDOWS, {0: offset})
        else:
            self._reader.seek(0, offset)
        records = (await self._reader.fetch(max_records=1, wait_seconds=WAIT_SECONDS)).get(0, ())
        return records[0].time_ms if records else None

    async def close(self) -> None:
        if self._reader is not None:
            await self._reader.close()
            self._reader = None
