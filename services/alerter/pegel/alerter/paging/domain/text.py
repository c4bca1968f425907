"""A page in words. Its first 80 characters stand alone: that is what a phone's screen shows."""

from decimal import Decimal
from typing import Final

from pegel.schemas.incident import Money
from pegel.schemas.page import Page

WORDS: Final = {"opened": "PAGE", "reopened": "PAGE", "resolved": "END"}


def line(page: Page, cost: Money | None) -> str:
    """One line: whom, what, how much, cost so far (None: not booked yet), why. Without control characters.

    PAGE cash-withdrawals: Cash machines, ES: 31 contacts in 15 min, 4 expected; 29.70 EUR so far; why: ...
    """
    head = f"{WORDS[page.kind]} {page.team}: {page.title}: "
    money = f"{cost.amount} {cost.currency}" if cost else "cost not booked yet"
    if page.kind == "resolved":
        excess = max(round(page.observed_since_onset - page.expected_since_onset), 0)
        after = length(int((page.at - page.onset).total_seconds()))
        said = f"over after {after}; {excess} contacts too many; {money}; {page.reason}"
    else:
        again = "again, " if page.kind == "reopened" else ""
        said = (
            f"{again}{page.observed} contacts in {length(page.window_seconds)}, {number(page.expected)} expected; "
            f"{money} so far; why: {page.explanation}"
        )
    return printable(head + said)


def length(seconds: int) -> str:
    """A length of time as people say it: '15 min', '3 h', '1 h 30 min'."""
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{seconds} s"
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")


def number(value: float) -> str:
    """An expected count: whole from 10 on, one decimal below."""
    return str(Decimal(value).quantize(Decimal(1) if value >= 9.95 else Decimal("0.1"))).removesuffix(".0")


def printable(text: str) -> str:
    """No control characters: a terminal would obey them."""
    return "".join(character if character.isprintable() else " " for character in text)
