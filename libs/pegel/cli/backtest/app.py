"""`pegel backtest`: reads a file, runs models over it, writes scores, pages and a report, and says what came of it."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from pegel.cli.backtest.alarms import Alarms, write_alarms
from pegel.cli.backtest.columns import Wanted
from pegel.cli.backtest.counts import WHOLE_DIMENSIONS, Counts
from pegel.cli.backtest.curves import Curves
from pegel.cli.backtest.events import read_events
from pegel.cli.backtest.holidays import make_holidays
from pegel.cli.backtest.labels import Label, judged, read_labels
from pegel.cli.backtest.lengths import bucket_seconds_of, seconds_of
from pegel.cli.backtest.models import KNOW_EVENTS, KNOW_HOLIDAYS, chosen
from pegel.cli.backtest.reading import read_counts
from pegel.cli.backtest.results import Result, side_by_side, summary
from pegel.cli.backtest.running import Factory, Listener, Model, Setting, Silence, run
from pegel.cli.backtest.scores import Scores
from pegel.cli.backtest.sensitivity import Sensitivity
from pegel.cli.backtest.sentences import Words
from pegel.cli.backtest.telling import what_was_read
from pegel.cli.backtest.zones import Zones, make_zones
from pegel.dashboard.adapters.countries import country_names
from pegel.runtime.settings import ConfigurationError, Settings
from pegel.runtime.zones import zone_of_country

if TYPE_CHECKING:
    from pegel.cli.backtest.prices import Prices
    from pegel.cli.backtest.report import Subject

YEAR_SECONDS: Final = 360 * 86_400
"""In a longer file a day and its month are not enough to say when."""
PROGRESS_BUCKETS: Final = 50


@dataclass(frozen=True, slots=True)
class Options:
    """As on the command line."""

    file: Path
    time: str | None
    segment: str
    count: str | None
    tz: str | None
    tz_by: str | None
    bucket: str
    holidays: str
    events: Path | None
    false_pages_per_week: float
    history: str
    scores: Path | None
    alarms: Path | None
    report: Path | None
    labels: Path | None
    prices: Path | None
    models: tuple[str, ...]


def backtest_file(settings: Settings, options: Options) -> int:
    """0, or 130 after Ctrl-C. Raises ConfigurationError for what is wrong with the options or the files."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        return _backtest(settings, options, console)
    except OSError as error:
        raise ConfigurationError([f"{error.filename or options.file}: {error.strerror or error}"]) from error
    except KeyboardInterrupt:
        console.print("interrupted; what was written so far is not whole", markup=False)
        return 130


def _backtest(settings: Settings, options: Options, console: Console) -> int:
    columns = tuple(name.strip() for name in options.segment.split(",") if name.strip())
    dimensions = columns or WHOLE_DIMENSIONS
    factories = _checked(options, columns)
    bucket_seconds, history_seconds = bucket_seconds_of(options.bucket), seconds_of("--history", options.history)
    zones = make_zones(columns, tz=options.tz, by=options.tz_by, of_country=zone_of_country(settings.zones))
    holidays = make_holidays(options.holidays, columns)
    events = read_events(options.events, columns, bucket_seconds) if options.events else ()
    labels = read_labels(options.labels, columns) if options.labels else None
    began = time.perf_counter()
    read = read_counts(options.file, Wanted(options.time, columns, options.count), zones, bucket_seconds)
    for line in what_was_read(options.file, read, zones, time.perf_counter() - began):
        console.print(line, markup=False)
    counts = read.counts
    place = history_seconds // bucket_seconds
    if place >= counts.buckets:
        days = (counts.end - counts.start) / 86_400
        raise ConfigurationError(
            [f"--history {options.history}: the file covers {days:.1f} days, so nothing is left to judge; give less"]
        )
    prices = _prices(options, counts)
    setting = Setting(bucket_seconds, dimensions, zones.of, holidays, options.false_pages_per_week, events)
    for name in factories:
        if holidays.source != "none" and name not in KNOW_HOLIDAYS:
            console.print(f"{name}: takes a holiday for any other day", markup=False)
        if events and name not in KNOW_EVENTS:
            console.print(f"{name}: knows of no events", markup=False)
    results: list[Result] = []
    first: _Watched | None = None
    for name, factory in factories.items():
        watched = _Watched(options if not results else None, dimensions, bucket_seconds)
        first = first or watched
        promised = options.false_pages_per_week
        results.append(watched.run(name, factory(setting), counts, place, labels, console, promised))
    assert first is not None  # noqa: S101  (there is a model)
    if options.alarms:
        write_alarms(options.alarms, dimensions, results[0].alarms)
    if options.report:
        subject = _subject(options, counts, place, zones, prices)
        _write_report(options.report, subject, results, first)
    for result in results:
        print(summary(result))
    if len(results) > 1:
        Console(highlight=False, soft_wrap=True).print(side_by_side(results))
    return 0


class _Watched:
    """A model's run with those who listen to it. options: of the first model, whose scores and pages are written."""

    def __init__(self, options: Options | None, dimensions: tuple[str, ...], bucket_seconds: int) -> None:
        self._options, self._dimensions, self._seconds = options, dimensions, bucket_seconds
        self.alarms = Alarms()
        self.curves = Curves(self.alarms)
        self.sensitivity = Sensitivity(bucket_seconds)
        self._silence = Silence()

    def run(
        self,
        name: str,
        model: Model,
        counts: Counts,
        place: int,
        labels: list[Label] | None,
        console: Console,
        promised: float,
    ) -> Result:
        """place: of the first judged bucket. promised: false pages a week."""
        began = time.perf_counter()
        listeners: list[Listener] = [self.alarms, self._silence]
        with ExitStack() as stack:
            if self._options and self._options.scores:
                listeners.append(stack.enter_context(Scores(self._options.scores, self._dimensions)))
            if self._options and self._options.report:
                listeners += [self.curves, self.sensitivity]
            show = stack.enter_context(_progress(console, name, counts.buckets))
            ran = run(model, counts, place, listeners, show)
        if self._silence.buckets:
            days = self._silence.buckets * self._seconds / 86_400
            console.print(f"{name}: had seen too little to judge {days:.1f} of the days after --history", markup=False)
        found, verdict = self.alarms.found, None
        if labels is not None:
            begin = counts.start + place * self._seconds
            verdict = judged(labels, found, begin=begin, end=counts.end, bucket_seconds=self._seconds)
        return Result(ran, tuple(found), verdict, time.perf_counter() - began, self._seconds, promised)


def _checked(options: Options, columns: tuple[str, ...]) -> dict[str, Factory]:
    """The models. Raises ConfigurationError with all that is wrong before a file is read."""
    faults = []
    if not columns and options.segment.strip():
        faults.append(f"--segment {options.segment}: names no column")
    if not 0 < options.false_pages_per_week < math.inf:
        faults.append(f"--false-pages-per-week {options.false_pages_per_week:g}: must be more than 0")
    for option, path in (("--scores", options.scores), ("--alarms", options.alarms), ("--report", options.report)):
        if path is not None and not path.parent.is_dir():
            faults.append(f"{option} {path}: there is no folder {path.parent}")
        elif path is not None and (path.is_dir() or path.resolve() == options.file.resolve()):
            faults.append(f"{option} {path}: can't be written there")
    try:
        factories = chosen(options.models)
    except ConfigurationError as error:
        faults += error.faults
        factories = {}
    if faults:
        raise ConfigurationError(faults)
    return factories


def _prices(options: Options, counts: Counts) -> "Prices | None":
    if options.prices is None:
        return None
    from pegel.cli.backtest.prices import Prices  # noqa: PLC0415  (the alerter's settings, only when they are asked for)

    return Prices(options.prices, counts)


def _subject(options: Options, counts: Counts, place: int, zones: Zones, prices: "Prices | None") -> "Subject":
    from pegel.cli.backtest.report import Subject  # noqa: PLC0415  (a drawing engine of 100 MB)

    words = Words(
        dimensions=counts.dimensions,
        countries=country_names(),
        file_end=counts.end,
        with_year=counts.end - counts.start > YEAR_SECONDS,
        currency=prices.currency if prices else "",
    )
    return Subject(
        file=options.file.name,
        counts=counts,
        judged_from=counts.start + place * counts.bucket_seconds,
        setting=options.false_pages_per_week,
        words=words,
        zone_of=zones.of,
        cost=prices.cost if prices else lambda _: None,
    )


def _write_report(path: Path, subject: "Subject", results: list[Result], first: _Watched) -> None:
    from pegel.cli.backtest.report import render  # noqa: PLC0415

    path.write_text(render(subject, results, first.curves, first.sensitivity.pages), encoding="utf-8")


@contextmanager
def _progress(console: Console, name: str, buckets: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, nothing elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=buckets)

        def show(done: int) -> None:
            if done % PROGRESS_BUCKETS == 0 or done == buckets:
                progress.update(task, completed=done)

        yield show
