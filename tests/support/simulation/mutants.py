"""Planted bugs, each in the real code while its context lasts: a simulation that does not find them finds nothing.

A context is entered anew for each simulation.
"""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final
from unittest.mock import patch

from sqlalchemy import Connection, update

from pegel.alerter.database import positions
from pegel.alerter.database.positions import Position
from pegel.alerter.database.tables import positions as positions_table
from pegel.detector.counter.domain import counting
from pegel.detector.counter.domain.counting import PartitionCounter
from pegel.detector.judge.domain import judging
from pegel.eventlog import snapshots
from pegel.eventlog.fencing import NOTHING, Fence, Seen
from pegel.eventlog.keys import contact_key
from pegel.eventlog.port import CONTACTS, NewRecord
from pegel.eventlog.processing import Processing
from pegel.ingest.pipeline import intake
from pegel.ingest.pipeline.intake import Intake
from pegel.schemas.contact import TickRecord

OCCURRED: Final = re.compile(rb'"occurred_at":"([^"]+)"')


@contextmanager
def position_commit_skipped() -> Iterator[None]:
    """Once, the alerter commits an effect and not its position."""
    real, calls = positions.move, itertools.count(1)

    def move(*args: Any) -> None:
        if next(calls) != 4:
            real(*args)

    with patch.object(positions, "move", move):
        yield


@contextmanager
def no_compare_and_set() -> Iterator[None]:
    """The alerter moves its position wherever that stands."""

    def move(connection: Connection, consumer: str, _: str, __: int, to: Position) -> None:
        connection.execute(
            update(positions_table)
            .where(positions_table.c.consumer == consumer)
            .values(
                next_offset=to.next_offset,
                producers=positions.stored_producers(to.seen or {}),
                bucket_to=to.bucket_to,
                as_of=to.as_of,
            )
        )

    with patch.object(positions, "move", move):
        yield


@contextmanager
def copy_not_dropped() -> Iterator[None]:
    """The counter counts some copies: those that come in a later batch than what they are copies of."""
    real = PartitionCounter.apply

    def apply(self: PartitionCounter, records: Sequence[Any]) -> Any:
        contacts = [r.key for r in records if r.value.startswith(b'{"kind":"contact"')]
        known = {*self._known.open, *(self._known.find(contacts) if contacts and self._known.runs else ())}
        again = [
            r._replace(key=blake2b(r.key, digest_size=16).digest())
            if r.key in known and r.value.startswith(b'{"kind":"contact"')
            else r
            for r in records
        ]
        return real(self, again)

    with patch.object(PartitionCounter, "apply", apply):
        yield


@contextmanager
def occurred_at_as_time() -> Iterator[None]:
    """The counter closes buckets by when contacts say they happened, not by the log's time."""
    real = PartitionCounter.apply

    def apply(self: PartitionCounter, records: Sequence[Any]) -> Any:
        def timed(record: Any) -> Any:
            found = OCCURRED.search(record.value) if record.value.startswith(b'{"kind":"contact"') else None
            if found is None:
                return record
            at = datetime.fromisoformat(found[1].decode())
            return record._replace(time_ms=int(at.timestamp() * 1000))

        return real(self, [timed(record) for record in records])

    with patch.object(PartitionCounter, "apply", apply):
        yield


@contextmanager
def identity_without_source() -> Iterator[None]:
    """Ingest keys contacts by event_id alone."""
    with patch.object(intake, "contact_key", lambda _, event_id: contact_key("", event_id)):
        yield


@contextmanager
def amendment_applied_twice() -> Iterator[None]:
    """The counter does not know an amendment again."""
    numbers = itertools.count()

    def unlike(*_: Any) -> bytes:
        return next(numbers).to_bytes(16, "big")

    with patch.object(counting, "amendment_identity", unlike):
        yield


@contextmanager
def addition_read_as_total() -> Iterator[None]:
    """The judge takes what a partition adds to a cell for all there is of it."""

    def merged(rows: list[Any]) -> list[Any]:
        return list({tuple(row[0].items()): row for row in rows}.values())

    with patch.object(judging, "merged", merged):
        yield


@contextmanager
def missing_tick() -> Iterator[None]:
    """Ingest leaves the last partition out when it tells the time."""

    async def tick(self: Intake, at: datetime | None, headers: Any = ()) -> int:
        count = self._appends.partitions
        if count > 1:
            record = [NewRecord(TickRecord(at=at).encode(), None, headers)]
            await self._appends.append(CONTACTS, dict.fromkeys(range(count - 1), record))
        return count

    with patch.object(Intake, "tick", tick):
        yield


@contextmanager
def no_epoch_check() -> Iterator[None]:
    """Readers drop what they have seen, but not what an old owner writes."""

    def passes(self: Fence, producer: str, epoch: int, output_id: tuple[int, int]) -> bool:
        before = self.seen.get(producer, NOTHING)
        if output_id <= before.id:
            return False
        self.seen[producer] = Seen(max(epoch, before.epoch), output_id)
        return True

    with patch.object(Fence, "passes", passes):
        yield


@contextmanager
def snapshot_before_its_outputs() -> Iterator[None]:
    """A snapshot is saved while outputs up to its position are still on their way."""
    real = Processing._flush

    async def flush(self: Processing, owned: Any) -> None:
        partition = next((number for number, each in self._owned.items() if each is owned), None)
        if owned.pending and partition is not None and (self._saving is None or self._saving.done()):
            pending, owned.pending = owned.pending, {}
            await self._save(partition, owned)
            owned.pending = pending
        await real(self, owned)

    with patch.object(Processing, "_flush", flush):
        yield


@contextmanager
def lost_chunk() -> Iterator[None]:
    """The last chunk of a snapshot is left out, and the manifest does not name it."""
    real = snapshots.Claim.save

    async def save(self: Any, body: bytes, *rest: Any) -> Any:
        size = snapshots.CHUNK_BYTES_MAX
        return await real(self, body[: (len(body) - 1) // size * size], *rest)

    with patch.object(snapshots.Claim, "save", save):
        yield


MUTANTS: Final[Mapping[str, Callable[[], Any]]] = {
    mutant.__name__: mutant
    for mutant in (
        position_commit_skipped,
        copy_not_dropped,
        snapshot_before_its_outputs,
        no_epoch_check,
        no_compare_and_set,
        occurred_at_as_time,
        addition_read_as_total,
        lost_chunk,
        missing_tick,
        identity_without_source,
        amendment_applied_twice,
    )
}
FOUND_BY: Final = {
    "position_commit_skipped": "applied twice",
    "copy_not_dropped": "counts: partition",
    "snapshot_before_its_outputs": "counts: partition",
    "no_epoch_check": "counts",
    "no_compare_and_set": "applied twice",
    "occurred_at_as_time": "counts: partition",
    "addition_read_as_total": "are in counts and not in windows",
    "lost_chunk": "can't go on",
    "missing_tick": "buckets are not judged",
    "identity_without_source": "counts: partition",
    "amendment_applied_twice": "counts: partition",
}
"""Words of the violation that shows each: one that only ended a service would show the mutant's own mistake."""
SHOWN_UNDER: Final = {
    "snapshot_before_its_outputs": "die_at_append",
    "no_epoch_check": "stop",
    "lost_chunk": "crash",
    "no_compare_and_set": "stop",
}
"""The fault that brings it to light, where one is needed: seeds without it need not be tried."""
