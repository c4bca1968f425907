"""The judge's loop: one active judge reads counts, judges, appends windows; standbys wait for their turn."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

import msgspec

from pegel.detector import metrics
from pegel.detector.judge.domain.judging import In, Judge, Rules
from pegel.detector.judge.ports import Detector
from pegel.eventlog.fencing import Fence, head, highest_output, take_over
from pegel.eventlog.port import COUNTS, STATE, WINDOWS, EventLog, LogUnavailable, Member, NewRecord, Record
from pegel.runtime import logs
from pegel.runtime.probes import Probe
from pegel.schemas.detection import BucketRecord, SpikeRecord

log = logs.get(__name__)
GROUP = "pegel-judge"
PRODUCER = "judge/0"
AGAIN_SECONDS = 1.0
LOOK_SECONDS = 2.0
RECORDS_A_TURN = 500
"""Records of counts judged before their windows are appended together."""


class Judging:
    """Judges while the group assigns the one partition of counts to this process."""

    def __init__(
        self,
        eventlog: EventLog,
        rules: Rules,
        make_detector: Callable[[], Detector],
        owner: str,
        probe: Probe,
        state_partition: int,
    ) -> None:
        self._log, self._rules, self._make_detector = eventlog, rules, make_detector
        self._owner, self._probe, self._state_partition = owner, probe, state_partition
        self._judge: Judge | None = None
        self._told = (-1, -1)
        self._epoch = -1
        self._refused_told = 0
        self._restoring_to = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Until stop is set. A log that is away is tried again, from the start of counts."""
        member = self._log.member(COUNTS, GROUP)
        generation, looked = -1, 0.0
        try:
            while not stop.is_set():
                try:
                    if member.generation != generation:
                        generation = member.generation
                        await self._adopt(member)
                    records = (await member.fetch(max_records=RECORDS_A_TURN, wait_seconds=1.0)).get(0, ())
                    self._probe.progress("judge")
                    if records and self._judge is not None:
                        await self._take(self._judge, list(records), member)
                    if time.monotonic() - looked > LOOK_SECONDS:
                        looked = time.monotonic()
                        if await self._look_around(member):
                            generation, looked = -1, 0.0
                    self._probe.dependency("log", None)
                except LogUnavailable as error:
                    self._probe.dependency("log", str(error))
                    log.warning("log_unavailable", reason=str(error))
                    self._judge, generation = None, -1
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), AGAIN_SECONDS)
        finally:
            await member.close()

    async def _adopt(self, member: Member) -> None:
        metrics.ACTIVE.set(bool(member.assigned))
        if not member.assigned:
            self._judge = None
            self._probe.ready("judge")  # a standby is ready to take over
            return
        self._probe.wait_for("restoring the judge", "judge")
        self._epoch = epoch = await take_over(self._log, PRODUCER, self._state_partition, (WINDOWS,), self._owner)
        self._told = await highest_output(self._log, WINDOWS, PRODUCER, epoch)
        self._judge = Judge(self._rules, epoch, self._make_detector, Fence())
        bounds = (await self._log.bounds(COUNTS))[0]
        self._restoring_to = bounds.end
        log.info("judge_taken", epoch=epoch, records=bounds.end - bounds.begin)
        member.start(0, bounds.begin)
        if bounds.end == bounds.begin:
            self._probe.ready("judge")

    async def _take(self, judge: Judge, records: list[Record], member: Member) -> None:
        outputs: list[Any] = judge.apply(self._known(records))
        new = [NewRecord(o.encode()) for o in outputs if o.origin.id > self._told]
        if new:
            await self._log.append(WINDOWS, 0, new)
        for refusal in judge.refusals:
            log.error("history_refused", reason=refusal)
        judge.refusals.clear()
        for output in outputs:
            if isinstance(output, BucketRecord):
                metrics.BUCKETS_JUDGED.labels(output.status).inc(output.to - output.bucket)
                self._note_refused(output.segments_refused)
            elif isinstance(output, SpikeRecord) and output.state == "opened" and output.origin.id > self._told:
                metrics.SPIKES.inc()
                log.info("spike_opened", spike=output.spike_id, score=output.score)
        metrics.SEGMENTS.set(judge.segments)
        metrics.SPIKES_UP.set(judge.spikes_up)
        metrics.HISTORY_STEPS.set(judge.history_steps)
        position = member.positions().get(0, records[-1].offset + 1)
        if position >= self._restoring_to:
            self._probe.ready("judge")

    def _note_refused(self, segments: int) -> None:
        """Tell the operators when segments beyond the limit are counted under `other`: once, and when they double."""
        metrics.SEGMENTS_REFUSED.set(segments)
        if segments >= max(1, 2 * self._refused_told):
            self._refused_told = segments
            log.warning("segments_beyond_limit", segments=segments, setting="PEGEL_MAX_SEGMENTS", counted_under="other")

    async def _look_around(self, member: Member) -> bool:
        """Note the lag. True when another judge has claimed while we are the one assigned: claim again."""
        if self._judge is None:
            return False
        bounds = await self._log.bounds(COUNTS)
        metrics.JUDGE_LAG.set(max(0, bounds[0].end - member.positions().get(0, bounds[0].end)))
        contested = (await self._log.bounds(STATE))[self._state_partition].end > self._epoch + 1
        if contested:
            log.warning("judge_contested", epoch=self._epoch)
        return contested

    def _known(self, records: list[Record]) -> list[tuple[In, str]]:
        """The records with their kind; what is no record of ours is passed over, and said."""
        known = []
        for record in records:
            try:
                found = head(record.value)
            except msgspec.DecodeError as error:
                log.error("record_unreadable", stream=COUNTS, offset=record.offset, reason=str(error))  # noqa: TRY400
                continue
            known.append((In(record.offset, record.time_ms, record.value), found.kind))
        return known
