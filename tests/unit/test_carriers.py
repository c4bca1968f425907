"""What carries an excess: shares of subtopics, channels and handlers, by hand and against plain sums."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pegel.detector.judge.domain import carriers as carrying
from pegel.detector.judge.domain.carriers import KEPT_SECONDS, Carriers, Excess
from pegel.detector.judge.domain.lines import Row
from pegel.detector.state import decode, encode

DIMENSIONS = ("country", "topic")
HOURS = 12
"""Buckets of 5 minutes in an hour."""


def row(contacts: int, **cell: str) -> Row:
    return ({"country": "ES", "topic": "atm", **cell}, contacts, 0)


def lived(hours: int, *rows: Row, dimensions: tuple[str, ...] = DIMENSIONS) -> Carriers:
    """Hours in which each bucket has these rows, of segment 0."""
    found = Carriers(dimensions, 300)
    for bucket in range(hours * HOURS):
        found.add(bucket, rows, [0] * len(rows))
    return found


def shares(found: Carriers, *members: Excess, end: int, seconds: int = 900) -> dict[str, dict[str, float]]:
    said: dict[str, dict[str, float]] = {}
    for carrier in found.of(members, end * 300, seconds):
        said.setdefault(carrier.dimension, {})[carrier.value] = carrier.share
    return said


def test_what_is_usual_carries_nothing_of_what_is_new() -> None:
    # 8 phone and 2 chat a bucket for ten hours, then 30 more by the app in three buckets
    found = lived(10, row(8, channel="phone"), row(2, channel="chat"))
    for bucket in range(120, 123):
        found.add(bucket, [row(8, channel="phone"), row(2, channel="chat"), row(10, channel="app")], [0, 0, 0])
    assert shares(found, Excess(0, 60, 30), end=123) == {"channel": {"app": 1.0}}


def test_where_nothing_is_known_to_be_usual_all_is_carried_as_it_came() -> None:
    found = lived(1, row(3, channel="phone", handler="partner"), row(1, channel="chat"))
    assert shares(found, Excess(0, 24, 4), end=12) == {
        "channel": {"phone": 0.75, "chat": 0.25},
        "handler": {"partner": 0.75, "unknown": 0.25},
    }


def test_each_segment_of_a_line_is_weighed_by_its_own_excess() -> None:
    found = Carriers(DIMENSIONS, 300)
    for bucket in range(12):
        found.add(bucket, [row(5, channel="phone"), row(5, channel="chat"), row(9, channel="app")], [0, 1, 2])
    said = shares(found, Excess(0, 40, 10), Excess(1, 15, 5), end=12)
    assert said == {"channel": {"phone": 0.75, "chat": 0.25}}  # segment 2 is none of the line's


def test_a_field_that_is_a_dimension_or_that_nobody_says_carries_nothing() -> None:
    found = lived(1, row(3, channel="phone"), dimensions=("country", "topic", "channel"))
    assert found.of([Excess(0, 10, 1)], 12 * 300, 900) == ()


def test_without_an_excess_there_are_no_carriers() -> None:
    found = lived(6, row(3, channel="phone"))
    assert found.of([Excess(0, 9, 9)], 72 * 300, 900) == ()
    assert found.of([], 72 * 300, 900) == ()
    assert Carriers(DIMENSIONS, 300).of([Excess(0, 9, 1)], 72 * 300, 900) == ()


def test_late_contacts_and_what_is_taken_out_again_count_where_they_belong() -> None:
    found = lived(1, row(3, channel="phone"))
    found.add(11, [row(9, channel="chat"), row(-3, channel="phone")], [0, 0])
    found.add(5, [row(500, channel="app")], [0])  # before the window
    assert shares(found, Excess(0, 15, 1), end=12, seconds=300) == {"channel": {"chat": 1.0}}
    found.add(200, [row(1, channel="phone")], [0])
    found.add(100, [row(500, channel="app")], [0])  # too late for anything
    assert "app" not in shares(found, Excess(0, 15, 1), end=201, seconds=3600)["channel"]


def test_a_gap_of_days_leaves_what_is_usual() -> None:
    found = lived(10, row(8, channel="phone"))
    later = 10 * HOURS + 5 * 288
    found.add(later, [row(8, channel="phone"), row(8, channel="app")], [0, 0])
    assert shares(found, Excess(0, 16, 8), end=later + 1)["channel"] == {"app": 1.0}


def test_kinds_are_bounded_and_the_rest_is_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrying, "KINDS_MAX", 10)
    monkeypatch.setattr(carrying, "KINDS_OF_SEGMENT_MAX", 3)
    found = Carriers(DIMENSIONS, 300)
    for bucket in range(5 * HOURS):
        found.add(bucket, [row(9 if n < 2 else 1, subtopic=f"s{n}") for n in range(20)], [0] * 20)
    state = found.state()
    assert len(state["kinds"]) == 11
    assert len(state["usual"][0]) <= 4
    said = shares(found, Excess(0, 200, 10), end=5 * HOURS)["subtopic"]
    assert {"s0", "s1", "other"} <= set(said)
    assert sum(said.values()) == pytest.approx(1.0)


moments = st.lists(
    st.tuples(
        st.integers(0, 3),  # buckets later
        st.integers(0, 2),  # segment
        st.sampled_from([None, "no-cash", "card"]),
        st.sampled_from(["phone", "chat"]),
        st.integers(-2, 9),
    ),
    max_size=60,
)


@given(moments, st.integers(0, 59), st.lists(st.tuples(st.floats(0, 99), st.floats(0, 99)), min_size=3, max_size=3))
@settings(deadline=None)
def test_shares_add_up_to_1_and_a_restored_one_says_the_same(
    told: list[tuple[int, int, str | None, str, int]], cut: int, counts: list[tuple[float, float]]
) -> None:
    whole, stopped, bucket = Carriers(DIMENSIONS, 300), Carriers(DIMENSIONS, 300), 0
    members = [Excess(n, observed, expected) for n, (observed, expected) in enumerate(counts)]
    for number, (later, segment, subtopic, channel, contacts) in enumerate(told):
        bucket += later * 7
        cell = {"channel": channel} | ({"subtopic": subtopic} if subtopic else {})
        if number == cut:
            again = Carriers(DIMENSIONS, 300)
            saved = encode(stopped.state())
            again.restore(decode(saved))
            assert encode(again.state()) == saved
            stopped = again
        for one in (whole, stopped):
            one.add(bucket, [row(contacts, **cell)], [segment])
    end = (bucket + 1) * 300
    found = whole.of(members, end, KEPT_SECONDS)
    assert found == stopped.of(members, end, KEPT_SECONDS)
    for dimension in {carrier.dimension for carrier in found}:
        its = [carrier.share for carrier in found if carrier.dimension == dimension]
        assert sum(its) == pytest.approx(1.0, abs=1e-9)
        assert min(its) > 0
