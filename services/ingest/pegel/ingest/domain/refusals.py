"""Why an item is refused: a reason with a name; for each fault the field's path and a sentence without the value."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pegel.schemas.base import SLUG_PATTERN
from pegel.schemas.contact import RFC_3339_PATTERN, names_employee
from pegel.schemas.rejected import FieldError, RejectedRecord

Reason = Literal["unreadable", "employee", "unknown_field", "missing_field", "time", "source", "value"]
"""What counts in the metrics: the first of these that one of the faults has."""

WHOLE: Final = ""
"""The path of a fault that lies in the whole item."""
FAULTS_MAX: Final = 20
"""Faults told of an item: who has more has understood nothing yet, and an answer stays small."""
FAULTS_READ_MAX: Final = 100
"""Faults looked at: what is said of an item must not cost more than to read it."""
IDENTITY: Final = "is the contact's identity, which is never amended; void this contact and send another"
_IDENTITY: Final = {("set", "source"), ("set", "event_id")}
EMPLOYEE: Final = "names an employee; employees are never measured"
PATTERNS: Final = {
    SLUG_PATTERN: "is no slug: lower-case letters, digits, - and _, at most 64, a letter or digit at both ends",
    RFC_3339_PATTERN: "is no time of RFC 3339 with a zone (1970 to 2199), such as 2026-11-22T02:31:07+01:00",
}
TELLABLE: Final = (
    "occurred_at", "country", "topic", "channel", "source", "handler", "site", "subtopic", "customer_segment",
    "nature", "demand", "complaint", "outcome", "waited_seconds", "handled_seconds", "resolved", "satisfaction",
    "language", "reason", "void",
)  # fmt: skip
"""Fields of a refused item that may be kept on the stream rejected: no pseudonym, no reference, no free text."""
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_.\[\]-]{0,100}")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An item that is not accepted. index: its place in the request, from 0. item: its fields that are valid."""

    index: int
    reason: Reason
    errors: tuple[FieldError, ...]
    item: Mapping[str, Any] = field(default_factory=dict)

    def named(self, prefix: str, whole: str) -> tuple[FieldError, ...]:
        """The faults with paths that begin with prefix ('[3]'); one of the whole item is called `whole` instead."""
        return tuple(
            FieldError(field=_joined(prefix, error.field) or whole, reason=error.reason) for error in self.errors
        )


def unreadable(index: int, why: str) -> Refusal:
    """An item that is not JSON; `why` is the parser's, with line and column."""
    return Refusal(index, "unreadable", (FieldError(field=WHOLE, reason=f"is not JSON: {why}"),))


def whole(index: int, why: str) -> Refusal:
    """An item that is refused unseen."""
    return Refusal(index, "value", (FieldError(field=WHOLE, reason=why),))


def invalid(index: int, error: ValidationError, item: Mapping[str, Any]) -> Refusal:
    """An item that its model refuses."""
    if error.error_count() > FAULTS_READ_MAX:
        return whole(index, f"has {error.error_count()} faults")
    details = error.errors(include_url=False, include_input=False)
    reasons = {_reason(detail) for detail in details}
    faulty = {str(detail["loc"][0]) for detail in details if detail["loc"]}
    return Refusal(
        index,
        next(reason for reason in get_args(Reason) if reason in reasons),
        tuple(_explained(detail) for detail in details[:FAULTS_MAX]),
        {name: value for name, value in item.items() if name not in faulty},
    )


def rejected_record(what: Literal["contact", "amendment", "tick"], source: str | None, refusal: Refusal) -> bytes:
    """The refusal as it stands on the stream rejected: only fields that are valid by themselves and tell nobody's name.

    Names of unknown fields are the sender's own words; those that don't look like a name are left out.
    """
    item = {name: refusal.item[name] for name in TELLABLE if refusal.item.get(name) is not None}
    errors = (
        error
        if _PLAIN_NAME.fullmatch(error.field)
        else FieldError(field="(a name that is left out)", reason="is no known field")
        for error in refusal.named(WHOLE, "body" if refusal.reason == "unreadable" else "item")
    )
    record = RejectedRecord(
        reason="unreadable" if refusal.reason == "unreadable" else "invalid",
        what=what,
        source=source,
        event_id=refusal.item.get("event_id"),
        amendment_id=refusal.item.get("amendment_id"),
        errors=tuple(errors),
        item=item or None,
    )
    return record.encode()


def _joined(prefix: str, path: str) -> str:
    return (f"{prefix}.{path}" if prefix and path else prefix or path)[:200]


def _path(loc: Iterable[int | str]) -> str:
    path = ""
    for part in loc:
        if part != "[key]":  # pydantic's mark of a fault in a mapping's key rather than its value
            path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path[:200]


def _reason(detail: ErrorDetails) -> Reason:
    kind, loc = detail["type"], detail["loc"]
    if kind == "extra_forbidden":
        return "employee" if names_employee(str(loc[-1])) else "unknown_field"
    if kind == "missing":
        return "missing_field"
    if "occurred_at" in loc or "at" in loc:
        return "time"
    return "employee" if EMPLOYEE in detail["msg"] else "value"


def _explained(detail: ErrorDetails) -> FieldError:
    kind, loc, said = detail["type"], detail["loc"], detail["msg"]
    if kind == "extra_forbidden":
        known = IDENTITY if loc in _IDENTITY else "is not a known field"
        said = EMPLOYEE if names_employee(str(loc[-1])) else known
    elif kind == "missing":
        said = "is missing"
    elif kind == "literal_error" and loc[-1] == "country":
        said = "is no country of ISO 3166-1 alpha-2"
    elif kind == "string_pattern_mismatch":
        pattern = detail.get("ctx", {}).get("pattern")
        said = PATTERNS.get(str(pattern), f"does not match {pattern}")
    return FieldError(field=_path(loc), reason=said.removeprefix("Value error, ")[:300])
