"""The commands and their options. What a command does is imported when it is called, so that `pegel --help` is fast.

Exit codes: 0 good, 1 a check found something or something failed, 2 usage or configuration, 130 interrupted.
"""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

app = typer.Typer(
    name="pegel",
    help="Early warning for spikes of customer contacts, and the ledger of what they cost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
streams = typer.Typer(no_args_is_help=True, help="The streams of the log.")
app.add_typer(streams, name="streams")
log = typer.Typer(help="The log: what it is, who reads and writes it and how far; `pegel log` alone shows it.")
app.add_typer(log, name="log")
calendar = typer.Typer(no_args_is_help=True, help="Events that are known beforehand: campaigns, planned maintenance.")
app.add_typer(calendar, name="calendar")


class ServiceName(StrEnum):
    """The services, in the order of the data's way."""

    INGEST = "ingest"
    DETECTOR = "detector"
    ALERTER = "alerter"
    DASHBOARD = "dashboard"


class Half(StrEnum):
    """The halves of the detector."""

    COUNTER = "counter"
    JUDGE = "judge"


class ReadStream(StrEnum):
    """The streams that are read from a position."""

    CONTACTS = "contacts"
    REJECTED = "rejected"
    COUNTS = "counts"
    WINDOWS = "windows"
    LINKED = "linked"


class Verdict(StrEnum):
    """What a page was."""

    REAL = "real"
    NOT_USEFUL = "not-useful"
    NEW_NORMAL = "new-normal"


class RoleName(StrEnum):
    """What a token may do."""

    SOURCE = "source"
    VIEWER = "viewer"
    RESPONDER = "responder"
    ADMIN = "admin"


EndWithStdin = Annotated[bool, typer.Option("--end-with-stdin", hidden=True, help="Stop when standard input ends.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


def main() -> NoReturn:
    """Run a command and end the process with its exit code."""
    try:
        app()
    except Exception as error:
        from pegel.runtime.settings import ConfigurationError

        if not isinstance(error, ConfigurationError):
            raise
        for fault in error.faults:
            print(fault, file=sys.stderr)
        sys.exit(2)
    sys.exit(0)


@app.command()
def serve(
    names: Annotated[
        list[ServiceName] | None, typer.Argument(metavar="[SERVICE]...", help="Which; all when none is named.")
    ] = None,
    only: Annotated[Half | None, typer.Option(help="One half of the detector.")] = None,
    end_with_stdin: EndWithStdin = False,
) -> None:
    """Serve ingest, detector, alerter, dashboard, or some of them, in this process."""
    from pegel.cli.serve import serve_named
    from pegel.runtime.settings import load

    chosen = [name.value for name in dict.fromkeys(names or ServiceName)]
    half = None if only is None else only.value
    if half is not None and chosen != [ServiceName.DETECTOR]:
        raise typer.BadParameter("goes with `pegel serve detector` alone", param_hint="--only")
    raise typer.Exit(serve_named(load(), chosen, half, end_with_stdin=end_with_stdin))


@app.command()
def run(
    simulate: Annotated[
        bool, typer.Option("--simulate/--no-simulate", help="A simulated bank, with data of its own in DATA_DIR/demo.")
    ] = True,
) -> None:
    """Start everything on this machine, a process a service, and stay in the foreground."""
    from pegel.cli.supervisor.app import run_all
    from pegel.runtime.settings import load

    raise typer.Exit(run_all(load(), simulate=simulate))


@app.command()
def replay(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="CSV, NDJSON or Parquet, gzipped or not.")
    ],
    time: Annotated[str, typer.Option(metavar="COL", help="Column of the contacts' times.")] = "occurred_at",
    tz: Annotated[str | None, typer.Option(metavar="ZONE", help="Zone of times that have none: Europe/Madrid.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=COL", help="Take a field (attributes.NAME too) from a column of another name."),
    ] = None,
    fixed: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="One value of a field for all rows.")
    ] = None,
    id_column: Annotated[
        str | None, typer.Option("--id", metavar="COL", help="Column of ids; without one they are made of the content.")
    ] = None,
    speed: Annotated[
        str | None, typer.Option(metavar="3000/s|60x", help="Contacts a second, or a multiple of real time.")
    ] = None,
    shift: Annotated[bool, typer.Option("--shift", help="Wall mode: date each contact when it is sent.")] = False,
    late: Annotated[bool, typer.Option("--late", help="Wall mode: keep the times; what is past comes late.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Last line: {read, accepted, rejected}.")] = False,
) -> None:
    """Feed a file of past contacts through the running services."""
    from pegel.cli.replay.app import Options, replay_file
    from pegel.runtime.settings import load

    options = Options(
        file=file,
        time_column=time,
        zone=tz,
        columns=tuple(column or ()),
        fixed=tuple(fixed or ()),
        id_column=id_column,
        speed=speed,
        shift=shift,
        late=late,
        as_json=as_json,
    )
    raise typer.Exit(replay_file(load(), options))


@app.command()
def backtest(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="CSV, NDJSON or Parquet, gzipped or not.")
    ],
    time: Annotated[
        str | None, typer.Option(metavar="COL", help="Column of times; occurred_at, ts or time when there is one.")
    ] = None,
    segment: Annotated[
        str, typer.Option(metavar="COL,COL", help="Columns that make a segment; '': all is one.")
    ] = "country,topic",
    count: Annotated[
        str | None, typer.Option(metavar="COL", help="Column of counts; without one a row is one contact.")
    ] = None,
    tz: Annotated[str | None, typer.Option(metavar="ZONE", help="Local time of all: Europe/Madrid.")] = None,
    tz_by: Annotated[
        str | None, typer.Option(metavar="COL", help="Local time by a column of the segment: its countries, or zones.")
    ] = None,
    bucket: Annotated[str, typer.Option(metavar="5m", help="The smallest interval counted.")] = "5m",
    holidays: Annotated[
        str, typer.Option(metavar="auto|none|FILE", help="By the country, none, or a CSV of date and maybe country.")
    ] = "auto",
    events: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            metavar="CSV",
            help="Campaigns and maintenance: name, segment, from, until, factor (empty: no paging).",
        ),
    ] = None,
    false_pages_per_week: Annotated[
        float, typer.Option(help="How many false pages a week are accepted, in all.")
    ] = 5.0,
    history: Annotated[str, typer.Option(metavar="28d", help="From the beginning: learnt, not judged.")] = "28d",
    scores: Annotated[Path | None, typer.Option(metavar="CSV", help="Write every line's scores; .gz too.")] = None,
    alarms: Annotated[Path | None, typer.Option(metavar="CSV", help="Write the pages; .gz too.")] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="HTML", help="Write what would have paged, with charts.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, metavar="CSV", help="What is known to have happened: segment, onset, end."
        ),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Several times: side by side; files are of the first.")
    ] = None,
    prices: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, metavar="YAML", help="prices.yaml, for the report.")
    ] = None,
) -> None:
    """What would have paged, and when, on a file of past contacts or counts."""
    from pegel.cli.backtest.app import Options, backtest_file
    from pegel.runtime.settings import load

    options = Options(
        file=file,
        time=time,
        segment=segment,
        count=count,
        tz=tz,
        tz_by=tz_by,
        bucket=bucket,
        holidays=holidays,
        events=events,
        false_pages_per_week=false_pages_per_week,
        history=history,
        scores=scores,
        alarms=alarms,
        report=report,
        labels=labels,
        prices=prices,
        models=tuple(model or ()),
    )
    raise typer.Exit(backtest_file(load(), options))


@app.command("warm-start")
def warm_start(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="CSV, NDJSON or Parquet, gzipped or not.")
    ],
    time: Annotated[
        str | None, typer.Option(metavar="COL", help="Column of times; occurred_at, ts or time when there is one.")
    ] = None,
    segment: Annotated[
        str | None,
        typer.Option(metavar="COL,COL", help="Columns of the log's dimensions, in order, or DIMENSION=COL."),
    ] = None,
    count: Annotated[
        str | None, typer.Option(metavar="COL", help="Column of counts; without one a row is one contact.")
    ] = None,
    tz: Annotated[str | None, typer.Option(metavar="ZONE", help="Zone of times that have none: Europe/Madrid.")] = None,
    tz_by: Annotated[
        str | None, typer.Option(metavar="COL", help="Zone by a column of the segment: its countries, or zones.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="The log has a history: learn anew from this one.")] = False,
) -> None:
    """Give the running services a past to learn from, so that the first live day has a baseline of weeks."""
    from pegel.cli.warm_start.app import Options
    from pegel.cli.warm_start.app import warm_start as give
    from pegel.runtime.settings import load

    options = Options(file=file, time=time, segment=segment, count=count, tz=tz, tz_by=tz_by, again=again)
    raise typer.Exit(give(load(), options))


@app.command()
def promote(
    model: Annotated[str, typer.Argument(help="pegel, or a challenger: river.anomaly.GaussianScorer.")],
    since: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="With its zone: 2026-03-02T09:00Z; default: now.")
    ] = None,
    unheard: Annotated[bool, typer.Option("--unheard", help="Though it has given no score lately.")] = False,
) -> None:
    """Let another model page; the one before runs on beside it."""
    from pegel.cli.promote import promote as write
    from pegel.runtime.settings import load

    raise typer.Exit(write(load(), model, since, unheard=unheard))


@app.command()
def simulate(
    seed: Annotated[int, typer.Option(help="Which bank; the same number gives the same one.")] = 1,
    weeks: Annotated[int, typer.Option(min=1, max=12, help="Weeks of history to learn from.")] = 5,
    failing_minutes: Annotated[
        int, typer.Option(min=0, help="How long the cash machines in Spain fail; 0: not at all.")
    ] = 25,
    end_with_stdin: EndWithStdin = False,
) -> None:
    """A simulated bank: weeks of history, then contacts as they come, and failing cash machines in Spain."""
    from pegel.cli.simulate.app import Options, simulate_bank
    from pegel.runtime.settings import load

    options = Options(seed=seed, weeks=weeks, failing_minutes=failing_minutes, end_with_stdin=end_with_stdin)
    raise typer.Exit(simulate_bank(load(), options))


@app.command()
def feedback(
    incident: Annotated[str, typer.Argument(help="Its id, as in the API and on the dashboard.")],
    verdict: Annotated[Verdict | None, typer.Argument(help="What its newest page was.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take back what was said last.")] = False,
    by: Annotated[str | None, typer.Option(metavar="TEAM", help="Who says so; else the incident's owner.")] = None,
) -> None:
    """Say what a page was: real, not useful (its bar is raised), or the new normal (it is learnt at once)."""
    from pegel.cli.feedback import give
    from pegel.runtime.settings import load

    if (verdict is None) is not undo:
        raise typer.BadParameter("give a verdict, or --undo", param_hint="VERDICT")
    raise typer.Exit(give(load(), incident, "undo" if verdict is None else verdict.value.replace("-", "_"), by))


@app.command()
def audit(as_json: Json = False) -> None:
    """Compare contacts, windows and ledger; exit code 1 when they differ."""
    from pegel.cli.audit import audit as compare
    from pegel.runtime.settings import load

    raise typer.Exit(compare(load(), as_json))


@streams.command("create")
def streams_create() -> None:
    """Make the streams that are missing, with their partitions and retention."""
    from pegel.cli.streams import create
    from pegel.runtime.settings import load

    raise typer.Exit(create(load()))


@log.callback(invoke_without_command=True)
def log_alone(context: typer.Context, as_json: Json = False) -> None:
    """The log: what it is, who reads and writes it and how far; `pegel log` alone shows it."""
    if context.invoked_subcommand is None:
        log_show(as_json)


@log.command("show")
def log_show(as_json: Json = False) -> None:
    """Identity, bounds of every stream, positions, lag, epochs, snapshots, accepted losses.

    Exit code 1 when something in it stops a service.
    """
    from pegel.cli.log_show import show
    from pegel.runtime.settings import load

    raise typer.Exit(show(load(), as_json=as_json))


@log.command("accept-loss")
def log_accept_loss(
    stream: Annotated[ReadStream, typer.Argument(help="Of what records are gone.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept, and shown with every audit.")],
    partition: Annotated[int | None, typer.Option(min=0, help="One partition; all when none is named.")] = None,
    accepted_by: Annotated[str | None, typer.Option("--by", help="The team or duty that decides.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Go on without records that the log has no more: a service whose position they were stops until this is said."""
    from pegel.cli.log_loss import accept_loss
    from pegel.runtime.settings import load

    def confirmed() -> bool | None:
        if yes or not sys.stdin.isatty():
            return True if yes else None
        return typer.confirm("Accept that these are lost?")

    raise typer.Exit(accept_loss(load(), stream.value, partition, reason, accepted_by=accepted_by, confirmed=confirmed))


@calendar.command("add")
def calendar_add(
    name: Annotated[str, typer.Argument(help="As it is told in pages: 'Spring campaign'.")],
    segment: Annotated[
        str,
        typer.Option(metavar="country=ES,topic=card*", help="Globs by dimension; what is not named: all; '*': all."),
    ],
    since: Annotated[str, typer.Option("--from", metavar="TIME", help="2026-03-02T08:00+01:00, or local with --tz.")],
    until: Annotated[str, typer.Option(metavar="TIME", help="Exclusive.")],
    tz: Annotated[str | None, typer.Option(metavar="ZONE", help="Zone of times that have none: Europe/Madrid.")] = None,
    factor: Annotated[float | None, typer.Option(help="What is expected is multiplied with it.")] = None,
    no_paging: Annotated[bool, typer.Option("--no-paging", help="Nobody is paged, whatever comes.")] = False,
) -> None:
    """Plan an event: what is expected is multiplied, or nobody is paged; what comes meanwhile is not learnt."""
    from pegel.cli.calendar import Wanted, add
    from pegel.runtime.settings import load

    raise typer.Exit(add(load(), Wanted(name, segment, since, until, tz, factor, not no_paging)))


@calendar.command("list")
def calendar_list(
    everything: Annotated[bool, typer.Option("--all", help="Those that are over or cancelled too.")] = False,
    as_json: Json = False,
) -> None:
    """The events that are planned or hold."""
    from pegel.cli.calendar import show
    from pegel.runtime.settings import load

    raise typer.Exit(show(load(), everything=everything, as_json=as_json))


@calendar.command("cancel")
def calendar_cancel(
    event_id: Annotated[str, typer.Argument(metavar="ID", help="As listed, or the beginning of it.")],
) -> None:
    """End an event with the bucket that is judged next, or before it began."""
    from pegel.cli.calendar import cancel
    from pegel.runtime.settings import load

    raise typer.Exit(cancel(load(), event_id))


@app.command()
def migrate() -> None:
    """Bring the alerter's database to this version's schema."""
    from pegel.cli.migrate import migrate_database
    from pegel.runtime.settings import load

    raise typer.Exit(migrate_database(load()))


@app.command()
def token(
    name: Annotated[str, typer.Argument(help="Of a source it is the contacts' source.")],
    role: Annotated[RoleName, typer.Option(help="What it may do.")] = RoleName.SOURCE,
) -> None:
    """Make a bearer token, and the entry for PEGEL_TOKENS_FILE; neither is kept."""
    from pegel.cli.tokens import make

    raise typer.Exit(make(name, role.value))


@app.command()
def settings(as_json: Json = False) -> None:
    """All settings: the variable, its value here, and what it is for."""
    from pegel.cli.settings import show
    from pegel.runtime.settings import load

    raise typer.Exit(show(load(), as_json=as_json))
