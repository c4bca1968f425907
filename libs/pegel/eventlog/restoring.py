"""A partition is taken over: claimed, and its state found where the last owner left it."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pegel.eventlog import metrics
from pegel.eventlog.fencing import Seen
from pegel.eventlog.identity import accepted_losses
from pegel.eventlog.jobs import Job, Work
from pegel.eventlog.port import STATE, EventLog, PositionOutOfRange
from pegel.eventlog.snapshots import Claim, Snapshot, highest_seen
from pegel.runtime import logs
from pegel.runtime.settings import ConfigurationError
from pegel.schemas.base import LogRecord

log = logs.get(__name__)


@dataclass(slots=True)
class Owned:
    """A partition of ours. told: the highest id in each output stream; marks: from where ids above it stand there."""

    claim: Claim
    work: Work
    position: int
    caught_up_at: int
    told: dict[str, tuple[int, int]]
    marks: dict[str, int]
    unreadable_before: int
    saved_position: int
    save_after: float
    applying: bool = False
    """The state is being changed now, in a thread."""
    pending: dict[str, list[LogRecord]] = field(default_factory=dict)
    """Outputs that are not acknowledged, by stream; appended again until they are."""


class Restorer:
    """Takes partitions over for a job. log_id: of this log; owner: who this process is; beat: called while it reads."""

    def __init__(
        self,
        eventlog: EventLog,
        job: Job,
        *,
        log_id: str,
        owner: str,
        snapshot_seconds: float,
        beat: Callable[[], None],
    ) -> None:
        self._log, self._job, self._log_id, self._owner, self._beat = eventlog, job, log_id, owner, beat
        self._snapshot_seconds = snapshot_seconds

    async def restore(self, partition: int) -> Owned:
        """Claim the partition and find its state: of the newest whole snapshot that is not void, else afresh.

        Raises ConfigurationError: a snapshot of another log, input that is kept no more, a stream state that was lost.
        """
        job, loop = self._job, asyncio.get_running_loop()
        began = loop.time()
        claim = Claim(self._log, job.state_partition(partition), job.producer(partition), self._log_id)
        places = await claim.take(job.outputs, self._owner)
        snapshot, work, others = await self._newest(partition, claim)
        position = snapshot.manifest.position if snapshot else 0
        begin, end = (await self._log.bounds(job.stream))[partition]
        if not begin <= position <= end:
            position = await self._after_loss(partition, position, begin, end, others)
        told = {}
        for stream in job.outputs:
            mark = snapshot.manifest.outputs.get(stream) if snapshot else None
            since = None
            if mark is not None and snapshot is not None:
                since = (mark.next_offset, Seen(snapshot.manifest.epoch, (mark.offset, mark.place)))
            producer = job.producer(partition)
            seen = await highest_seen(
                self._log, stream, producer, claim.epoch, before=places[stream], since=since, beat=self._beat
            )
            told[stream] = seen.id
            if seen.epoch > claim.epoch:
                await self._check_epoch(job.state_partition(partition), stream, producer, seen.epoch)
        metrics.TAKEOVERS.labels(job.part).inc()
        metrics.RESTORE_SECONDS.labels(job.part, str(partition)).set(loop.time() - began)
        log.info(
            "partition_taken",
            part=job.part,
            partition=partition,
            epoch=claim.epoch,
            snapshot=snapshot.at if snapshot else None,
            position=position,
            records=end - position,
        )
        return Owned(
            claim=claim,
            work=work,
            position=position,
            caught_up_at=end,
            told=told,
            marks={stream: place + 1 for stream, place in places.items()},
            unreadable_before=work.unreadable,
            saved_position=position if snapshot else -1,
            save_after=loop.time() + self._snapshot_seconds,
        )

    async def _newest(self, partition: int, claim: Claim) -> tuple[Snapshot | None, Work, list[str]]:
        """The newest snapshot that can be taken, its state, and the versions of those that could not."""
        others: list[str] = []
        async with contextlib.aclosing(claim.snapshots(self._beat)) as found:
            async for snapshot in found:
                version = snapshot.manifest.version
                if version != self._job.version:
                    others.append(version)
                    continue
                try:
                    work = await asyncio.to_thread(self._job.restored, partition, claim.epoch, snapshot.body)
                except Exception as error:
                    metrics.SNAPSHOTS_CORRUPT.labels(self._job.part).inc()
                    log.exception("snapshot_unreadable", partition=partition, offset=snapshot.at, reason=str(error))
                    continue
                return snapshot, work, others
        return None, self._job.fresh(partition, claim.epoch), others

    async def _check_epoch(self, state_partition: int, stream: str, producer: str, epoch: int) -> None:
        """A higher epoch than ours: of one who claimed after us, or of a stream state that is no more."""
        end = (await self._log.bounds(STATE))[state_partition].end
        if epoch >= end:
            raise ConfigurationError(
                [
                    f"stream state/{state_partition} ends at offset {end}, but stream {stream} has a claim of epoch "
                    f"{epoch} of {producer}: the stream state was lost and made anew, so readers would drop all that "
                    "is written now. Restore the stream state, or make another log"
                ]
            )

    async def _after_loss(self, partition: int, position: int, begin: int, end: int, others: Sequence[str]) -> int:
        """Where to go on although the input lacks the position: only where a person accepted the loss."""
        job = self._job
        accepted = (await accepted_losses(self._log)).get((job.stream, partition), 0)
        if position < begin <= accepted:
            log.error("loss_accepted", stream=job.stream, partition=partition, lost_from=position, lost_to=begin)
            return begin
        missing = PositionOutOfRange(job.stream, partition, position, begin, end)
        if position > end:
            why = "the stream is another's, or lost what it had acknowledged"
        elif others:
            why = f"its snapshots are of version {', '.join(dict.fromkeys(others))}, and this is {job.version}"
        else:
            why = "its newest snapshot is older than what is kept" if position else "it has no snapshot"
        raise ConfigurationError(
            [
                f"{job.producer(partition)} can't go on: {missing}; {why}. Give it the version, the stream state or "
                f"the stream {job.stream} that fits, or go on without what is lost: "
                f"pegel log accept-loss {job.stream} --partition {partition} --reason TEXT"
            ]
        )
