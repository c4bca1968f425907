"""How the dashboard writes things for a person."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from pegel.dashboard.adapters.countries import country_names
from pegel.dashboard.domain import words
from pegel.schemas.countries import COUNTRIES
from pegel.schemas.incident import Money

NOW = datetime(2026, 11, 22, 2, 31, 5, tzinfo=UTC)


def test_every_country_has_a_name() -> None:
    names = country_names()
    assert set(names) == COUNTRIES
    assert (names["ES"], names["GB"]) == ("Spain", "United Kingdom")


@pytest.mark.parametrize(
    ("slug", "expected"),
    [
        ("atm", "Cash machines"),
        ("card-payment", "Card payment"),
        ("sepa_transfer", "SEPA transfer"),
        ("login", "Login"),
        ("*", "All topics"),
        ("a--b", "A b"),
    ],
)
def test_topics_are_words(slug: str, expected: str) -> None:
    assert words.topic_words(slug) == expected


@pytest.mark.parametrize(
    ("segment", "expected"),
    [
        ({"country": "ES", "topic": "atm"}, ("Cash machines", "Spain")),
        ({"country": "*", "topic": "atm"}, ("Cash machines", "all countries")),
        ({"topic": "login"}, ("Login", "all countries")),
        ({"country": "ES", "topic": "*"}, ("All topics", "Spain")),
        ({"country": "CA", "topic": "x", "attributes.region": "north"}, ("X", "Canada, region north")),
        ({"country": "CA", "topic": "x", "attributes.region": "*"}, ("X", "Canada")),
    ],
)
def test_a_segment_is_what_and_where(segment: dict[str, str], expected: tuple[str, str]) -> None:
    assert words.segment_words(segment, country_names()) == expected


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        ("1234.50", "EUR", "€1,234.50"),
        ("0.005000", "USD", "$0.00"),  # half to even
        ("0.015000", "USD", "$0.02"),
        ("-12.10", "GBP", "-£12.10"),
        ("99999999999999.999999", "PLN", "PLN\N{NO-BREAK SPACE}100,000,000,000,000.00"),
    ],
)
def test_money_is_rounded_for_reading_only(amount: str, currency: str, expected: str) -> None:
    assert words.money_words(Money(amount=amount, currency=currency)) == expected


@pytest.mark.parametrize(
    ("count", "expected"), [(1234, "1,234"), (61.4, "61"), (0.42, "0.4"), (9.94, "9.9"), (9.96, "10"), (0, "0")]
)
def test_counts(count: float, expected: str) -> None:
    assert words.count_words(count) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(900, "15 minutes"), (3600, "1 hour"), (10_800, "3 hours"), (86_400, "24 hours"), (172_800, "2 days"),
     (90, "90 seconds"), (60, "1 minute"), (0, "0 seconds")],
)  # fmt: skip
def test_durations(seconds: int, expected: str) -> None:
    assert words.duration_words(seconds) == expected


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (NOW, "02:31 UTC"),
        (NOW - timedelta(hours=3), "21 Nov 23:31 UTC"),
        (datetime(2013, 3, 1, 8, 5, tzinfo=UTC), "1 Mar 2013 08:05 UTC"),
        (datetime(2026, 11, 22, 3, 31, tzinfo=timezone(timedelta(hours=1))), "02:31 UTC"),
    ],
)
def test_times_say_the_day_when_it_is_another(at: datetime, expected: str) -> None:
    assert words.time_words(at, NOW) == expected
