"""A file as a table of text: CSV, NDJSON or Parquet, gzipped or not. Only a typed column of times keeps its type."""

import csv
import gzip
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl
from polars.exceptions import PolarsError

from pegel.runtime.settings import ConfigurationError

CSV: Final = (".csv", ".tsv", ".txt")
NDJSON: Final = (".ndjson", ".jsonl", ".json")
PARQUET: Final = (".parquet", ".pq")
SEPARATORS: Final = ",;\t"
CHUNK_LINES: Final = 50_000
csv.field_size_limit(16 * 1024 * 1024)


@dataclass(frozen=True, slots=True)
class Table:
    """What a file holds. rows: text columns (and typed times); unreadable: lines that are no JSON object."""

    rows: pl.DataFrame
    unreadable: int = 0


def read(path: Path) -> Table:
    """Raises ConfigurationError that names the file and what is wrong with it."""
    name = path.name.lower()
    zipped = name.endswith(".gz")
    suffix = Path(name.removesuffix(".gz")).suffix
    try:
        if suffix in PARQUET:
            return Table(_as_text(pl.read_parquet(_content(path, zipped=zipped) if zipped else path)))
        if suffix in CSV:
            return Table(_csv(_content(path, zipped=zipped)))
        if suffix in NDJSON:
            return _ndjson(_content(path, zipped=zipped))
    except (OSError, EOFError, PolarsError, csv.Error) as error:
        raise ConfigurationError([f"{path}: can't be read: {str(error).strip().splitlines()[0]}"]) from error
    raise ConfigurationError(
        [f"{path}: its name ends in none of {', '.join((*CSV, *NDJSON, *PARQUET))} (or those and .gz)"]
    )


def _content(path: Path, *, zipped: bool) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if zipped else content


def _csv(content: bytes) -> pl.DataFrame:
    """All text: a subtopic 007 is no number. Blank lines are no rows, cells beyond the header are left out.

    Python's own reader takes what people's files have (stray quotes, lines of another length) where polars' gives up,
    and at a million rows in seconds it is no bottleneck before ingest.
    """
    text = io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", errors="replace", newline="")
    first = content.lstrip().partition(b"\n")[0].decode("utf-8", "replace")
    reader = csv.reader(text, delimiter=max(SEPARATORS, key=first.count))
    header = next((row for row in reader if row), [])
    names = [name if name not in header[:place] else f"{name} ({place + 1})" for place, name in enumerate(header)]
    chunks, rows = [_columns(names, [])], []
    for row in reader:
        if row:
            rows.append(row)
        if len(rows) == CHUNK_LINES:
            chunks.append(_columns(names, rows))
            rows = []
    return pl.concat([*chunks, _columns(names, rows)])


def _columns(names: list[str], rows: list[list[str]]) -> pl.DataFrame:
    width = len(names)
    whole = [row[:width] + [None] * (width - len(row)) for row in rows]
    cells = zip(*whole, strict=True) if rows else [()] * width
    return pl.DataFrame(dict(zip(names, map(list, cells), strict=True)), schema=dict.fromkeys(names, pl.String))


def _ndjson(content: bytes) -> Table:
    chunks, rows, unreadable = [], [], 0
    for line in content.splitlines():
        if not line.strip():
            continue
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            value = None
        if isinstance(value, dict):
            rows.append(_flat(value))
        else:
            unreadable += 1
        if len(rows) == CHUNK_LINES:
            chunks.append(_frame(rows))
            rows = []
    chunks.append(_frame(rows))
    return Table(pl.concat(chunks, how="diagonal"), unreadable)


def _frame(rows: list[dict[str, str | None]]) -> pl.DataFrame:
    names = dict.fromkeys(name for row in rows for name in row)
    return pl.DataFrame(
        {name: [row.get(name) for row in rows] for name in names}, schema=dict.fromkeys(names, pl.String)
    )


def _flat(value: dict[str, Any]) -> dict[str, str | None]:
    """One level of nesting becomes names with a dot: attributes.region."""
    flat: dict[str, str | None] = {}
    for name, item in value.items():
        if isinstance(item, dict):
            flat |= {f"{name}.{key}": _text(inner) for key, inner in item.items()}
        else:
            flat[name] = _text(item)
    return flat


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode()


def _as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """A typed table as text; times keep their type, and what has no text (lists, bytes) is left out."""
    for name, kind in list(frame.schema.items()):
        if isinstance(kind, pl.Struct):
            fields = [pl.col(name).struct.field(field.name).alias(f"{name}.{field.name}") for field in kind.fields]
            frame = frame.with_columns(fields).drop(name)
    kept = [name for name, kind in frame.schema.items() if not kind.is_nested() and kind != pl.Binary]
    typed = {name for name, kind in frame.schema.items() if kind in (pl.Date, pl.Datetime)}
    return frame.select(pl.col(name) if name in typed else pl.col(name).cast(pl.String) for name in kept)
