"""Drives counter and judge without a log: times are minutes after the log was made."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count

from pegel.detector.counter.domain import counting
from pegel.detector.judge.domain import challengers, judging
from pegel.detector.judge.domain.models.kernel import Kernel
from pegel.detector.judge.domain.seasons import Zones
from pegel.eventlog.fencing import Fence
from pegel.eventlog.keys import contact_key, partition_of
from pegel.schemas.base import LogRecord
from pegel.schemas.contact import AmendmentRecord, ContactRecord, TickRecord
from pegel.schemas.detection import BucketRecord, CountsRecord, SpikeRecord, WindowRecord

MADE = datetime(2026, 3, 2, 0, 0, tzinfo=UTC)
"""A Monday; the log was made then, so the first bucket judged begins then."""
MINUTE_MS = 60_000
DIMENSIONS = ("country", "topic")


def at(minutes: float) -> datetime:
    """A time in minutes after MADE."""
    return datetime.fromtimestamp(MADE.timestamp() + minutes * 60, UTC)


def contact(event_id: str, minutes: float, **fields: object) -> ContactRecord:
    """A contact as ingest writes it."""
    base: dict[str, object] = {"country": "ES", "topic": "atm", "channel": "phone", "source": "desk"}
    return ContactRecord.model_validate({"event_id": event_id, "occurred_at": at(minutes), **base, **fields})


def rules(clock: str = "wall", bucket_seconds: int = 60, **over: object) -> counting.Rules:
    values: dict[str, object] = {
        "clock": clock,
        "bucket_seconds": bucket_seconds,
        "delay_seconds": 10,
        "dimensions": DIMENSIONS,
        "made_at_ms": int(MADE.timestamp() * 1000),
        "horizon_hours": 7 * 24,
        **over,
    }
    return counting.Rules(**values)  # type: ignore[arg-type]


@dataclass
class Counted:
    """One partition of contacts and its counter."""

    clock: str = "wall"
    bucket_seconds: int = 60
    partition: int = 0
    epoch: int = 0
    dimensions: tuple[str, ...] = DIMENSIONS
    records: list[counting.In] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.counter = self.fresh()

    def fresh(self) -> counting.PartitionCounter:
        chosen = rules(self.clock, self.bucket_seconds, dimensions=self.dimensions)
        return counting.PartitionCounter(self.partition, self.epoch, chosen)

    def put(self, minutes: float, record: LogRecord) -> list[LogRecord]:
        """Append at a time of the log and count; what came out."""
        key = (
            contact_key(record.source, record.event_id) if isinstance(record, ContactRecord | AmendmentRecord) else None
        )
        read = counting.In(len(self.records), int(at(minutes).timestamp() * 1000), key, record.encode())
        self.records.append(read)
        return self.counter.apply([read])

    def tick(self, minutes: float, *, data: float | None = None) -> list[LogRecord]:
        return self.put(minutes, TickRecord(at=None if data is None else at(data)))


class Detection:
    """Counters of some partitions and a judge, connected by a list in place of the stream counts."""

    def __init__(
        self,
        clock: str = "wall",
        partitions: int = 2,
        bucket_seconds: int = 60,
        max_segments: int = 100,
        dimensions: tuple[str, ...] = DIMENSIONS,
        models: challengers.Rules = challengers.ALONE,
    ) -> None:
        self.counters = [
            Counted(clock, bucket_seconds, partition, dimensions=dimensions) for partition in range(partitions)
        ]
        self.fence = Fence()
        self.judge_rules = judging.Rules(
            clock=clock,  # type: ignore[arg-type]
            bucket_seconds=bucket_seconds,
            delay_seconds=10,
            partitions=partitions,
            dimensions=dimensions,
            made_at_ms=int(MADE.timestamp() * 1000),
            max_segments=max_segments,
            false_pages_per_week=5.0,
        )
        self.judge = judging.Judge(
            self.judge_rules,
            epoch=0,
            make_detector=lambda: Kernel(bucket_seconds, Zones({"ES": "Europe/Madrid"}, 0)),
            fence=self.fence,
            models=models,
        )
        self.counts: list[judging.In] = []
        self.outputs: list[LogRecord] = []
        self._ids = count()

    def send(self, minutes: float, contacts: int = 1, *, occurred: float | None = None, **fields: object) -> None:
        """Contacts that arrive, and happened, at a time."""
        for _ in range(contacts):
            record = contact(f"c{next(self._ids)}", minutes if occurred is None else occurred, **fields)
            self.put(minutes, record)

    def put(self, minutes: float, record: ContactRecord) -> None:
        key = contact_key(record.source, record.event_id)
        counter = self.counters[partition_of(key, len(self.counters))]
        self._judge(minutes, counter.put(minutes, record))

    def tick(self, minutes: float, *, data: float | None = None, but: int | None = None) -> None:
        """A tick to every partition, but one."""
        for counter in self.counters:
            if counter.partition != but:
                self._judge(minutes, counter.tick(minutes, data=data))

    def until(self, first: float, last: float) -> None:
        """Nothing but ticks every 30 s."""
        for half in range(round(first * 2), round(last * 2) + 1):
            self.tick(half / 2)

    def counts_record(self, minutes: float, record: LogRecord) -> None:
        """Append any record to counts."""
        read = judging.In(len(self.counts), int(at(minutes).timestamp() * 1000), record.encode())
        self.counts.append(read)
        self.outputs.extend(self.judge.apply([read]))

    def _judge(self, minutes: float, outputs: list[LogRecord]) -> None:
        for output in outputs:
            if isinstance(output, CountsRecord):
                self.counts_record(minutes, output)

    @property
    def windows(self) -> list[WindowRecord]:
        return [o for o in self.outputs if isinstance(o, WindowRecord)]

    @property
    def spikes(self) -> list[SpikeRecord]:
        return [o for o in self.outputs if isinstance(o, SpikeRecord)]

    @property
    def buckets(self) -> list[BucketRecord]:
        return [o for o in self.outputs if isinstance(o, BucketRecord)]
