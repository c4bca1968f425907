"""Segments: numbers for the values of the segment dimensions, in the order in which they were first counted."""

from collections.abc import Mapping
from operator import itemgetter
from typing import Any, Final

from pegel.schemas.detection import UNKNOWN

OTHER: Final = "other"


class Segments:
    """names[number] are the values of a segment. Beyond max_segments a further one is counted under topic `other`,

    and beyond as many again under `other` in all dimensions: so there are never more than twice as many, and one.
    """

    def __init__(self, dimensions: tuple[str, ...], max_segments: int) -> None:
        self._dimensions, self._max = dimensions, max_segments
        # With several dimensions: a bucket has a row for each of thousands of cells, which seldom lack one.
        self._pick = itemgetter(*dimensions) if len(dimensions) > 1 else None
        self._topic_at = dimensions.index("topic") if "topic" in dimensions else len(dimensions) - 1
        self.names: list[tuple[str, ...]] = []
        self._numbers: dict[tuple[str, ...], int] = {}
        self._refused: dict[tuple[str, ...], None] = {}
        self.longest_bytes = 0
        """At most so many bytes have the values of a segment in a record."""

    @property
    def refused(self) -> int:
        """How many segments are counted under `other`; at most as many again as are kept apart are told apart here."""
        return len(self._refused)

    def number(self, cell: dict[str, str]) -> int:
        """The segment of a cell; one that is new gets the next number."""
        if self._pick is not None:
            try:
                return self.of(self._pick(cell))
            except KeyError:
                pass
        return self.of(tuple([cell.get(dimension, UNKNOWN) for dimension in self._dimensions]))

    def of(self, values: tuple[str, ...]) -> int:
        """The same for the values of the dimensions."""
        found = self._numbers.get(values)
        return found if found is not None else self._add(values)

    def state(self) -> dict[str, Any]:
        return {"names": list(self.names), "refused": list(self._refused)}

    def restore(self, tree: Mapping[str, Any]) -> None:
        self.names = [tuple(name) for name in tree["names"]]
        self._numbers = {name: number for number, name in enumerate(self.names)}
        self._refused = dict.fromkeys(tuple(values) for values in tree["refused"])
        self.longest_bytes = max(map(values_bytes, self.names), default=0)

    def _add(self, values: tuple[str, ...]) -> int:
        if len(self.names) >= self._max and values[self._topic_at] != OTHER:
            if len(self._refused) < self._max:
                self._refused[values] = None
            return self.of((*values[: self._topic_at], OTHER, *values[self._topic_at + 1 :]))
        if len(self.names) >= 2 * self._max and any(value != OTHER for value in values):
            return self.of((OTHER,) * len(values))
        self._numbers[values] = len(self.names)
        self.names.append(values)
        self.longest_bytes = max(self.longest_bytes, values_bytes(values))
        return self._numbers[values]


def values_bytes(values: tuple[str, ...]) -> int:
    """At most so many bytes have the values in JSON: every character escaped by a backslash, or four bytes of UTF-8."""
    return sum(len(value) * (2 if value.isascii() else 4) + 3 for value in values)
