"""Who may write: claims and epochs (docs/decisions, exactly once without Kafka transactions).

A new owner of a partition first appends a claim to its partition of the stream state; the claim's offset is the epoch.
Then it appends a claim with that epoch to each stream it writes. A reader drops what has a lower epoch than the highest
claimed, and what it has seen: so a zombie writes in vain.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from pegel.eventlog.port import STATE, EventLog, NewRecord
from pegel.schemas.detection import ClaimRecord


class Seen(NamedTuple):
    """Of one producer: the highest epoch claimed, and the highest id (offset, place) taken."""

    epoch: int
    id: tuple[int, int]


NOTHING = Seen(-1, (-1, -1))


@dataclass(slots=True)
class Fence:
    """A reader's memory of producers. Pure; save `seen` with the position."""

    seen: dict[str, Seen] = field(default_factory=dict)

    def claim(self, producer: str, epoch: int) -> None:
        """A claim was read from the stream."""
        before = self.seen.get(producer, NOTHING)
        if epoch > before.epoch:
            self.seen[producer] = Seen(epoch, before.id)

    def passes(self, producer: str, epoch: int, output_id: tuple[int, int]) -> bool:
        """Whether to take an output; notes it when it is taken."""
        before = self.seen.get(producer, NOTHING)
        if epoch < before.epoch or output_id <= before.id:
            return False
        self.seen[producer] = Seen(epoch, output_id)
        return True


class _Origin(msgspec.Struct):
    producer: str
    epoch: int
    offset: int
    place: int


class Head(msgspec.Struct):
    """The part of a record that tells what it is and whose, cheaper to read than the whole."""

    kind: str
    v: int = 1
    origin: _Origin | None = None
    producer: str | None = None
    epoch: int | None = None


_head = msgspec.json.Decoder(Head)


def head(value: bytes) -> Head:
    """Raises msgspec.DecodeError (ValidationError) when it is no record of ours."""
    return _head.decode(value)


async def take_over(log: EventLog, producer: str, state_partition: int, outputs: tuple[str, ...], owner: str) -> int:
    """Claim a partition for this owner: on state, then on each output stream. Returns the epoch."""
    claim = ClaimRecord(producer=producer, owner=owner)
    (at,) = await log.append(STATE, state_partition, [NewRecord(claim.encode())])
    named = ClaimRecord(producer=producer, owner=owner, epoch=at.offset)
    for stream in outputs:
        await log.append(stream, 0, [NewRecord(named.encode())])
    return at.offset


async def highest_output(log: EventLog, stream: str, producer: str, epoch: int) -> tuple[int, int]:
    """The highest id of the producer's outputs that readers take, of those before the claim of `epoch`.

    What stood before the claim can't change any more: an older owner's later writes are dropped by their epoch.
    """
    bounds = (await log.bounds(stream))[0]
    fence = Fence()
    reader = log.reader(stream, {0: bounds.begin})
    needle = producer.encode()
    try:
        while reader.positions()[0] < bounds.end:
            for record in (await reader.fetch()).get(0, ()):
                if needle not in record.value:
                    continue
                found = head(record.value)
                if found.kind == "claim" and found.producer == producer and found.epoch is not None:
                    fence.claim(producer, found.epoch)
                    if found.epoch >= epoch:
                        return fence.seen[producer].id
                elif found.origin is not None and found.origin.producer == producer:
                    fence.passes(producer, found.origin.epoch, (found.origin.offset, found.origin.place))
    finally:
        await reader.close()
    return fence.seen.get(producer, NOTHING).id
