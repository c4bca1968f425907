"""Who may write: claims and epochs (docs/decisions, exactly once without Kafka transactions).

A new owner of a partition first appends a claim to its partition of the stream state; the claim's offset is the epoch.
Then it appends a claim with that epoch to each stream it writes (pegel.eventlog.snapshots). A reader drops what has a
lower epoch than the highest claimed, and what it has seen: so a zombie writes in vain.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec


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
    previous_manifest: int | None = None


_head = msgspec.json.Decoder(Head)


def head(value: bytes) -> Head:
    """Raises msgspec.DecodeError (ValidationError) when it is no record of ours."""
    return _head.decode(value)
