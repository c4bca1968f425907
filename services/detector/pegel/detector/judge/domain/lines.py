"""What the judge reads of the stream counts: the fields that are used of each kind of record; rows of additions.

Numbers are bounded here as far as a field can tell by itself; `reading` checks what fields say together.
"""

from datetime import datetime
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

Row = tuple[dict[str, str], int, int]
"""Cell, contacts, handled seconds."""

SMALL_MAX: Final = 2**31 - 1
LARGE_MAX: Final = 2**53
Contacts = Annotated[int, Meta(ge=-SMALL_MAX, le=SMALL_MAX)]
"""Added to one cell of one bucket by one record."""
Sum = Annotated[int, Meta(ge=-LARGE_MAX, le=LARGE_MAX)]
Place = Annotated[int, Meta(ge=0, le=LARGE_MAX)]
"""An offset, an epoch, or any other count of records."""
Small = Annotated[int, Meta(ge=0, le=SMALL_MAX)]
Aware = Annotated[datetime, Meta(tz=True)]
Id = Annotated[str, Meta(max_length=64)]
Glob = Annotated[str, Meta(min_length=1, max_length=128)]
Word = Annotated[str, Meta(max_length=128)]


class HeadLine(Struct):
    """What every record begins with."""

    kind: str
    v: int = 1


class ClaimLine(Struct):
    """What is read of a ClaimRecord."""

    producer: str
    epoch: Place


class OriginLine(Struct):
    producer: str
    epoch: Place
    partition: Place
    offset: Place
    place: Place


class AdditionsLine(Struct):
    cells: list[dict[str, str]]
    bucket: list[Sum]
    cell: list[Sum]
    contacts: list[Contacts]
    handled_seconds: list[Sum]


class CustomersLine(Struct):
    """hashes: 8 bytes each, one after another."""

    bucket: list[Sum]
    segment: list[tuple[str, ...]]
    contacts: list[Annotated[int, Meta(ge=1, le=SMALL_MAX)]]
    hashes: list[bytes]


class CountsLine(Struct):
    """What is read of a CountsRecord. It was written by our own counter, so it needs no second pydantic."""

    origin: OriginLine
    closed_from: Sum
    closed_to: Sum
    gap_from: Sum
    gap_to: Sum
    additions: AdditionsLine
    totals: dict[str, Sum]
    last: bool = True
    customers: CustomersLine | None = None


class HistoryLine(Struct):
    """What is read of a HistoryRecord."""

    id: Id
    part: Small
    start: Aware
    step_seconds: Annotated[int, Meta(gt=0, le=7 * 86_400)]
    segments: list[tuple[str, ...]]
    counts: list[list[Small]]


class HistoryEndLine(Struct):
    id: Id
    parts: Small


class PromotionLine(Struct):
    """What is read of a PromotionRecord."""

    id: Id
    model: Annotated[str, Meta(max_length=128)]
    bucket: Place


class CalendarLine(Struct):
    """What is read of a CalendarRecord."""

    id: Id
    name: Annotated[str, Meta(min_length=1, max_length=100)]
    line: tuple[Glob, ...]
    since: Aware
    until: Aware
    factor: Annotated[float, Meta(gt=0, le=1000)] | None = None
    paging: bool = True


class CalendarCancelLine(Struct):
    id: Id
    cancels: Id


class FeedbackLine(Struct):
    """What is read of a FeedbackRecord."""

    id: Id
    verdict: Literal["real", "not_useful", "new_normal", "undo"]
    bucket: Sum
    segment: tuple[Word, ...] = ()
    since: Aware | None = None
    undoes: Id | None = None


def merged(rows: list[Row]) -> list[Row]:
    """One row a cell: partitions count the same cell apart."""
    sums: dict[tuple[tuple[str, ...], tuple[str, ...]], Row] = {}
    for row in rows:
        cell = row[0]
        key = (tuple(cell), tuple(cell.values()))
        before = sums.get(key)
        sums[key] = row if before is None else (cell, before[1] + row[1], before[2] + row[2])
    return list(sums.values())
