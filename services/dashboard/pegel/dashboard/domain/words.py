"""How things are written for a person: countries, topics, amounts, numbers, times. All times are UTC."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from pegel.schemas.incident import Money

ALL: Final = "*"
"""The value of a dimension that a roll-up leaves out."""

TOPICS: Final = {"atm": "Cash machines", "app": "Mobile app", "invest": "Investments", "loan": "Loans"}
"""Topics whose slug says too little to somebody woken at night."""

ACRONYMS: Final = frozenset({"atm", "faq", "iban", "kyc", "otp", "pin", "pos", "sepa", "sms", "vat"})
SYMBOLS: Final = {"EUR": "€", "USD": "$", "GBP": "£"}
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def words_of(slug: str) -> str:
    """A slug as words: 'card-payment' is 'Card payment', 'sepa_transfer' is 'SEPA transfer'."""
    parts = slug.replace("_", "-").split("-")
    text = " ".join(part.upper() if part in ACRONYMS else part for part in parts if part)
    return text[:1].upper() + text[1:]


def topic_words(slug: str) -> str:
    """A topic for a person: its own name where the slug is too short to be understood, else the slug as words."""
    return "All topics" if slug == ALL else TOPICS.get(slug) or words_of(slug)


def country_words(code: str, names: Mapping[str, str]) -> str:
    """A country's English name; the code itself where no name is known. names: code to name."""
    return "all countries" if code == ALL else names.get(code, code)


def segment_words(segment: Mapping[str, str], names: Mapping[str, str]) -> tuple[str, str]:
    """What it is about and where: ('Cash machines', 'Spain'). Further dimensions follow the country."""
    topic = topic_words(segment.get("topic", ALL))
    where = [country_words(segment.get("country", ALL), names)]
    for dimension, value in segment.items():
        if dimension not in {"topic", "country"} and value != ALL:
            where.append(f"{words_of(dimension.removeprefix('attributes.')).lower()} {value}")
    return topic, ", ".join(where)


def money_words(money: Money) -> str:
    """'€1,234.50', 'PLN 1,234.50'; two decimals, rounded half to even."""
    amount = Decimal(money.amount).quantize(Decimal("0.01"), ROUND_HALF_EVEN)
    symbol = SYMBOLS.get(money.currency, f"{money.currency}\N{NO-BREAK SPACE}")
    return f"{'-' if amount < 0 else ''}{symbol}{abs(amount):,}"


def count_words(count: float) -> str:
    """'1,234'; an expectation below ten keeps a decimal, '0.4'."""
    return f"{count:,.1f}" if isinstance(count, float) and 0 < abs(count) < 9.95 else f"{count:,.0f}"


def duration_words(seconds: int) -> str:
    """'15 minutes', '1 hour', '3 hours', '90 seconds'."""
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1)):
        if seconds % length == 0 and (seconds >= length) and not (unit == "day" and seconds == 86_400):
            number = seconds // length
            return f"{number} {unit}{'' if number == 1 else 's'}"
    return "0 seconds"


def time_words(at: datetime, now: datetime) -> str:
    """'02:31 UTC' of today, '21 Nov 23:10 UTC' of another day, with the year if it is not this one."""
    at, now = at.astimezone(UTC), now.astimezone(UTC)
    text = f"{at:%H:%M} UTC"
    if at.date() != now.date():
        year = f" {at.year}" if at.year != now.year else ""
        text = f"{at.day} {MONTHS[at.month - 1]}{year} {text}"
    return text


def plural(count: int, one: str) -> str:
    """'1 incident', '2 incidents', '1,000 incidents'."""
    return f"{count:,} {one}" if count == 1 else f"{count:,} {one}s"
