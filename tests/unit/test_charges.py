"""Money: amounts are exact integers of a millionth, whatever is multiplied."""

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pegel.alerter.http.costs import exact, excess_micros, rounded
from pegel.alerter.ledger.domain.charges import charges
from pegel.alerter.ledger.domain.prices import UNIT_PRICE_MAX, Price, micros
from pegel.schemas.base import MICRO
from pegel.schemas.detection import WindowRecord
from support.windows import Windows, cell

amounts = st.integers(0, UNIT_PRICE_MAX * MICRO)


def window(*counts: tuple[dict[str, str], int]) -> WindowRecord:
    record = Windows().bucket(counts=counts)[0]
    assert isinstance(record, WindowRecord)
    return record


def charged(record: WindowRecord, price: Price | None) -> list[tuple[str, int, int, str, str, str]]:
    found = charges(
        record,
        team_of=lambda segment, _: f"team-{segment[1]}",
        price_of=lambda *_: price,
        currency="EUR",
        price_version="p",
        ownership_version="o",
    )
    return [(its.id, its.quantity, its.amount_micros, its.status, its.debit, its.credit) for its in found]


@given(amounts)
def test_an_amount_survives_being_written(value: int) -> None:
    assert micros(str(Decimal(value) / MICRO)) == value


@given(st.decimals(allow_nan=True, allow_infinity=True) | st.text(max_size=12))
def test_anything_else_is_refused_or_exact(text: object) -> None:
    try:
        value = micros(str(text))
    except ValueError:
        return
    assert Decimal(value) / MICRO == Decimal(str(text))


@given(st.lists(st.integers(-1_000_000, 1_000_000), min_size=1, max_size=20), amounts)
def test_an_amount_is_quantity_times_price_to_the_last_millionth(quantities: list[int], price: int) -> None:
    record = window(*((cell(site=f"s{number}"), quantity) for number, quantity in enumerate(quantities)))
    found = charged(record, Price(price, "centre"))
    assert [amount for _, _, amount, *_ in found] == [quantity * price for quantity in quantities]
    assert sum(amount for _, _, amount, *_ in found) == price * sum(quantities)


def test_every_addition_is_one_charge_with_an_id_of_its_own() -> None:
    record = window((cell(), 2), (cell(topic="login"), 1), (cell(channel="chat"), -1))
    found = charged(record, Price(7_500_000, "centre"))
    assert found == [
        ("judge/0:1.0#0", 2, 15_000_000, "priced", "team:team-atm:run-rate", "service:centre"),
        ("judge/0:1.0#1", 1, 7_500_000, "priced", "team:team-login:run-rate", "service:centre"),
        ("judge/0:1.0#2", -1, -7_500_000, "priced", "team:team-atm:run-rate", "service:centre"),
    ]


def test_free_and_unpriced_are_two_things() -> None:
    record = window((cell(), 4))
    assert [its[1:] for its in charged(record, Price(0, "app"))] == [
        (4, 0, "free", "team:team-atm:run-rate", "service:app")
    ]
    assert [its[1:] for its in charged(record, None)] == [(4, 0, "unpriced", "unpriced", "service:unpriced")]


@given(st.integers(0, 10**15), st.integers(0, 10**6), st.floats(0, 10**6))
def test_the_excess_is_a_part_of_the_amount(amount: int, observed: int, expected: float) -> None:
    part = excess_micros(amount, observed, expected)
    assert 0 <= part <= amount
    assert part == 0 or expected < observed


@given(st.lists(st.floats(0, 100), min_size=2, max_size=5))
def test_the_more_was_expected_the_less_is_excess(expected: list[float]) -> None:
    found = [excess_micros(10**9, 100, value) for value in sorted(expected)]
    assert all(more >= less for more, less in pairwise(found))


def test_excess_of_an_incident() -> None:
    assert excess_micros(30 * 7_500_000, 30, 3.0) == 202_500_000
    assert excess_micros(7_500_000, 0, 0.0) == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0.00"),
        (7_500_000, "7.50"),
        (-1, "-0.000001"),
        (123_456, "0.123456"),
        (-7_500_000, "-7.50"),
        (100_000, "0.10"),
    ],
)
def test_exact_amounts_have_the_decimals_they_need(value: int, text: str) -> None:
    assert exact(value, "EUR").amount == text


@given(st.integers(-(10**18), 10**18))
def test_an_amount_shown_is_the_amount(value: int) -> None:
    assert Decimal(exact(value, "EUR").amount) * MICRO == value


def test_estimates_are_rounded_half_to_even() -> None:
    assert [rounded(value, "EUR").amount for value in (5_000, 15_000, 14_999, 0)] == ["0.00", "0.02", "0.01", "0.00"]
