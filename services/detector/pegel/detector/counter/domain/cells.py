"""Cells: the counted fields of a contact, and the part of a contact that the counter reads."""

from datetime import datetime
from typing import Any, Final

import msgspec

PLAIN: Final = (
    "country", "topic", "channel", "handler", "site", "subtopic", "customer_segment", "nature", "demand", "outcome",
)  # fmt: skip
"""Counted fields that are words. `complaint` is counted too (true, false), and attributes that are dimensions."""


class ContactLine(msgspec.Struct):
    """What the counter reads of a contact. Ingest has validated it, so this is quicker than a second pydantic."""

    source: str
    event_id: str
    occurred_at: datetime
    country: str
    topic: str
    channel: str
    v: int = 1
    kind: str = "contact"
    handler: str | None = None
    site: str | None = None
    subtopic: str | None = None
    customer_segment: str | None = None
    nature: str | None = None
    demand: str | None = None
    outcome: str | None = None
    complaint: bool | None = None
    handled_seconds: int | None = None
    attributes: dict[str, str] | None = None


class AmendmentLine(msgspec.Struct):
    """What the counter reads of an amendment. `set`: only the fields that were given."""

    source: str
    event_id: str
    amendment_id: str
    v: int = 1
    void: bool = False
    set: dict[str, Any] | None = None


CellKey = tuple[str | None, ...]
"""Values of PLAIN, then complaint, then the attribute dimensions, in order; None: not said."""


class Cells:
    """The dictionary of cells: key to number and back. dimensions: the segment dimensions, attributes included."""

    def __init__(self, dimensions: tuple[str, ...]) -> None:
        self._attributes = tuple(d.removeprefix("attributes.") for d in dimensions if d.startswith("attributes."))
        self.names: tuple[str, ...] = (*PLAIN, "complaint", *(f"attributes.{name}" for name in self._attributes))
        self._number: dict[CellKey, int] = {}
        self._keys: list[CellKey] = []

    def number(self, key: CellKey) -> int:
        found = self._number.get(key)
        if found is None:
            found = self._number[key] = len(self._keys)
            self._keys.append(key)
        return found

    def of(self, c: ContactLine) -> int:
        """The number of a contact's cell."""
        said = None if c.complaint is None else "true" if c.complaint else "false"
        key: CellKey = (
            c.country, c.topic, c.channel, c.handler, c.site, c.subtopic, c.customer_segment, c.nature, c.demand,
            c.outcome, said,
        )  # fmt: skip
        if self._attributes:
            attributes = c.attributes or {}
            key += tuple(attributes.get(name) for name in self._attributes)
        return self.number(key)

    def amended(self, number: int, changes: dict[str, Any]) -> int:
        """The number of the cell that a contact of this cell falls into after the changes."""
        values = dict(zip(self.names, self._keys[number], strict=True))
        for name, value in changes.items():
            if name == "complaint":
                values[name] = "true" if value else "false"
            elif name == "attributes":
                for key in self._attributes:
                    if key in value:
                        values[f"attributes.{key}"] = value[key]
            elif name in values:
                values[name] = value
        return self.number(tuple(values.values()))

    def words(self, number: int) -> dict[str, str]:
        """A cell as it stands in records: what was said, by name."""
        return {name: value for name, value in zip(self.names, self._keys[number], strict=True) if value is not None}
