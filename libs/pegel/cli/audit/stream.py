"""The second source: the windows up to the ledger's cut, from the begin of the stream or from a seal."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
from pydantic import ValidationError

from pegel.alerter.database.positions import producers
from pegel.cli.audit.recount import Place
from pegel.eventlog.fencing import Fence, head
from pegel.eventlog.port import WINDOWS, EventLog, Record
from pegel.schemas.detection import BucketRecord, WindowRecord


class Addition(NamedTuple):
    """One addition of a window record, as the ledger must have booked it."""

    place: Place
    contacts: int


@dataclass(slots=True)
class Windows:
    """additions: by the ledger entry's id ('judge/0:812.3#0'). contacts: their sum. unreadable: offset to reason."""

    additions: dict[str, Addition] = field(default_factory=dict)
    contacts: int = 0
    told: int = 0
    """What the bucket record of the cut says of the sum of all."""
    unreadable: dict[int, str] = field(default_factory=dict)

    def by_place(self) -> Counter[Place]:
        found: Counter[Place] = Counter()
        for addition in self.additions.values():
            found[addition.place] += addition.contacts
        return found


async def read_windows(
    log: EventLog,
    cut_offset: int | None,
    cut: BucketRecord | None,
    begin: int,
    seen: Mapping[str, Sequence[int]] | None = None,
) -> Windows:
    """Every addition that readers take, from begin up to the bucket record at cut_offset. seen: of producers before."""
    windows = Windows(told=cut.windows_contacts if cut else 0)
    if cut_offset is None:
        return windows
    fence = Fence(producers(seen or {}))
    reader = log.reader(WINDOWS, {0: begin})
    try:
        while reader.positions()[0] <= cut_offset:
            records = (await reader.fetch(wait_seconds=0.1)).get(0, ())
            if not records:
                break  # the stream ends before the cut: what is missing shows in the sums
            for record in records:
                if record.offset <= cut_offset:
                    _take(windows, fence, record)
    finally:
        await reader.close()
    return windows


def _take(windows: Windows, fence: Fence, record: Record) -> None:
    try:
        found = head(record.value)
        if found.v != 1:
            windows.unreadable[record.offset] = f"v={found.v}"
        elif found.kind == "claim" and found.producer is not None and found.epoch is not None:
            fence.claim(found.producer, found.epoch)
        elif found.origin is not None:
            taken = fence.passes(found.origin.producer, found.origin.epoch, (found.origin.offset, found.origin.place))
            if taken and found.kind == "window":
                _add(windows, WindowRecord.decode(record.value))
    except (msgspec.DecodeError, ValidationError) as error:
        windows.unreadable[record.offset] = type(error).__name__


def _add(windows: Windows, window: WindowRecord) -> None:
    rows = window.additions
    for k, (cell, contacts) in enumerate(zip(rows.cell, rows.contacts, strict=True)):
        words = rows.cells[cell]
        place = Place(window.bucket, words["country"], words["topic"], words["channel"])
        windows.additions[f"{window.origin.text}#{k}"] = Addition(place, contacts)
        windows.contacts += contacts
