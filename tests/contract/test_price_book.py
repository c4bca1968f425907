"""The port to prices: a file's and those in memory answer alike."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from pegel.alerter.ledger.adapters.file import FilePriceBook
from pegel.alerter.ledger.adapters.memory import MemoryPriceBook
from pegel.alerter.ledger.domain.prices import BEGINNING, END, Price, PriceRule
from pegel.alerter.ledger.ports import PriceBook
from pegel.alerter.settings import source
from pegel.runtime.settings import ConfigurationError

Make = Callable[[Sequence[PriceRule]], PriceBook]
PHONE = {"country": "ES", "topic": "atm", "channel": "phone", "handler": "in_house"}
OURS = Price(7_500_000, "contact-centre")
THEIRS = Price(5_600_000, "partner-centre")


def written(path: Path, rules: Sequence[PriceRule]) -> Path:
    """The rules as a file."""

    def entry(rule: PriceRule) -> dict[str, object]:
        dates = {"since": rule.since, "until": rule.until}
        micros = rule.price.unit_price_micros
        return {
            "match": {name: list(globs) for name, globs in rule.match.items()},
            "unit_price": f"{micros // 1_000_000}.{micros % 1_000_000:06d}",
            "service": rule.price.service,
            **{name: at for name, at in dates.items() if at not in (BEGINNING, END)},
        }

    services = {rule.price.service: rule.price.service for rule in rules}
    document = {"currency": "EUR", "services": services, "prices": [entry(rule) for rule in rules]}
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.fixture(params=["memory", "file"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    if request.param == "memory":
        return MemoryPriceBook
    return lambda rules: FilePriceBook(written(tmp_path / "prices.yaml", rules), "EUR")


def at(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


TODAY = at("2026-11-22")


def test_the_first_rule_that_matches_prices(make: Make) -> None:
    book = make([PriceRule({"handler": ("partner",)}, THEIRS), PriceRule({"channel": ("phone", "video")}, OURS)])
    assert book.price_of(PHONE, TODAY) == OURS
    assert book.price_of({**PHONE, "handler": "partner"}, TODAY) == THEIRS
    assert book.currency == "EUR"
    assert 0 < len(book.version) <= 64


def test_no_price_is_known(make: Make) -> None:
    assert make([PriceRule({"channel": ("chat",)}, OURS)]).price_of(PHONE, TODAY) is None
    assert make([]).price_of(PHONE, TODAY) is None


def test_a_field_that_is_not_said_is_empty(make: Make) -> None:
    book = make([PriceRule({"handler": ("",)}, THEIRS), PriceRule({"handler": ("?*",)}, OURS)])
    assert book.price_of(PHONE, TODAY) == OURS
    assert book.price_of({"country": "ES", "topic": "atm", "channel": "phone"}, TODAY) == THEIRS


def test_free_is_a_price(make: Make) -> None:
    assert make([PriceRule({}, Price(0, "self-service"))]).price_of(PHONE, TODAY) == Price(0, "self-service")


def test_a_new_price_holds_from_its_day(make: Make) -> None:
    book = make([PriceRule({}, OURS, at("2026-01-01"), at("2026-07-01")), PriceRule({}, THEIRS, at("2026-07-01"))])
    days = ("2025-12-31", "2026-01-01", "2026-06-30T23:59:59", "2026-07-01")
    asked = [book.price_of(PHONE, at(day)) for day in days]
    assert asked == [None, OURS, OURS, THEIRS]
    assert [book.price_of(PHONE, at(day)) for day in reversed(days)] == asked[::-1]


def test_the_example_prices_every_contact_of_the_simulated_bank() -> None:
    book = FilePriceBook(source(None, "prices.yaml"), "EUR")
    for channel in ("phone", "chat", "email", "app"):
        for handler in ("in_house", "partner", "self_service", None):
            cell = {"country": "ES", "topic": "atm", "channel": channel, **({"handler": handler} if handler else {})}
            assert book.price_of(cell, TODAY) is not None, cell
    assert book.price_of(PHONE, TODAY) == Price(7_500_000, "contact-centre")
    partner = book.price_of({**PHONE, "handler": "partner"}, TODAY)
    assert partner is not None
    assert partner.unit_price_micros < 7_500_000


FAULTY = """
currency: EUR
services: {centre: Ours}
prices:
  - {match: {colour: red}, service: centre, unit_price: "1"}
  - {match: {attributes.region: north}, service: nobody, unit_price: "1"}
  - {service: centre, unit_price: "1", since: 2026-04-01, until: 2026-01-01}
"""


def test_all_that_is_wrong_with_a_file_is_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(FAULTY)
    with pytest.raises(ConfigurationError) as error:
        FilePriceBook(path, "USD")
    faults = [fault.removeprefix(f"{path}: ") for fault in error.value.faults]
    assert faults[0] == "currency: EUR differs from PEGEL_CURRENCY=USD"
    assert faults[1].startswith("prices[0].match.colour: is none of ")
    assert faults[2:] == [
        "prices[1].service: nobody is none of the services",
        "prices[2].until: is not after since",
    ]


@pytest.mark.parametrize(
    ("price", "says"),
    [
        ("7.50", "should be a valid string"),  # without quotes: YAML makes a float of it
        ("'7,50'", "is no amount"),
        ("'-1'", "not between 0 and"),
        ("'1.0000001'", "more than 6 decimals"),
        ("'NaN'", "more than 6 decimals"),
        ("'1000001'", "not between 0 and"),
    ],
)
def test_a_price_is_an_exact_amount_in_quotes(tmp_path: Path, price: str, says: str) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(f"currency: EUR\nservices: {{c: C}}\nprices: [{{service: c, unit_price: {price}}}]")
    with pytest.raises(ConfigurationError) as error:
        FilePriceBook(path, "EUR")
    (fault,) = error.value.faults
    assert "prices[0].unit_price" in fault
    assert says in fault
