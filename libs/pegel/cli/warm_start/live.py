"""How far a log's live buckets are: a history lies before the first, and is taken within a day of it."""

from dataclasses import dataclass

from pegel.detector.judge.domain.judging import LIVE_KEPT_SECONDS
from pegel.eventlog.identity import Identity
from pegel.eventlog.port import WINDOWS, EventLog
from pegel.schemas.detection import BucketRecord

MARK = f'{{"kind":"{BucketRecord.model_fields["kind"].default}"'.encode()


@dataclass(frozen=True, slots=True)
class Live:
    """first: where the log's first bucket begins, in seconds since 1970; None where no tick has begun it (data mode).

    observed: where the first observed bucket begins, from which the judge's day runs; None before there is one.
    seconds: how much later than that it is now.
    """

    first: int | None
    observed: int | None
    seconds: int

    @property
    def too_late(self) -> bool:
        """Whether the judge takes a history no more."""
        return self.seconds >= LIVE_KEPT_SECONDS


async def look(log: EventLog, identity: Identity, now_seconds: float) -> Live:
    """By the judge's own bucket records; at most a day of them is read. now_seconds: since 1970, for the wall clock."""
    wall, length = identity.meta.clock == "wall", identity.meta.bucket_seconds
    first = -(-identity.made_at_ms // (length * 1000)) * length if wall else None
    observed, seconds = None, 0
    bounds = (await log.bounds(WINDOWS))[0]
    reader = log.reader(WINDOWS, {0: bounds.begin})
    try:
        while reader.positions()[0] < bounds.end and seconds < LIVE_KEPT_SECONDS:
            for record in (await reader.fetch(max_records=1000)).get(0, ()):
                if not record.value.startswith(MARK):
                    continue
                bucket = BucketRecord.decode(record.value)
                if first is None:
                    first = bucket.bucket * length
                if observed is None and bucket.status == "observed":
                    observed = bucket.bucket * length
                if observed is not None:
                    at = int(now_seconds) if wall else (bucket.to - 1) * length
                    seconds = max(seconds, at - observed)
            if wall and observed is not None:
                break
    finally:
        await reader.close()
    return Live(first, observed, seconds)
