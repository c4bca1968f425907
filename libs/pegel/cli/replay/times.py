"""A column of times, read as UTC: ISO 8601 in its usual spellings, numbers since 1970, or times with a type."""

from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from pegel.runtime.settings import ConfigurationError

INSTANT: Final = pl.Datetime("us", "UTC")
NUMBER: Final = r"^-?\d+(\.\d+)?$"
WITH_ZONE: Final = r"(Z|[+-]\d{2}:?\d{2})$"
NAIVE_FORMATS: Final = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d")
AWARE_FORMATS: Final = ("%Y-%m-%d %H:%M:%S%.f%z", "%Y-%m-%d %H:%M%z")


def zone_of(name: str | None) -> ZoneInfo | None:
    """Raises ConfigurationError when there is no such zone."""
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigurationError(
            [f"--tz {name}: there is no such zone; give a name like Europe/Madrid or UTC"]
        ) from None


def instants(column: pl.Series, zone: ZoneInfo | None) -> pl.Series:
    """The column as UTC times; null where it is no time. zone: of times that have none.

    An ambiguous local time is the first of the two; one that the clocks skipped moves on by what they skipped.
    Raises ConfigurationError when zone is needed and missing.
    """
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is not None:
        return column.cast(INSTANT)
    if column.dtype in (pl.Date, pl.Datetime):
        return _localised(column.cast(pl.Datetime("us")), zone, column.name)
    text = column.str.strip_chars().str.replace("T", " ", literal=True)
    aware = text.str.replace(r"\s*Z$", "+00:00").str.replace(r"\s+([+-])", "$1")
    aware = aware.set(~text.str.contains(WITH_ZONE).fill_null(value=False), None)
    numbers = text.set(~text.str.contains(NUMBER).fill_null(value=False), None)
    naive = _tried(text, NAIVE_FORMATS).cast(pl.Datetime("us"))
    return _first_of(
        _tried(aware, AWARE_FORMATS).cast(INSTANT), _since_1970(numbers), _localised(naive, zone, column.name)
    )


def _tried(text: pl.Series, formats: tuple[str, ...]) -> pl.Series:
    read = [
        text.str.strptime(pl.Datetime("us", "UTC" if form.endswith("%z") else None), form, strict=False)
        for form in formats
    ]
    return _first_of(*read)


def _first_of(*columns: pl.Series) -> pl.Series:
    return pl.select(pl.coalesce(*columns)).to_series()


def _since_1970(numbers: pl.Series) -> pl.Series:
    """Seconds, milliseconds or microseconds: whichever gives a year from 1973 to 5138."""
    value = numbers.cast(pl.Float64)
    micros = pl.when(value.abs() < 1e11).then(value * 1e6).when(value.abs() < 1e14).then(value * 1e3).otherwise(value)
    return pl.select(micros.cast(pl.Int64).cast(INSTANT)).to_series()


def _localised(naive: pl.Series, zone: ZoneInfo | None, name: str) -> pl.Series:
    if naive.null_count() == len(naive):
        return naive.dt.replace_time_zone("UTC")
    if zone is None:
        raise ConfigurationError([f"--tz is needed: the times in column {name} have no zone ({naive.drop_nulls()[0]})"])
    local = naive.dt.replace_time_zone(zone.key, ambiguous="earliest", non_existent="null").cast(INSTANT)
    skipped = local.is_null() & naive.is_not_null()
    if skipped.any():
        moved = {value: _moved_on(value, zone) for value in naive.filter(skipped).unique()}
        moved_on = pl.Series([moved.get(value) for value in naive], dtype=INSTANT)
        return _first_of(local, moved_on)
    return local


def _moved_on(naive: datetime, zone: ZoneInfo) -> datetime:
    """02:30 that the clocks skipped is 03:30: read by the offset from before the change."""
    return naive.replace(tzinfo=zone, fold=0).astimezone(UTC)
