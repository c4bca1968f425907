"""Appends to the log, to several partitions at once; and whether the log answers. Deadlines are the log's own."""

import asyncio
from collections.abc import Mapping, Sequence

from pegel.eventlog.port import CONTACTS, EventLog, LogUnavailable, NewRecord
from pegel.ingest import metrics
from pegel.runtime import logs
from pegel.runtime.probes import Probe

log = logs.get(__name__)
DEPENDENCY = "log"


class Appends:
    """The log, for writing. What is wrong with it is said once, when it begins, and once when it is over."""

    def __init__(self, events: EventLog, partitions: int, probe: Probe) -> None:
        self.partitions = partitions
        self._events, self._probe = events, probe
        self._away = False

    async def append(self, stream: str, records: Mapping[int, Sequence[NewRecord]]) -> None:
        """Returns once every record, by partition, is durable.

        Raises LogUnavailable when any is not, within the log's deadline; the others may be in the log all the same.
        """
        try:
            if len(records) == 1:
                ((partition, new),) = records.items()
                await self._events.append(stream, partition, new)
            else:
                await self._all(stream, records)
        except LogUnavailable as error:
            raise self._failed(stream, str(error)) from error
        if self._away and len(records) == self.partitions:
            self._answers()  # every partition did: one that is away alone would else come and go with each append

    async def look(self) -> None:
        """Ask the log for a sign of life, so that a fault does not stand for ever where nobody appends."""
        if self._away:
            try:
                await self._events.partitions(CONTACTS)
            except LogUnavailable:
                return
            self._answers()

    async def _all(self, stream: str, records: Mapping[int, Sequence[NewRecord]]) -> None:
        appends = [self._events.append(stream, partition, new) for partition, new in records.items()]
        # All are waited for, so that none is left behind unseen when the first one fails.
        results = await asyncio.gather(*appends, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _failed(self, stream: str, why: str) -> LogUnavailable:
        metrics.APPEND_FAILURES.labels(stream).inc()
        if not self._away:
            self._away = True
            log.warning("log_unavailable", stream=stream, reason=why)
        self._probe.dependency(DEPENDENCY, why)
        return LogUnavailable(why)

    def _answers(self) -> None:
        self._away = False
        log.info("log_available")
        self._probe.dependency(DEPENDENCY, None)
