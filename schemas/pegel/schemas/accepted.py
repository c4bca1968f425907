"""What ingest answers to what it was sent."""

from typing import Annotated

from pydantic import Field

from pegel.schemas.base import Versioned
from pegel.schemas.rejected import FieldError

Number = Annotated[int, Field(ge=0)]


class Accepted(Versioned):
    """202: the log has acknowledged all items."""

    accepted: Number


class RejectedItem(Versioned):
    """An item of an array or of NDJSON that was refused. index: its place, from 0 (blank lines are not counted)."""

    index: Number
    errors: tuple[FieldError, ...]


class PartlyAccepted(Versioned):
    """207: the log has acknowledged the items that are not listed."""

    accepted: Number
    rejected: Number
    items: tuple[RejectedItem, ...]


class Ticked(Versioned):
    """202: time has passed in this many partitions."""

    partitions: Number
