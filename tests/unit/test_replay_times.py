"""Times of a file: their spellings, zones, and the two nights a year on which clocks change."""

from datetime import UTC, datetime, timedelta, timezone

import polars as pl
import pytest

from pegel.cli.replay.times import instants, zone_of
from pegel.runtime.settings import ConfigurationError


def read(text: str, zone: str | None = None) -> datetime | None:
    """One text as a time."""
    value = instants(pl.Series("ts", [text, None]), zone_of(zone))[0]
    assert value is None or isinstance(value, datetime)
    return value


@pytest.mark.parametrize(
    "text",
    [
        "2013-01-31T12:30:05Z",
        "2013-01-31 12:30:05Z",
        "2013-01-31T12:30:05.000+00:00",
        "2013-01-31T13:30:05+0100",
        "2013-01-31 07:30:05 -05:00",
        " 1359635405 ",
        "1359635405.0",
        "1359635405000",
        "1359635405000000",
    ],
)
def test_a_time_that_has_a_zone_needs_no_other(text: str) -> None:
    assert read(text) == read(text, "Europe/Madrid") == datetime(2013, 1, 31, 12, 30, 5, tzinfo=UTC)


@pytest.mark.parametrize("text", ["2013-01-31 12:30:00", "2013-01-31T12:30", "2013-01-31 12:30:00.000"])
def test_a_time_without_a_zone_is_read_in_the_zone_given(text: str) -> None:
    assert read(text, "America/Toronto") == datetime(2013, 1, 31, 17, 30, tzinfo=UTC)


def test_a_date_is_its_midnight() -> None:
    assert read("2013-01-31", "Europe/Madrid") == datetime(2013, 1, 30, 23, tzinfo=UTC)


def test_fractions_of_a_second_are_kept() -> None:
    assert read("2013-01-31 12:30:00.123456", "UTC") == datetime(2013, 1, 31, 12, 30, 0, 123456, tzinfo=UTC)


def test_the_hour_that_comes_twice_is_the_first_of_the_two() -> None:
    # 27 October 2013, Madrid:  02:00 +02:00 ... 02:59 +02:00 | 02:00 +01:00 ... 02:59 +01:00 | 03:00 +01:00
    #                                    ^ 02:30 is this one
    assert read("2013-10-27 02:30:00", "Europe/Madrid") == datetime(2013, 10, 27, 0, 30, tzinfo=UTC)


def test_the_hour_that_is_skipped_moves_on() -> None:
    # 31 March 2013, Madrid:  01:59 +01:00 | 03:00 +02:00; 02:30 is an hour on: 03:30 +02:00
    summer = timezone(timedelta(hours=2))
    assert read("2013-03-31 02:30:00", "Europe/Madrid") == datetime(2013, 3, 31, 3, 30, tzinfo=summer)
    # Half an hour is skipped on Lord Howe Island.
    assert read("2013-10-06 02:15:00", "Australia/Lord_Howe") == datetime(2013, 10, 5, 15, 45, tzinfo=UTC)


def test_a_column_may_mix_its_spellings_and_what_is_no_time_is_null() -> None:
    column = pl.Series("ts", ["2013-01-31 12:30:00", "2013-01-31T12:30:00Z", "soon", "", None, "31.01.2013"])
    found = instants(column, zone_of("Europe/Madrid")).to_list()
    assert found == [
        datetime(2013, 1, 31, 11, 30, tzinfo=UTC), datetime(2013, 1, 31, 12, 30, tzinfo=UTC), None, None, None, None,
    ]  # fmt: skip


def test_typed_times_are_taken_as_they_are() -> None:
    naive = pl.Series("ts", [datetime(2013, 1, 31, 12, 30), None])  # noqa: DTZ001 (that is the point)
    aware = pl.Series("ts", [datetime(2013, 1, 31, 12, 30, tzinfo=UTC), None])
    assert instants(naive, zone_of("Europe/Madrid")).to_list() == [datetime(2013, 1, 31, 11, 30, tzinfo=UTC), None]
    assert instants(aware, None).to_list() == [datetime(2013, 1, 31, 12, 30, tzinfo=UTC), None]


def test_a_zone_is_asked_for_where_it_is_needed() -> None:
    with pytest.raises(ConfigurationError, match=r"--tz is needed: the times in column ts have no zone \(2013-01-31"):
        read("2013-01-31 12:30:00")


@pytest.mark.parametrize("name", ["Europe/Madird", "", "../etc/passwd"])
def test_a_zone_that_does_not_exist_is_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match="--tz"):
        zone_of(name)
