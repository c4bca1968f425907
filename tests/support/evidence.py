"""docs/evidence.md anew: the back-tests of real contacts, each page held against what was found out by eye.

    PYTHONPATH=tests python -m support.evidence DIR

DIR holds ottawa311_2013q1.csv.gz and uci_incident_2016q.csv.gz (columns ts, region, topic), which are not in this
repository. Runs the back-test at each setting, and writes docs/evidence/pages.csv (every page with its verdict),
docs/evidence/*.svg (one chart an event), and the tables between the marks in docs/evidence.md. What is known of an
event stands in docs/evidence/events.csv; the first line that fits a page is its event. A page that none fits is
listed, and the exit code is 1: look at it, and write down what it was. Takes about seven minutes.
"""

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from pegel.cli.backtest.alarms import Alarm, Alarms
from pegel.cli.backtest.charts import PageCharts
from pegel.cli.backtest.columns import Wanted
from pegel.cli.backtest.curves import Curve, Curves
from pegel.cli.backtest.holidays import make_holidays
from pegel.cli.backtest.models import chosen
from pegel.cli.backtest.reading import read_counts
from pegel.cli.backtest.running import Setting, run
from pegel.cli.backtest.zones import make_zones
from support.servers import ROOT

DOCS: Final = ROOT / "docs"
FOLDER: Final = DOCS / "evidence"
SETTINGS: Final = (1.0, 5.0)
"""False pages a week."""
DIMENSIONS: Final = ("region", "topic")
BUCKET_SECONDS: Final = 300
HISTORY_SECONDS: Final = 28 * 86_400
WEEK_SECONDS: Final = 604_800
UNKNOWN: Final = "not looked at"
VERDICTS: Final = ("real", "routine", "one hand", "false", "can't tell", UNKNOWN)
CHARTED: Final = ("real", "routine", "one hand")
PAPER: Final = {
    "ink": "#1d2b33", "muted": "#50616a", "line": "#d5dddf", "bar": "#93aebb", "alarm": "#b5442b", "band": "#d9e8ee",
    "usual": "#24647f", "marked": "#fbeae5",
}  # fmt: skip
"""The report's colours by day: a picture in a file takes none from a page."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A file of contacts."""

    name: str
    file: str
    zone: str


SUBJECTS: Final = (
    Subject("ottawa", "ottawa311_2013q1.csv.gz", "America/Toronto"),
    Subject("desk", "uci_incident_2016q.csv.gz", "UTC"),
)


@dataclass(frozen=True, slots=True)
class Event:
    """What was found out by eye. begin, end: of onsets, local; region, topic: * is any, a roll-up's too."""

    data: str
    name: str
    begin: datetime
    end: datetime
    region: str
    topic: str
    verdict: str
    what: str

    def fits(self, page: "Page") -> bool:
        region, topic = page.alarm.segment
        return (
            self.data == page.data
            and self.begin <= page.onset <= self.end
            and self.region in {"*", region}
            and self.topic in {"*", topic}
        )


@dataclass(slots=True)
class Page:
    """A page of a run. Times are local. curve: what its chart shows."""

    data: str
    setting: float
    alarm: Alarm
    onset: datetime
    paged: datetime
    curve: Curve | None
    event: Event | None = None

    @property
    def verdict(self) -> str:
        return UNKNOWN if self.event is None else self.event.verdict


@dataclass(frozen=True, slots=True)
class Ran:
    """A back-test at one setting."""

    subject: Subject
    setting: float
    weeks: float
    end: int
    pages: tuple[Page, ...]


def backtest(folder: Path, subject: Subject, setting: float) -> Ran:
    """The same as `pegel backtest --segment region,topic --tz ZONE` does."""
    zones = make_zones(DIMENSIONS, tz=subject.zone, by=None, of_country={})
    counts = read_counts(folder / subject.file, Wanted("ts", DIMENSIONS, None), zones, BUCKET_SECONDS).counts
    made = Setting(BUCKET_SECONDS, DIMENSIONS, zones.of, make_holidays("none", DIMENSIONS), setting)
    ((_, factory),) = chosen(()).items()
    alarms = Alarms()
    curves = Curves(alarms)
    ran = run(factory(made), counts, HISTORY_SECONDS // BUCKET_SECONDS, [alarms, curves], lambda _: None)
    zone = ZoneInfo(subject.zone)

    def local(seconds: int) -> datetime:
        return datetime.fromtimestamp(seconds, zone)

    pages = tuple(
        Page(subject.name, setting, alarm, local(alarm.onset), local(alarm.opened_at), curves.of(alarm))
        for alarm in alarms.found
    )
    return Ran(subject, setting, ran.judged_buckets * BUCKET_SECONDS / WEEK_SECONDS, counts.end, pages)


def read_events() -> list[Event]:
    """Raises ValueError for a verdict that is none."""
    with (FOLDER / "events.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["verdict"] not in VERDICTS:
            raise ValueError(f"docs/evidence/events.csv: {row['verdict']} is no verdict")
    zones = {subject.name: ZoneInfo(subject.zone) for subject in SUBJECTS}

    def time(row: dict[str, str], end: str) -> datetime:
        return datetime.fromisoformat(row[end]).replace(tzinfo=zones[row["data"]])

    return [
        Event(
            data=row["data"],
            name=row["name"],
            begin=time(row, "begin"),
            end=time(row, "end"),
            region=row["region"],
            topic=row["topic"],
            verdict=row["verdict"],
            what=row["what"],
        )
        for row in rows
    ]


def write_pages(runs: Sequence[Ran]) -> None:
    with (FOLDER / "pages.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["data", "setting", "onset", "paged", "region", "topic", "event", "verdict", "explanation"])
        for page in pages_of(runs):
            event = page.event.name if page.event else ""
            times = (f"{page.onset:%Y-%m-%d %H:%M}", f"{page.paged:%Y-%m-%d %H:%M}")
            text = page.alarm.explanation
            rows.writerow([page.data, f"{page.setting:g}", *times, *page.alarm.segment, event, page.verdict, text])


def pages_of(runs: Sequence[Ran]) -> Iterator[Page]:
    for one in runs:
        yield from one.pages


def sums_table(runs: Sequence[Ran]) -> Iterator[str]:
    """What the pages of each run were."""
    yield f"| data | set | pages | {' | '.join(VERDICTS)} | not real, a week |"
    yield f"|---|---|---|{'---|' * len(VERDICTS)}---|"
    for one in runs:
        numbers = [sum(page.verdict == verdict for page in one.pages) for verdict in VERDICTS]
        false = (len(one.pages) - numbers[0]) / one.weeks
        cells = [one.subject.name, f"{one.setting:g}", str(len(one.pages)), *map(str, numbers), f"{false:.1f}"]
        yield f"| {' | '.join(cells)} |"


def events_table(runs: Sequence[Ran], name: str) -> Iterator[str]:
    """The events of one file in order of their first page."""
    mine = [one for one in runs if one.subject.name == name]
    names = list(dict.fromkeys(page.event.name for page in sorted(pages_of(mine), key=_paged) if page.event))
    settings = " | ".join(f"pages at {one.setting:g}" for one in mine)
    yield f"| first page | what | verdict | {settings} | chart |"
    yield f"|---|---|---|{'---|' * len(mine)}---|"
    for event_name in names:
        pages = [page for page in pages_of(mine) if page.event and page.event.name == event_name]
        first = min(pages, key=_paged)
        assert first.event is not None
        numbers = [sum(page.setting == one.setting for page in pages) for one in mine]
        chart = f"[chart](evidence/{event_name}.svg)" if charted(first) else ""
        yield (
            f"| {first.paged:%a %d %b %H:%M} | {first.event.what} | {first.verdict} | "
            f"{' | '.join(map(str, numbers))} | {chart} |"
        )


def _paged(page: Page) -> datetime:
    return page.paged


def charted(page: Page) -> bool:
    return page.verdict in CHARTED and page.curve is not None


def draw(runs: Sequence[Ran]) -> None:
    """A chart an event, of its first page; that of a roll-up where one paged, since it shows more."""
    for old in FOLDER.glob("*.svg"):
        old.unlink()
    charts = PageCharts()
    names = dict.fromkeys(page.event.name for page in pages_of(runs) if page.event and charted(page))
    for name in names:
        pages = [page for page in pages_of(runs) if page.event and page.event.name == name and page.curve]
        page = min(pages, key=lambda page: (-page.alarm.segment.count("*") % 3, page.paged))
        end = next(one.end for one in runs if one.subject.name == page.data)
        offset = page.onset.utcoffset() or timedelta()
        label = f"{', '.join(page.alarm.segment)}, {page.onset:%d %b %Y}"
        assert page.curve is not None
        svg = charts.draw(page.curve, page.alarm, page.alarm.over_at(end), int(offset.total_seconds()), label)
        for variable, colour in PAPER.items():
            svg = svg.replace(f"var(--{variable})", colour)
        svg = svg.replace("<svg ", '<svg style="background:#fff;font-family:sans-serif" ', 1)
        (FOLDER / f"{name}.svg").write_text(svg + "\n", encoding="utf-8")


def write_tables(runs: Sequence[Ran]) -> None:
    """Between <!-- NAME begin --> and <!-- NAME end --> in docs/evidence.md."""
    path = DOCS / "evidence.md"
    text = path.read_text("utf-8")
    parts = {"sums": sums_table(runs), **{one.name: events_table(runs, one.name) for one in SUBJECTS}}
    for name, lines in parts.items():
        begin, end = f"<!-- {name} begin -->\n", f"<!-- {name} end -->"
        before, found, rest = text.partition(begin)
        _, ended, after = rest.partition(end)
        if not found or not ended:
            raise ValueError(f"docs/evidence.md: has no place for the table {name}")
        text = "".join([before, begin, *(f"{line}\n" for line in lines), end, after])
    path.write_text(text, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="DIR", type=Path)
    folder = parser.parse_args(arguments).folder
    events = read_events()
    wanted = [(folder, subject, setting) for subject in SUBJECTS for setting in SETTINGS]
    with ProcessPoolExecutor(2) as pool:
        runs = list(pool.map(backtest, *zip(*wanted, strict=True)))
    for page in pages_of(runs):
        page.event = next((event for event in events if event.fits(page)), None)
    write_pages(runs)
    write_tables(runs)
    draw(runs)
    for line in sums_table(runs):
        sys.stdout.write(line + "\n")
    unknown = [page for page in pages_of(runs) if page.verdict == UNKNOWN]
    for page in unknown:
        sys.stdout.write(f"{page.data} {page.setting:g} {page.onset} {page.alarm.segment}: {page.alarm.explanation}\n")
    return 1 if unknown else 0


if __name__ == "__main__":
    raise SystemExit(main())
