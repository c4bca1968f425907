"""When and with which words a page goes out."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pegel.alerter.incidents.domain.paging import STALE_AFTER, decide
from pegel.alerter.paging.domain.retry import LONGEST_SECONDS, wait_seconds
from pegel.alerter.paging.domain.text import length, line, number
from pegel.schemas.incident import Money
from support.pages import page
from support.windows import START

COST = Money(amount="29.70", currency="EUR")
TO = {"real": ("webhook",), "local": ("terminal",)}


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


def test_a_new_incident_pages_everybody() -> None:
    decision = decide("opened", at=START, now=START + timedelta(minutes=1), clock="wall", **TO)
    assert (decision.withheld, decision.receivers) == (None, ("terminal", "webhook"))
    assert decision.text.startswith("paged: ")


def test_files_of_the_past_ring_nobody() -> None:
    decision = decide("opened", at=START, now=START, clock="data", **TO)
    assert (decision.withheld, decision.receivers) == ("data_mode", ("terminal",))
    assert decision.text.startswith("not_paged: data mode")


def test_what_was_long_ago_rings_nobody() -> None:
    late = START + STALE_AFTER
    assert decide("opened", at=START, now=late, clock="wall", **TO).withheld is None
    decision = decide("opened", at=START, now=late + timedelta(seconds=1), clock="wall", **TO)
    assert (decision.withheld, decision.receivers) == ("stale", ())
    assert decision.text.startswith("not_paged: stale")


@given(st.integers(1, 200), st.floats(0, 1), st.none() | st.floats(0, 10**9))
def test_waits_grow_are_bounded_and_honour_what_was_asked(attempts: int, jitter: float, asked: float | None) -> None:
    waited = wait_seconds(attempts, asked, jitter)
    assert 2.0 <= waited <= max(LONGEST_SECONDS, 3600.0) * 1.5
    assert wait_seconds(attempts + 1, asked, jitter) >= waited
    if asked is not None and asked <= 3600:
        assert waited >= asked
