"""Segments: numbers for the values of the segment dimensions, in the order in which they were first counted."""

from typing import Final

UNKNOWN: Final = "unknown"
OTHER: Final = "other"


class Segments:
    """names[number] are the values of a segment. Beyond max_segments a further one is counted under topic `other`."""

    def __init__(self, dimensions: tuple[str, ...], max_segments: int) -> None:
        self._dimensions, self._max = dimensions, max_segments
        self._topic_at = dimensions.index("topic") if "topic" in dimensions else len(dimensions) - 1
        self.names: list[tuple[str, ...]] = []
        self._numbers: dict[tuple[str, ...], int] = {}
        self._refused: dict[tuple[str, ...], None] = {}

    @property
    def refused(self) -> int:
        """How many segments are counted under `other`; at most as many again as are kept apart are told apart here."""
        return len(self._refused)

    def number(self, cell: dict[str, str]) -> int:
        """The segment of a cell; one that is new gets the next number."""
        return self.of(tuple([cell.get(dimension, UNKNOWN) for dimension in self._dimensions]))

    def of(self, values: tuple[str, ...]) -> int:
        """The same for the values of the dimensions."""
        found = self._numbers.get(values)
        return found if found is not None else self._add(values)

    def _add(self, values: tuple[str, ...]) -> int:
        if len(self.names) >= self._max and values[self._topic_at] != OTHER:
            if len(self._refused) < self._max:
                self._refused[values] = None
            other = (*values[: self._topic_at], OTHER, *values[self._topic_at + 1 :])
            return self._numbers[other] if other in self._numbers else self._add(other)
        self._numbers[values] = len(self.names)
        self.names.append(values)
        return self._numbers[values]
