"""What a cell's text becomes in each field of a contact."""

import re
from collections.abc import Callable
from typing import Final, get_args

from slugify import slugify

from pegel.schemas.base import SLUG_PATTERN
from pegel.schemas.contact import Channel, names_employee

Value = str | int | float | bool | None
CHANNELS: Final = frozenset(get_args(Channel))
SLUG: Final = re.compile(SLUG_PATTERN)
SLUG_LENGTH_MAX: Final = 64
ATTRIBUTE_LENGTH_MAX: Final = 64
YES: Final = frozenset({"true", "t", "yes", "y", "1", "1.0"})
NO: Final = frozenset({"false", "f", "no", "n", "0", "0.0"})
ATTRIBUTE: Final = "attributes."


def slug(text: str) -> str | None:
    """A topic as a slug: 'By-law Services' is by-law-services; None where no letter or digit is left."""
    if SLUG.fullmatch(text):
        return text
    return slugify(text, max_length=SLUG_LENGTH_MAX).strip("-_") or None


def channel(text: str) -> str:
    """A channel of ours by its name, whatever its case ('E-Mail' too); any other is `other`."""
    word = re.sub(r"[^a-z]", "", text.lower())
    return word if word in CHANNELS else "other"


def word(text: str) -> str:
    """One of a few words: 'In-house' is in_house."""
    return re.sub(r"[\s-]+", "_", text.lower())


def yes_or_no(text: str) -> bool | str:
    """What is neither stays as it is, and is rejected by ingest with the reason."""
    lower = text.lower()
    return True if lower in YES else False if lower in NO else text


def whole(text: str) -> int | str:
    """A number without its fraction."""
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        return text


def number(text: str) -> float | str:
    """A number."""
    try:
        return float(text)
    except ValueError:
        return text


def attribute(text: str) -> str:
    """At most 64 characters, on one line."""
    return "".join(each if each.isprintable() else " " for each in text)[:ATTRIBUTE_LENGTH_MAX].strip()


def as_it_is(text: str) -> str:
    """The text."""
    return text


CONVERSIONS: Final[dict[str, Callable[[str], Value]]] = {
    "event_id": as_it_is,
    "country": str.upper,
    "topic": slug,
    "channel": channel,
    "source": slug,
    "handler": word,
    "site": slug,
    "subtopic": slug,
    "customer": as_it_is,
    "account": as_it_is,
    "customer_segment": word,
    "nature": word,
    "demand": word,
    "complaint": yes_or_no,
    "case": as_it_is,
    "reference": as_it_is,
    "outcome": word,
    "waited_seconds": whole,
    "handled_seconds": whole,
    "resolved": yes_or_no,
    "satisfaction.scale": slug,
    "satisfaction.value": number,
    "language": as_it_is,
}
"""Every field of a contact but its time (a test compares them with the schema)."""

SLUGS: Final = frozenset(name for name, conversion in CONVERSIONS.items() if conversion is slug)
REQUIRED: Final = ("country", "topic", "channel")


def is_field(name: str) -> bool:
    """Whether a contact has this field, attributes included."""
    return name in CONVERSIONS or (name.startswith(ATTRIBUTE) and SLUG.fullmatch(name[len(ATTRIBUTE) :]) is not None)


def is_of_employee(name: str) -> bool:
    """Whether this is an attribute that names an employee; those are never measured."""
    return name.startswith(ATTRIBUTE) and names_employee(name[len(ATTRIBUTE) :])


def convert(name: str, text: str | None) -> Value:
    """A cell's value; None where the cell is empty or gives none. A channel that isn't said is `other`."""
    if text is None or not (text := text.strip()):
        return "other" if name == "channel" else None
    return CONVERSIONS.get(name, attribute)(text)
