"""`pegel replay`: reads a file, plans, sends, and says what became of every row."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import polars as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pegel.cli.ingest import IngestAwayError, IngestClient
from pegel.cli.log import opened
from pegel.cli.replay.contacts import Contacts
from pegel.cli.replay.files import read
from pegel.cli.replay.plan import make_plan
from pegel.cli.replay.report import changes, rejections
from pegel.cli.replay.sending import Mode, Sent, send
from pegel.cli.replay.speed import Speed, parse
from pegel.cli.replay.times import instants, zone_of
from pegel.eventlog.identity import Identity, read_identity
from pegel.runtime.settings import ConfigurationError, Settings

PATIENCE_SECONDS: Final = 30.0
AGAIN: Final = "run the same command again to go on: every row has an id, nothing counts twice"


@dataclass(frozen=True, slots=True)
class Options:
    """As on the command line."""

    file: Path
    time_column: str
    zone: str | None
    columns: tuple[str, ...]
    fixed: tuple[str, ...]
    id_column: str | None
    speed: str | None
    shift: bool
    late: bool
    as_json: bool


def replay_file(settings: Settings, options: Options) -> int:
    """0 when every row was sent (rejected ones too), 1 when ingest went away, 130 after Ctrl-C.

    Raises ConfigurationError for what is wrong with the options, the file or the log.
    """
    if options.shift and options.late:
        raise ConfigurationError(["--shift and --late: give one of them"])
    speed = parse(options.speed)
    zone = zone_of(options.zone)
    identity = asyncio.run(_identity(settings))
    mode = _mode(identity, options)
    table = read(options.file)
    contacts = _contacts(table.rows, options, mode, zone, paced_by_time=speed.factor is not None)
    sent = Sent(rejected=table.unreadable)
    if table.unreadable:
        sent.reasons["the line is no JSON object"] = table.unreadable
    rows = len(contacts) + table.unreadable
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"{options.file}: {rows:,} rows", markup=False)
    for line in changes(contacts.report):
        console.print(f"  {line}", markup=False)
    code = _send(settings, contacts, identity, mode, speed, sent, console)
    for line in rejections(sent):
        console.print(f"  {line}", markup=False)
    result = {"read": rows, "accepted": sent.accepted, "rejected": sent.rejected}
    print(json.dumps(result) if options.as_json else ", ".join(f"{name} {count:,}" for name, count in result.items()))
    return code


def _contacts(
    rows: pl.DataFrame, options: Options, mode: Mode, zone: ZoneInfo | None, *, paced_by_time: bool
) -> Contacts:
    needed = mode != "shift" or paced_by_time
    plan = make_plan(
        rows.columns,
        time_column=options.time_column,
        columns=options.columns,
        fixed=options.fixed,
        id_column=options.id_column,
        time_needed=needed,
    )
    if plan.time_column is None or not needed:
        return Contacts(rows, plan, None)
    times = instants(rows[plan.time_column], zone)
    if len(times) and times.null_count() == len(times):
        example = next(iter(rows[plan.time_column].drop_nulls()), "all are empty")
        raise ConfigurationError(
            [f"--time {plan.time_column}: none is a time ({example}); ISO 8601 is read, and numbers since 1970"]
        )
    return Contacts(rows, plan, times)


def _send(
    settings: Settings,
    contacts: Contacts,
    identity: Identity,
    mode: Mode,
    speed: Speed,
    sent: Sent,
    console: Console,
) -> int:
    """The exit code; what is wrong is said on standard error."""

    def on_away(why: str | None) -> None:
        said = "takes contacts again" if why is None else f"takes nothing ({why}); trying for {PATIENCE_SECONDS:.0f} s"
        console.print(f"ingest at {settings.resolved_ingest_url} {said}", markup=False)

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"), TimeRemainingColumn())

    async def run(progress: Progress) -> None:
        task = progress.add_task("", total=len(contacts), speed="")
        before = sent.rows

        def show() -> None:
            rate = progress.tasks[0].speed
            progress.update(task, completed=sent.rows - before, speed=f"{rate:,.0f}/s" if rate else "")

        async with IngestClient(settings, patience_seconds=PATIENCE_SECONDS, on_away=on_away) as ingest:
            await send(contacts, ingest, identity.meta, mode, speed, sent, show)

    try:
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            asyncio.run(run(progress))
    except KeyboardInterrupt:
        console.print(f"interrupted after {sent.rows:,} of {len(contacts):,} rows; {AGAIN}", markup=False)
        return 130
    except IngestAwayError as error:
        console.print(f"{error}; {sent.rows:,} of {len(contacts):,} rows were sent; {AGAIN}", markup=False)
        return 1
    return 0


async def _identity(settings: Settings) -> Identity:
    async with opened(settings) as log:
        return await read_identity(log)


def _mode(identity: Identity, options: Options) -> Mode:
    """How the log takes what is past. Raises ConfigurationError where it would be late or refused, unasked."""
    if identity.meta.clock == "data":
        if options.shift or options.late:
            given = "--shift" if options.shift else "--late"
            raise ConfigurationError([f"{given}: this log is in data mode, where a file's times are its own"])
        return "data"
    if options.shift or options.late:
        return "shift" if options.shift else "late"
    raise ConfigurationError(
        [
            "this log is in wall mode (PEGEL_CLOCK=wall), where contacts of the past are late and nothing is judged:"
            " use --shift to date each contact when it is sent, --late to keep the times,"
            " or a log of its own in data mode (make run SIMULATE=0 CLOCK=data, with another PEGEL_DATA_DIR)"
        ]
    )
