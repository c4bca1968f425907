"""`pegel calendar`: events that are known beforehand, told to the judge on the stream counts."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from pegel.cli.log import opened
from pegel.cli.replay.times import zone_of
from pegel.eventlog.identity import read_identity
from pegel.eventlog.port import COUNTS, EventLog, NewRecord
from pegel.runtime.http import field_errors
from pegel.runtime.settings import ConfigurationError, Settings
from pegel.schemas.base import LogRecord
from pegel.schemas.detection import CalendarCancelRecord, CalendarRecord, Segment

MARK: Final = b'{"kind":"calendar'
EVERYTHING: Final = "*"


@dataclass(frozen=True, slots=True)
class Wanted:
    """As on the command line."""

    name: str
    segment: str
    since: str
    until: str
    tz: str | None
    factor: float | None
    paging: bool


@dataclass(frozen=True, slots=True)
class Known:
    """An event on the log. cancelled: whether it was, since."""

    record: CalendarRecord
    cancelled: bool


def add(settings: Settings, wanted: Wanted) -> int:
    """Tell an event. Raises ConfigurationError with all that is wrong, and then nothing is written."""
    return asyncio.run(_add(settings, wanted, datetime.now(UTC)))


def cancel(settings: Settings, event_id: str) -> int:
    """Tell that an event holds no more. event_id: whole, or so much of it that it is the only one."""
    return asyncio.run(_cancel(settings, event_id))


def show(settings: Settings, *, everything: bool, as_json: bool) -> int:
    """The events that are on the log; without `everything` only those that are not over and not cancelled."""
    return asyncio.run(_show(settings, everything, as_json, datetime.now(UTC)))


def line_of(text: str, dimensions: Sequence[str]) -> Segment:
    """'country=ES,topic=card*' as a glob a dimension; one that is not named is '*'. Raises ConfigurationError."""
    globs, faults = dict.fromkeys(dimensions, EVERYTHING), []
    for part in text.split(",") if text.strip() != EVERYTHING else ():
        name, equals, glob = (piece.strip() for piece in part.partition("="))
        if name not in globs or not equals or not glob:
            known = ", ".join(f"{dimension}=..." for dimension in dimensions)
            faults.append(f"--segment {text}: {part.strip() or 'nothing'} is none of {known}; '*' alone is everything")
        else:
            globs[name] = glob
    if faults:
        raise ConfigurationError(faults)
    return tuple(globs.values())


def moment(option: str, text: str, zone: ZoneInfo | None) -> datetime:
    """A time as it is given to an option. Raises ConfigurationError."""
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ConfigurationError([f"{option} {text}: is no time such as 2026-03-02T08:00+01:00"]) from None
    if at.tzinfo is None and zone is None:
        raise ConfigurationError([f"{option} {text}: has no zone; write +01:00 or Z behind it, or give --tz"])
    return (at if at.tzinfo is not None else at.replace(tzinfo=zone)).astimezone(UTC)


def record_of(wanted: Wanted, dimensions: Sequence[str], now: datetime | None) -> CalendarRecord:
    """now: of a log that goes by the wall clock. Raises ConfigurationError with all that is wrong."""
    faults: list[str] = []

    def tried(make: Any, *given: Any) -> Any:
        try:
            return make(*given)
        except ConfigurationError as error:
            faults.extend(error.faults)

    zone = tried(zone_of, wanted.tz)
    since = tried(moment, "--from", wanted.since, zone)
    until = tried(moment, "--until", wanted.until, zone)
    if since and until and until <= since:
        faults.append(f"--until {wanted.until}: is not after --from {wanted.since}")
    elif until and now and until <= now:
        faults.append(f"--until {wanted.until}: is over")
    if (wanted.factor is None) == wanted.paging:
        faults.append("give either --factor, what is expected is multiplied with, or --no-paging")
    line = tried(line_of, wanted.segment, dimensions)
    if faults:
        raise ConfigurationError(faults)
    paging = None if wanted.paging else False
    fields = {"name": wanted.name, "line": line, "since": since, "until": until, "factor": wanted.factor}
    try:
        return CalendarRecord.model_validate({"id": str(uuid4()), "paging": paging, **fields})
    except ValidationError as error:
        errors = field_errors(error.errors(include_url=False))
        raise ConfigurationError([f"{fault.field}: {fault.reason}" for fault in errors]) from None


async def known(log: EventLog) -> list[Known]:
    """All events on the log, in the order in which they were told; a repeated one once."""
    events: dict[str, CalendarRecord] = {}
    cancelled: set[str] = set()
    async for value in _values(log):
        record = _read(value)
        if isinstance(record, CalendarRecord):
            events.setdefault(record.id, record)
        elif isinstance(record, CalendarCancelRecord):
            cancelled.add(record.cancels)
    return [Known(record, name in cancelled) for name, record in events.items()]


async def _values(log: EventLog) -> AsyncIterator[bytes]:
    bounds = (await log.bounds(COUNTS))[0]
    reader = log.reader(COUNTS, {0: bounds.begin})
    try:
        while reader.positions()[0] < bounds.end:
            for records in (await reader.fetch(max_records=1000)).values():
                for record in records:
                    if record.value.startswith(MARK):
                        yield record.value
    finally:
        await reader.close()


def _read(value: bytes) -> LogRecord | None:
    """None for what no version of ours wrote: the judge has quarantined it."""
    for model in (CalendarRecord, CalendarCancelRecord):
        try:
            return model.decode(value)
        except ValidationError:
            continue
    return None


async def _add(settings: Settings, wanted: Wanted, now: datetime) -> int:
    async with opened(settings) as log:
        meta = (await read_identity(log)).meta
        record = record_of(wanted, meta.dimensions, now if meta.clock == "wall" else None)
        await log.append(COUNTS, 0, [NewRecord(record.encode())])
    print(f"{record.id}  {sentence(record, meta.dimensions)}")
    return 0


async def _cancel(settings: Settings, event_id: str) -> int:
    async with opened(settings) as log:
        meta = (await read_identity(log)).meta
        found = [its for its in await known(log) if its.record.id.startswith(event_id)] if event_id else []
        if len(found) != 1:
            why = "is the beginning of several ids" if found else "is no event on this log; `pegel calendar list --all`"
            raise ConfigurationError([f"{event_id or 'nothing'}: {why}"])
        record = found[0].record
        if found[0].cancelled:
            raise ConfigurationError([f"{record.id}: is cancelled already"])
        told = CalendarCancelRecord(id=str(uuid4()), cancels=record.id)
        await log.append(COUNTS, 0, [NewRecord(told.encode())])
    print(f"cancelled from the next bucket on: {sentence(record, meta.dimensions)}")
    return 0


async def _show(settings: Settings, everything: bool, as_json: bool, now: datetime) -> int:
    async with opened(settings) as log:
        meta = (await read_identity(log)).meta
        events = await known(log)
    at = now if meta.clock == "wall" else None
    rows = [(its.record, state_of(its, at)) for its in events]
    rows = [row for row in rows if everything or row[1] not in {"over", "cancelled"}]
    if as_json:
        items = [{**json.loads(record.encode()), "state": state} for record, state in rows]
        print(json.dumps({"items": items}, ensure_ascii=False))
        return 0
    for record, state in rows:
        print(f"{record.id}  {state:<9}  {sentence(record, meta.dimensions)}")
    if not rows:
        print("no event is planned" if not everything else "no event is on this log", file=sys.stderr)
    return 0


def state_of(event: Known, now: datetime | None) -> str:
    """planned, holds, over or cancelled; `told` where no wall clock says more."""
    if event.cancelled:
        return "cancelled"
    if now is None:
        return "told"
    return "planned" if now < event.record.since else "holds" if now < event.record.until else "over"


def sentence(record: CalendarRecord, dimensions: Sequence[str]) -> str:
    """One line: what, where, when, and what it does."""
    named = [f"{name}={glob}" for name, glob in zip(dimensions, record.line, strict=False) if glob != EVERYTHING]
    does = "no paging" if record.factor is None else f"{record.factor:g} times as many contacts expected"
    span = " to ".join(f"{at.astimezone(UTC):%Y-%m-%d %H:%M}" for at in (record.since, record.until))
    name = "".join(character if character.isprintable() else " " for character in record.name)
    return f"{name}: {', '.join(named) or 'everything'}, {span} UTC, {does}"
