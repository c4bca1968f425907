"""A body becomes items: valid ones, and refusals with their place. Strict JSON, and no more work than a body is worth.

An array is split into the bytes of its items first, so that each item is refused for itself, and one that is far too
large for a contact is never looked into: a body of 5 MiB holds a million faults, and to explain them takes a minute.
"""

import contextlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

import msgspec
from pydantic import FailFast, TypeAdapter, ValidationError
from pydantic_core import from_json

from pegel.ingest.domain import refusals
from pegel.ingest.domain.refusals import Refusal
from pegel.schemas.contact import Amendment, Contact

Form = Literal["json", "ndjson"]
T = TypeVar("T", Contact, Amendment)
_ARRAY: Final = re.compile(rb"[ \t\r\n]*\[")
_BLANK: Final = b" \t\r"
_split: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
ITEM_BYTES_MAX: Final = 16 * 1024
"""Three times what a contact can take with every field at its longest, each character escaped."""
WHOLE_BYTES_MAX: Final = 256 * 1024
"""Up to here a body is tried as a whole first; to find out that it is all faults takes 60 ms at most."""
REFUSED_MAX: Final = 5_000
"""Refusals that one request may get, each with its reasons; 5 MiB hold 60,000 contacts."""


class UnreadableError(ValueError):
    """The body is not JSON; the text says where, and holds nothing of it."""


class TooManyRefusedError(ValueError):
    """More than REFUSED_MAX items are refused: the whole body is. refused: the first of them."""

    def __init__(self, refused: Sequence[Refusal]) -> None:
        super().__init__(f"more than {REFUSED_MAX} of its items are refused, so all are")
        self.refused = refused


@dataclass(frozen=True, slots=True)
class Batch:
    """What a body held beside its valid items. single: it was one object, not an array or lines."""

    single: bool
    refused: list[Refusal]


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A sort of items."""

    what: Literal["contact", "amendment"]
    model: TypeAdapter[T]
    whole: TypeAdapter[list[T]]
    """An array of them, up to the first fault."""


CONTACT: Final = Kind("contact", TypeAdapter(Contact), TypeAdapter(Annotated[list[Contact], FailFast()]))
AMENDMENT: Final = Kind("amendment", TypeAdapter(Amendment), TypeAdapter(Annotated[list[Amendment], FailFast()]))


def read(kind: Kind[T], body: bytes, form: Form, take: Callable[[int, T], None]) -> Batch:
    """Gives each valid item to `take`, with its index, in order: the models of a large body take 20 times its size, so
    they are not all kept at once.

    Raises UnreadableError when the body as a whole is not JSON, TooManyRefusedError; what was taken is to be dropped.
    """
    if form == "ndjson":
        # Only a line feed ends a line of NDJSON; splitlines() would cut at others too.
        return _each(kind, [line for line in body.split(b"\n") if line.strip(_BLANK)], form, take)
    if not _ARRAY.match(body):
        return _each(kind, [body], form, take, single=True)
    if len(body) <= WHOLE_BYTES_MAX:
        # Most bodies hold no fault, and one call for all items costs two thirds of a call for each.
        with contextlib.suppress(ValidationError):  # else each item is refused for itself, below
            for index, item in enumerate(kind.whole.validator.validate_json(body)):
                take(index, item)
            return Batch(False, [])
    try:
        items = _split(body)
    except msgspec.DecodeError as error:
        raise UnreadableError(str(error)) from None
    except RecursionError:
        raise UnreadableError("nested too deeply") from None
    return _each(kind, items, form, take)


def _each(
    kind: Kind[T],
    items: Sequence[bytes | msgspec.Raw],
    form: Form,
    take: Callable[[int, T], None],
    *,
    single: bool = False,
) -> Batch:
    batch = Batch(single, [])
    validate = kind.model.validator.validate_json
    for index, item in enumerate(items):
        data = bytes(item)
        if len(data) <= ITEM_BYTES_MAX:
            try:
                valid = validate(data)
            except ValidationError as error:
                refused = _refusal(index, data, form, error)
            else:
                take(index, valid)
                continue
        else:
            refused = _refusal(index, data, form, None)
        batch.refused.append(refused)
        if len(batch.refused) > REFUSED_MAX:
            raise TooManyRefusedError(batch.refused)
    return batch


def _refusal(index: int, data: bytes, form: Form, error: ValidationError | None) -> Refusal:
    """error: what the model says; None: nobody asked it, the item is too large."""
    try:
        item: Any = from_json(data, allow_inf_nan=False)
    except ValueError as fault:
        if form == "json":
            raise UnreadableError(str(fault)) from None
        return refusals.unreadable(index, str(fault))
    if not isinstance(item, dict):
        return refusals.whole(index, "is no JSON object")
    if error is None:
        return refusals.whole(index, f"is larger than {ITEM_BYTES_MAX} bytes")
    return refusals.invalid(index, error, item)
