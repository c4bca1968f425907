"""A body becomes items: what is valid, what is refused, at which place and why. No value ever stands in a reason."""

import json
from dataclasses import dataclass
from typing import Any, Generic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pegel.ingest.domain import reading
from pegel.ingest.domain.reading import (
    AMENDMENT,
    CONTACT,
    REFUSED_MAX,
    Form,
    Kind,
    T,
    TooManyRefusedError,
    UnreadableError,
)
from pegel.ingest.domain.refusals import FAULTS_MAX, Refusal, rejected_record
from pegel.schemas.contact import Contact, amendment_example, schema_example
from pegel.schemas.rejected import RejectedRecord


def contact(**over: object) -> dict[str, Any]:
    return {name: value for name, value in (schema_example() | over).items() if value is not None}


@dataclass(frozen=True)
class Found(Generic[T]):
    """What a body held. valid: (index, item) in order."""

    single: bool
    valid: list[tuple[int, T]]
    refused: list[Refusal]


def read(kind: Kind[T], body: bytes, form: Form) -> Found[T]:
    valid: list[tuple[int, T]] = []
    batch = reading.read(kind, body, form, lambda index, item: valid.append((index, item)))
    return Found(batch.single, valid, batch.refused)


def read_json(value: object) -> Found[Contact]:
    return read(CONTACT, json.dumps(value).encode(), "json")


def refusal(**over: object) -> Refusal:
    batch = read_json(contact(**over))
    assert not batch.valid
    (refused,) = batch.refused
    return refused


def fields(refused: Refusal) -> list[str]:
    return [error.field for error in refused.errors]


def test_one_object_is_single_and_valid() -> None:
    batch = read_json(contact())
    assert batch.single
    assert [item.event_id for _, item in batch.valid] == [contact()["event_id"]]


def test_each_item_of_an_array_keeps_its_place() -> None:
    batch = read_json([contact(event_id="a"), contact(country="XX"), 7, contact(event_id="b")])
    assert not batch.single
    assert [(index, item.event_id) for index, item in batch.valid] == [(0, "a"), (3, "b")]
    assert [(each.index, each.reason) for each in batch.refused] == [(1, "value"), (2, "value")]
    assert [each.named("", "item")[0].field for each in batch.refused] == ["country", "item"]
    assert [each.named(f"[{each.index}]", "body")[0].field for each in batch.refused] == ["[1].country", "[2]"]


def test_ndjson_refuses_a_broken_line_alone() -> None:
    good = json.dumps(contact()).encode()
    batch = read(CONTACT, good + b"\r\n\n \t\r\n" + b"{" + b"\n" + good + b"\n[" + good + b"]", "ndjson")
    assert [index for index, _ in batch.valid] == [0, 2]
    assert [(each.index, each.reason) for each in batch.refused] == [(1, "unreadable"), (3, "value")]


def test_an_empty_array_has_no_items() -> None:
    assert read_json([]) == Found(single=False, valid=[], refused=[])


UNREADABLE = {
    "cut": b"{",
    "cut array": b'[{"a":1},',
    "invalid UTF-8": b'{"topic":"\xff"}',
    "10,000 deep": b"[" * 10_000 + b"]" * 10_000,
    "XML": b"<a/>",
    "NaN": b'{"a":NaN}',
    "byte order mark": b"\xef\xbb\xbf{}",
    "two values": b"1 2",
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_not_json_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableError, match=r"column|byte|deep|truncated"):
        read(CONTACT, body, "json")


def test_a_body_of_nothing_but_faults_ends_early() -> None:
    for body, form in ((b"[" + b"1," * 1_000_000 + b"1]", "json"), (b"{}\n" * 1_000_000, "ndjson")):
        with pytest.raises(TooManyRefusedError) as raised:
            read(CONTACT, body, form)  # type: ignore[arg-type]
        assert len(raised.value.refused) == REFUSED_MAX + 1


def many_fields(number: int) -> bytes:
    return b"{" + b",".join(b'"x%d":1' % place for place in range(number)) + b"}"


@pytest.mark.parametrize(("number", "why"), [(200_000, "is larger than"), (1_000, "faults")])
def test_an_item_of_nothing_but_faults_is_not_explained(number: int, why: str) -> None:
    item = many_fields(number)
    for body in (item, b"[" + item + b"]"):
        (refused,) = read(CONTACT, body, "json").refused
        assert fields(refused) == [""]
        assert why in refused.errors[0].reason
        assert refused.item == {}


def test_a_large_item_that_is_not_json_makes_the_body_unreadable() -> None:
    with pytest.raises(UnreadableError):
        read(CONTACT, b"[" + many_fields(200_000)[:-1] + b",]]", "json")


def test_the_longest_contact_is_taken() -> None:
    longest = contact(
        event_id="~" * 128, topic="t" * 64, site="s" * 64, subtopic="u" * 64, customer="c" * 128, account="a" * 128,
        case="k" * 128, reference="!" * 128, satisfaction={"scale": "s" * 64, "value": 123.456789},
        attributes={f"{place}{'k' * 63}": "\u20ac" * 64 for place in range(10)},
    )  # fmt: skip
    assert read_json([longest]).valid


@pytest.mark.parametrize(
    ("over", "field", "reason"),
    [
        ({"occurred_at": None}, "occurred_at", "missing_field"),
        ({"occurred_at": "2026-01-01T10:00:00"}, "occurred_at", "time"),
        ({"occurred_at": "2026-01-01"}, "occurred_at", "time"),
        ({"occurred_at": "1767261600"}, "occurred_at", "time"),
        ({"occurred_at": 1767261600}, "occurred_at", "time"),
        ({"occurred_at": "9999-12-31T23:59:59-12:00"}, "occurred_at", "time"),
        ({"country": "XX"}, "country", "value"),
        ({"country": "Spain"}, "country", "value"),
        ({"country": "es"}, "country", "value"),
        ({"topic": ""}, "topic", "value"),
        ({"topic": "a\nb"}, "topic", "value"),
        ({"topic": "atm\n"}, "topic", "value"),
        ({"channel": "pigeon"}, "channel", "value"),
        ({"event_id": None}, "event_id", "missing_field"),
        ({"event_id": "x" * 129}, "event_id", "value"),
        ({"event_id": 7}, "event_id", "value"),
        ({"colour": "red"}, "colour", "unknown_field"),
        ({"complaint": "yes"}, "complaint", "value"),
        ({"handled_seconds": -1}, "handled_seconds", "value"),
        ({"handled_seconds": 1.5}, "handled_seconds", "value"),
        ({"satisfaction": {"scale": "csat", "value": "5"}}, "satisfaction.value", "value"),
        ({"attributes": {"Bad Key": "x"}}, "attributes.Bad Key", "value"),
        ({"attributes": {"region": "x" * 65}}, "attributes.region", "value"),
        ({"attributes": {f"k{i}": "x" for i in range(11)}}, "attributes", "value"),
        ({"agent_id": "007"}, "agent_id", "employee"),
        ({"employeeName": "x"}, "employeeName", "employee"),
        ({"attributes": {"user-name": "x"}}, "attributes", "employee"),
        ({"kind": "contact"}, "kind", "unknown_field"),
    ],
)
def test_a_refusal_names_field_and_reason(over: dict[str, object], field: str, reason: str) -> None:
    refused = refusal(**over)
    assert fields(refused) == [field]
    assert refused.reason == reason


def test_employees_are_never_measured() -> None:
    for over in ({"agent_id": "007"}, {"attributes": {"agentname": "x"}}):
        assert "employees are never measured" in refusal(**over).errors[0].reason


def test_all_that_is_wrong_is_said_up_to_a_limit() -> None:
    assert fields(refusal(country="XX", channel="pigeon", topic=None)) == ["country", "topic", "channel"]
    assert len(refusal(**{f"unknown{i}": 1 for i in range(100)}).errors) == FAULTS_MAX


def test_a_country_is_not_answered_with_all_countries() -> None:
    assert refusal(country="XX").errors[0].reason == "is no country of ISO 3166-1 alpha-2"


def test_an_amendment_sets_or_voids() -> None:
    good = amendment_example()
    assert read(AMENDMENT, json.dumps(good).encode(), "json").valid
    for bad, field in (
        ({**good, "void": True}, ""),
        ({**good, "set": {"topic": "a b"}}, "set.topic"),
        ({**good, "set": {"attributes": {"agent": "x"}}}, "set.attributes"),
        ({key: value for key, value in good.items() if key != "set"}, ""),
    ):
        (refused,) = read(AMENDMENT, json.dumps(bad).encode(), "json").refused
        assert fields(refused) == [field]


PRIVATE = "Maria Lopez +34 600 000 000"


@pytest.mark.parametrize("name", [*Contact.model_fields, "unknown"])
def test_no_value_stands_in_a_reason_or_on_the_stream_rejected(name: str) -> None:
    refused = refusal(**{name: [PRIVATE]})
    record = rejected_record("contact", "desk", refused)
    assert PRIVATE not in str(refused.errors)
    assert PRIVATE.encode() not in record


def test_a_rejected_record_keeps_what_is_valid_by_itself_and_names_nobody() -> None:
    personal = {"customer": "c1", "account": "a1", "case": "k1", "reference": "r1", "attributes": {"note": "n1"}}
    batch = read_json(contact(**personal, country="XX", handled_seconds=60))
    record = RejectedRecord.decode(rejected_record("contact", "desk", batch.refused[0]))
    assert record.reason == "invalid"
    assert (record.source, record.event_id) == ("desk", contact()["event_id"])
    assert [error.field for error in record.errors] == ["country"]
    valid = {name: contact()[name] for name in ("occurred_at", "topic", "channel", "handler")}
    assert record.item == valid | {"handled_seconds": 60}


def test_what_is_wrong_beyond_the_faults_that_are_told_is_kept_nowhere() -> None:
    faults = {f"unknown{place}": 1 for place in range(FAULTS_MAX)}
    wrong = {name: [PRIVATE] for name in Contact.model_fields}
    assert PRIVATE.encode() not in rejected_record("contact", "desk", refusal(**wrong, **faults))


def test_a_rejected_record_leaves_out_names_that_are_free_text() -> None:
    record = RejectedRecord.decode(rejected_record("contact", None, refusal(**{PRIVATE: 1})))
    assert [error.field for error in record.errors] == ["(a name that is left out)"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*Contact.model_fields, "agent", "x y"]), json_values))
def test_any_object_is_accepted_or_refused_with_reasons(over: dict[str, Any]) -> None:
    batch = read_json(contact() | over)
    assert len(batch.valid) + len(batch.refused) == 1
    for refused in batch.refused:
        assert refused.errors
        assert all(error.field and error.reason for error in refused.errors)
        RejectedRecord.decode(rejected_record("contact", "desk", refused))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_unreadable(body: bytes) -> None:
    for form in ("json", "ndjson"):
        try:
            batch = read(CONTACT, body, form)
        except UnreadableError:
            assert form == "json"
        else:
            assert not batch.valid


@given(st.lists(st.sampled_from(["good", "bad"]), max_size=12))
def test_an_array_is_read_as_its_lines_are(kinds: list[str]) -> None:
    items = [contact(event_id=f"e{i}") | ({"country": "XX"} if kind == "bad" else {}) for i, kind in enumerate(kinds)]
    array = read_json(items)
    lines = read(CONTACT, "\n".join(map(json.dumps, items)).encode(), "ndjson")
    assert array == lines
    assert [index for index, _ in array.valid] == [i for i, kind in enumerate(kinds) if kind == "good"]
