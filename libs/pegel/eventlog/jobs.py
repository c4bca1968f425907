"""What is done with the partitions of a stream: a state each, records in, outputs out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pegel.eventlog.port import Record
from pegel.schemas.base import LogRecord, Origin


class Work(Protocol):
    """The state of one partition. Pure: the same records give the same outputs, wherever a restore lies between."""

    @property
    def unreadable(self) -> int:
        """Records quarantined so far because they can't be read."""
        ...

    def apply(self, records: Sequence[Record]) -> Sequence[LogRecord]:
        """Take records in order; returns the outputs in order, each with its origin."""
        ...

    def state(self) -> dict[str, Any]:
        """A copy that is encoded later, in a thread."""
        ...

    def written(self, outputs: Sequence[LogRecord]) -> None:
        """These outputs are in the log now, for the first time: for metrics and logs."""
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """What is done with the partitions of a stream. version: of the state's form and of what computes with it.

    restored: from the bytes of a snapshot, in a thread; raises ValueError for bytes that it can't take.
    records_at_once: taken before others on this event loop have their turn, heartbeats to the group above all.
    in_thread: records are worked on in a thread, because a single one may take seconds.
    """

    part: str
    stream: str
    group: str
    outputs: tuple[str, ...]
    version: str
    producer: Callable[[int], str]
    state_partition: Callable[[int], int]
    fresh: Callable[[int, int], Work]
    restored: Callable[[int, int, bytes], Work]
    encode: Callable[[dict[str, Any]], bytes]
    stream_of: Callable[[LogRecord], str]
    records_max: int
    records_at_once: int = 4_096
    in_thread: bool = False


def id_of(output: LogRecord) -> tuple[int, int]:
    """The id of an output: offset and place of what caused it."""
    origin: Origin | None = getattr(output, "origin", None)
    assert origin is not None, f"an output without an origin: {output.kind}"  # noqa: S101 (a defect of ours)
    return origin.id
