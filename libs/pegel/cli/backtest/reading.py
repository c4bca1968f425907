"""Reads a file of contacts, or of counts, into counted buckets."""

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from pegel.cli.backtest.columns import Columns, Wanted, first_unreadable_line, line_of, read_columns
from pegel.cli.backtest.counts import WHOLE, WHOLE_DIMENSIONS, Counts, counted
from pegel.cli.backtest.running import ALL
from pegel.cli.backtest.zones import Zones
from pegel.cli.replay.times import instants
from pegel.runtime.settings import ConfigurationError

UNKNOWN: Final = "unknown"
BUCKETS_MAX: Final = 5_000_000
"""More is a wrong time: 9 years of buckets of a minute."""
COUNT_MAX: Final = 2**31 - 1
FEW: Final = 4
"""Texts of times that recur so often are each read once."""
TIME_SHOWN_MAX: Final = 64
NUMBER_MAX: Final = 2**62
AT, CONTACTS, KEY, ROW = "\0at", "\0contacts", "\0key", "\0row"
"""Names of our own columns; no file has a NUL in a name."""


@dataclass(frozen=True, slots=True)
class Bad:
    """Rows that are left out for a reason. line: of the first; None when that isn't known."""

    reason: str
    rows: int
    line: int | None


@dataclass(slots=True)
class Read:
    """Counted buckets, and what was seen on the way."""

    counts: Counts
    rows: int
    bad: list[Bad] = field(default_factory=list)
    no_zone: list[str] = field(default_factory=list)
    """Values of the column of zones that have none: they are read as UTC."""


def read_counts(path: Path, wanted: Wanted, zones: Zones, bucket_seconds: int) -> Read:
    """Raises ConfigurationError for the columns, for times without a zone, and for a file without a row to count."""
    if len(set(wanted.segment)) != len(wanted.segment):
        raise ConfigurationError([f"--segment {','.join(wanted.segment)}: a column is named twice"])
    columns = read_columns(path, wanted)
    taken = [name for name in wanted.segment if name in (columns.time, wanted.count)]
    if taken:
        raise ConfigurationError([f"--segment {name}: is the column of times or counts" for name in taken])
    dimensions, rows = wanted.segment or WHOLE_DIMENSIONS, columns.rows.height + columns.unreadable
    table = columns.rows.with_columns(
        pl.col(name).str.strip_chars().replace("", None).fill_null(UNKNOWN) for name in wanted.segment
    )
    no_zone = zones.without(table[zones.by].unique().to_list()) if zones.by else []
    values = wanted.segment or (pl.lit(WHOLE[0]).alias(WHOLE_DIMENSIONS[0]),)
    table = table.select(*values, _times(table, columns, zones).alias(AT), _contacts(table, wanted).alias(CONTACTS))
    bad = _bad(table, path, columns, wanted, dimensions)
    table = table.filter(_good(dimensions))
    if table.is_empty():
        reasons = [f"{path}: {one.rows:,} rows: {one.reason}" for one in bad]
        raise ConfigurationError(reasons or [f"{path}: has no rows"])
    counts = _counted(table, dimensions, bucket_seconds)
    return Read(counts, rows, bad, no_zone)


def _counted(table: pl.DataFrame, dimensions: tuple[str, ...], bucket_seconds: int) -> Counts:
    bucket = table[AT].dt.epoch("us") // (bucket_seconds * 1_000_000)
    first, last = bucket.min(), bucket.max()
    assert isinstance(first, int)  # noqa: S101  (there are rows)
    assert isinstance(last, int)  # noqa: S101
    if last - first >= BUCKETS_MAX:
        begin, end = (datetime.fromtimestamp(its * bucket_seconds, UTC).date() for its in (first, last))
        raise ConfigurationError([f"the times go from {begin} to {end}: so many buckets are a mistake in one of them"])
    # Bucket and segment as one number: sums and order over a few million rows are then quick.
    codes = pl.lit(0, dtype=pl.Int64)
    values: list[list[str]] = []
    for name in dimensions:
        distinct = table[name].unique().sort().to_list()
        values.append(distinct)
        codes = codes * len(distinct) + pl.col(name).cast(pl.Enum(distinct)).to_physical().cast(pl.Int64)
    combinations = math.prod(map(len, values))
    if combinations * (last - first + 1) > NUMBER_MAX:
        raise ConfigurationError(
            [f"--segment {','.join(dimensions)}: these columns have too many values to be combined"]
        )
    sums = (
        table.select(((bucket - first) * combinations + codes).alias(KEY), CONTACTS)
        .group_by(KEY)
        .agg(pl.col(CONTACTS).sum())
        .sort(KEY)
    )
    bucket_of, combined = np.divmod(sums[KEY].to_numpy(), combinations)
    found, code = np.unique(combined, return_inverse=True)
    names = [_name(combination, values) for combination in found.tolist()]
    return counted(bucket_seconds, dimensions, bucket_of + first, code, sums[CONTACTS].to_numpy(), names)


def _name(combination: int, values: list[list[str]]) -> tuple[str, ...]:
    name: list[str] = []
    for known in reversed(values):
        combination, place = divmod(combination, len(known))
        name.append(known[place])
    return tuple(reversed(name))


def _good(dimensions: tuple[str, ...]) -> pl.Expr:
    marks = [pl.col(name) != ALL for name in dimensions]
    return pl.col(AT).is_not_null() & pl.col(CONTACTS).is_not_null() & pl.all_horizontal(marks)


def _bad(table: pl.DataFrame, path: Path, columns: Columns, wanted: Wanted, dimensions: tuple[str, ...]) -> list[Bad]:
    """Reasons with their rows; a row with several has the first."""
    bad = []
    if columns.unreadable:
        bad.append(Bad("the line is no JSON object", columns.unreadable, first_unreadable_line(path)))
    timed = pl.col(AT).is_not_null()
    reasons = [(f"{columns.time} gives no time", ~timed)]
    if wanted.count:
        counted_rows = pl.col(CONTACTS).is_not_null()
        reasons.append((f"{wanted.count} gives no whole number from 0 on", timed & ~counted_rows))
        timed &= counted_rows
    marked = pl.any_horizontal(pl.col(name) == ALL for name in dimensions)
    reasons.append((f"a segment can't be {ALL}, which means all", timed & marked))
    for reason, which in reasons:
        rows = table.select(which.arg_true()).to_series()
        if len(rows):
            bad.append(Bad(reason, len(rows), line_of(path, int(rows[0]))))
    return bad


def _contacts(table: pl.DataFrame, wanted: Wanted) -> pl.Expr:
    """Null where it is no count."""
    if not wanted.count:
        return pl.lit(1, dtype=pl.Int64)
    count = pl.col(wanted.count)
    if table.schema[wanted.count] == pl.String:
        value = count.str.strip_chars().cast(pl.Float64, strict=False)
        count = pl.when(value.is_finite() & (value == value.floor()) & (value.abs() <= COUNT_MAX)).then(value)
    return pl.when(count.is_between(0, COUNT_MAX)).then(count).cast(pl.Int64)


def _times(table: pl.DataFrame, columns: Columns, zones: Zones) -> pl.Series:
    """UTC; null where it is none. Raises ConfigurationError for local times when no zone was named."""
    texts = table[columns.time]
    try:
        return _read_times(texts, None)
    except ConfigurationError:
        if not zones.named:
            example = texts.drop_nulls()[0]
            raise ConfigurationError(
                [
                    f"--tz ZONE or --tz-by COLUMN is needed: the times in column {columns.time}"
                    f" say no zone ({str(example)[:TIME_SHOWN_MAX]})"
                ]
            ) from None
    if zones.by is None:
        return _read_times(texts, zones.info(UNKNOWN))
    places, parts = table[zones.by], []
    for place in places.unique().to_list():
        here = places == place
        parts.append(pl.DataFrame({ROW: here.arg_true(), AT: _read_times(texts.filter(here), zones.info(place))}))
    return pl.concat(parts).sort(ROW)[AT]


def _read_times(texts: pl.Series, zone: ZoneInfo | None) -> pl.Series:
    """Each text once: counts of buckets have few, and reading one takes ten looks at it."""
    if texts.dtype != pl.String or texts.n_unique() * FEW > len(texts):
        return instants(texts, zone)
    distinct = texts.drop_nulls().unique()
    return instants(distinct, zone).gather(texts.cast(pl.Enum(distinct)).to_physical())
