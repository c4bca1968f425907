"""What --events says: campaigns and maintenance of the past, as the calendar of the service would have had them."""

import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pegel.cli.backtest.running import ALL
from pegel.detector.judge.domain.events import NO_PAGING, Event
from pegel.runtime.settings import ConfigurationError

FACTOR_MAX: Final = 1000
COLUMNS: Final = ("name", "from", "until", "factor")


def read_events(path: Path, dimensions: tuple[str, ...], bucket_seconds: int) -> tuple[Event, ...]:
    """A CSV with name, the segment's columns (globs; '*' or empty: all), from, until (ISO 8601 with a zone), factor.

    An empty factor: nobody is paged. dimensions: none where all rows are one segment.
    Raises ConfigurationError with all that is wrong.
    """
    faults, events = [], []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            there = reader.fieldnames or ()
            if lacking := [name for name in (*dimensions, *COLUMNS) if name not in there]:
                has = ", ".join(there) or "none"
                raise ConfigurationError([f"--events {path}: has no column {name}; it has {has}" for name in lacking])
            for row in reader:
                line = tuple((row[name] or "").strip() or ALL for name in dimensions) or (ALL,)
                try:
                    events.append(_event(row, line, bucket_seconds))
                except ValueError as error:
                    faults.append(f"--events {path}: line {reader.line_num}: {error}")
    except OSError as error:
        raise ConfigurationError([f"--events {path}: {error.strerror}"]) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError([f"--events {path}: can't be read: {error}"]) from None
    if faults:
        raise ConfigurationError(faults)
    return tuple(events)


def _event(row: dict[str, str], line: tuple[str, ...], bucket_seconds: int) -> Event:
    since, until = (_at(row[name]) for name in ("from", "until"))
    if until <= since:
        raise ValueError("until is not after from")
    said = (row["factor"] or "").strip()
    factor = float(said) if said else NO_PAGING
    if said and not 0 < factor <= FACTOR_MAX:
        raise ValueError(f"factor {said} is not between 0 and {FACTOR_MAX}")
    name = (row["name"] or "").strip()
    if not name:
        raise ValueError("has no name")
    begin, end = int(since.timestamp()), int(until.timestamp())
    return Event(
        "", name, line, begin // bucket_seconds * bucket_seconds, -(-end // bucket_seconds) * bucket_seconds, factor
    )


def _at(text: str | None) -> datetime:
    at = datetime.fromisoformat((text or "").strip())
    if at.tzinfo is None:
        raise ValueError(f"{text} has no zone; write 2024-11-12T08:00:00Z")
    return at.astimezone(UTC)
