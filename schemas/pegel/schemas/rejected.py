"""Why something was refused: problem details (RFC 9457) to the sender, and a record on the stream rejected."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from pegel.schemas.base import LogRecord, Model, Origin


class FieldError(Model):
    """One fault: `field` as a path (attributes.region, [3].country), `reason` for a person, without the value."""

    field: Annotated[str, StringConstraints(max_length=200)]
    reason: Annotated[str, StringConstraints(max_length=300)]


class Problem(Model):
    """RFC 9457 problem details."""

    type: str = "about:blank"
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: str | None = None
    errors: tuple[FieldError, ...] = ()


RejectedReason = Literal["invalid", "conflict", "unknown_contact", "too_late", "unreadable"]


class RejectedRecord(LogRecord):
    """Stream rejected: an item that was refused, why, and what of it was valid. Never free text, never a pseudonym.

    item: the fields that were valid by themselves. partition, offset: where it stands if refused behind the log.
    """

    kind: Literal["rejected"] = "rejected"
    reason: RejectedReason
    what: Literal["contact", "amendment", "tick", "record"]
    source: str | None = None
    event_id: str | None = None
    amendment_id: str | None = None
    errors: tuple[FieldError, ...]
    item: dict[str, Any] | None = None
    partition: int | None = None
    offset: int | None = None
    origin: Origin | None = None
