"""Puts the records of windows together to whole buckets. Pure: no log, no database, no clock."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

import msgspec
from pydantic import ValidationError

from pegel.eventlog.fencing import Fence, Seen, head
from pegel.eventlog.port import WINDOWS, Record
from pegel.schemas.detection import BucketRecord, SpikeRecord, WindowRecord

Taken = WindowRecord | SpikeRecord | BucketRecord
KINDS: Final[dict[str, type[WindowRecord] | type[SpikeRecord] | type[BucketRecord]]] = {
    "window": WindowRecord,
    "spike": SpikeRecord,
    "bucket": BucketRecord,
}


class Unreadable(Exception):  # noqa: N818
    """A record of windows that this version can't read; the text says where it stands and what is wrong."""

    def __init__(self, record: Record, reason: str) -> None:
        super().__init__(f"{WINDOWS}/{record.partition}: the record at offset {record.offset} can't be read: {reason}")


@dataclass(frozen=True, slots=True)
class Bucket:
    """What windows says up to a bucket record: the records asked for, in order, and the bucket record itself.

    offset: of the bucket record. time_ms: its append time. seen: the producers' highest ids up to here.
    """

    windows: tuple[WindowRecord, ...]
    spikes: tuple[SpikeRecord, ...]
    end: BucketRecord
    offset: int
    time_ms: int
    seen: dict[str, Seen]


class Assembler:
    """Takes records in the order of the log, gives buckets. kinds: which records are wanted beside bucket records.

    A record of a producer's lower epoch, or one whose id was seen, is dropped (architecture, Exactly once).
    """

    def __init__(self, seen: dict[str, Seen], kinds: Collection[str]) -> None:
        self._fence = Fence(dict(seen))
        self._kinds = {kind: KINDS[kind] for kind in (*kinds, "bucket")}
        self._windows: list[WindowRecord] = []
        self._spikes: list[SpikeRecord] = []

    def take(self, records: Iterable[Record]) -> Iterable[Bucket]:
        """The buckets that these records complete. Raises Unreadable."""
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
                    )
                    self._windows.clear()
                    self._spikes.clear()

    def _decode(self, record: Record) -> Taken | None:
        try:
            found = head(record.value)
        except msgspec.DecodeError as error:
            raise Unreadable(record, str(error)) from None
        if found.v != 1:
            raise Unreadable(record, f"v={found.v}, this version of Pegel reads 1")
        if found.kind == "claim" and found.producer is not None and found.epoch is not None:
            self._fence.claim(found.producer, found.epoch)
            return None
        if found.kind not in KINDS or found.origin is None:
            raise Unreadable(record, f"kind={found.kind[:40]!r} does not belong here")
        origin = found.origin
        if not self._fence.passes(origin.producer, origin.epoch, (origin.offset, origin.place)):
            return None
        model = self._kinds.get(found.kind)
        if model is None:
            return None
        try:
            return model.decode(record.value)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise Unreadable(record, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
