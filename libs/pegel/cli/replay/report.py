"""What is said of a replay: what was changed on the way, what was rejected and why."""

from collections.abc import Iterable
from itertools import islice
from typing import Final

from pegel.cli.replay.contacts import Report
from pegel.cli.replay.sending import Sent

EXAMPLES: Final = 5


def changes(report: Report) -> list[str]:
    """A line for each kind of change between the file's rows and the contacts."""
    lines = []
    for name, made in report.slugs.items():
        lines.append(f"{name}: {len(made):,} names became slugs ({_some(f'{a} -> {b}' for a, b in made.items())})")
    if report.other_channels:
        seen = _some(text for text, _ in report.other_channels.most_common())
        lines.append(f"channel: unknown, so `other`, in {report.other_channels.total():,} rows ({seen})")
    for name, rows in report.left_out.items():
        lines.append(f"{name}: left out in {rows:,} rows, whose cell is empty or gives no value")
    for name, rows in report.cut.items():
        lines.append(f"{name}: cut to one line of 64 characters in {rows:,} rows")
    if report.untimed:
        lines.append(f"time: none in {report.untimed:,} rows, which ingest will reject")
    if report.ignored:
        lines.append(f"ignored, as they are no field: {', '.join(report.ignored)}")
    return lines


def rejections(sent: Sent) -> list[str]:
    """A line for each reason, the most frequent first."""
    lines = [f"rejected {rows:,} times: {reason}" for reason, rows in sent.reasons.most_common(EXAMPLES)]
    if len(sent.reasons) > EXAMPLES:
        lines.append(f"and {len(sent.reasons) - EXAMPLES} reasons more; all are on the stream `rejected`")
    return lines


def _some(texts: Iterable[str]) -> str:
    iterator = iter(texts)
    shown = list(islice(iterator, EXAMPLES))
    return ", ".join(shown) + (", ..." if next(iterator, None) is not None else "")
