"""`pegel log`: the facts of a log as tables, or as one JSON object (docs/operations.md tells its fields)."""

import asyncio
import json
import sys
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pegel.cli.log import opened
from pegel.cli.log_facts import Facts, ReaderFacts, gather
from pegel.runtime.settings import Settings

WIDTH = 100


def show(settings: Settings, *, as_json: bool) -> int:
    """Print what there is; 1 when something stops a service. Raises ConfigurationError where there is no log."""
    facts = asyncio.run(_gather(settings))
    faults = list(facts.faults())
    if as_json:
        print(json.dumps(_document(facts, settings.resolved_log_url, faults)))
        return 1 if faults else 0
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    meta = facts.identity.meta
    console.print(Text(f"log {meta.log_id}, {settings.resolved_log_url}"))
    console.print(
        Text(
            f"made {_time(facts.identity.made_at_ms)} UTC: {meta.clock} clock, buckets of {meta.bucket_seconds} s,"
            f" delay {meta.delay_seconds} s, {meta.partitions} partitions, dimensions {', '.join(meta.dimensions)}"
        )
    )
    for table in _tables(facts):
        if table.row_count:
            console.print()
            console.print(table)
    if facts.database.fault:
        console.print(Text(f"\nThe alerter's positions are not known: {facts.database.fault}"))
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


async def _gather(settings: Settings) -> Facts:
    async with opened(settings) as log:
        return await gather(log, settings)


def _tables(facts: Facts) -> list[Table]:
    streams = _table("stream", ">begin", ">end", "newest record (UTC)", "")
    for part in facts.partitions:
        newest = _ago(part.newest_ms, facts.now_ms)
        streams.add_row(f"{part.stream}/{part.partition}", f"{part.begin:,}", f"{part.end:,}", *newest)
    readers = _table("reader", "of", ">position", ">lag", "as of (UTC)", "", "known from")
    for reader in facts.readers:
        at, lag = reader.reads_from, _lag(facts, reader)
        position = "not known" if at is None else f"{at:,}" if reader.begun else "not begun"
        readers.add_row(
            reader.reader,
            f"{reader.stream}/{reader.partition}",
            position,
            "" if lag is None else f"{lag:,}",
            *_ago(reader.as_of_ms, facts.now_ms),
            reader.known_from if reader.position is not None else "",
        )
    writers = _table("writer", ">epoch", "claimed (UTC)", "", "owner")
    for writer in facts.writers:
        writers.add_row(writer.producer, f"{writer.epoch:,}", *_ago(writer.claimed_ms, facts.now_ms), writer.owner)
    snapshots = _table("snapshot", ">at", "saved (UTC)", "", ">size", "version")
    for saved in facts.snapshots:
        snapshots.add_row(
            saved.producer,
            f"{saved.offset:,}",
            *_ago(saved.saved_ms, facts.now_ms),
            _size(saved.size_bytes),
            saved.version,
        )
    accepted = _table("accepted loss", ">below", "accepted (UTC)", "by", "reason")
    for loss in facts.losses:
        accepted.add_row(
            f"{loss.record.stream}/{loss.record.partition}",
            f"{loss.record.before:,}",
            _time(loss.time_ms),
            loss.record.accepted_by or "",
            Text(loss.record.reason),
        )
    return [streams, readers, writers, snapshots, accepted]


def _table(*columns: str) -> Table:
    """Columns of numbers begin with '>'."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        table.add_column(name.removeprefix(">"), justify="right" if name.startswith(">") else "left", overflow="fold")
    return table


def _document(facts: Facts, url: str, faults: list[str]) -> dict[str, object]:
    meta = facts.identity.meta
    return {
        "as_of": _iso(facts.now_ms),
        "log": {
            "url": url,
            "log_id": meta.log_id,
            "made_at": _iso(facts.identity.made_at_ms),
            "clock": meta.clock,
            "bucket_seconds": meta.bucket_seconds,
            "delay_seconds": meta.delay_seconds,
            "partitions": meta.partitions,
            "dimensions": list(meta.dimensions),
        },
        "streams": [
            {
                "stream": part.stream,
                "partition": part.partition,
                "begin": part.begin,
                "end": part.end,
                "newest_at": _iso(part.newest_ms),
            }
            for part in facts.partitions
        ],
        "readers": [
            {
                "reader": reader.reader,
                "stream": reader.stream,
                "partition": reader.partition,
                "position": reader.position,
                "lag": _lag(facts, reader),
                "known_from": reader.known_from if reader.position is not None else None,
                "as_of": _iso(reader.as_of_ms),
            }
            for reader in facts.readers
        ],
        "writers": [
            {
                "producer": writer.producer,
                "epoch": writer.epoch,
                "owner": writer.owner,
                "claimed_at": _iso(writer.claimed_ms),
            }
            for writer in facts.writers
        ],
        "snapshots": [
            {
                "producer": saved.producer,
                "offset": saved.offset,
                "saved_at": _iso(saved.saved_ms),
                "age_seconds": round((facts.now_ms - saved.saved_ms) / 1000, 3),
                "size_bytes": saved.size_bytes,
                "position": saved.position,
                "version": saved.version,
            }
            for saved in facts.snapshots
        ],
        "accepted_losses": [
            {
                "stream": loss.record.stream,
                "partition": loss.record.partition,
                "before": loss.record.before,
                "reason": loss.record.reason,
                "accepted_by": loss.record.accepted_by,
                "accepted_at": _iso(loss.time_ms),
                "id": loss.record.id,
            }
            for loss in facts.losses
        ],
        "database_fault": facts.database.fault,
        "faults": faults,
    }


def _lag(facts: Facts, reader: ReaderFacts) -> int | None:
    """Records that are there and not read yet; None when that is not known."""
    begin, end = facts.bounds(reader.stream, reader.partition)
    return None if reader.reads_from is None else max(end - max(reader.reads_from, begin), 0)


def _moment(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)


def _iso(time_ms: int | None) -> str | None:
    return None if time_ms is None else _moment(time_ms).isoformat(timespec="milliseconds")


def _time(time_ms: int) -> str:
    return f"{_moment(time_ms):%Y-%m-%d %H:%M:%S}"


def _ago(time_ms: int | None, now_ms: int) -> tuple[str, str]:
    """When, and how long ago in the largest fitting unit."""
    if time_ms is None:
        return "", ""
    seconds = max(now_ms - time_ms, 0) / 1000
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return _time(time_ms), f"{seconds / size:.0f} {unit} ago"
    return _time(time_ms), f"{seconds:.0f} s ago"


def _size(size_bytes: int) -> str:
    for size, unit in ((1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")):
        if size_bytes >= size:
            return f"{size_bytes / size:.1f} {unit}"
    return f"{size_bytes} B"
