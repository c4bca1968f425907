"""The columns of a file that a back-test needs: quickly where it is as it should be, else by the tolerant reader."""

import csv
import gzip
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import cramjam
import orjson
import polars as pl
from polars.exceptions import PolarsError

from pegel.cli.replay import files
from pegel.runtime.settings import ConfigurationError


@dataclass(frozen=True, slots=True)
class Wanted:
    """Columns by what they are for. time: None is the first of TIMES that the file has.

    segment: none means that all rows are one segment.
    """

    time: str | None
    segment: tuple[str, ...]
    count: str | None


class Columns(NamedTuple):
    """What was read. rows: the columns by their names, one row a row of the file, blank lines left out.

    Text, but for times with a type, and counts that are whole numbers. unreadable: lines that are no JSON object.
    """

    rows: pl.DataFrame
    time: str
    unreadable: int = 0


TIMES: Final = ("occurred_at", "ts", "time", "timestamp", "bucket_start")
"""Names that a column of times has without being asked for."""

HEADER_BYTES_MAX: Final = 1_000_000
"""What is looked at for the header: the content may be of hundreds of megabytes, and each look would copy it."""


def read_columns(path: Path, wanted: Wanted) -> Columns:
    """Raises ConfigurationError: a column that isn't there (with those that are), a file that can't be read."""
    name = path.name.lower()
    zipped, suffix = name.endswith(".gz"), Path(name.removesuffix(".gz")).suffix
    found = None
    try:
        if suffix in files.CSV:
            found = _quick_csv(_content(path, zipped=zipped), path, wanted)
        elif suffix in files.PARQUET and not zipped:
            found = _quick_parquet(path, wanted)
    except (OSError, cramjam.DecompressionError, UnicodeDecodeError, csv.Error, PolarsError):
        pass  # the tolerant reader reads it, or says what is wrong with it
    return found or _tolerant(path, wanted)


def line_of(path: Path, row: int) -> int:
    """The line of a file that holds a row (counted from 0, as in Columns); of a Parquet file its number."""
    name = path.name.lower()
    suffix = Path(name.removesuffix(".gz")).suffix
    if suffix in files.PARQUET:
        return row + 1
    content = gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()
    lines = _csv_lines(content) if suffix in files.CSV else _json_lines(content, objects=True)
    return next(line for place, line in enumerate(lines) if place == row)


def first_unreadable_line(path: Path) -> int:
    """The first line of an NDJSON file that is no JSON object."""
    content = gzip.decompress(path.read_bytes()) if path.name.lower().endswith(".gz") else path.read_bytes()
    return next(_json_lines(content, objects=False))


def _csv_lines(content: bytes) -> Iterator[int]:
    text = io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", errors="replace", newline="")
    reader = csv.reader(text, delimiter=_separator(content))
    header, before = True, 0
    for cells in reader:
        if cells and not header:
            yield before + 1
        header = header and not cells
        before = reader.line_num


def _json_lines(content: bytes, *, objects: bool) -> Iterator[int]:
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            whole = isinstance(orjson.loads(line), dict)
        except orjson.JSONDecodeError:
            whole = False
        if whole is objects:
            yield number


def _content(path: Path, *, zipped: bool) -> bytes:
    content = path.read_bytes()
    return bytes(memoryview(cramjam.gzip.decompress(content))) if zipped else content


def _separator(content: bytes) -> str:
    first = content[:HEADER_BYTES_MAX].lstrip().partition(b"\n")[0].decode("utf-8", "replace")
    return max(files.SEPARATORS, key=first.count)


def _quick_csv(content: bytes, path: Path, wanted: Wanted) -> Columns | None:
    """None for what polars reads otherwise than the tolerant reader would."""
    separator = _separator(content)
    first = content[:HEADER_BYTES_MAX].partition(b"\n")[0].decode("utf-8-sig").rstrip("\r")
    header = next(csv.reader([first], delimiter=separator), [])
    if len(set(header)) != len(header) or first.count('"') % 2:
        return None
    time = _time_column(path, wanted, header)
    needed = _needed(time, wanted)
    counts: list[pl.DataType | type[pl.DataType]] = [pl.Int64, pl.String] if wanted.count else [pl.String]
    for count in counts:
        try:
            rows = pl.read_csv(
                content,
                separator=separator,
                columns=needed,
                infer_schema=False,
                schema_overrides={wanted.count: count} if wanted.count else None,
                raise_if_empty=False,
            )
        except PolarsError:
            if count is counts[-1]:
                raise
            continue  # a count that is no whole number: as text, and told apart row by row
        # polars makes a row of nothing from a blank line.
        return Columns(rows.filter(~pl.all_horizontal(pl.all().is_null())), time)
    return None


def _quick_parquet(path: Path, wanted: Wanted) -> Columns | None:
    schema = pl.read_parquet_schema(path)
    if any(kind.is_nested() for kind in schema.values()):
        return None  # a field of a column: attributes.region
    time = _time_column(path, wanted, list(schema))
    rows = pl.read_parquet(path, columns=_needed(time, wanted))
    typed = {name for name, kind in rows.schema.items() if name == time and kind in (pl.Date, pl.Datetime)}
    if wanted.count and rows.schema[wanted.count].is_integer():
        typed.add(wanted.count)
    return Columns(
        rows.select(pl.col(name) if name in typed else pl.col(name).cast(pl.String) for name in rows.columns), time
    )


def _tolerant(path: Path, wanted: Wanted) -> Columns:
    table = files.read(path)
    time = _time_column(path, wanted, table.rows.columns)
    return Columns(table.rows.select(_needed(time, wanted)), time, table.unreadable)


def _needed(time: str, wanted: Wanted) -> list[str]:
    return list(dict.fromkeys([time, *wanted.segment, *([wanted.count] if wanted.count else [])]))


def _time_column(path: Path, wanted: Wanted, there: Sequence[str]) -> str:
    """The column of times. Raises ConfigurationError with all columns that are asked for and are not there."""
    time = wanted.time or next((name for name in TIMES if name in there), None)
    asked = [("--time", time or TIMES[0]), *(("--segment", name) for name in wanted.segment)]
    if wanted.count:
        asked.append(("--count", wanted.count))
    has = ", ".join(there) or "none"
    faults = [
        f"{option} {name}: {path} has no column {name}; it has {has}" for option, name in asked if name not in there
    ]
    if faults:
        raise ConfigurationError(faults)
    return time or TIMES[0]
