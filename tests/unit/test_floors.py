"""From when on a team is paged: a floor in contacts, in what they cost, or in both."""

from datetime import UTC, datetime, timedelta

import pytest

from pegel.alerter.incidents.domain.paging import FLOOR, LEDGER_BEHIND, Decision, below, held, known_cost
from pegel.alerter.ownership.domain import NO_FLOOR, Floor

EURO = 1_000_000
NOW = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("floor", "contacts", "euros", "reaches"),
    [
        (NO_FLOOR, 0.0, 0, True),
        (Floor(contacts=20), 19.9, 0, False),
        (Floor(contacts=20), 20.0, 0, True),
        (Floor(money_micros=50 * EURO), 1.0, 49, False),
        (Floor(money_micros=50 * EURO), 1.0, 50, True),
        (Floor(20, 50 * EURO), 20.0, 49, False),
        (Floor(20, 50 * EURO), 19.0, 50, False),
        (Floor(20, 50 * EURO), 20.0, 50, True),
        (Floor(20, 50 * EURO), 20.0, None, True),  # the ledger is behind: contacts alone count
        (Floor(20, 50 * EURO), 19.0, None, False),
    ],
)
def test_both_floors_are_to_be_reached(floor: Floor, contacts: float, euros: int | None, reaches: bool) -> None:
    text = below(floor, contacts, None if euros is None else euros * EURO, "EUR")
    assert (text is None) is reaches
    assert text is None or text.startswith(f"{FLOOR}, ")


def test_an_excess_below_the_floor_is_never_said_to_be_at_it() -> None:
    assert "excess cost 49.99 EUR so far" in str(below(Floor(0, 50 * EURO), 1, 50 * EURO - 1, "EUR"))
    assert "19 contacts more" in str(below(Floor(20), 19.99, None, "EUR"))
    assert "0 contacts more" in str(below(Floor(20), -3.2, None, "EUR"))


def test_a_ledger_that_is_behind_is_waited_for_a_little() -> None:
    second = timedelta(seconds=1)
    assert known_cost(7, NOW - LEDGER_BEHIND, NOW) == 7
    assert known_cost(7, NOW - LEDGER_BEHIND - second, NOW) is None


def test_what_is_stale_is_so_whatever_the_floor() -> None:
    stale = Decision("opened", "stale", (), "not_paged: stale, it was read of 31 minutes later")
    assert held(stale) == stale
    assert held(Decision("reopened", None, ("webhook",), "paged: x")) == Decision("reopened", "floor", (), FLOOR)
    assert held(Decision("opened", "data_mode", ("terminal",), "x")).receivers == ()
