"""The loop of counter and judge: takes partitions over, restores them, works, appends outputs, saves snapshots.

What makes it exactly once: a state is pure (records in, outputs out), an output's id is its input's place, a snapshot
is saved only when every output up to its position is acknowledged, and readers drop ids they have seen and older
epochs. So what was not acknowledged is appended again, and a restored state repeats what it must and tells nothing
twice.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Final

from pegel.eventlog import metrics
from pegel.eventlog.jobs import Job, Work, id_of
from pegel.eventlog.port import STATE, EventLog, LogUnavailable, Member, NewRecord, Record
from pegel.eventlog.restoring import Owned, Restorer
from pegel.eventlog.snapshots import Overtaken
from pegel.runtime import logs
from pegel.runtime.errors import OperationalError
from pegel.runtime.probes import Probe
from pegel.schemas.detection import OutputMark

log = logs.get(__name__)
AGAIN_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 2.0
"""How often lag, claims and the group are looked at."""
SNAPSHOT_SHARE: Final = 20
"""A snapshot waits this many times as long as the last one took: its cost stays below a twentieth."""
APPEND_BYTES: Final = 4 * 1024 * 1024
"""An append of outputs ends with the one that reaches this: the log must take it well within its deadline."""
OUTPUTS_HELD: Final = 100
"""So many outputs are appended before more input is taken: some 40 MB, if each is as large as a record may be."""
LAST_SNAPSHOT_SECONDS: Final = 5.0
"""What saving at the end of the process may take."""


class Processing:
    """One process's part in a job. log_id: of this log; owner: who this process is, for the claims."""

    def __init__(
        self,
        eventlog: EventLog,
        job: Job,
        *,
        log_id: str,
        owner: str,
        probe: Probe,
        snapshot_seconds: float,
        unreadable_max: int,
    ) -> None:
        self._log, self._job, self._probe = eventlog, job, probe
        self._snapshot_seconds, self._unreadable_max = snapshot_seconds, unreadable_max
        self._restorer = Restorer(
            eventlog, job, log_id=log_id, owner=owner, snapshot_seconds=snapshot_seconds, beat=self._beat
        )
        self._owned: dict[int, Owned] = {}
        self._parked: dict[int, Owned] = {}
        """Taken back by the group, which has not said yet whose they are: most come back as they were."""
        self._left: dict[int, int] = {}
        """Positions of partitions that another claimed, while the group has not said yet whose they are."""
        self._generation = -1
        self._look_at = 0.0
        self._looked_positions: dict[int, int] = {}
        self._saving: asyncio.Task[None] | None = None
        self._saving_partition: int | None = None

    @property
    def owned(self) -> Mapping[int, Work]:
        """What is restored and worked on here, by partition."""
        return {partition: owned.work for partition, owned in self._owned.items()}

    async def run(self, stop: asyncio.Event) -> None:
        """Until stop is set. A log that is away is tried again; any other error ends it with its reason."""
        member = self._log.member(self._job.stream, self._job.group)
        try:
            while not stop.is_set():
                try:
                    await self._turn(member)
                    self._probe.dependency("log", None)
                except LogUnavailable as error:
                    self._probe.dependency("log", str(error))
                    log.warning("log_unavailable", part=self._job.part, reason=str(error))
                    self._read_again(member)
                    self._probe.progress(self._job.part)  # a restart would not mend it
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), AGAIN_SECONDS)
            await self._save_at_the_end()
        finally:
            if self._saving is not None:
                self._saving.cancel()
                await asyncio.gather(self._saving, return_exceptions=True)
            await member.close()

    async def _turn(self, member: Member) -> None:
        if member.generation != self._generation:
            generation = member.generation
            await self._adopt(member)
            self._generation = generation
        for owned in list(self._owned.values()):
            await self._flush(owned)
        records = await member.fetch(max_records=self._job.records_max, wait_seconds=1.0)
        for partition, batch in records.items():
            await self._take(partition, batch)
        self._tell_ready(member)
        if asyncio.get_running_loop().time() >= self._look_at:
            await self._look_around(member)
        self._save_when_due()

    def _read_again(self, member: Member) -> None:
        """What was fetched and not taken is fetched again."""
        for partition, position in member.positions().items():
            owned = self._owned.get(partition)
            if owned is not None and owned.position != position:
                member.seek(partition, owned.position)

    # --- whose a partition is ---

    async def _adopt(self, member: Member) -> None:
        """Drop what is ours no more; go on with what still is; restore what is new."""
        for partition in self._owned.keys() - member.assigned:
            self._parked[partition] = self._owned.pop(partition)
            self._forget_metrics(partition)
        if member.assigned:
            for partition in self._parked.keys() - member.assigned:
                del self._parked[partition]
        self._left.clear()
        for partition in sorted(member.assigned):
            if partition not in member.assigned:
                continue  # taken away while another was restored: its new owner claims it
            owned = self._owned.get(partition) or self._parked.get(partition)
            if owned is not None and not await owned.claim.contested():
                self._parked.pop(partition, None)
                self._owned[partition] = owned
                # Started again even if it is being read: the member may not have noticed yet that it was taken back.
                member.start(partition, owned.position)
                continue
            self._owned.pop(partition, None)
            self._parked.pop(partition, None)
            self._probe.wait_for(f"restoring partition {partition} of {self._job.stream}", self._job.part)
            restored = await self._restorer.restore(partition)
            if await member.commit({partition: restored.position}):
                self._owned[partition] = restored
                member.start(partition, restored.position)
            else:
                # Between the assignment and now the group gave it to another, who claims it again.
                self._left[partition] = restored.position
        self._tell_ready(member)

    def _tell_ready(self, member: Member) -> None:
        """Ready once everything is worked off that was there when the partitions were taken.

        A standby is ready when the group has said that it is one: before, it may be about to get partitions.
        """
        metrics.PARTITIONS.labels(self._job.part).set(len(self._owned))
        restored = member.joined and member.assigned <= self._owned.keys()
        if restored and all(owned.position >= owned.caught_up_at for owned in self._owned.values()):
            self._probe.ready(self._job.part)

    async def _look_around(self, member: Member) -> None:
        """Lag, progress, the group's offsets, and whether another claimed what is assigned to us.

        A member that lost a partition while it restored may claim it after its new owner did; without a second claim
        the rightful owner would write in vain. Whether we are that owner the group says: it takes offsets of its
        present members only, so one that slept through a rebalance does not claim again what is another's.
        """
        loop = asyncio.get_running_loop()
        self._look_at = loop.time() + LOOK_SECONDS
        part = self._job.part
        positions = {partition: owned.position for partition, owned in self._owned.items()}
        bounds = await self._log.bounds(self._job.stream)
        lags = {partition: max(0, bounds[partition].end - position) for partition, position in positions.items()}
        for partition, lag in lags.items():
            metrics.LAG.labels(part, str(partition)).set(lag)
        # Each of them: one that stands still shall not hide behind another that moves.
        if all(not lag or positions[p] != self._looked_positions.get(p) for p, lag in lags.items()):
            self._probe.progress(part)
            self._looked_positions = positions
        if positions:
            await member.commit(positions)
        ends = await self._log.bounds(STATE) if self._owned or self._parked else {}
        for partition, owned in list(self._owned.items()):
            # While a snapshot is being saved, each of its appends looks.
            if partition != self._saving_partition and await owned.claim.contested(
                ends[self._job.state_partition(partition)].end
            ):
                self._lose(partition)
        for partition, owned in list(self._parked.items()):
            if await owned.claim.contested(ends[self._job.state_partition(partition)].end):
                self._parked.pop(partition, None)
        for partition, position in list(self._left.items()):
            if partition in member.assigned and await member.commit({partition: position}):
                self._generation = -1

    def _lose(self, partition: int) -> None:
        owned = self._owned.pop(partition)
        self._left[partition] = owned.position
        self._forget_metrics(partition)
        metrics.CONTESTED.labels(self._job.part).inc()
        log.warning("partition_contested", part=self._job.part, partition=partition, epoch=owned.claim.epoch)

    def _forget_metrics(self, partition: int) -> None:
        """What is not ours is neither behind nor badly saved here."""
        for metric in (metrics.LAG, metrics.SNAPSHOT_TIME, metrics.SNAPSHOT_BYTES, metrics.SNAPSHOT_SECONDS):
            metric.remove(self._job.part, str(partition))

    def _beat(self) -> None:
        """Reading much is progress too."""
        self._probe.progress(self._job.part)

    # --- working ---

    async def _take(self, partition: int, batch: Sequence[Record]) -> None:
        owned = self._owned.get(partition)
        if owned is None:
            return
        held = 0
        for first in range(0, len(batch), self._job.records_at_once):
            part = batch[first : first + self._job.records_at_once]
            if self._job.in_thread:
                owned.applying = True
                outputs = await asyncio.to_thread(owned.work.apply, part)
                owned.applying = False
            else:
                outputs = owned.work.apply(part)
            owned.position = part[-1].offset + 1
            for output in outputs:
                stream = self._job.stream_of(output)
                if id_of(output) > owned.told[stream]:
                    owned.pending.setdefault(stream, []).append(output)
            held += len(outputs)
            if held >= OUTPUTS_HELD:
                await self._flush(owned)
                held = 0
            else:
                await asyncio.sleep(0)
        await self._flush(owned)
        unreadable = owned.work.unreadable - owned.unreadable_before
        if unreadable > self._unreadable_max:
            raise OperationalError(
                f"{self._job.stream}/{partition}: {unreadable} records since the start can't be read and were "
                f"quarantined on the stream rejected, more than PEGEL_UNREADABLE_MAX={self._unreadable_max}: find out "
                "who writes them, or raise the limit"
            )

    async def _flush(self, owned: Owned) -> None:
        """Append what is not acknowledged. A copy that got in at an attempt before does no harm: its id was seen."""
        for stream, outputs in list(owned.pending.items()):
            while outputs:
                records, size_bytes = [], 0
                for output in outputs:
                    records.append(NewRecord(output.encode()))
                    size_bytes += len(records[-1].value)
                    if size_bytes >= APPEND_BYTES:
                        break
                placed = await self._log.append(stream, 0, records)
                written = outputs[: len(records)]
                owned.told[stream] = id_of(written[-1])
                owned.marks[stream] = placed[-1].offset + 1
                del outputs[: len(records)]
                owned.work.written(written)
            del owned.pending[stream]

    # --- snapshots ---

    def _save_when_due(self) -> None:
        if self._saving is not None and not self._saving.done():
            return
        self._saving = self._saving_partition = None
        now = asyncio.get_running_loop().time()
        for partition, owned in self._owned.items():
            if now >= owned.save_after and owned.position != owned.saved_position and not owned.pending:
                self._saving_partition = partition
                self._saving = asyncio.create_task(self._save(partition, owned), name=f"snapshot {partition}")
                return

    async def _save(self, partition: int, owned: Owned) -> None:
        """Save a snapshot of what is worked off and acknowledged now. A failure is told; counting goes on."""
        if owned.pending or owned.applying:
            return  # the loop is in the midst of something; the next turn tries again
        job, loop, labels = self._job, asyncio.get_running_loop(), (self._job.part, str(partition))
        began, position = loop.time(), owned.position
        marks = {
            stream: OutputMark(next_offset=owned.marks[stream], offset=told[0], place=told[1])
            for stream, told in owned.told.items()
        }
        try:
            # The copy is made here, before anything else can run; encoding it goes on beside the counting.
            body = await asyncio.to_thread(job.encode, owned.work.state())
            await owned.claim.save(body, job.version, position, marks)
        except Overtaken:
            if self._owned.get(partition) is owned:
                self._lose(partition)
            return
        except Exception as error:  # noqa: BLE001 (whatever it was)
            metrics.SNAPSHOTS_FAILED.labels(job.part).inc()
            log.error("snapshot_failed", part=job.part, partition=partition, reason=str(error) or type(error).__name__)  # noqa: TRY400
            owned.save_after = loop.time() + self._snapshot_seconds
            return
        seconds = loop.time() - began
        owned.saved_position = position
        owned.save_after = loop.time() + max(self._snapshot_seconds, SNAPSHOT_SHARE * seconds)
        metrics.SNAPSHOTS.labels(job.part).inc()
        if self._owned.get(partition) is not owned:
            return  # taken back meanwhile
        metrics.SNAPSHOT_TIME.labels(*labels).set_to_current_time()
        metrics.SNAPSHOT_BYTES.labels(*labels).set(len(body))
        metrics.SNAPSHOT_SECONDS.labels(*labels).set(seconds)

    async def _save_at_the_end(self) -> None:
        """So that the next owner has little to read again; correctness does not need it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_SNAPSHOT_SECONDS):
                if self._saving is not None:
                    await asyncio.gather(self._saving, return_exceptions=True)
                for partition, owned in list(self._owned.items()):
                    if owned.position != owned.saved_position and not owned.pending:
                        await self._save(partition, owned)
