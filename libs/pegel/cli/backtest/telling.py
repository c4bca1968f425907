"""What was read of a file, and what wasn't, in lines for a person."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pegel.cli.backtest.reading import Read
from pegel.cli.backtest.zones import Zones
from pegel.cli.replay.files import PARQUET
from pegel.dashboard.domain.words import plural

NAMES_SHOWN: Final = 5


def what_was_read(file: Path, read: Read, zones: Zones, seconds: float) -> list[str]:
    """seconds: that it took."""
    counts = read.counts
    lines = [
        f"{file}: {read.rows:,} rows, {counts.total:,} contacts in {plural(len(counts.names), 'segment')}"
        f" from {utc_minute(counts.start)} to {utc_minute(counts.end)} UTC; read in {seconds:.1f} s"
    ]
    for bad in read.bad:
        where = "row" if file.name.lower().removesuffix(".gz").endswith(PARQUET) else "line"
        lines.append(f"  {bad.rows:,} rows left out: {bad.reason} (the first is {where} {bad.line:,})")
    if read.no_zone:
        some = ", ".join(read.no_zone[:NAMES_SHOWN]) + (", ..." if len(read.no_zone) > NAMES_SHOWN else "")
        lines.append(f"  no zone is known for {zones.by} {some}: taken as UTC")
    return lines


def utc_minute(seconds: int) -> str:
    """'2024-11-12 02:22'."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"
