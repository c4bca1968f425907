"""When and with which words a page goes out."""

from collections.abc import Mapping
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pegel.alerter.incidents.domain.paging import STALE_AFTER, catches_up, caught_up, decide, decide_late
from pegel.alerter.paging.domain.retry import LONGEST_SECONDS, wait_seconds
from pegel.alerter.paging.domain.text import length, line, number
from pegel.schemas.incident import Money
from support.pages import page

COST = Money(amount="29.70", currency="EUR")
TO: Mapping[str, tuple[str, ...]] = {"real": ("webhook",), "local": ("terminal",)}


def test_the_first_80_characters_stand_alone() -> None:
    assert line(page(), COST) == (
        "PAGE cash-withdrawals: Cash machines, ES: 31 contacts in 15 min, 4 expected; 29.70 EUR so far; "
        "why: 31 contacts where 4 are normal at this hour."
    )
    assert line(page(), COST)[:80] == "PAGE cash-withdrawals: Cash machines, ES: 31 contacts in 15 min, 4 expected; 29."


def test_an_end_says_how_long_and_how_dear() -> None:
    assert line(page(kind="resolved", reason="back_to_normal"), COST) == (
        "END cash-withdrawals: Cash machines, ES: over after 15 min; 27 contacts too many; 29.70 EUR; back_to_normal"
    )


def test_a_cost_that_is_not_booked_is_not_called_zero() -> None:
    assert "cost not booked yet" in line(page(), None)
    assert "again, 31 contacts" in line(page(kind="reopened"), None)


@pytest.mark.parametrize(
    ("seconds", "text"), [(30, "30 s"), (900, "15 min"), (3600, "1 h"), (86_400, "24 h"), (5400, "1 h 30 min")]
)
def test_lengths(seconds: int, text: str) -> None:
    assert length(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (0.04, "0"), (4.04, "4"), (4.06, "4.1"), (9.97, "10"), (123.6, "124")]
)
def test_expected_counts(value: float, text: str) -> None:
    assert number(value) == text


SOON = timedelta(seconds=20)


def test_a_new_incident_pages_everybody() -> None:
    decision = decide("opened", catching_up=False, behind=SOON, clock="wall", **TO)
    assert (decision.withheld, decision.receivers) == (None, ("terminal", "webhook"))
    assert decision.text.startswith("paged: ")


def test_files_of_the_past_ring_nobody() -> None:
    decision = decide("opened", catching_up=False, behind=SOON, clock="data", **TO)
    assert (decision.withheld, decision.receivers) == ("data_mode", ("terminal",))
    assert decision.text.startswith("not_paged: data mode")


def test_what_is_read_while_catching_up_rings_nobody() -> None:
    decision = decide("opened", catching_up=True, behind=timedelta(minutes=31), clock="wall", **TO)
    assert (decision.withheld, decision.receivers) == ("stale", ())
    assert decision.text == "not_paged: stale, it was read of 31 minutes later"


def test_who_was_far_behind_catches_up_until_the_end() -> None:
    # behind:    30 min    30 min 1 s    29 min    0, but more to read    0
    # catches up   no         yes          yes            yes            no
    second = timedelta(seconds=1)
    assert not catches_up(False, STALE_AFTER)
    assert catches_up(False, STALE_AFTER + second)
    assert catches_up(True, STALE_AFTER - second)
    assert not caught_up(timedelta(), reached=False)
    assert caught_up(timedelta(), reached=True)
    # the end of a log whose newest bucket is old: the judge is behind
    assert not caught_up(STALE_AFTER + second, reached=True)


def test_what_was_withheld_and_is_still_there_pages_everybody() -> None:
    decision = decide_late("reopened", late=timedelta(minutes=95), **TO)
    assert (decision.event, decision.withheld, decision.receivers) == ("reopened", None, ("terminal", "webhook"))
    assert decision.text == "paged: the segment is above its baseline; it was read of late, 95 minutes after it rose"


@given(st.integers(1, 200), st.floats(0, 1), st.none() | st.floats(0, 10**9))
def test_waits_grow_are_bounded_and_honour_what_was_asked(attempts: int, jitter: float, asked: float | None) -> None:
    waited = wait_seconds(attempts, asked, jitter)
    assert 2.0 <= waited <= max(LONGEST_SECONDS, 3600.0) * 1.5
    assert wait_seconds(attempts + 1, asked, jitter) >= waited
    if asked is not None and asked <= 3600:
        assert waited >= asked
