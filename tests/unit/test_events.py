"""The calendar of events: what it does to factors, when an event holds, and what the detector makes of it."""

from datetime import datetime, timedelta
from itertools import product
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pegel.detector.judge.domain.events import KEPT_SECONDS, Events
from pegel.detector.judge.domain.lines import CalendarCancelLine, CalendarLine
from pegel.detector.state import decode, encode
from support.detecting import MADE

SEGMENTS = [("ES", "atm"), ("ES", "cards"), ("PT", "atm")]
START = int(MADE.timestamp())
FIRST = START // 60


def at(minutes: float) -> datetime:
    return MADE + timedelta(minutes=minutes)


def name(number: int) -> str:
    return str(UUID(int=number))


def told(
    number: int,
    since: float,
    until: float,
    factor: float | None = None,
    line: tuple[str, ...] = ("*", "*"),
    called: str = "Spring campaign",
) -> CalendarLine:
    """An event; without a factor it is one without paging."""
    return CalendarLine(name(number), called, line, at(since), at(until), factor, paging=factor is not None)


def cancelled(number: int, of: int) -> CalendarCancelLine:
    return CalendarCancelLine(name(number), name(of))


def factors(events: Events, minute: int) -> list[float] | None:
    found = events.factors(START + 60 * minute, SEGMENTS)
    return None if found is None else found.tolist()


def test_without_events_nothing_is_done() -> None:
    events = Events(60)
    assert factors(events, 0) is None
    assert not events.quiet(SEGMENTS)
    assert events.names(START, SEGMENTS) == ()


def test_a_factor_holds_for_its_line_and_its_buckets() -> None:
    # minute: 0 1 [2 3 4) 5
    events = Events(60)
    events.take(told(1, 2, 5, 3.0, ("ES", "*")), None)
    assert [factors(events, minute) for minute in range(6)] == [None, None, *[[3.0, 3.0, 1.0]] * 3, None]
    assert events.names(START + 120, [("ES", "atm")]) == ("Spring campaign",)
    assert events.names(START + 120, [("PT", "atm")]) == ()
    assert events.names(START + 120, SEGMENTS) == ("Spring campaign",)


def test_a_bucket_that_an_event_touches_is_its() -> None:
    events = Events(300)
    events.take(told(1, 6, 11, 2.0), None)
    assert [factors(events, minute) for minute in (0, 5, 10, 15)] == [None, [2.0] * 3, [2.0] * 3, None]


def test_factors_compose_and_no_paging_is_stronger() -> None:
    events = Events(60)
    events.take(told(1, 0, 9, 3.0, ("ES", "*")), None)
    events.take(told(2, 0, 9, 0.5, ("*", "at?"), "Strike"), None)
    assert factors(events, 0) == [1.5, 3.0, 0.5]
    assert events.names(START, [("ES", "atm")]) == ("Spring campaign", "Strike")
    events.take(told(3, 2, 4, None, ("ES", "atm"), "New core"), None)
    found = events.factors(START + 120, SEGMENTS)
    assert found is not None
    assert np.isnan(found).tolist() == [True, False, False]
    assert events.quiet([("ES", "atm")])
    assert not events.quiet(SEGMENTS)
    assert factors(events, 4) == [1.5, 3.0, 0.5]
    assert not events.quiet([("ES", "atm")])


def test_an_event_told_late_holds_from_the_next_bucket() -> None:
    events = Events(60)
    events.take(told(1, 0, 9, 3.0), FIRST + 5)
    assert factors(events, 4) is None
    assert factors(events, 5) == [3.0] * 3


def test_one_that_was_over_before_it_was_told_is_refused() -> None:
    events = Events(60)
    events.take(told(1, 0, 5, 3.0), FIRST + 5)
    assert events.refusals == [f"event {name(1)} was over before it was told"]
    assert factors(events, 4) is None


def test_a_cancelled_event_holds_until_the_next_bucket() -> None:
    events = Events(60)
    events.take(told(1, 0, 9, 3.0), None)
    assert factors(events, 3) == [3.0] * 3
    events.take(cancelled(2, 1), FIRST + 4)
    assert factors(events, 3) == [3.0] * 3  # as it was judged
    assert factors(events, 4) is None
    events.take(cancelled(3, 1), FIRST + 5)
    assert events.refusals == [f"event {name(1)} can't be cancelled: it is over, or was never told"]


def test_one_that_has_not_begun_is_gone_when_it_is_cancelled() -> None:
    for judged_to in (None, FIRST):
        events = Events(60)
        events.take(told(1, 5, 9, 3.0), judged_to)
        events.take(cancelled(2, 1), judged_to)
        assert [factors(events, minute) for minute in range(10)] == [None] * 10
        assert events.refusals == []


def test_a_repeated_record_is_dropped_also_after_its_event_was_cancelled() -> None:
    events = Events(60)
    event = told(1, 0, 9, 3.0)
    for record in (event, event, cancelled(2, 1), event, cancelled(2, 1)):
        events.take(record, FIRST)
    assert factors(events, 1) is None
    assert events.refusals == []


def test_what_is_long_over_is_forgotten() -> None:
    events = Events(60)
    events.take(told(1, 0, 5, 3.0), FIRST)
    for number, minute in ((2, 60), (3, 6 + KEPT_SECONDS // 60)):
        events.take(told(number, minute, minute + 1, 2.0), FIRST + minute)
        assert (factors(events, 1) == [3.0] * 3) is (number == 2)


def test_segments_that_are_new_are_looked_at() -> None:
    events = Events(60)
    events.take(told(1, 0, 9, 3.0, ("PT", "*")), None)
    assert factors(events, 1) == [1.0, 1.0, 3.0]
    found = events.factors(START + 60, [*SEGMENTS, ("PT", "loan")])
    assert found is not None
    assert found.tolist() == [1.0, 1.0, 3.0, 3.0]


def test_between_changes_the_same_vector_is_given() -> None:
    events = Events(60)
    events.take(told(1, 0, 900, 3.0), None)
    first = events.factors(START, SEGMENTS)
    assert all(events.factors(START + 60 * minute, SEGMENTS) is first for minute in range(900))


lines = st.sampled_from(list(product(("ES", "PT", "*", "[EP]?"), ("atm", "cards", "*"))))
planned = st.tuples(
    st.integers(0, 20), st.integers(1, 20), st.sampled_from([None, 0.5, 1.0, 2.0, 3.0]), lines, st.integers(0, 25)
)


@settings(max_examples=40)
@given(st.lists(planned, max_size=6), st.lists(st.tuples(st.integers(0, 5), st.integers(0, 25)), max_size=3))
def test_each_bucket_has_the_product_of_what_holds_there_wherever_it_is_restored(
    plans: list[tuple[int, int, float | None, tuple[str, str], int]], cancels: list[tuple[int, int]]
) -> None:
    """An oracle that looks at every bucket by itself, over a calendar that is told as time goes on."""
    events, stopped = Events(60), Events(60)
    for minute in range(45):
        for number, (since, length, factor, line, told_at) in enumerate(plans):
            if told_at == minute:
                events.take(told(number, since, since + length, factor, line), FIRST + minute)
        for place, (number, cancelled_at) in enumerate(cancels):
            if cancelled_at == minute:
                events.take(cancelled(100 + place, number), FIRST + minute)
        stopped = Events(60)
        stopped.restore(decode(encode(events.state())))
        expected = []
        for segment in SEGMENTS:
            product_of = 1.0
            for number, (since, length, factor, line, told_at) in enumerate(plans):
                over = min([c for n, c in cancels if n == number and told_at <= c], default=99)
                holds = max(since, told_at) <= minute < min(since + length, over) and all(
                    glob in ("*", value) or (glob == "[EP]?" and value in ("ES", "PT"))
                    for value, glob in zip(segment, line, strict=True)
                )
                product_of *= (np.nan if factor is None else factor) if holds else 1.0
            expected.append(product_of)
        for one in (events, stopped):
            found = one.factors(START + 60 * minute, SEGMENTS)
            np.testing.assert_array_equal([1.0] * 3 if found is None else found, expected)
            for segment, factor in zip(SEGMENTS, expected, strict=True):
                assert one.quiet([segment]) is bool(np.isnan(factor))


def test_restored_it_knows_what_was_told() -> None:
    events = Events(60)
    events.take(told(1, 0, 9, None), None)
    again = Events(60)
    again.restore(decode(encode(events.state())))
    again.take(told(1, 0, 99, 5.0), FIRST)
    assert again.factors(START + 600, SEGMENTS) is None
    assert again.factors(START, SEGMENTS) is not None
    assert again.quiet(SEGMENTS)


@pytest.mark.parametrize("segments", [[], SEGMENTS[:1]])
def test_no_or_one_segment_is_no_fault(segments: list[tuple[str, str]]) -> None:
    events = Events(60)
    events.take(told(1, 0, 9, 2.0), None)
    found = events.factors(START, segments)
    assert found is not None
    assert found.tolist() == [2.0] * len(segments)
