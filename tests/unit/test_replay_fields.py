"""Cells of a file as values of a contact's fields."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pegel.cli.replay.fields import CONVERSIONS, convert, is_field, is_of_employee
from pegel.schemas.base import SLUG_PATTERN
from pegel.schemas.contact import Contact


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("topic", "Bylaw Services", "bylaw-services"),
        ("topic", "card_stolen", "card_stolen"),  # is a slug already
        ("topic", "Überweisung", "uberweisung"),
        ("topic", "  ATM  ", "atm"),
        ("subtopic", "Garbage - SWC", "garbage-swc"),
        ("subtopic", "?", None),
        ("subtopic", "—", None),
        ("topic", "a" * 63 + " b", "a" * 63),  # cut to 64, and no hyphen at the end
        ("channel", "Phone", "phone"),
        ("channel", "E-Mail", "email"),
        ("channel", "CC PHONE", "other"),
        ("channel", "pigeon", "other"),
        ("channel", "!!", "other"),
        ("country", "es", "ES"),
        ("handler", "In-house", "in_house"),
        ("handler", "self service", "self_service"),
        ("complaint", "Yes", True),
        ("resolved", "0", False),
        ("resolved", "perhaps", "perhaps"),  # ingest says what is wrong with it
        ("waited_seconds", "12.0", 12),
        ("handled_seconds", "long", "long"),
        ("satisfaction.value", "4.5", 4.5),
        ("customer", " c-1 ", "c-1"),
        ("attributes.region", "Ward 12", "Ward 12"),
        ("attributes.region", "   ", None),
        ("attributes.region", "a\nb" + "c" * 80, "a b" + "c" * 61),
        ("channel", "", "other"),
        ("channel", None, "other"),
        ("topic", None, None),
    ],
)
def test_a_cell_becomes_a_value(field: str, text: str | None, value: object) -> None:
    assert convert(field, text) == value


@given(st.text(max_size=200))
def test_a_topic_is_a_slug_or_none(text: str) -> None:
    value = convert("topic", text)
    assert value is None or re.fullmatch(SLUG_PATTERN, str(value))


def test_every_field_of_a_contact_has_a_conversion() -> None:
    known = {name.partition(".")[0] for name in CONVERSIONS}
    assert known | {"occurred_at", "attributes"} == set(Contact.model_fields)


def test_attributes_are_fields_by_their_slug() -> None:
    assert is_field("attributes.region")
    assert not is_field("attributes.")
    assert not is_field("attributes.Re gion")
    assert not is_field("region")
    assert is_of_employee("attributes.agent_name")
    assert not is_of_employee("attributes.agency")
