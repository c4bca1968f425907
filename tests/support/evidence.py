"""docs/evidence.md anew: the back-tests of real contacts, each page held against what was found out by eye.

    PYTHONPATH=tests python -m support.evidence DIR [--runs FOLDER] [--commit NAME]

DIR holds ottawa311_2013q1.csv.gz and uci_incident_2016q.csv.gz (columns ts, region, topic), which are not in this
repository. Runs `pegel backtest` on each at each setting (five minutes of a core); with --runs what it wrote stays in
FOLDER, and what stands there is not run again. Writes docs/evidence/pages.csv (every page with its verdict),
docs/evidence/*.svg (a chart an event, out of the back-test's report), and the tables between the marks in
docs/evidence.md. What is known of an event stands in docs/evidence/events.csv; the first line that fits a page is its
event. A page that none fits is listed, and the exit code is 1: look at it, and write down what it was.
"""

import argparse
import csv
import gzip
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from support.servers import ROOT

DOCS: Final = ROOT / "docs"
FOLDER: Final = DOCS / "evidence"
SETTINGS: Final = (1, 5)
"""False pages a week."""
HISTORY_WEEKS: Final = 4
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
ZONES: Final = {subject.name: ZoneInfo(subject.zone) for subject in SUBJECTS}


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
        region, topic = page.segment
        return (
            self.data == page.data
            and self.begin <= page.onset <= self.end
            and self.region in {"*", region}
            and self.topic in {"*", topic}
        )


@dataclass(slots=True)
class Page:
    """A page of a run. Times are local. svg: its chart in the report, "" without one."""

    data: str
    setting: int
    segment: tuple[str, str]
    onset: datetime
    paged: datetime
    explanation: str
    svg: str
    event: Event | None = None

    @property
    def verdict(self) -> str:
        return UNKNOWN if self.event is None else self.event.verdict


@dataclass(frozen=True, slots=True)
class Ran:
    """A back-test at one setting."""

    subject: Subject
    setting: int
    weeks: float
    pages: tuple[Page, ...]


def backtest(folder: Path, runs: Path, subject: Subject, setting: int) -> Ran:
    """What `pegel backtest` says, from its files."""
    alarms, report = (runs / f"{subject.name}-{setting}.{suffix}" for suffix in ("csv", "html"))
    if not (alarms.exists() and report.exists()):
        command = [sys.executable, "-m", "pegel", "backtest", str(folder / subject.file), "--segment", "region,topic"]
        command += ["--tz", subject.zone, "--false-pages-per-week", str(setting)]
        command += ["--alarms", str(alarms), "--report", str(report)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with alarms.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    html, pages = report.read_text("utf-8"), []
    for number, row in enumerate(rows, 1):
        onset, paged = (
            datetime.fromisoformat(row[at]).astimezone(ZONES[subject.name]) for at in ("onset", "opened_at")
        )
        segment = (row["region"], row["topic"])
        svg = chart_of(html, number)
        pages.append(Page(subject.name, setting, segment, onset, paged, row["explanation"], svg))
    return Ran(subject, setting, weeks_of(folder / subject.file) - HISTORY_WEEKS, tuple(pages))


def chart_of(html: str, number: int) -> str:
    """The chart of the page with this number in a report."""
    found = re.search(rf'<article class="card" id="page-{number}">.*?</article>', html, re.DOTALL)
    svg = re.search(r"<svg .*?</svg>", found[0], re.DOTALL) if found else None
    return svg[0] if svg else ""


def weeks_of(path: Path) -> float:
    """How long a file is; its times are in one zone."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        times = [datetime.fromisoformat(row["ts"]) for row in csv.DictReader(file)]
    return (max(times) - min(times)).total_seconds() / WEEK_SECONDS


def read_events() -> list[Event]:
    """Raises ValueError for a verdict that is none."""
    with (FOLDER / "events.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["verdict"] not in VERDICTS:
            raise ValueError(f"docs/evidence/events.csv: {row['verdict']} is no verdict")

    def time(row: dict[str, str], end: str) -> datetime:
        return datetime.fromisoformat(row[end]).replace(tzinfo=ZONES[row["data"]])

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


def pages_of(runs: Sequence[Ran]) -> Iterator[Page]:
    for one in runs:
        yield from one.pages


def write_pages(runs: Sequence[Ran]) -> None:
    with (FOLDER / "pages.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["data", "setting", "onset", "paged", "region", "topic", "event", "verdict", "explanation"])
        for page in pages_of(runs):
            event = page.event.name if page.event else ""
            times = (f"{page.onset:%Y-%m-%d %H:%M}", f"{page.paged:%Y-%m-%d %H:%M}")
            rows.writerow([page.data, page.setting, *times, *page.segment, event, page.verdict, page.explanation])


def sums_table(runs: Sequence[Ran]) -> Iterator[str]:
    """What the pages of each run were."""
    yield f"| data | set | pages | {' | '.join(VERDICTS)} | not real, a week |"
    yield f"|---|---|---|{'---|' * len(VERDICTS)}---|"
    for one in runs:
        numbers = [sum(page.verdict == verdict for page in one.pages) for verdict in VERDICTS]
        wrong = (len(one.pages) - numbers[0]) / one.weeks
        cells = [one.subject.name, str(one.setting), str(len(one.pages)), *map(str, numbers), f"{wrong:.1f}"]
        yield f"| {' | '.join(cells)} |"


def events_table(runs: Sequence[Ran], name: str) -> Iterator[str]:
    """The events of one file in order of their first page."""
    mine = [one for one in runs if one.subject.name == name]
    pages = sorted(pages_of(mine), key=lambda page: page.paged)
    settings = " | ".join(f"pages at {one.setting}" for one in mine)
    yield f"| first page | what | verdict | {settings} | chart |"
    yield f"|---|---|---|{'---|' * len(mine)}---|"
    for event_name in dict.fromkeys(page.event.name for page in pages if page.event):
        its = [page for page in pages if page.event and page.event.name == event_name]
        first = its[0]
        assert first.event is not None
        numbers = " | ".join(str(sum(page.setting == one.setting for page in its)) for one in mine)
        chart = f"[chart](evidence/{event_name}.svg)" if best_shown(its) else ""
        yield f"| {first.paged:%a %d %b %H:%M} | {first.event.what} | {first.verdict} | {numbers} | {chart} |"


def best_shown(pages: Sequence[Page]) -> Page | None:
    """Of an event's pages the one whose chart is shown: the first of a roll-up, else the first."""
    drawn = [page for page in pages if page.svg and page.verdict in CHARTED]
    order = (2, 0, 1)  # segments say less than what rolls them up, and everything says it less clearly
    return min(drawn, key=lambda page: (order[page.segment.count("*")], page.paged), default=None)


def draw(runs: Sequence[Ran]) -> None:
    """A chart an event."""
    for old in FOLDER.glob("*.svg"):
        old.unlink()
    for name in dict.fromkeys(page.event.name for page in pages_of(runs) if page.event):
        page = best_shown([page for page in pages_of(runs) if page.event and page.event.name == name])
        if page is not None:
            svg = page.svg
            for variable, colour in PAPER.items():
                svg = svg.replace(f"var(--{variable})", colour)
            svg = svg.replace("<svg ", '<svg style="background:#fff;font-family:sans-serif" ', 1)
            (FOLDER / f"{name}.svg").write_text(svg + "\n", encoding="utf-8")


def write_tables(runs: Sequence[Ran], commit: str) -> None:
    """Between <!-- NAME begin --> and <!-- NAME end --> in docs/evidence.md."""
    path = DOCS / "evidence.md"
    text = path.read_text("utf-8")
    parts = {"sums": sums_table(runs), **{one.name: events_table(runs, one.name) for one in SUBJECTS}}
    if commit:
        parts["commit"] = iter([f"The tables are of the detector as of commit {commit}."])
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
    parser.add_argument("--runs", metavar="FOLDER", type=Path, help="keep what the back-tests write, and use it again")
    parser.add_argument("--commit", default="", help="of the detector, to be named in the document")
    given = parser.parse_args(arguments)
    events = read_events()
    with tempfile.TemporaryDirectory(prefix="pegel-evidence-") as scratch, ThreadPoolExecutor(2) as pool:
        folder = given.runs or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        wanted = [(subject, setting) for subject in SUBJECTS for setting in SETTINGS]
        runs = list(pool.map(lambda one: backtest(given.folder, folder, *one), wanted))
    for page in pages_of(runs):
        page.event = next((event for event in events if event.fits(page)), None)
    write_pages(runs)
    write_tables(runs, given.commit)
    draw(runs)
    for line in sums_table(runs):
        sys.stdout.write(line + "\n")
    unknown = [page for page in pages_of(runs) if page.event is None]
    for page in unknown:
        sys.stdout.write(f"{page.data} {page.setting} {page.onset} {page.segment}: {page.explanation}\n")
    return 1 if unknown else 0


if __name__ == "__main__":
    raise SystemExit(main())
