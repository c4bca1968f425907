"""Who contacted: 64-bit hashes of the pseudonyms of open buckets, told with the counts when they close."""

from base64 import b64encode
from collections.abc import Iterable
from hashlib import blake2b
from itertools import groupby
from typing import Any, Final

from pegel.detector.counter.domain.cells import Cells, words_bytes
from pegel.schemas.detection import CUSTOMERS_MAX, HASH_BYTES, UNKNOWN, Customers

Met = dict[tuple[int, int], list[bytes]]
"""By bucket and cell: a hash for each contact that carries a customer's pseudonym."""
PART_BYTES: Final = 96 * 1024
"""Of customers in a record, beside its additions."""
ROW_BYTES: Final = 40
"""Numbers of a row, beside its segment's words and its hashes."""


def hash_of(customer: str) -> bytes:
    """64 bits of a pseudonym. Like the pseudonym it is the same for all sources, until the key of ingest rotates."""
    return blake2b(customer.encode(), digest_size=HASH_BYTES).digest()


def told(met: Met, before: int, cells: Cells, dimensions: tuple[str, ...]) -> list[Customers]:
    """Takes out what was met in buckets before this one: parts of which each fits in a record, in order."""
    rows: dict[tuple[int, tuple[str, ...]], list[bytes]] = {}
    for bucket, cell in sorted(key for key in met if key[0] < before):
        words = cells.words(cell)
        segment = tuple(words.get(dimension, UNKNOWN) for dimension in dimensions)
        rows.setdefault((bucket, segment), []).extend(met.pop((bucket, cell)))
    sized, size = [], 0
    for (bucket, segment), hashes in sorted(rows.items()):
        # Which of too many are kept depends on the customers alone, not on the order in which they came.
        text = b64encode(b"".join(sorted(set(hashes))[:CUSTOMERS_MAX])).decode()
        size += ROW_BYTES + len(text) + words_bytes(dict(zip(dimensions, segment, strict=True)))
        sized.append((size // PART_BYTES, bucket, segment, len(hashes), text))
    parts = [list(part) for _, part in groupby(sized, key=lambda row: row[0])]
    return [
        Customers(
            bucket=tuple(row[1] for row in part),
            segment=tuple(row[2] for row in part),
            contacts=tuple(row[3] for row in part),
            hashes=tuple(row[4] for row in part),
        )
        for part in parts
    ]


def state(met: Met) -> list[list[Any]]:
    """For a snapshot."""
    return [[bucket, cell, b"".join(hashes)] for (bucket, cell), hashes in met.items()]


def restored(rows: Iterable[list[Any]]) -> Met:
    """Of a state."""
    return {
        (bucket, cell): [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]
        for bucket, cell, hashes in rows
    }
