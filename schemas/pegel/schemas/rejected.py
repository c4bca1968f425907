"""Why something was refused: problem details (RFC 9457) to the sender, and a record on the stream rejected."""

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, StringConstraints

from pegel.schemas.base import LogRecord, Model, Origin, Versioned


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

RejectedWhat = Literal["contact", "amendment", "tick", "record"]


class RejectedRecord(LogRecord):
    """Stream rejected: an item that was refused, why, and what of it was valid. Never free text, never a pseudonym.

    item: the fields that were valid by themselves. partition, offset: where it stands if refused behind the log.
    """

    kind: Literal["rejected"] = "rejected"
    reason: RejectedReason
    what: RejectedWhat
    source: str | None = None
    event_id: str | None = None
    amendment_id: str | None = None
    errors: tuple[FieldError, ...]
    item: dict[str, Any] | None = None
    partition: int | None = None
    offset: int | None = None
    origin: Origin | None = None


class RejectedEntry(Versioned):
    """What was rejected, as its sender sees it. time: when Pegel said so.

    partition, offset: where it stands on the log, if it was accepted at first and rejected behind the log.
    """

    time: AwareDatetime
    reason: RejectedReason
    what: RejectedWhat
    source: str | None = None
    event_id: str | None = None
    amendment_id: str | None = None
    errors: tuple[FieldError, ...]
    partition: int | None = None
    offset: int | None = None


class RejectedPage(Versioned):
    """Some of what was rejected: from `cursor` on the oldest first, else the newest first.

    next: the cursor of what comes after. older: what to give as `before` for what came earlier; None: no more is kept.
    An answer may hold fewer items than asked for, or none, although there are more: only so many records are looked at.
    """

    items: tuple[RejectedEntry, ...]
    next: Annotated[int, Field(ge=0)]
    older: Annotated[int, Field(ge=0)] | None = None
