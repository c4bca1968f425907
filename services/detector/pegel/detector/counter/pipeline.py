"""The counter's loop: takes partitions of contacts over, restores them, counts, appends counts."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

from pegel.detector import metrics
from pegel.detector.counter.domain.counting import In, PartitionCounter, Rules
from pegel.eventlog.fencing import highest_output, take_over
from pegel.eventlog.port import CONTACTS, COUNTS, REJECTED, STATE, EventLog, LogUnavailable, Member, NewRecord, Record
from pegel.runtime import logs
from pegel.runtime.probes import Probe
from pegel.schemas.detection import CountsRecord
from pegel.schemas.rejected import RejectedRecord

log = logs.get(__name__)
GROUP = "pegel-counter"
AGAIN_SECONDS = 1.0
LOOK_SECONDS = 2.0
"""How often lag and claims are looked at."""


@dataclass(slots=True)
class _Owned:
    """A partition of ours. told: the highest output that stood in each stream before; a replay does not repeat them."""

    counter: PartitionCounter
    told: dict[str, tuple[int, int]]
    restored_at: int


class Counting:
    """Counts the partitions that the group assigns to this process."""

    def __init__(self, eventlog: EventLog, rules: Rules, owner: str, probe: Probe) -> None:
        self._log, self._rules, self._owner, self._probe = eventlog, rules, owner, probe
        self._owned: dict[int, _Owned] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Until stop is set. A log that is away is tried again; what was not acknowledged is appended again."""
        member = self._log.member(CONTACTS, GROUP)
        generation, looked = -1, 0.0
        try:
            while not stop.is_set():
                try:
                    if member.generation != generation:
                        generation = member.generation
                        await self._adopt(member)
                    records = await member.fetch(max_records=20_000, wait_seconds=1.0)
                    self._probe.progress("counter")
                    for partition, batch in records.items():
                        await self._count(partition, batch)
                    if time.monotonic() - looked > LOOK_SECONDS:
                        looked = time.monotonic()
                        if await self._look_around(member):
                            generation = -1
                    self._probe.dependency("log", None)
                except LogUnavailable as error:
                    self._probe.dependency("log", str(error))
                    log.warning("log_unavailable", reason=str(error))
                    generation = -1  # what was counted but not acknowledged is counted again, from the start
                    self._owned.clear()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), AGAIN_SECONDS)
        finally:
            await member.close()

    async def _adopt(self, member: Member) -> None:
        """Drop what is ours no more, restore what is. What was lost and came back is restored as well."""
        for partition in list(self._owned):
            if partition not in member.assigned or partition not in member.positions():
                del self._owned[partition]
        for partition in sorted(member.assigned - self._owned.keys()):
            if partition not in member.assigned:
                continue  # taken away while another was restored: its new owner claims it
            self._probe.wait_for(f"restoring partition {partition}", "counter")
            self._owned[partition] = await self._restore(partition)
            begin = (await self._log.bounds(CONTACTS))[partition].begin
            member.start(partition, begin)
        metrics.PARTITIONS.set(len(self._owned))
        self._probe.ready("counter")

    async def _restore(self, partition: int) -> _Owned:
        """Claim the partition; its state comes from reading it again, its outputs are not repeated."""
        producer = f"counter/{partition}"
        epoch = await take_over(self._log, producer, partition, (COUNTS, REJECTED), self._owner)
        told = {stream: await highest_output(self._log, stream, producer, epoch) for stream in (COUNTS, REJECTED)}
        end = (await self._log.bounds(CONTACTS))[partition].end
        log.info("partition_taken", partition=partition, epoch=epoch, records=end)
        return _Owned(PartitionCounter(partition, epoch, self._rules), told, end)

    async def _count(self, partition: int, batch: Sequence[Record]) -> None:
        owned = self._owned.get(partition)
        if owned is None:
            return
        contacts, copies = owned.counter.read
        outputs = owned.counter.apply(In(r.offset, r.time_ms, r.key, r.value) for r in batch)
        await self._append(owned, COUNTS, [o for o in outputs if isinstance(o, CountsRecord)])
        await self._append(owned, REJECTED, [o for o in outputs if isinstance(o, RejectedRecord)])
        metrics.CONTACTS_READ.inc(owned.counter.read[0] - contacts)
        metrics.COPIES.inc(owned.counter.read[1] - copies)

    async def _append(self, owned: _Owned, stream: str, outputs: Sequence[CountsRecord | RejectedRecord]) -> None:
        told = owned.told[stream]
        new = [NewRecord(o.encode()) for o in outputs if o.origin is not None and o.origin.id > told]
        if new:
            await self._log.append(stream, 0, new)
        for output in outputs:
            if isinstance(output, RejectedRecord):
                metrics.REFUSED.labels(output.reason).inc()

    async def _look_around(self, member: Member) -> bool:
        """Note the lag. True when another claimed a partition that is assigned to us: it is to be claimed again.

        A member that lost a partition while it restored may claim it after its new owner did; without a second claim
        the rightful owner would write in vain.
        """
        positions = member.positions()
        for partition, bounds in (await self._log.bounds(CONTACTS)).items():
            if partition in positions:
                metrics.COUNTER_LAG.labels(str(partition)).set(max(0, bounds.end - positions[partition]))
        state = await self._log.bounds(STATE)
        contested = [p for p, owned in self._owned.items() if state[p].end > owned.counter.epoch + 1]
        for partition in contested:
            log.warning("partition_contested", partition=partition, epoch=self._owned[partition].counter.epoch)
            del self._owned[partition]
        return bool(contested)
