"""What an undisturbed run would have said, stage by stage, of what a disturbed one left; and where the two differ.

Counts are recomputed from contacts, windows from counts, effects (incidents, pages, ledger) from windows: each stage by
the product's own pure parts, from the beginning, over what stands in the log. Outputs are compared by id and content,
all but the epoch. Everything here reads; nothing waits.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import select
from sqlalchemy.engine import RowMapping

from pegel.alerter.app import booked_of
from pegel.alerter.database import Database, migrate
from pegel.alerter.database.tables import (
    cost_hours,
    incidents,
    ledger_cut,
    ledger_entries,
    outbox,
    spikes,
    transitions,
)
from pegel.alerter.incidents.pipeline.rising import Rising
from pegel.alerter.ledger.adapters.file import FilePriceBook
from pegel.alerter.ledger.adapters.sql import SqlLedger
from pegel.alerter.ledger.pipeline import Booking
from pegel.alerter.ownership.adapters.file import FileOwnerRules
from pegel.alerter.settings import source
from pegel.alerter.windows.buckets import Assembler
from pegel.detector.counter.domain import counting
from pegel.detector.counter.domain.counting import PartitionCounter
from pegel.detector.judge.domain import judging
from pegel.detector.judge.domain.judging import Judge
from pegel.detector.judge.domain.models.kernel import Kernel
from pegel.detector.judge.domain.seasons import Zones
from pegel.eventlog.fencing import Fence, head
from pegel.eventlog.identity import Identity
from pegel.eventlog.port import CONTACTS, COUNTS, REJECTED, WINDOWS, EventLog, Record
from pegel.runtime.settings import Settings
from pegel.runtime.zones import zone_of_country
from pegel.schemas.base import LogRecord

COUNTED: Final = (COUNTS, REJECTED)
"""Streams that counters write, and how those read them find what is theirs."""
SHOWN_MAX: Final = 5
"""Differences of one kind that are told in full."""


class Output(NamedTuple):
    """An output as readers take it. content: the record's JSON but the epoch."""

    producer: str
    id: tuple[int, int]
    content: dict[str, Any]


Outputs = Mapping[str, Sequence[Output]]
"""Of one stream, by producer, in order."""


async def read(log: EventLog, stream: str) -> dict[int, list[Record]]:
    """A stream as it stands, whole, by partition."""
    bounds = await log.bounds(stream)
    found: dict[int, list[Record]] = {partition: [] for partition in bounds}
    reader = log.reader(stream, {partition: bound.begin for partition, bound in bounds.items()})
    try:
        while any(reader.positions()[partition] < bound.end for partition, bound in bounds.items()):
            for partition, records in (await reader.fetch()).items():
                found[partition] += [record for record in records if record.offset < bounds[partition].end]
    finally:
        await reader.close()
    return found


def output_of(value: bytes) -> Output | None:
    """The record as an output; None when it is none (a claim, a contact, what ingest writes to rejected)."""
    try:
        content = json.loads(value)
        origin = content["origin"]
        producer, output_id = origin["producer"], (origin["offset"], origin["place"])
        del origin["epoch"]
    except (ValueError, KeyError, TypeError):
        return None
    return Output(producer, output_id, content)


def accepted(records: Iterable[Record]) -> Outputs:
    """What readers take of a stream's one partition: nothing of a lower epoch than claimed, nothing twice."""
    fence = Fence()
    found: dict[str, list[Output]] = defaultdict(list)
    for record in records:
        try:
            its = head(record.value)
        except msgspec.DecodeError:
            continue
        if its.kind == "claim" and its.producer is not None and its.epoch is not None:
            fence.claim(its.producer, its.epoch)
        elif its.origin is not None:
            output = output_of(record.value)
            if output is not None and fence.passes(its.origin.producer, its.origin.epoch, output.id):
                found[output.producer].append(output)
    return found


def _made(outputs: Iterable[LogRecord]) -> Iterable[Output]:
    for output in outputs:
        made = output_of(output.encode())
        assert made is not None, f"{output.kind} has no origin"
        yield made


# --- the stages --------------------------------------------------------------------------------------------------


def counting_rules(identity: Identity, settings: Settings) -> counting.Rules:
    """The counter's rules, as its composition root makes them."""
    meta = identity.meta
    return counting.Rules(
        clock=meta.clock,
        bucket_seconds=meta.bucket_seconds,
        delay_seconds=meta.delay_seconds,
        dimensions=meta.dimensions,
        made_at_ms=identity.made_at_ms,
        horizon_hours=settings.dedup_horizon_hours,
    )


def judging_rules(identity: Identity, settings: Settings) -> judging.Rules:
    """The judge's rules, as its composition root makes them."""
    meta = identity.meta
    return judging.Rules(
        clock=meta.clock,
        bucket_seconds=meta.bucket_seconds,
        delay_seconds=meta.delay_seconds,
        partitions=meta.partitions,
        dimensions=meta.dimensions,
        made_at_ms=identity.made_at_ms,
        max_segments=settings.max_segments,
        false_pages_per_week=settings.false_pages_per_week,
    )


def detector_maker(identity: Identity, settings: Settings) -> Callable[[], Any]:
    """Makes fresh detectors of the model of the settings."""
    dimensions = identity.meta.dimensions
    country_at = dimensions.index("country") if "country" in dimensions else None
    return partial(Kernel, identity.meta.bucket_seconds, Zones(zone_of_country(settings.zones), country_at))


def counts_of(contacts: Mapping[int, Sequence[Record]], rules: counting.Rules) -> dict[str, Outputs]:
    """Stage 1: what counters that were never disturbed write of these contacts, by stream."""
    found: dict[str, dict[str, list[Output]]] = {stream: {} for stream in COUNTED}
    for number, records in contacts.items():
        counter = PartitionCounter(number, 0, rules)
        outputs = counter.apply([counting.In(r.offset, r.time_ms, r.key, r.value) for r in records])
        for output in _made(outputs):
            stream = REJECTED if output.content["kind"] == "rejected" else COUNTS
            found[stream].setdefault(output.producer, []).append(output)
    return dict(found)


def windows_of(counts: Sequence[Record], rules: judging.Rules, make_detector: Callable[[], Any]) -> dict[str, Outputs]:
    """Stage 2: what a judge that was never disturbed writes of these counts, by stream."""
    judge = Judge(rules, 0, make_detector, Fence())
    found: dict[str, dict[str, list[Output]]] = {WINDOWS: {}, REJECTED: {}}
    for output in _made(judge.apply(counts)):
        stream = REJECTED if output.content["kind"] == "rejected" else WINDOWS
        found[stream].setdefault(output.producer, []).append(output)
    return dict(found)


class Effects(NamedTuple):
    """What the alerter made of windows: rows by table, as sorted JSON, without what its own clock and ids are."""

    rows: dict[str, list[str]]


_CLOCKS: Final = {
    "outbox": ("id", "state", "written_at", "due_at", "attempts", "said", "sent_at"),
    "transitions": ("id",),
    "incidents": ("page",),
    "ledger_cut": ("producers",),
}
"""Columns that an undisturbed run may have otherwise: numbers of rows, times of the alerter's own clock, attempts."""


def effects_in(database: Database, *, but: Collection[str] = ()) -> Effects:
    """Stage 3 as it stands in a database. but: further columns to leave out."""
    rows: dict[str, list[str]] = {}
    with database.read() as connection:
        for table in (incidents, spikes, transitions, outbox, ledger_entries, cost_hours, ledger_cut):
            out = {*_CLOCKS.get(table.name, ()), *but}
            found = [_plain(row, out) for row in connection.execute(select(table)).mappings()]
            rows[table.name] = sorted(found)
    return Effects(rows)


def effects_of(windows: Sequence[Record], identity: Identity, settings: Settings, folder: Path) -> Effects:
    """Stage 3: what an alerter that was never disturbed makes of these windows. folder: for its database."""
    path = folder / "undisturbed.sqlite"
    path.unlink(missing_ok=True)
    url = f"sqlite:///{path}"
    migrate(url)
    database = Database(url)
    owners = FileOwnerRules(source(settings.config_dir, "ownership.yaml"), settings.segment_dimensions)
    prices = FilePriceBook(source(settings.config_dir, "prices.yaml"), settings.currency)
    real = ("webhook",) if settings.webhook_url else ()
    rising = Rising(
        owners,
        settings.segment_dimensions,
        identity.meta.clock,
        real=real,
        local=("terminal",),
        booked=booked_of,
        currency=settings.currency,
    )
    booking = Booking(SqlLedger, owners, prices)
    try:
        with database.write() as connection:
            for bucket in Assembler({}, ("window", "spike")).take(windows):
                now = datetime.fromtimestamp(bucket.time_ms / 1000, UTC)
                for effect in (rising, booking):
                    effect(connection, [bucket], now)
        return effects_in(database)
    finally:
        database.close()


def _plain(row: RowMapping, out: Collection[str]) -> str:
    values = {name: value for name, value in row.items() if name not in out}
    for name, value in values.items():
        if isinstance(value, str) and name in ("record", "cell", "segment"):
            values[name] = json.loads(value)
            if name == "record":
                values[name].get("origin", {}).pop("epoch", None)
    return json.dumps(values, default=str, sort_keys=True)


# --- where they differ -------------------------------------------------------------------------------------------


def differences(stream: str, expected: Outputs, found: Outputs, *, whole: bool, but: Collection[str] = ()) -> list[str]:
    """Differences of one stream, by producer; none when all is well.

    whole: all that is expected must be there; else `found` may end earlier. but: fields that are not compared.
    """
    told: list[str] = []
    for producer in sorted(expected.keys() | found.keys()):
        wanted, stands = expected.get(producer, ()), found.get(producer, ())
        name = f"{stream} of {producer}"
        unlike = 0
        for mine, its in zip(wanted, stands, strict=False):
            if mine.id != its.id:
                told.append(f"{name}: after {unlike} differences id {its.id} stands where {mine.id} is expected")
                break
            if _but(mine.content, but) != _but(its.content, but):
                unlike += 1
                if unlike <= SHOWN_MAX:
                    told.append(f"{name}: {its.id} says {_unlike(its.content, mine.content)}")
        else:
            if len(stands) > len(wanted):
                told.append(f"{name}: {len(stands) - len(wanted)} outputs too many, from {stands[len(wanted)].id}")
            elif whole and len(stands) < len(wanted):
                told.append(f"{name}: {len(wanted) - len(stands)} outputs are missing, from {wanted[len(stands)].id}")
        if unlike > SHOWN_MAX:
            told.append(f"{name}: and {unlike - SHOWN_MAX} more that differ")
    return told


def differences_of_effects(expected: Effects, found: Effects) -> list[str]:
    """Differences of the alerter's tables, a row each."""
    told: list[str] = []
    for table, wanted in expected.rows.items():
        stands = found.rows[table]
        missing, more = _less(wanted, stands), _less(stands, wanted)
        for what, rows in (("is missing", missing), ("is too many", more)):
            told += [f"{table}: {what}: {row}" for row in rows[:SHOWN_MAX]]
            if len(rows) > SHOWN_MAX:
                told.append(f"{table}: {len(rows)} rows in all: {what}")
    return told


def lost(acknowledged: Collection[tuple[str, str]], contacts: Mapping[int, Sequence[Record]]) -> list[str]:
    """Contacts, by source and event_id, that ingest acknowledged and the log has not."""
    there = set()
    for records in contacts.values():
        for record in records:
            if record.value.startswith(b'{"kind":"contact"'):
                its = json.loads(record.value)
                there.add((its["source"], its["event_id"]))
    gone = sorted(set(acknowledged) - there)
    return [f"{len(gone)} acknowledged contacts are not in the log, {gone[0]} is the first"] if gone else []


def last_id(outputs: Outputs, producer: str) -> tuple[int, int]:
    """The highest id of a producer; (-1, -1) when it has said nothing."""
    its = outputs.get(producer, ())
    return its[-1].id if its else (-1, -1)


async def differences_of_log(
    log: EventLog, identity: Identity, settings: Settings, *, whole: bool = True, but: Collection[str] = ()
) -> list[str]:
    """Stages 1 and 2 over a log as it stands. whole: it was drained, so nothing may be missing."""
    # What is read later holds at least all that led to what was read before.
    streams = {stream: (await read(log, stream))[0] for stream in (WINDOWS, REJECTED, COUNTS)}
    contacts = await read(log, CONTACTS)
    counted = counts_of(contacts, counting_rules(identity, settings))
    judged = windows_of(streams[COUNTS], judging_rules(identity, settings), detector_maker(identity, settings))
    expected: dict[str, Outputs] = {
        COUNTS: counted[COUNTS],
        REJECTED: {**counted[REJECTED], **judged[REJECTED]},
        WINDOWS: judged[WINDOWS],
    }
    told = []
    for stream, outputs in expected.items():
        told += differences(stream, outputs, accepted(streams[stream]), whole=whole, but=but)
    return told


def _but(content: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name not in names} if names else content


def _unlike(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    """The fields that differ, shortly."""
    names = [name for name in {**found, **wanted} if found.get(name) != wanted.get(name)]
    return ", ".join(f"{name}={found.get(name)!r:.200} and not {wanted.get(name)!r:.200}" for name in names)


def _less(rows: Sequence[str], others: Sequence[str]) -> list[str]:
    """Rows that are not among the others, each as often as it stands."""
    left: dict[str, int] = defaultdict(int)
    for row in others:
        left[row] += 1
    found = []
    for row in rows:
        if left[row]:
            left[row] -= 1
        else:
            found.append(row)
    return found
