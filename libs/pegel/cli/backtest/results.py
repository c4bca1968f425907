"""What a model's run came to, and models side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from pegel.cli.backtest.alarms import Alarm
from pegel.cli.backtest.labels import Verdict
from pegel.cli.backtest.running import Ran
from pegel.dashboard.domain.words import duration_words, plural

WEEK_SECONDS = 604_800


@dataclass(frozen=True, slots=True)
class Result:
    """Of one model. seconds: of the whole run; ran.seconds: in the model alone. verdict: None without labels.

    promised_per_week: false pages that were accepted; None: nothing is said of them.
    """

    ran: Ran
    alarms: tuple[Alarm, ...]
    verdict: Verdict | None
    seconds: float
    bucket_seconds: int
    promised_per_week: float | None = None

    @property
    def pages_per_week(self) -> float:
        return pages_per_week(len(self.alarms), self.ran.judged_buckets * self.bucket_seconds)

    @property
    def false_per_week(self) -> float | None:
        """Seen, judged on what is known to have happened; None without labels."""
        if self.verdict is None:
            return None
        return pages_per_week(len(self.verdict.false), self.ran.judged_buckets * self.bucket_seconds)


def pages_per_week(pages: int, seconds: float) -> float:
    return pages * WEEK_SECONDS / seconds if seconds else 0.0


def summary(result: Result) -> str:
    """One line in words."""
    ran = result.ran
    pages = plural(len(result.alarms), "page")
    text = (
        f"{ran.model}: {ran.buckets:,} buckets of {duration_words(result.bucket_seconds)}, of which "
        f"{ran.judged_buckets:,} were judged; {plural(ran.segments, 'segment')} and {plural(ran.rollups, 'roll-up')}; "
        f"{pages}, {result.pages_per_week:.1f} a week; {result.seconds:.1f} s"
    )
    verdict = result.verdict
    if verdict is None:
        return text
    known = len(verdict.found) + len(verdict.missed)
    text += f"; found {len(verdict.found)} of {known}, missed {len(verdict.missed)}, {len(verdict.false)} false"
    if result.promised_per_week is not None:
        text += f", {result.false_per_week:.1f} a week where {result.promised_per_week:g} were promised"
    if verdict.found:
        text += f"; delay {verdict.delay_minutes(50):.0f} min (half), {verdict.delay_minutes(90):.0f} min (nine of ten)"
    return text


def side_by_side(results: Sequence[Result]) -> Table:
    """Models as rows."""
    labelled = results[0].verdict is not None
    table = Table(box=None, pad_edge=False)
    table.add_column("model", no_wrap=True)
    names = [
        "pages",
        "a week",
        *(["found", "missed", "false", "false a week", "delay", "9 of 10"] if labelled else []),
        "seconds",
    ]
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        cells = [result.ran.model, f"{len(result.alarms):,}", f"{result.pages_per_week:.1f}"]
        verdict = result.verdict
        if verdict is not None:
            delays = [verdict.delay_minutes(percent) for percent in (50, 90)]
            cells += [str(len(verdict.found)), str(len(verdict.missed)), str(len(verdict.false))]
            cells.append(f"{result.false_per_week:.1f}")
            cells += ["-" if delay is None else f"{delay:.0f} min" for delay in delays]
        table.add_row(*cells, f"{result.seconds:.1f}")
    return table
