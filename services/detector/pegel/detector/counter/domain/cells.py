"""Cells: combinations of the counted fields of a contact, numbered as they come.

The key of a contact is made where contacts are counted: a call less for each.
"""

from collections.abc import Iterable
from typing import Final

from pegel.detector.counter.domain.lines import AmendmentSet, ContactLine

PLAIN: Final = (
    "country", "topic", "channel", "handler", "site", "subtopic", "customer_segment", "nature", "demand", "outcome",
)  # fmt: skip
"""Counted fields that are words. `complaint` is counted too (true, false), and attributes that are dimensions."""


CellKey = tuple[str | bool | None, ...]
"""Values of PLAIN, then complaint, then the attribute dimensions, in order; None: not said."""


class Cells:
    """The dictionary of cells: key to number and back. dimensions: the segment dimensions, attributes included."""

    def __init__(self, dimensions: tuple[str, ...], keys: Iterable[CellKey] = ()) -> None:
        self.attributes = tuple(d.removeprefix("attributes.") for d in dimensions if d.startswith("attributes."))
        self.names: tuple[str, ...] = (*PLAIN, "complaint", *(f"attributes.{name}" for name in self.attributes))
        self.keys: list[CellKey] = list(keys)
        self.numbers: dict[CellKey, int] = {key: number for number, key in enumerate(self.keys)}

    def attributes_of(self, c: ContactLine) -> CellKey:
        """The part of a contact's key that its dimensions among the attributes add."""
        said = c.attributes or {}
        return tuple(said.get(name) for name in self.attributes)

    def number(self, key: CellKey) -> int:
        """The number of a key, a new one if it is new."""
        found = self.numbers.get(key)
        if found is None:
            found = self.numbers[key] = len(self.keys)
            self.keys.append(key)
        return found

    def amended(self, number: int, changes: AmendmentSet) -> int:
        """The number of the cell that a contact of this cell falls into after the changes."""
        before, attributes = self.keys[number], changes.attributes or {}
        said = [getattr(changes, name) for name in (*PLAIN, "complaint")]
        said += [attributes.get(name) for name in self.attributes]
        key = tuple(old if new is None else new for old, new in zip(before, said, strict=True))
        return self.number(key)

    def size_bytes(self, number: int) -> int:
        """At most so many bytes has the cell in a record."""
        return words_bytes(self.words(number))

    def words(self, number: int) -> dict[str, str]:
        """A cell as it stands in records: what was said, by name."""
        values = zip(self.names, self.keys[number], strict=True)
        return {
            name: value if isinstance(value, str) else "true" if value else "false"
            for name, value in values
            if value is not None
        }


def words_bytes(words: dict[str, str]) -> int:
    """At most so many bytes have named words in JSON: each character escaped by a backslash, or four bytes of UTF-8."""
    return sum(len(name) + 6 + len(value) * (2 if value.isascii() else 4) for name, value in words.items())
