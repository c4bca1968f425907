"""The counter as a job of the log's loop: partitions of contacts in, counts and rejected out."""

from collections.abc import Sequence
from typing import Any

from pegel.detector import metrics
from pegel.detector.counter.domain.counting import STATE_VERSION, PartitionCounter, Rules
from pegel.detector.state import decode, encode
from pegel.eventlog.jobs import Job
from pegel.eventlog.port import CONTACTS, COUNTS, REJECTED, Record
from pegel.schemas.base import LogRecord
from pegel.schemas.rejected import RejectedRecord

PART = "counter"
RECORDS_A_TURN = 20_000


class Counting:
    """One partition's counter. Implements pegel.eventlog.processing.Work."""

    def __init__(self, counter: PartitionCounter) -> None:
        self._counter = counter

    @property
    def unreadable(self) -> int:
        return self._counter.unreadable

    def apply(self, records: Sequence[Record]) -> Sequence[LogRecord]:
        contacts, copies = self._counter.read
        outputs = self._counter.apply(records)
        metrics.CONTACTS_READ.inc(self._counter.read[0] - contacts)
        metrics.COPIES.inc(self._counter.read[1] - copies)
        return outputs

    def state(self) -> dict[str, Any]:
        return self._counter.state()

    def written(self, outputs: Sequence[LogRecord]) -> None:
        for output in outputs:
            if isinstance(output, RejectedRecord):
                metrics.REFUSED.labels(output.reason).inc()


def job(rules: Rules) -> Job:
    """What counters do; one partition of contacts is one state, kept on the partition of state of the same number."""
    return Job(
        part=PART,
        stream=CONTACTS,
        group="pegel-counter",
        outputs=(COUNTS, REJECTED),
        version=STATE_VERSION,
        producer=lambda partition: f"counter/{partition}",
        state_partition=lambda partition: partition,
        fresh=lambda partition, epoch: Counting(PartitionCounter(partition, epoch, rules)),
        restored=lambda partition, epoch, body: Counting(
            PartitionCounter.restored(partition, epoch, rules, decode(body))
        ),
        encode=encode,
        stream_of=lambda output: REJECTED if isinstance(output, RejectedRecord) else COUNTS,
        records_max=RECORDS_A_TURN,
    )
