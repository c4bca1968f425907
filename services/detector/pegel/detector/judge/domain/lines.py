"""What the judge reads of the stream counts: the counter's records, by the fields that are used; rows of additions."""

import msgspec

Row = tuple[dict[str, str], int, int]
"""Cell, contacts, handled seconds."""


class ClaimLine(msgspec.Struct):
    """What is read of a ClaimRecord."""

    producer: str
    epoch: int


class OriginLine(msgspec.Struct):
    producer: str
    epoch: int
    partition: int
    offset: int
    place: int


class AdditionsLine(msgspec.Struct):
    cells: list[dict[str, str]]
    bucket: list[int]
    cell: list[int]
    contacts: list[int]
    handled_seconds: list[int]


class CountsLine(msgspec.Struct):
    """What is read of a CountsRecord. It was written by our own counter, so it needs no second pydantic."""

    origin: OriginLine
    closed_from: int
    closed_to: int
    gap_from: int
    gap_to: int
    additions: AdditionsLine
    totals: dict[str, int]
    last: bool = True


def merged(rows: list[Row]) -> list[Row]:
    """One row a cell: partitions count the same cell apart."""
    sums: dict[tuple[tuple[str, str], ...], Row] = {}
    for cell, contacts, handled in rows:
        key = tuple(cell.items())
        before = sums.get(key)
        sums[key] = (cell, contacts, handled) if before is None else (cell, before[1] + contacts, before[2] + handled)
    return list(sums.values())
