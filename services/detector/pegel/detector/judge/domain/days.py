"""Kinds of days of the calendar that may change how many contacts come: holidays, paydays, the month's end."""

from calendar import monthrange
from collections.abc import Mapping
from datetime import date, timedelta
from functools import lru_cache
from typing import Final

import holidays

PAYDAYS: Final = (1, 5, 10, 15, 20, 25, 28, 31)
"""Days of the month on which people are paid somewhere; 31 is the last one, whatever its number."""
KINDS: Final = ("holiday", "holiday at the weekend", "day after a holiday", "month's end", *map(str, PAYDAYS))
HOLIDAY, WEEKEND_HOLIDAY, AFTER_HOLIDAY, MONTH_END, FIRST_PAYDAY = range(5)
EVERYWHERE: Final = ""
FREE_DAYS_IN_A_ROW_MAX: Final = 14


class Calendar:
    """Of the countries: their public holidays as the library `holidays` has them, or the days given.

    days: by country (ISO 3166-1, or EVERYWHERE), None for the library's.
    """

    def __init__(self, country_at: int | None, days: Mapping[str, frozenset[date]] | None = None) -> None:
        """country_at: place of the country among the dimensions, or None: then there are days of the month only."""
        self._country_at, self._days = country_at, days

    def country(self, segment: tuple[str, ...]) -> str:
        return EVERYWHERE if self._country_at is None else segment[self._country_at].upper()

    def kinds(self, country: str, day: date) -> tuple[int, ...]:
        """Which of KINDS this day is there, as indices."""
        found = []
        weekend = day.weekday() >= 5
        if self._is_holiday(country, day):
            found.append(WEEKEND_HOLIDAY if weekend else HOLIDAY)
        elif self._is_holiday(country, day - timedelta(days=1)):
            found.append(AFTER_HOLIDAY)
        length = monthrange(day.year, day.month)[1]
        if day.day >= length - 1:
            found.append(MONTH_END)
        paid = self._paid(country, day)
        return (*found, *(FIRST_PAYDAY + n for n, number in enumerate(PAYDAYS) if number in paid))

    def _paid(self, country: str, day: date) -> set[int]:
        """Paydays of this day: its own, and those of the free days after it, which are paid before they begin."""
        paid = set()
        for ahead in range(FREE_DAYS_IN_A_ROW_MAX):
            other = day + timedelta(days=ahead)
            free = other.weekday() >= 5 or self._is_holiday(country, other)
            if ahead and not free:
                break
            paid.add(other.day)
            if other.day == monthrange(other.year, other.month)[1]:
                paid.add(31)
            if not ahead and free:
                break  # who is not paid before is paid on the day itself
        return paid

    def _is_holiday(self, country: str, day: date) -> bool:
        if self._days is None:
            return day in public_holidays(country, day.year)
        return day in self._days.get(country, ()) or day in self._days.get(EVERYWHERE, ())


@lru_cache(maxsize=4096)
def public_holidays(country: str, year: int) -> frozenset[date]:
    """The nation-wide ones of a country (ISO 3166-1 alpha-2); none where the library does not know it."""
    try:
        return frozenset(holidays.country_holidays(country, years=year))
    except NotImplementedError:
        return frozenset()
