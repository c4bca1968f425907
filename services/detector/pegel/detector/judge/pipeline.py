"""The judge as a job of the log's loop: counts in, windows out. One is active, the others stand by."""

from collections import Counter
from collections.abc import Callable, Sequence
from math import log10
from typing import Any

from pegel.detector import metrics
from pegel.detector.judge.domain import challengers
from pegel.detector.judge.domain.judging import STATE_VERSION, Judge, Rules
from pegel.detector.judge.domain.spikes import CLOSE_SECONDS
from pegel.detector.judge.ports import Detector
from pegel.detector.state import decode, encode
from pegel.eventlog.fencing import Fence, Seen
from pegel.eventlog.jobs import Job
from pegel.eventlog.port import COUNTS, REJECTED, WINDOWS, Record
from pegel.runtime import logs
from pegel.schemas.base import LogRecord
from pegel.schemas.detection import BucketRecord, ChallengerRecord, SpikeRecord
from pegel.schemas.feedback import BARS
from pegel.schemas.rejected import RejectedRecord

log = logs.get(__name__)
PART = "judge"
RECORDS_A_TURN = 500
"""Records of counts judged before their windows are appended together."""

RECORDS_AT_ONCE = 8
"""With 20,000 segments a bucket takes 50 to 100 ms, and one partition's record may close a bucket each."""


class Judging:
    """The judge with its memory of who may write counts. Implements pegel.eventlog.processing.Work."""

    def __init__(self, judge: Judge, fence: Fence, rules: Rules) -> None:
        self._judge, self._fence = judge, fence
        self._refused_told = 0
        self._model: str | None = None
        self._would_page = WouldPage(rules)

    @property
    def unreadable(self) -> int:
        return self._judge.unreadable

    def apply(self, records: Sequence[Record]) -> Sequence[LogRecord]:
        outputs = self._judge.apply(records)
        for refusal in self._judge.refusals:
            log.error("history_refused", reason=refusal)
        self._judge.refusals.clear()
        models = self._judge.models
        for refusal in models.refusals:
            log.error("promotion_refused", reason=refusal)
            metrics.PROMOTIONS_REFUSED.inc()
        models.refusals.clear()
        if (model := self._judge.model) != self._model:
            metrics.MODEL.clear()
            metrics.MODEL.labels(model).set(1)
            log.info("model_pages", model=model, before=self._model)
            self._model = model
        for refusal in self._judge.events.refusals:
            log.error("calendar_refused", reason=refusal)
        self._judge.events.refusals.clear()
        for refusal in self._judge.feedback.refusals:
            log.error("feedback_refused", reason=refusal)
        self._judge.feedback.refusals.clear()
        bars = Counter(self._judge.feedback.raised.values())
        for raised in BARS:
            metrics.BARS_RAISED.labels(f"{raised:g}").set(bars[raised])
        metrics.SEGMENTS.set(self._judge.segments)
        metrics.SPIKES_UP.set(self._judge.spikes_up)
        metrics.SPIKES_WITHHELD.set(self._judge.spikes_withheld)
        metrics.HISTORY_STEPS.set(self._judge.history_steps)
        return outputs

    def state(self) -> dict[str, Any]:
        seen = {producer: [seen.epoch, *seen.id] for producer, seen in self._fence.seen.items()}
        return {"judge": self._judge.state(), "seen": seen}

    def written(self, outputs: Sequence[LogRecord]) -> None:
        for output in outputs:
            if isinstance(output, BucketRecord):
                metrics.BUCKETS_JUDGED.labels(output.status).inc(output.to - output.bucket)
                self._note_refused(output.segments_refused)
            elif isinstance(output, SpikeRecord) and output.state == "opened":
                metrics.SPIKES.inc()
                log.info("spike_opened", spike=output.spike_id, score=output.score)
            elif isinstance(output, ChallengerRecord):
                metrics.CHALLENGER_SPIKES.labels(output.model).inc(self._would_page.opened(output))
            elif isinstance(output, RejectedRecord):
                log.error("record_unreadable", stream=COUNTS, offset=output.offset, reason=output.errors[0].reason)

    def _note_refused(self, segments: int) -> None:
        """Tell the operators when segments beyond the limit are counted under `other`: once, and when they double."""
        metrics.SEGMENTS_REFUSED.set(segments)
        if segments >= max(1, 2 * self._refused_told):
            self._refused_told = segments
            log.warning("segments_beyond_limit", segments=segments, setting="PEGEL_MAX_SEGMENTS", counted_under="other")


class WouldPage:
    """What challengers would have paged since the start, for a metric: it decides nothing, so it is in no state."""

    def __init__(self, rules: Rules) -> None:
        self._bar = -log10(rules.false_pages_per_week)
        self._quiet = CLOSE_SECONDS // rules.bucket_seconds
        self._above: dict[tuple[str, tuple[str, ...]], int] = {}
        """The bucket in which a model's line was last at the bar."""

    def opened(self, record: ChallengerRecord) -> int:
        """Lines that reach the bar of a page and were below it for an hour."""
        opened = 0
        for line, score in zip(record.segments, record.score, strict=True):
            if score < self._bar:
                continue
            last = self._above.get((record.model, line))
            opened += last is None or record.bucket - last > self._quiet
            self._above[record.model, line] = record.bucket
        return opened


def job(
    rules: Rules,
    make_detector: Callable[[], Detector],
    state_partition: int,
    models: challengers.Rules = challengers.ALONE,
) -> Job:
    """What judges do; the stream counts has one partition, so one judge has all of it."""

    def fresh(_: int, epoch: int) -> Judging:
        fence = Fence()
        return Judging(Judge(rules, epoch, make_detector, fence, models), fence, rules)

    def restored(_: int, epoch: int, body: bytes) -> Judging:
        tree = decode(body)
        fence = Fence({producer: Seen(at, (offset, place)) for producer, (at, offset, place) in tree["seen"].items()})
        return Judging(Judge.restored(rules, epoch, make_detector, fence, tree["judge"], models), fence, rules)

    return Job(
        part=PART,
        stream=COUNTS,
        group="pegel-judge",
        outputs=(WINDOWS, REJECTED),
        version=f"{STATE_VERSION} {make_detector().version}",
        producer=lambda _: "judge/0",
        state_partition=lambda _: state_partition,
        fresh=fresh,
        restored=restored,
        encode=encode,
        stream_of=lambda output: REJECTED if isinstance(output, RejectedRecord) else WINDOWS,
        records_max=RECORDS_A_TURN,
        records_at_once=RECORDS_AT_ONCE,
        in_thread=True,  # a tick may close a day of buckets, a history's end is minutes of learning
    )
