"""The contact: one attempt of a customer to reach the bank; and the amendment: what becomes known of it later."""

import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AwareDatetime,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from pegel.schemas.base import SLUG_PATTERN, Identifier, LogRecord, Model, Seconds, Slug, Versioned
from pegel.schemas.countries import Country

Channel = Literal[
    "phone", "chat", "messenger", "email", "letter", "social", "app", "web", "branch", "video", "bot", "other"
]  # fmt: skip
Handler = Literal["in_house", "partner", "self_service"]
CustomerSegment = Literal["consumer", "business"]
Nature = Literal["transactional", "emotional"]
Demand = Literal["failure", "value"]
Outcome = Literal["answered", "abandoned", "deflected"]
Pseudonym = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,128}$", max_length=128)]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$", max_length=35)]
PRINTABLE_PATTERN: Final = r"^[^\x00-\x1f\x7f]+$"
AttributeValue = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=PRINTABLE_PATTERN)]

EMPLOYEE_WORDS: Final = ("agent", "employee", "user")
"""Employees are never measured: no field and no attribute may have a word that begins with one of these."""

RFC_3339_PATTERN: Final = (
    r"^(19[7-9][0-9]|2[01][0-9]{2})-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})$"
)


class _Rfc3339:
    """In JSON a string of that pattern and nothing else: pydantic alone also takes '1700000000' and '2026-01-01T10Z',
    which no schema can tell of. A chain of pydantic's own steps, since a Python function costs 1 us a contact.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        text = core_schema.str_schema(pattern=RFC_3339_PATTERN, strict=True)
        time = core_schema.datetime_schema(tz_constraint="aware", strict=False)
        return core_schema.json_or_python_schema(core_schema.chain_schema([text, time]), handler(source))

    def __get_pydantic_json_schema__(self, _: core_schema.CoreSchema, __: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "format": "date-time"}


Moment = Annotated[AwareDatetime, _Rfc3339()]
"""A time that comes from outside: RFC 3339, so always with a zone; 1970 to 2199 keeps bucket numbers small."""


OPTIONAL_NOTE: Final = "left out where it is not known"


class Satisfaction(Model):
    """A customer's answer to a survey. scale: which one (csat, nps, ces ...)."""

    scale: Slug
    value: Annotated[float, Field(ge=-100, le=1000)]


def names_employee(key: str) -> bool:
    """Whether a field's or attribute's name speaks of an employee."""
    return any(word.startswith(EMPLOYEE_WORDS) for word in re.split(r"[^a-z]+", key.lower()))


Attributes = Annotated[
    dict[Slug, AttributeValue],
    Field(max_length=10),
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": 10,
            # Words of employees are refused by `names_employee`; in a slug they look like this.
            "propertyNames": {"pattern": SLUG_PATTERN, "not": {"pattern": rf"(^|[^a-z])({'|'.join(EMPLOYEE_WORDS)})"}},
            "additionalProperties": {"type": "string", "minLength": 1, "maxLength": 64, "pattern": PRINTABLE_PATTERN},
        }
    ),
]


class Details(Model):
    """What may be said of a contact beside its identity and time, and may be amended later."""

    handler: Handler | None = None
    site: Slug | None = None
    subtopic: Slug | None = None
    customer: Pseudonym | None = Field(default=None, description="pseudonym of the customer")
    account: Pseudonym | None = Field(default=None, description="pseudonym of the account")
    customer_segment: CustomerSegment | None = None
    nature: Nature | None = None
    demand: Demand | None = Field(default=None, description="failure: a contact that need not have been")
    complaint: bool | None = None
    case: Pseudonym | None = Field(default=None, description="pseudonym of the case that further messages share")
    reference: Identifier | None = Field(default=None, description="the desk's id, for links")
    outcome: Outcome | None = None
    waited_seconds: Seconds | None = None
    handled_seconds: Seconds | None = None
    resolved: bool | None = None
    satisfaction: Satisfaction | None = None
    language: Language | None = None
    attributes: Attributes | None = None

    @field_validator("attributes")
    @classmethod
    def _no_employee(cls, value: dict[str, str] | None) -> dict[str, str] | None:
        for key in value or ():
            if names_employee(key):
                raise ValueError(f"attribute {key} names an employee; employees are never measured")
        return value


class Contact(Details):
    """One contact, as a source sends it. Identity is (source, event_id)."""

    event_id: Identifier
    occurred_at: Moment = Field(description="when it arrived, with a zone")
    country: Country = Field(description="ISO 3166-1 alpha-2; the market of the account, not the place")
    topic: Slug
    channel: Channel
    source: Slug | None = Field(default=None, description="who sends it; taken from the token where there is one")


class ContactRecord(Contact, LogRecord):
    """A contact on the stream contacts: valid, its source known."""

    kind: Literal["contact"] = "contact"
    source: Slug


AmendmentReason = Literal["wrap_up", "retagged", "survey", "spam", "test", "duplicate"]


class AmendmentSet(Details):
    """The fields an amendment sets: any but identity."""

    occurred_at: Moment | None = None
    country: Country | None = None
    topic: Slug | None = None
    channel: Channel | None = None


class Amendment(Model):
    """What became known of a contact later: other values (`set`), or that it was none (`void`)."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["set"], "properties": {"set": {"type": "object"}, "void": {"const": False}}},
                {"required": ["void"], "properties": {"set": {"type": "null"}, "void": {"const": True}}},
            ]
        }
    )

    amendment_id: Identifier
    event_id: Identifier
    reason: AmendmentReason
    source: Slug | None = None
    set: AmendmentSet | None = None
    void: bool = False

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if self.void == (self.set is not None):
            raise ValueError("give either set or void")
        return self


class AmendmentRecord(Amendment, LogRecord):
    """An amendment on the stream contacts, in the partition of its contact."""

    kind: Literal["amendment"] = "amendment"
    source: Slug


class Tick(Versioned):
    """POST /v1/ticks, in data mode: time has passed up to `at`."""

    at: Moment


class TickRecord(LogRecord):
    """Time passes: without `at` the log's append time counts (wall mode), with `at` that (data mode)."""

    kind: Literal["tick"] = "tick"
    at: AwareDatetime | None = None


def schema_example() -> dict[str, Any]:
    """A contact as documentation shows it."""
    return {
        "event_id": "7d1c1a9e-0c5b-4f0e-9a59-5a1f2f6d0f0a",
        "occurred_at": "2026-11-22T02:31:07+01:00",
        "country": "ES",
        "topic": "atm",
        "channel": "phone",
        "handler": "in_house",
    }


def amendment_example() -> dict[str, Any]:
    """An amendment as documentation shows it."""
    return {
        "amendment_id": "wrap-up-1",
        "event_id": "7d1c1a9e-0c5b-4f0e-9a59-5a1f2f6d0f0a",
        "reason": "wrap_up",
        "set": {"topic": "cards", "handled_seconds": 240},
    }
