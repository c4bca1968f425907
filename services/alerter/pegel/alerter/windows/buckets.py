"""Puts the records of windows together to whole buckets. Pure: no log, no database, no clock."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import msgspec
from pydantic import ValidationError

from pegel.eventlog.fencing import Fence, Seen, head
from pegel.eventlog.port import Record
from pegel.schemas.detection import BucketRecord, ChallengerRecord, RollupRecord, SpikeRecord, WindowRecord

Taken = WindowRecord | RollupRecord | ChallengerRecord | SpikeRecord | BucketRecord
KINDS: Final[dict[str, type[Taken]]] = {
    "window": WindowRecord,
    "rollup": RollupRecord,
    "challenger": ChallengerRecord,
    "spike": SpikeRecord,
    "bucket": BucketRecord,
}


class Unreadable(NamedTuple):
    """A record of windows that this version can't read. reason: what is wrong, without anything of its content."""

    offset: int
    reason: str


class LogEnd(NamedTuple):
    """The log's end as it was looked at. time_ms: append time of its newest record.

    reached: the buckets given are the last that stand before it.
    """

    time_ms: int
    reached: bool

    def since(self, as_of: datetime) -> timedelta:
        """How far a bucket that ends at as_of lies behind it."""
        return datetime.fromtimestamp(self.time_ms / 1000, UTC) - as_of


@dataclass(frozen=True, slots=True)
class Bucket:
    """What windows says up to a bucket record: the records asked for, in order, and the bucket record itself.

    offset: of the bucket record. time_ms: its append time. seen: the producers' highest ids up to here.
    unreadable: records since the bucket before that can't be read, and so are in nothing of this.
    """

    windows: tuple[WindowRecord, ...]
    spikes: tuple[SpikeRecord, ...]
    end: BucketRecord
    offset: int
    time_ms: int
    seen: dict[str, Seen]
    unreadable: tuple[Unreadable, ...] = ()


class Assembler:
    """Takes records in the order of the log, gives buckets. kinds: which records are wanted beside bucket records.

    A record of a producer's lower epoch, or one whose id was seen, is dropped (architecture, Exactly once).
    """

    def __init__(self, seen: dict[str, Seen], kinds: Collection[str]) -> None:
        self._fence = Fence(dict(seen))
        self._kinds = {kind: KINDS[kind] for kind in (*kinds, "bucket")}
        self._windows: list[WindowRecord] = []
        self._spikes: list[SpikeRecord] = []
        self.unreadable: list[Unreadable] = []
        """Those since the last bucket record."""

    def take(self, records: Iterable[Record]) -> Iterator[Bucket]:
        """The buckets that these records complete."""
        for record in records:
            decoded = self._decode(record)
            match decoded:
                case WindowRecord():
                    self._windows.append(decoded)
                case SpikeRecord():
                    self._spikes.append(decoded)
                case BucketRecord():
                    yield Bucket(
                        tuple(self._windows),
                        tuple(self._spikes),
                        decoded,
                        record.offset,
                        record.time_ms,
                        dict(self._fence.seen),
                        tuple(self.unreadable),
                    )
                    self._windows.clear()
                    self._spikes.clear()
                    self.unreadable.clear()
                case Unreadable():
                    self.unreadable.append(decoded)

    def _decode(self, record: Record) -> Taken | Unreadable | None:
        try:
            found = head(record.value)
        except msgspec.DecodeError as error:
            return Unreadable(record.offset, str(error))
        if found.v != 1:
            return Unreadable(record.offset, f"v={found.v}, this version of Pegel reads 1")
        if found.kind == "claim" and found.producer is not None and found.epoch is not None:
            self._fence.claim(found.producer, found.epoch)
            return None
        origin = found.origin
        if found.kind not in KINDS or origin is None:
            return Unreadable(record.offset, "its kind does not belong on windows, or it has no origin")
        passes = self._fence.passes(origin.producer, origin.epoch, (origin.offset, origin.place))
        model = self._kinds.get(found.kind)
        return _decoded(record, model) if passes and model is not None else None


def _decoded(record: Record, model: type[Taken]) -> Taken | Unreadable:
    try:
        return model.decode(record.value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        # Names of fields that this version knows; others, and keys, are content.
        known = [str(part) for part in first["loc"] if isinstance(part, int) or part in model.model_fields]
        kind = model.model_fields["kind"].default
        return Unreadable(record.offset, f"{kind} record: {'.'.join(known) or 'a field'}: {first['type']}")
