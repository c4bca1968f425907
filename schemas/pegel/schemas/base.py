"""What all models share: closed, immutable, versioned; and the encoding of a record on the log."""

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

SLUG_PATTERN: Final = r"^[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?$"
"""Lower-case letters, digits, hyphen and underscore; at most 64 characters; begins and ends with a letter or digit."""

Slug = Annotated[str, StringConstraints(pattern=SLUG_PATTERN, max_length=64)]
Identifier = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,128}$", max_length=128)]
"""An id of the sender's: 1 to 128 printable ASCII characters without a space."""

SECONDS_MAX: Final = 30 * 86_400


class _WholeSeconds:
    """A JSON number without a fraction, as JSON Schema's integer is: 240.0 too (tables with gaps are written so)."""

    def __get_pydantic_core_schema__(self, _: Any, __: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        number = core_schema.float_schema(strict=True)
        whole = core_schema.int_schema(strict=False, ge=0, le=SECONDS_MAX)
        strict = core_schema.int_schema(strict=True, ge=0, le=SECONDS_MAX)
        return core_schema.json_or_python_schema(core_schema.chain_schema([number, whole]), strict)

    def __get_pydantic_json_schema__(self, _: core_schema.CoreSchema, __: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "integer", "minimum": 0, "maximum": SECONDS_MAX}


Seconds = Annotated[int, _WholeSeconds()]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$", max_length=3)]
"""ISO 4217 code."""

MICRO: Final = 1_000_000
"""Amounts are integers of a millionth of the currency."""


def micros(amount: str, most: int) -> int:
    """'7.50' as 7,500,000. Raises ValueError for what is no amount, negative, above `most`, or has over 6 decimals."""
    try:
        exact = Decimal(amount) * MICRO
    except InvalidOperation:
        raise ValueError("is no amount such as 7.50") from None
    if not exact.is_finite() or exact != exact.to_integral_value():
        raise ValueError("has more than 6 decimals")
    if not 0 <= exact <= most * MICRO:
        raise ValueError(f"is not between 0 and {most}")
    return int(exact)


class Model(BaseModel):
    """A closed, immutable value: an unknown field is an error, nothing is converted from another JSON type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class LogRecord(Model):
    """A record on the log. Its JSON begins with `kind` and `v` (version), so that any reader can tell what it holds."""

    kind: str
    v: Literal[1] = 1

    def encode(self) -> bytes:
        """The record's bytes on the log: JSON (RFC 8259), UTF-8, fields in a fixed order, empty ones left out."""
        return self.model_dump_json(exclude_none=True).encode()

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Raises pydantic.ValidationError, which names the field."""
        return cls.model_validate_json(value)


class Origin(Model):
    """Where an output comes from. (partition, offset, place) is its id, the same at every replay.

    producer: 'counter/2' or 'judge/0'. epoch: offset of the producer's claim in its partition of the stream state.
    partition, offset: the input record that caused this output; place: its number among that record's outputs.
    """

    producer: Annotated[str, StringConstraints(pattern=r"^[a-z]+/[0-9]+$", max_length=32)]
    epoch: Annotated[int, Field(ge=0)]
    partition: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]
    place: Annotated[int, Field(ge=0)]

    @property
    def id(self) -> tuple[int, int]:
        """Order of a producer's outputs: a reader drops what is not above the highest it has seen."""
        return (self.offset, self.place)

    @property
    def text(self) -> str:
        """The id in one word: 'counter/2:117.0'."""
        return f"{self.producer}:{self.offset}.{self.place}"


class Versioned(Model):
    """An API model: its version is that of the path (/v1)."""

    version: ClassVar[int] = 1
