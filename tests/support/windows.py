"""Makes the stream windows as a judge would write it: whole buckets, with origins that rise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pegel.eventlog.port import WINDOWS, EventLog, NewRecord
from pegel.schemas.base import LogRecord, Origin
from pegel.schemas.detection import (
    Additions,
    BucketRecord,
    ClaimRecord,
    Covered,
    PartitionTotals,
    SpikeRecord,
    SpikeState,
    WindowRecord,
    WindowStatus,
)

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
"""When the first bucket begins: a Monday, on the hour."""
ES_ATM = ("ES", "atm")
PHONE = {"country": "ES", "topic": "atm", "channel": "phone", "handler": "in_house"}


def cell(**fields: str) -> dict[str, str]:
    """A cell of one phone call about cash machines in Spain, but for these fields."""
    return {**PHONE, **fields}


@dataclass
class Windows:
    """Buckets one after the other. epoch can be raised, as by a new judge; producer is the judge's."""

    bucket_seconds: int = 60
    start: datetime = START
    epoch: int = 0
    producer: str = "judge/0"
    contacts: int = 0
    _number: int = field(init=False)
    _offset: int = 0
    _place: int = 0

    def __post_init__(self) -> None:
        self._number = int(self.start.timestamp()) // self.bucket_seconds

    @property
    def now(self) -> datetime:
        """End of the last bucket made."""
        return datetime.fromtimestamp(self._number * self.bucket_seconds, UTC)

    def claim(self) -> ClaimRecord:
        return ClaimRecord(producer=self.producer, owner="test", epoch=self.epoch)

    def bucket(
        self,
        counts: Sequence[tuple[Mapping[str, str], int]] = (),
        *,
        spikes: Sequence[SpikeRecord] = (),
        status: WindowStatus = "observed",
        late: Sequence[tuple[int, Mapping[str, str], int]] = (),
    ) -> list[LogRecord]:
        """All records of the next bucket: counts are (cell, contacts), late ones (buckets before this one, ...)."""
        self._offset, self._place = self._offset + 1, 0
        bucket, self._number = self._number, self._number + 1
        records: list[LogRecord] = [self._window(bucket, counts, status)] if counts else []
        records += [self._window(bucket - ago, [(cell, contacts)], "late") for ago, cell, contacts in late]
        records += [spike.model_copy(update={"origin": self._origin()}) for spike in spikes]
        self.contacts += sum(contacts for _, contacts in counts) + sum(contacts for *_, contacts in late)
        totals = PartitionTotals(contacts=max(self.contacts, 0), counted=self.contacts)
        end = BucketRecord(
            origin=self._origin(),
            bucket=bucket,
            to=self._number,
            as_of=self.now,
            status="observed",
            covered=(Covered(partition=0, offset=totals.contacts, totals=totals),),
            windows_contacts=self.contacts,
            segments=len(counts),
        )
        return [*records, end]

    def spike(
        self,
        state: SpikeState = "opened",
        *,
        segment: tuple[str, ...] = ES_ATM,
        onset_minutes: int = 5,
        since_minutes: int | None = None,
        observed: int = 30,
        expected: float = 3.0,
        spike_id: str | None = None,
    ) -> SpikeRecord:
        """A spike at the end of the bucket that is made next. since_minutes: it opened so long before (default 0)."""
        at = self.now + timedelta(seconds=self.bucket_seconds)
        opened_at = at - timedelta(minutes=since_minutes or 0)
        onset = opened_at - timedelta(minutes=onset_minutes)
        return SpikeRecord(
            origin=Origin(producer=self.producer, epoch=0, partition=0, offset=0, place=0),
            spike_id=spike_id or f"{'/'.join(segment)}@{int(opened_at.timestamp())}",
            state=state,
            segment=segment,
            at=at,
            onset=onset,
            opened_at=opened_at,
            window_seconds=900,
            observed=observed,
            expected=expected,
            observed_since_onset=observed,
            expected_since_onset=expected,
            score=6.5,
            model="test/1",
            explanation=f"{observed} contacts where {expected:g} are normal at this hour.",
        )

    def _origin(self) -> Origin:
        self._place += 1
        return Origin(producer=self.producer, epoch=self.epoch, partition=0, offset=self._offset, place=self._place - 1)

    def _window(
        self, bucket: int, counts: Sequence[tuple[Mapping[str, str], int]], status: WindowStatus
    ) -> WindowRecord:
        segments = sorted({(cell["country"], cell["topic"]) for cell, _ in counts})
        number = {segment: place for place, segment in enumerate(segments)}
        segment_of = tuple(number[cell["country"], cell["topic"]] for cell, _ in counts)
        observed = [0] * len(segments)
        for place, (_, contacts) in zip(segment_of, counts, strict=True):
            observed[place] += contacts
        judged = status == "observed"
        return WindowRecord(
            origin=self._origin(),
            bucket=bucket,
            start=datetime.fromtimestamp(bucket * self.bucket_seconds, UTC),
            status=status,
            model="test/1",
            segments=tuple(segments),
            observed=tuple(observed),
            expected=tuple(1.0 for _ in segments) if judged else (),
            lower=tuple(0.0 for _ in segments) if judged else (),
            upper=tuple(3.0 for _ in segments) if judged else (),
            score=tuple(0.3 for _ in segments) if judged else (),
            additions=Additions(
                cells=tuple(dict(cell) for cell, _ in counts),
                bucket=tuple(bucket for _ in counts),
                cell=tuple(range(len(counts))),
                contacts=tuple(contacts for _, contacts in counts),
                handled_seconds=tuple(0 for _ in counts),
            ),
            segment_of=segment_of,
        )


async def append(log: EventLog, records: Sequence[LogRecord]) -> None:
    """Onto the stream windows."""
    await log.append(WINDOWS, 0, [NewRecord(record.encode()) for record in records])
