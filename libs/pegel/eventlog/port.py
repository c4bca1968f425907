"""The log's port: what every implementation promises. One contract suite (tests/contract/test_eventlog.py) runs on all.

A log has streams, a stream has partitions, a partition is a dense or gappy but strictly increasing sequence of records.
A record's time is the log's append time, in milliseconds since 1970. It does not fall within a partition as long as the
clocks of Kafka's brokers don't (the embedded log sees to it by itself). Who lets time pass keeps the running maximum in
its state, so that a replay passes it alike from wherever it begins.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from pegel.runtime.errors import OperationalError

CONTACTS, REJECTED, COUNTS, WINDOWS, STATE, LINKED, META = (
    "contacts", "rejected", "counts", "windows", "state", "linked", "meta",
)  # fmt: skip
STREAMS = (CONTACTS, REJECTED, COUNTS, WINDOWS, STATE, LINKED, META)


class LogError(OperationalError):
    """Something is wrong with the log; the text is for a person and names the stream or address."""


class LogUnavailable(LogError):  # noqa: N818 (a state of the log, not a mistake)
    """The log can't be reached or can't take records now (broker away, disk full, file locked). Trying again may help.

    Of an append it says nothing about whether the records are in the log: who repeats it must bear a second copy.
    """


class PositionOutOfRange(LogError):  # noqa: N818
    """A reader asked for an offset that the log no longer has, or does not have yet."""

    def __init__(self, stream: str, partition: int, offset: int, begin: int, end: int) -> None:
        super().__init__(f"{stream}/{partition}: offset {offset} is outside the log, which has {begin} to {end}")
        self.stream, self.partition, self.offset, self.begin, self.end = stream, partition, offset, begin, end


class NewRecord(NamedTuple):
    """A record to append."""

    value: bytes
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class Record(NamedTuple):
    """A record as read. time_ms: the log's append time."""

    partition: int
    offset: int
    time_ms: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


class Appended(NamedTuple):
    """The log's acknowledgement of one record: it is durable at this offset."""

    offset: int
    time_ms: int


class Bounds(NamedTuple):
    """Offsets a partition has: begin is the first that is kept, end is one past the last."""

    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """How a stream is made. retention_hours None: kept for ever."""

    name: str
    partitions: int
    retention_hours: float | None = None
    retention_bytes: int | None = None


class Reader(Protocol):
    """Reads partitions from given positions, in order. Used by one task; a closed one raises LogError."""

    async def fetch(self, *, max_records: int = 10_000, wait_seconds: float = 1.0) -> Mapping[int, Sequence[Record]]:
        """Whatever is there, at most max_records in all; waits up to wait_seconds for the first record.

        Returns {} when the time is up. Raises PositionOutOfRange, LogUnavailable (a broker that is away for longer than
        wait_seconds may also just give {}).
        """
        ...

    def seek(self, partition: int, offset: int) -> None:
        """The next fetch of the partition starts at offset."""
        ...

    def positions(self) -> Mapping[int, int]:
        """The next offset of each partition that is being read."""
        ...

    async def close(self) -> None: ...


class Member(Reader, Protocol):
    """A reader that shares a stream's partitions with the other members of its group.

    A partition that was assigned is not read before `start`; what was revoked is read no more. Nothing is called back:
    the owner looks at `assigned` and `generation` between fetches. fetch returns early (with {}) when they change.
    """

    @property
    def assigned(self) -> frozenset[int]: ...

    @property
    def joined(self) -> bool:
        """Whether the group has said what is assigned to this member, be it nothing."""
        ...

    @property
    def generation(self) -> int:
        """Rises by at least one with each change of `assigned`, also when a partition was lost and came back."""
        ...

    def start(self, partition: int, offset: int) -> None:
        """Read an assigned partition from offset on."""
        ...

    async def commit(self, positions: Mapping[int, int]) -> bool:
        """For lag metrics only; nothing reads it back to resume.

        False when the group does not say that all of these partitions are this member's now: a rebalance is under way,
        or was and the member does not know it yet.
        """
        ...


class EventLog(Protocol):
    """A log. Coroutines raise LogUnavailable when it can't be reached within the log's own deadline."""

    async def create(self, streams: Sequence[StreamSpec]) -> Sequence[str]:
        """Make the streams that are missing; the names of those made. One that exists is left as it is."""
        ...

    async def partitions(self, stream: str) -> int:
        """The number of partitions; 0 when the stream does not exist."""
        ...

    async def append(self, stream: str, partition: int, records: Sequence[NewRecord]) -> Sequence[Appended]:
        """Append in this order, together where the log can, and return once all are durable."""
        ...

    async def bounds(self, stream: str) -> Mapping[int, Bounds]: ...

    def reader(self, stream: str, positions: Mapping[int, int]) -> Reader: ...

    def member(self, stream: str, group: str) -> Member: ...

    async def close(self) -> None: ...
