"""report.html: what would have paged whom, when, for somebody who owns a product. One file that works offline."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from pegel.cli.backtest.alarms import Alarm
from pegel.cli.backtest.charts import PageCharts, weeks_chart
from pegel.cli.backtest.counts import WHOLE, Counts
from pegel.cli.backtest.curves import PAGES_MAX, Curves
from pegel.cli.backtest.labels import Label, Verdict
from pegel.cli.backtest.results import Result, pages_per_week
from pegel.cli.backtest.sensitivity import SETTINGS
from pegel.cli.backtest.sentences import Words
from pegel.cli.backtest.shifts import level_shifts_of
from pegel.dashboard.domain.words import duration_words

WEEK: Final = 604_800


@dataclass(frozen=True, slots=True)
class Subject:
    """What the report is about. zone_of: of a segment. cost: of a page, None without prices or without one for it."""

    file: str
    counts: Counts
    judged_from: int
    """Seconds since 1970."""
    setting: float
    words: Words
    zone_of: Callable[[tuple[str, ...]], str]
    cost: Callable[[Alarm], Decimal | None]


@dataclass(frozen=True, slots=True)
class Section:
    """One page."""

    anchor: str
    title: str
    sentence: str
    what_happened: str
    facts: tuple[tuple[str, str], ...]
    known: str
    svg: Markup | None
    step: str


def render(subject: Subject, results: Sequence[Result], curves: Curves, sensitivity: Mapping[float, int]) -> str:
    """The HTML. results: of the models, that of the pages shown first."""
    result = results[0]
    sections = _sections(subject, result, curves)
    environment = Environment(
        loader=PackageLoader("pegel.cli.backtest"),
        autoescape=select_autoescape(["html", "j2"], default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    costs = [cost for alarm in result.alarms if (cost := subject.cost(alarm)) is not None]
    weekly = _weeks(subject, result.alarms)
    page: dict[str, Any] = {
        "file": subject.file,
        "begin": subject.words.day(_utc(subject.judged_from)),
        "end": subject.words.day(_utc(subject.counts.end - 1)),
        "history": _length(subject.judged_from - subject.counts.start),
        "judged": _length(subject.counts.end - subject.judged_from),
        "contacts": subject.counts.total,
        "lines": len(subject.counts.names),
        "whole": subject.counts.names == (WHOLE,),
        "dimensions": " and ".join(subject.words.dimensions),
        "bucket": duration_words(subject.counts.bucket_seconds),
        "setting": f"{subject.setting:g}",
        "sections": sections,
        "charts_max": PAGES_MAX,
        "per_week": f"{result.pages_per_week:.1f}",
        "more": max(0, round(sum(alarm.excess for alarm in result.alarms))),
        "cost": subject.words.money(sum(costs, Decimal())) if costs else None,
        "weeks": weekly,
        "weeks_svg": Markup(weeks_chart(weekly, _weeks_words(weekly))) if weekly else None,  # noqa: S704 (made here)
        "settings": _settings(subject, sensitivity),
        "found": _found(subject, result.verdict),
        "results": results,
        "shifts": [
            {
                "place": subject.words.place(shift.segment),
                "day": subject.words.day(_utc(shift.noticed)),
                "before": f"{shift.before:,.0f}",
                "after": f"{shift.after:,.0f}",
            }
            for shift in level_shifts_of(subject.counts, subject.judged_from)
        ],
        "zones": sorted({subject.zone_of(name) for name in subject.counts.names}),
    }
    return environment.get_template("report.html.j2").render(page)


def _sections(subject: Subject, result: Result, curves: Curves) -> list[Section]:
    charts = PageCharts() if result.alarms else None
    sections = []
    known = {id(alarm): label for label, alarm in result.verdict.found} if result.verdict else {}
    false = {id(alarm) for alarm in result.verdict.false} if result.verdict else set()
    for number, alarm in enumerate(result.alarms, 1):
        zone = subject.zone_of(alarm.segment)
        cost = subject.cost(alarm)
        sentence = subject.words.sentence(alarm, zone, cost)
        curve, svg = curves.of(alarm), None
        if curve is not None and charts is not None:
            offset = datetime.fromtimestamp(alarm.onset, ZoneInfo(zone)).utcoffset() or timedelta()
            over = alarm.over_at(subject.counts.end)
            drawn = charts.draw(curve, alarm, over, int(offset.total_seconds()), f"Chart. {sentence}")
            svg = Markup(drawn)  # noqa: S704  (made by us, and what is in it of the file is quoted)
        said = "Nothing is known to have happened here then." if id(alarm) in false else ""
        if id(alarm) in known:
            minutes = (alarm.opened_at - known[id(alarm)].onset) // 60
            said = f"It did happen: this was the first page, {minutes:,} min after it began."
        sections.append(
            Section(
                anchor=f"page-{number}",
                title=subject.words.place(alarm.segment),
                sentence=sentence,
                what_happened=subject.words.what_happened(alarm, zone, cost),
                facts=_facts(subject, alarm, zone, cost),
                known=said,
                svg=svg,
                step=duration_words(curve.step_seconds) if curve else "",
            )
        )
    return sections


def _facts(subject: Subject, alarm: Alarm, zone: str, cost: Decimal | None) -> tuple[tuple[str, str], ...]:
    paged = datetime.fromtimestamp(alarm.opened_at, ZoneInfo(zone))
    facts = [
        ("Paged", f"{paged:%H:%M} on {subject.words.day(paged)}"),
        ("Times of", zone.replace("_", " ")),
        ("Contacts in all", f"{alarm.observed_since:,}"),
        ("Usual in that time", "fewer than 1" if alarm.expected_since < 0.95 else f"{alarm.expected_since:,.0f}"),
    ]
    if cost is not None:
        facts.append(("Cost of what was more", subject.words.money(cost)))
    return tuple(facts)


def _weeks(subject: Subject, alarms: Sequence[Alarm]) -> list[tuple[str, int]]:
    """Weeks from the first judged bucket on, named by their first day."""
    first, end = subject.judged_from, subject.counts.end
    pages = [0] * max(1, -(-(end - first) // WEEK))
    for alarm in alarms:
        pages[min(len(pages) - 1, (alarm.opened_at - 1 - first) // WEEK)] += 1
    return [
        (subject.words.day(_utc(first + week * WEEK)).partition(" ")[2], number) for week, number in enumerate(pages)
    ]


def _weeks_words(weeks: list[tuple[str, int]]) -> str:
    return "Pages in the week from " + ", ".join(f"{day}: {pages}" for day, pages in weeks)


def _settings(subject: Subject, sensitivity: Mapping[float, int]) -> list[dict[str, Any]]:
    most = max(sensitivity.values(), default=0) or 1
    weeks = (subject.counts.end - subject.judged_from) / WEEK
    return [
        {
            "setting": f"{setting:g}",
            "pages": sensitivity[setting],
            "per_week": f"{sensitivity[setting] / weeks:.1f}",
            "percent": round(100 * sensitivity[setting] / most),
            "chosen": setting == subject.setting,
        }
        for setting in SETTINGS
    ]


def _found(subject: Subject, verdict: Verdict | None) -> dict[str, Any] | None:
    if verdict is None:
        return None

    def said(label: Label) -> str:
        onset = datetime.fromtimestamp(label.onset, ZoneInfo(subject.zone_of(label.segment)))
        return f"{subject.words.place(label.segment)}, from {onset:%H:%M} on {subject.words.day(onset)}"

    half, most = verdict.delay_minutes(50), verdict.delay_minutes(90)
    return {
        "known": len(verdict.found) + len(verdict.missed),
        "found": [(said(label), f"{(alarm.opened_at - label.onset) // 60:,} min") for label, alarm in verdict.found],
        "missed": [said(label) for label in verdict.missed],
        "false": len(verdict.false),
        "false_per_week": f"{pages_per_week(len(verdict.false), subject.counts.end - subject.judged_from):.1f}",
        "half": None if half is None else f"{half:,.0f} min",
        "most": None if most is None else f"{most:,.0f} min",
    }


def _length(seconds: int) -> str:
    days = seconds / 86_400
    return f"{days:,.0f} days" if days >= 2 else duration_words(seconds // 3600 * 3600 or seconds)


def _utc(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
