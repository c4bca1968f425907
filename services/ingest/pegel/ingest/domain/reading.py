"""A body becomes items: valid ones, and refusals with their place. Strict JSON, one pass where all is well.

What fails at once is read again, item by item, so that each refusal is its own and the others are accepted.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

from pydantic import FailFast, TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from pegel.ingest.domain import refusals
from pegel.ingest.domain.refusals import Refusal
from pegel.schemas.contact import Amendment, Contact

Form = Literal["json", "ndjson"]
T = TypeVar("T", Contact, Amendment)
_ARRAY: Final = re.compile(rb"[ \t\r\n]*\[")
ITEMS_MAX: Final = 100_000
"""Items a body may hold; 5 MiB hold 60,000 of the shortest valid ones."""


class UnreadableError(ValueError):
    """The body is not JSON; the text says where, and holds nothing of it."""


class TooManyError(ValueError):
    """More than ITEMS_MAX items."""


@dataclass(frozen=True, slots=True)
class Batch(Generic[T]):
    """What a body held. single: it was one object, not an array or lines. valid: (index, item) in order."""

    single: bool
    valid: list[tuple[int, T]]
    refused: list[Refusal]


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A sort of items: how one and many of them are read."""

    what: Literal["contact", "amendment"]
    one: TypeAdapter[T]
    many: TypeAdapter[list[T]]


# FailFast: the first fault ends the common reading; without it a body of a million wrong items makes a million errors.
CONTACT: Final = Kind("contact", TypeAdapter(Contact), TypeAdapter(Annotated[list[Contact], FailFast()]))
AMENDMENT: Final = Kind("amendment", TypeAdapter(Amendment), TypeAdapter(Annotated[list[Amendment], FailFast()]))


def read(kind: Kind[T], body: bytes, form: Form) -> Batch[T]:
    """Raises UnreadableError when the body as a whole is not JSON, TooManyError."""
    if form == "ndjson":
        return _lines(kind, body)
    if not _ARRAY.match(body):
        return _object(kind, body)
    try:
        return Batch(single=False, valid=list(enumerate(kind.many.validate_json(body))), refused=[])
    except ValidationError:
        return _each(kind, _parsed(body), lambda item: item, to_json)


def _object(kind: Kind[T], body: bytes) -> Batch[T]:
    try:
        return Batch(single=True, valid=[(0, kind.one.validate_json(body))], refused=[])
    except ValidationError as error:
        item = _parsed(body)
        refusal = refusals.invalid(0, error, item) if isinstance(item, dict) else refusals.no_object(0)
        return Batch(single=True, valid=[], refused=[refusal])


def _lines(kind: Kind[T], body: bytes) -> Batch[T]:
    # Only these end a line or are blank in NDJSON; splitlines() would also cut at others.
    lines = [line for line in body.split(b"\n") if line.strip(b" \t\r")]
    return _each(kind, lines, lambda line: from_json(line, allow_inf_nan=False), lambda line: line)


def _each(kind: Kind[T], items: list[Any], parse: Callable[[Any], Any], encode: Callable[[Any], bytes]) -> Batch[T]:
    if len(items) > ITEMS_MAX:
        raise TooManyError
    batch: Batch[T] = Batch(single=False, valid=[], refused=[])
    for index, item in enumerate(items):
        try:
            batch.valid.append((index, kind.one.validate_json(encode(item))))
        except ValidationError as error:
            try:
                parsed = parse(item)
            except ValueError as fault:
                batch.refused.append(refusals.unreadable(index, str(fault)))
                continue
            batch.refused.append(
                refusals.invalid(index, error, parsed) if isinstance(parsed, dict) else refusals.no_object(index)
            )
    return batch


def _parsed(body: bytes) -> Any:
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise UnreadableError(str(error)) from None
