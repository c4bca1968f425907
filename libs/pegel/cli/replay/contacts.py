"""The rows of a table as contacts, in order of time, each with an id of its own."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pegel.cli.replay.fields import ATTRIBUTE, SLUGS, Value, convert
from pegel.cli.replay.plan import Plan, nested

AT, ISO, NTH = "\0at", "\0iso", "\0nth"
"""Names of our own columns; no file has a NUL in a name."""

BATCH_ROWS_MAX: Final = 500
BATCH_SPAN_SECONDS_MAX: Final = 6 * 3600
TIME_SHOWN_MAX: Final = 64


@dataclass(slots=True)
class Report:
    """What was changed or left out on the way from rows to contacts. Counts are rows."""

    ignored: tuple[str, ...] = ()
    slugs: dict[str, dict[str, str]] = field(default_factory=dict)
    """Field to its texts that are no slugs, and what they became."""
    other_channels: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    """Field to cells that are empty or give no value."""
    cut: Counter[str] = field(default_factory=Counter)
    """Attribute to cells that were too long for one, or had more than one line."""
    untimed: int = 0


class Contacts:
    """A table and its plan. times: of its rows, UTC, null where a row has none."""

    def __init__(self, table: pl.DataFrame, plan: Plan, times: pl.Series | None) -> None:
        self._plan = plan
        self.report = Report(ignored=plan.ignored)
        names = [name for name in table.columns if name not in (AT, ISO, NTH)]
        self._names = sorted(names)
        # Equal rows are told apart by their place among themselves, in the file's order.
        nth = pl.int_range(pl.len()).over(names).alias(NTH) if names else pl.int_range(pl.len()).alias(NTH)
        table = table.with_columns(nth)
        if times is not None:
            at = times.alias(AT)
            table = table.with_columns(at).with_columns(
                pl.col(AT).dt.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").alias(ISO)
            )
            table = table.sort(AT, nulls_last=False, maintain_order=True)
            self.report.untimed = times.null_count()
            self.seconds: NDArray[np.float64] | None = (
                table[AT].drop_nulls().dt.epoch("us").to_numpy().astype(np.float64) / 1e6
            )
        else:
            self.seconds = None
        self._table = table
        self._converted = {name: self._values(name, column) for name, column in plan.columns.items()}
        self._fixed = {name: value for name, value in plan.fixed.items() if value is not None}

    def __len__(self) -> int:
        return self._table.height

    def batches(
        self, rows_max: int = BATCH_ROWS_MAX, span_seconds_max: float = BATCH_SPAN_SECONDS_MAX
    ) -> Iterator[tuple[int, int]]:
        """Rows [begin, end) of each batch; those without a time come first, by themselves."""
        begin, rows = 0, len(self)
        untimed = self.report.untimed if self.seconds is not None else rows
        while begin < rows:
            if begin < untimed:
                end = min(begin + rows_max, untimed)
            else:
                assert self.seconds is not None  # noqa: S101  (all rows are untimed otherwise)
                last = self.seconds[begin - untimed] + span_seconds_max
                end = min(begin + rows_max, untimed + int(np.searchsorted(self.seconds, last, side="right")))
            yield begin, end
            begin = end

    def time_of(self, row: int) -> datetime | None:
        """When the contact of a row occurred."""
        return self._table[AT][row] if self.seconds is not None else None

    def of(self, begin: int, end: int, *, dated: str | None = None) -> list[dict[str, Any]]:
        """The contacts of rows [begin, end). dated: the time that all are given instead of their own."""
        part = self._table[begin:end]
        ids = self._ids(part)
        times = self._times(part, dated)
        columns = [
            (name, self._converted[name], part[column].to_list())
            for name, column in self._plan.columns.items()
            if name != "event_id"
        ]
        contacts = []
        for row in range(part.height):
            fields: dict[str, Value] = dict(self._fixed)
            for name, values, cells in columns:
                value = values[cells[row]]
                if value is not None:
                    fields[name] = value
            contacts.append({"event_id": ids[row], "occurred_at": times[row], **nested(fields)})
        return contacts

    def _times(self, part: pl.DataFrame, dated: str | None) -> list[str]:
        if dated is not None or self.seconds is None:
            return [dated or ""] * part.height
        column = self._plan.time_column
        raw = part[column].cast(pl.String).to_list() if column else [None] * part.height
        # A text that is no time goes to ingest as it is, which rejects it with the reason.
        return [iso or (text or "")[:TIME_SHOWN_MAX] for iso, text in zip(part[ISO].to_list(), raw, strict=True)]

    def _ids(self, part: pl.DataFrame) -> list[str]:
        """Ids of the file's own, or the hash of the row's content and which of the equal rows it is."""
        texts = [part[name].cast(pl.String).to_list() for name in self._names]
        given = self._plan.columns.get("event_id")
        own = part[given].to_list() if given else [None] * part.height
        ids = []
        for row, nth in enumerate(part[NTH].to_list()):
            mine = (own[row] or "").strip()
            if not mine:
                digest = hashlib.blake2b(digest_size=16)
                for name, cells in zip(self._names, texts, strict=True):
                    if cells[row] is not None:
                        digest.update(f"{name}\x1f{cells[row]}\x1e".encode())
                mine = f"row-{digest.hexdigest()}-{nth}"
            ids.append(mine)
        return ids

    def _values(self, name: str, column: str) -> dict[str | None, Value]:
        """What each text of a column becomes; each is looked at once, and what it lost is reported."""
        if name == "event_id":
            return {}
        texts = self._table[column].cast(pl.String)
        if texts.dtype != self._table[column].dtype:
            self._table = self._table.with_columns(texts)
        values: dict[str | None, Value] = {}
        for text, rows in texts.value_counts(name="\0rows", sort=True).iter_rows():
            value = values[text] = convert(name, text)
            if value is None:
                self.report.left_out[name] += rows
            elif name == "channel" and value == "other" and (text or "").strip().lower() != "other":
                self.report.other_channels[(text or "").strip() or "empty"] += rows
            elif name in SLUGS and value != text:
                self.report.slugs.setdefault(name, {})[text.strip()] = str(value)
            elif name.startswith(ATTRIBUTE) and value != text.strip():
                self.report.cut[name] += rows
        return values
