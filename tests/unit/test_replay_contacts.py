"""Rows of a file as contacts: their order, their ids, their batches, and what is reported."""

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pegel.cli.replay.contacts import Contacts
from pegel.cli.replay.plan import make_plan
from pegel.cli.replay.times import instants, zone_of
from pegel.schemas.contact import Contact


def contacts(rows: list[dict[str, str | None]], **options: Any) -> Contacts:
    table = pl.DataFrame(rows, schema=dict.fromkeys(rows[0], pl.String))
    plan = make_plan(table.columns, time_column="ts", **{"fixed": ("country=ES", "channel=phone"), **options})
    return Contacts(table, plan, instants(table["ts"], zone_of("UTC")))


def row(second: int, topic: str | None = "atm", **over: str | None) -> dict[str, str | None]:
    return {"ts": f"2013-01-01 00:{second // 60:02d}:{second % 60:02d}", "topic": topic, **over}


def everything(made: Contacts) -> list[dict[str, Any]]:
    return [contact for begin, end in made.batches() for contact in made.of(begin, end)]


def test_contacts_come_in_order_of_time_and_are_valid() -> None:
    sent = everything(contacts([row(20, "Lost Card"), row(5), row(10)]))
    assert [contact["occurred_at"] for contact in sent] == [
        "2013-01-01T00:00:05.000000+00:00", "2013-01-01T00:00:10.000000+00:00", "2013-01-01T00:00:20.000000+00:00",
    ]  # fmt: skip
    assert sent[2]["topic"] == "lost-card"
    for contact in sent:
        Contact.model_validate({**contact, "occurred_at": datetime.fromisoformat(contact["occurred_at"])})


def test_equal_rows_have_ids_of_their_own_and_keep_them() -> None:
    rows = [row(5), row(10), row(5), row(5)]
    ids = [contact["event_id"] for contact in everything(contacts(rows))]
    assert len(set(ids)) == 4
    assert ids == [contact["event_id"] for contact in everything(contacts(rows))]
    # The same rows in another order are the same contacts, so are they with other options.
    again = [contact["event_id"] for contact in everything(contacts(list(reversed(rows))))]
    assert set(again) == set(ids)
    mapped = [contact["event_id"] for contact in everything(contacts(rows, fixed=("country=PT", "channel=chat")))]
    assert mapped == ids


def test_rows_that_differ_in_a_column_that_is_ignored_are_two_contacts() -> None:
    rows = [row(5, note="a"), row(5, note="b"), row(5, note=None), row(5, note="")]
    assert len({contact["event_id"] for contact in everything(contacts(rows))}) == 4


def test_ids_of_the_file_are_taken_and_a_missing_one_is_made() -> None:
    rows = [row(5, number="A-1"), row(6, number=" "), row(7, number="A-3")]
    ids = [contact["event_id"] for contact in everything(contacts(rows, id_column="number"))]
    assert (ids[0], ids[2]) == ("A-1", "A-3")
    assert ids[1].startswith("row-")


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["a", "b", None])), min_size=1, max_size=30))
def test_as_many_ids_as_rows(drawn: list[tuple[int, str | None]]) -> None:
    made = contacts([row(second, topic) for second, topic in drawn])
    assert len({contact["event_id"] for contact in everything(made)}) == len(drawn)


def test_batches_are_of_at_most_500_rows_and_6_hours() -> None:
    # hours     0         5         7                 20
    #           600 rows  1 row     1 row             1 row
    # batches   [500][100 ........] [1]               [1]
    rows = [row(0)] * 600 + [{"ts": f"2013-01-01 {hour:02d}:00:00", "topic": "atm"} for hour in (5, 7, 20)]
    assert list(contacts(rows).batches()) == [(0, 500), (500, 601), (601, 602), (602, 603)]


def test_rows_without_a_time_come_first_and_as_they_are() -> None:
    made = contacts([row(5), {"ts": "soon", "topic": "atm"}, {"ts": None, "topic": "atm"}])
    assert list(made.batches()) == [(0, 2), (2, 3)]
    assert [contact["occurred_at"] for contact in made.of(0, 2)] == ["soon", ""]
    assert made.time_of(0) is None
    assert made.time_of(2) == datetime(2013, 1, 1, 0, 0, 5, tzinfo=UTC)
    assert made.report.untimed == 2


def test_dated_when_sent() -> None:
    sent = contacts([row(5), row(6)]).of(0, 2, dated="2026-11-22T00:00:00+00:00")
    assert {contact["occurred_at"] for contact in sent} == {"2026-11-22T00:00:00+00:00"}


def test_everything_that_was_changed_is_reported() -> None:
    rows = [
        row(1, "Lost Card", channel="CC PHONE", subtopic="?", note="x"),
        row(2, "Lost Card", channel="Phone", subtopic=None, note="x"),
        row(3, "atm", channel="other", subtopic="Night", note="x"),
        row(4, None, channel="", subtopic="day", note="x", **{"attributes.region": "r" * 65}),
    ]
    rows = [{"attributes.region": None, **each} for each in rows]
    report = contacts(rows, fixed=("country=ES",)).report
    assert report.slugs == {"topic": {"Lost Card": "lost-card"}, "subtopic": {"Night": "night"}}
    assert report.other_channels == {"CC PHONE": 1, "empty": 1}
    assert report.cut == {"attributes.region": 1}
    assert report.left_out == {"subtopic": 2, "topic": 1, "attributes.region": 3}
    assert report.ignored == ("note",)


def test_a_field_without_a_value_is_left_out() -> None:
    (contact,) = contacts([row(1, subtopic="?", **{"attributes.region": ""})]).of(0, 1)
    assert set(contact) == {"event_id", "occurred_at", "country", "topic", "channel"}


@pytest.mark.parametrize("rows", [0, 1])
def test_few_rows(rows: int) -> None:
    table = pl.DataFrame(
        {"ts": ["2013-01-01T00:00:00Z"] * rows, "topic": ["atm"] * rows}, schema={"ts": pl.String, "topic": pl.String}
    )
    plan = make_plan(table.columns, time_column="ts", fixed=("country=ES", "channel=phone"))
    made = Contacts(table, plan, instants(table["ts"], None))
    assert len(everything(made)) == len(made) == rows
