"""Whether a file's past fits a log: its columns, its segments, its time, its size."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from pegel.cli.backtest.counts import Counts
from pegel.cli.backtest.reading import UNKNOWN
from pegel.cli.history import STEP_SECONDS, parts_of
from pegel.detector.judge.domain.history import NUMBERS_MAX, PART_COST, STEPS_MAX
from pegel.runtime.settings import ConfigurationError
from pegel.schemas.contact import Contact

ATTRIBUTES: Final = "attributes."
VALUES_SHOWN: Final = 5
TOO_LARGE: Final = "cut off the beginning of the file, or the segments that hardly have a contact"
A_CONTACT: Final[dict[str, Any]] = {
    "event_id": "1",
    "occurred_at": datetime(2026, 1, 1, tzinfo=UTC),
    "country": "ES",
    "topic": "atm",
    "channel": "phone",
}


def columns_of(option: str | None, dimensions: tuple[str, ...]) -> tuple[str, ...]:
    """The file's column of each dimension of the log, in the log's order.

    option: columns in the log's order; or the dimensions' own names in any order; or DIMENSION=COLUMN for those that
    are called otherwise. None: columns have the dimensions' names. Raises ConfigurationError.
    """
    if option is None:
        return dimensions
    parts = [part.strip() for part in option.split(",") if part.strip()]
    if not any("=" in part for part in parts):
        if len(parts) != len(dimensions):
            raise ConfigurationError(
                [f"--segment {option}: this log's segments are by {','.join(dimensions)}: name a column for each"]
            )
        return dimensions if set(parts) == set(dimensions) else tuple(parts)
    named: dict[str, str] = {}
    faults = []
    for part in parts:
        dimension, equals, column = (word.strip() for word in part.partition("="))
        if dimension not in dimensions:
            faults.append(f"--segment {part}: {dimension} is no dimension of this log ({','.join(dimensions)})")
        elif dimension in named:
            faults.append(f"--segment {part}: {dimension} is named twice")
        else:
            named[dimension] = column if equals else dimension
    if faults:
        raise ConfigurationError(faults)
    return tuple(named.get(dimension, dimension) for dimension in dimensions)


def value_faults(dimensions: tuple[str, ...], names: Sequence[tuple[str, ...]]) -> list[str]:
    """A line for each dimension with values that no contact can have: what is learnt of them nobody would ask for."""
    faults = []
    for place, dimension in enumerate(dimensions):
        wrong = [value for value in sorted({name[place] for name in names}) if not _possible(dimension, value)]
        if wrong:
            more = len(wrong) - VALUES_SHOWN
            some = ", ".join(wrong[:VALUES_SHOWN]) + (f" and {more} more" if more > 0 else "")
            faults.append(f"no contact of this log can have the {dimension} {some} (schemas/json/contact.json)")
    return faults


def _possible(dimension: str, value: str) -> bool:
    if value == UNKNOWN:  # what was not said is counted so
        return True
    said: Any = {"true": True, "false": False}.get(value, value) if dimension == "complaint" else value
    field, _, attribute = dimension.partition(".")
    try:
        Contact.model_validate({**A_CONTACT, field: {attribute: said} if attribute else said})
    except ValidationError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Past:
    """What can be learnt: contacts of each segment in each step from `start` on (seconds since 1970).

    contacts_cut: contacts of the file that come too late for a history. counts: shape (steps, segments).
    """

    start: int
    segments: tuple[tuple[str, ...], ...]
    counts: NDArray[np.int64]
    contacts_cut: int

    @property
    def end(self) -> int:
        return self.start + len(self.counts) * STEP_SECONDS


def past_of(counts: Counts, limit: int | None) -> Past:
    """What ends before `limit` (seconds since 1970; None: all). Raises ConfigurationError for what is too large."""
    steps = counts.buckets if limit is None else min(counts.buckets, (limit - counts.start) // STEP_SECONDS)
    steps = max(0, steps)
    known = int(counts.known[steps - 1]) if steps else 0
    if faults := _size_faults(steps, known):
        raise ConfigurationError(faults)
    matrix = np.zeros((steps, known), dtype=np.int64)
    kept = slice(0, int(counts.starts[steps]))
    step_of = np.repeat(np.arange(counts.buckets), np.diff(counts.starts))[kept]
    matrix[step_of, counts.segment[kept]] = counts.contacts[kept]
    past = Past(counts.start, counts.names[:known], matrix, counts.total - int(matrix.sum()))
    # The judge keeps all parts until the end, with what each costs beside its counts.
    cost = sum(
        PART_COST * (1 + columns.stop - columns.start) + (rows.stop - rows.start) * (columns.stop - columns.start)
        for rows, columns in parts_of(past.segments, matrix)
    )
    if cost > NUMBERS_MAX:
        raise ConfigurationError(
            [f"{matrix.size:,} counts are too many with what keeping them takes, {cost:,} in all where"
             f" {NUMBERS_MAX:,} are possible: {TOO_LARGE}"]
        )  # fmt: skip
    return past


def _size_faults(steps: int, segments: int) -> list[str]:
    faults = []
    if steps > STEPS_MAX:
        days = STEPS_MAX * STEP_SECONDS // 86_400
        faults.append(
            f"the file covers {steps * STEP_SECONDS // 86_400:,} days before the log: at most {days} are learnt"
        )
    if steps * segments > NUMBERS_MAX:
        faults.append(
            f"{steps:,} steps of 5 minutes of {segments:,} segments are {steps * segments:,} counts, and a history has"
            f" at most {NUMBERS_MAX:,}: {TOO_LARGE}"
        )
    return faults
