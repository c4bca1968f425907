"""Lines: what the counter reads of the records of contacts."""

from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Annotated, Final, NamedTuple, Protocol

import msgspec

from pegel.schemas.base import SECONDS_MAX
from pegel.schemas.contact import Channel, CustomerSegment, Demand, Handler, Nature, Outcome
from pegel.schemas.countries import Country

CONTACT_HEAD: Final = b'{"kind":"contact","v":1,'
"""So begins a contact in ingest's own hand; what begins otherwise is looked at twice."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
YEARS: Final = range(-86_400, int(datetime(2200, 1, 2, tzinfo=UTC).timestamp()))
"""Seconds since 1970 that a contact may have happened at: the schema has 1970 to 2199, each where it happened."""


class Read(Protocol):
    """A record of contacts, as the log gives it."""

    @property
    def offset(self) -> int: ...
    @property
    def time_ms(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes: ...


Seconds = Annotated[int, msgspec.Meta(ge=0, le=SECONDS_MAX)]
WholeSeconds = Annotated[float, msgspec.Meta(ge=0, le=SECONDS_MAX, multiple_of=1)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class ContactLine(msgspec.Struct, gc=False, kw_only=True):
    """What the counter reads of a contact. Ingest has validated it, so this is quicker than a second pydantic.

    In the order in which ingest writes it: each field is then found where it is looked for first. Words of which there
    are few are the same object each time: they need not be made, nor hashed to find the cell.
    """

    handler: Handler | None = None
    site: str | None = None
    subtopic: str | None = None
    customer: str | None = None
    customer_segment: CustomerSegment | None = None
    nature: Nature | None = None
    demand: Demand | None = None
    complaint: bool | None = None
    outcome: Outcome | None = None
    handled_seconds: Seconds | None = None
    attributes: dict[str, str] | None = None
    event_id: str
    occurred_at: Moment
    country: Country
    topic: str
    channel: Channel
    source: str


class AmendmentSet(msgspec.Struct, gc=False):
    """What an amendment may set of what is counted. None: it says nothing of it."""

    occurred_at: Moment | None = None
    country: str | None = None
    topic: str | None = None
    channel: str | None = None
    handler: str | None = None
    site: str | None = None
    subtopic: str | None = None
    customer_segment: str | None = None
    nature: str | None = None
    demand: str | None = None
    complaint: bool | None = None
    outcome: str | None = None
    handled_seconds: Seconds | None = None
    attributes: dict[str, str] | None = None


class AmendmentLine(msgspec.Struct, gc=False):
    """What the counter reads of an amendment."""

    amendment_id: str
    event_id: str
    source: str
    set: AmendmentSet | None = None
    void: bool = False


class KindLine(msgspec.Struct, gc=False):
    """What any record says of itself; and a tick, when it is."""

    kind: str
    v: int = 1
    at: Moment | None = None


class Unreadable(NamedTuple):
    """Which field can't be read, and why."""

    field: str
    reason: str


BEYOND: Final = Unreadable("occurred_at", "the years that are counted are 1970 to 2199")

Line = ContactLine | AmendmentLine | KindLine | Unreadable
"""A record as read. KindLine: a tick."""


class _AnyContact(ContactLine, gc=False, kw_only=True):
    """As another may write it: 240.0 is whole seconds too, and a later version may know further words."""

    handler: str | None = None  # type: ignore[assignment]
    customer_segment: str | None = None  # type: ignore[assignment]
    nature: str | None = None  # type: ignore[assignment]
    demand: str | None = None  # type: ignore[assignment]
    outcome: str | None = None  # type: ignore[assignment]
    handled_seconds: WholeSeconds | None = None  # type: ignore[assignment]
    country: str  # type: ignore[assignment]
    channel: str  # type: ignore[assignment]


class _FloatSet(AmendmentSet, gc=False):
    handled_seconds: WholeSeconds | None = None  # type: ignore[assignment]


class _FloatAmendment(AmendmentLine, gc=False):
    set: _FloatSet | None = None


_kind = msgspec.json.Decoder(KindLine)
_contact = msgspec.json.Decoder(ContactLine)
_amendment = msgspec.json.Decoder(AmendmentLine)
_any_contact = msgspec.json.Decoder(_AnyContact)
_float_amendment = msgspec.json.Decoder(_FloatAmendment)


contact_of: Final = _contact.decode
"""A contact of bytes that begin with CONTACT_HEAD. Raises msgspec.DecodeError: then `line_of` says what it is."""


def _contact_of(value: bytes) -> ContactLine:
    """A contact in anybody's hand."""
    line = _any_contact.decode(value)
    if line.handled_seconds is not None:
        line.handled_seconds = int(line.handled_seconds)
    return line


def _amendment_of(value: bytes) -> AmendmentLine:
    try:
        return _amendment.decode(value)
    except msgspec.ValidationError:
        line = _float_amendment.decode(value)
        if line.set is not None and line.set.handled_seconds is not None:
            line.set.handled_seconds = int(line.set.handled_seconds)
        return line


def line_of(value: bytes) -> Line:
    """Any record, as what it says it is."""
    try:
        head = _kind.decode(value)
        if head.v != 1:
            return Unreadable("v", f"version {head.v} is not known")
        if head.kind == "contact":
            return _contact_of(value)
        if head.kind == "amendment":
            amendment = _amendment_of(value)
            at = amendment.set.occurred_at if amendment.set is not None else None
            return amendment if at is None or seconds_of(at) in YEARS else BEYOND
        if head.kind == "tick":
            return head
    except msgspec.DecodeError as error:
        return Unreadable("record", str(error))
    return Unreadable("kind", "this kind does not belong on contacts")


def seconds_of(at: datetime) -> int:
    """Whole seconds since 1970. No float: what lies in a bucket is decided exactly."""
    since = at - EPOCH
    return since.days * 86_400 + since.seconds


def identities(records: Iterable[Read]) -> list[bytes]:
    """All that will be asked for while these are counted: of contacts, and of amendments beside."""
    found: list[bytes] = []
    for record in records:
        key = record.key
        if key is not None and len(key) == 16:
            found.append(key)
            if record.value.startswith(CONTACT_HEAD):
                continue
        line = line_of(record.value)
        if isinstance(line, AmendmentLine):
            found.append(amendment_identity(line.source, line.amendment_id))
        if isinstance(line, ContactLine | AmendmentLine):
            found.append(identity_of(line, key))
    return found


def identity_of(line: ContactLine | AmendmentLine, key: bytes | None) -> bytes:
    """A contact's identity on 128 bits: its record's key (pegel.eventlog.keys), or the same made of what it says."""
    if key is not None and len(key) == 16:
        return key
    return blake2b(f"{line.source}\0{line.event_id}".encode(), digest_size=16).digest()


def amendment_identity(source: str, amendment_id: str) -> bytes:
    """(source, amendment_id) on 128 bits, and never a contact's."""
    return blake2b(f"{source}\0{amendment_id}".encode(), digest_size=16, person=b"amendment").digest()
