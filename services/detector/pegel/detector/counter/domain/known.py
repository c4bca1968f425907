"""What is remembered of every identity of the horizon: exact, on 128 bits, amendable, 29 bytes each.

The newest identities stand in a dict. When it is full they become a run: arrays sorted by identity, which are searched
for many identities at once. Runs of one size are merged, so that there are few. What a run remembers is amended in
place.

An identity that was noted in an hour before the cutoff is unknown, whether or not it still stands somewhere. So what is
known depends on nothing but the records, and not on when runs were sealed, merged, saved or restored.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from mmap import mmap
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

OPEN_MAX: Final = 32_768
"""Identities in the dict, where one takes some 300 bytes. It may hold more until `settle` is called."""
RUN_MAX: Final = 96 * OPEN_MAX
"""Identities of a run, so that a merge, which holds them twice for a moment, needs little."""
BLOCK: Final = 16_384
"""Identities a step of what is done to whole runs, so that it needs little memory beside."""
FAN: Final = 4
"""So many runs of a size become one."""
SPAN_HOURS: Final = 240
"""Of a run: hours are kept in one byte."""


class Place(NamedTuple):
    """What a run remembers of an identity, and where it stands there."""

    fact: int
    cell: int
    hour: int
    run: "_Run"
    at: int


def _array(dtype: Any, size: int) -> NDArray[Any]:
    """An array in memory of its own, which is given back with it: malloc would keep a third as much again in gaps."""
    return np.frombuffer(mmap(-1, max(1, size * np.dtype(dtype).itemsize)), dtype, size)


def _copy(array: NDArray[Any]) -> NDArray[Any]:
    copied = _array(array.dtype, len(array))
    copied[:] = array
    return copied


@dataclass(slots=True, eq=False)
class _Run:
    """Sorted by the high and the low half of the identity. hour: since first_hour.

    shared: a snapshot may still read fact and cell, so they are copied before they are changed.
    """

    high: NDArray[np.uint64]
    low: NDArray[np.uint64]
    fact: NDArray[np.int64]
    cell: NDArray[np.uint32]
    hour: NDArray[np.uint8]
    first_hour: int
    last_hour: int
    shared: bool = False

    @classmethod
    def of_size(cls, size: int, first_hour: int, last_hour: int) -> Self:
        """One to be filled."""
        high, low, fact = _array("<u8", size), _array("<u8", size), _array("<i8", size)
        return cls(high, low, fact, _array("<u4", size), _array("u1", size), first_hour, last_hour)

    @property
    def columns(self) -> tuple[NDArray[Any], ...]:
        return self.high, self.low, self.fact, self.cell, self.hour

    def put(self, at: int, columns: Iterable[NDArray[Any]]) -> int:
        """Write these rows from there on; returns where they end."""
        for own, column in zip(self.columns, columns, strict=True):
            end = at + len(column)
            own[at:end] = column
        return end

    @property
    def size(self) -> int:
        return len(self.high)

    @property
    def tier(self) -> int:
        """0 from an open dict, one more for each merge."""
        return max(0, (self.size // OPEN_MAX).bit_length() - 1) // 2

    def find(self, high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Indices of these identities, -1 where one is not here."""
        at = np.searchsorted(self.high, high)
        at[at == self.size] = 0
        same = self.high[at] == high
        found = np.where(same & (self.low[at] == low), at, -1)
        for n in np.flatnonzero(same & (found < 0)).tolist():
            # Another identity with this high half stands first: never by chance, but a key may be anybody's 16 bytes.
            first, end = int(at[n]), int(np.searchsorted(self.high, high[n], "right"))
            index = first + int(np.searchsorted(self.low[first:end], low[n]))
            if index < end and self.low[index] == low[n]:
                found[n] = index
        return found

    def amend(self, index: int, fact: int, cell: int) -> None:
        if self.shared:
            self.fact, self.cell, self.shared = _copy(self.fact), _copy(self.cell), False
        self.fact[index], self.cell[index] = fact, cell

    def since(self, hour: int) -> "list[_Run]":
        """What was noted in this hour or later: one run or none."""
        if self.first_hour >= hour:
            return [self]
        least = min(hour - self.first_hour, 255)
        size = 0 if hour > self.last_hour else int(np.count_nonzero(self.hour >= least))
        if size in {0, self.size}:
            return [self] if size else []
        left, at = _Run.of_size(size, self.first_hour, self.last_hour), 0
        for first in range(0, self.size, BLOCK):
            block = slice(first, first + BLOCK)
            keep = self.hour[block] >= least
            at = left.put(at, (column[block][keep] for column in self.columns))
        return [left]


def _merged(runs: Sequence[_Run]) -> _Run:
    """One run of several that follow each other, block by block: little more is needed than the run itself."""
    first_hour = runs[0].first_hour
    merged = _Run.of_size(sum(run.size for run in runs), first_hour, runs[-1].last_hour)
    bounds = max(runs, key=lambda run: run.size).high[BLOCK::BLOCK]
    cuts = [[0, *np.searchsorted(run.high, bounds).tolist(), run.size] for run in runs]
    at = 0
    for n in range(len(bounds) + 1):
        parts = [[column[cut[n] : cut[n + 1]] for column in run.columns] for run, cut in zip(runs, cuts, strict=True)]
        for part, run in zip(parts, runs, strict=True):
            part[4] = part[4] + np.uint8(run.first_hour - first_hour)
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        order = _order(columns[0], columns[1])
        at = merged.put(at, (column[order] for column in columns))
    return merged


def _order(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.int64]:
    """How identities are sorted."""
    order = np.argsort(high, kind="stable")  # quick where parts are sorted
    ordered = high[order]
    return np.lexsort((low, high)) if (ordered[1:] == ordered[:-1]).any() else order


class Known:
    """The identities of one partition. The caller reads and fills `open` itself; an entry there is newer than in a run.

    An entry is (fact, cell, hour): 63 bits of the caller's, 32 bits, and the hour of append time in which it was noted.
    A look-up is: open.get(identity), else found.get(identity) of `find`, and unknown if its hour is before the cutoff.
    """

    def __init__(self) -> None:
        self.open: dict[bytes, tuple[int, int, int]] = {}
        self._open_since = 0
        self.runs: list[_Run] = []
        self._cutoff = 0

    def find(self, identities: Sequence[bytes]) -> dict[bytes, Place]:
        """What the runs remember of these. Good until `settle` is called."""
        found: dict[bytes, Place] = {}
        if not identities:
            return found
        keys = np.frombuffer(b"".join(identities), dtype="<u8").reshape(-1, 2)
        order = np.argsort(keys[:, 0])  # neighbours are searched for twice as fast
        high, low = keys[order, 0], keys[order, 1]
        for run in self.runs:
            at = run.find(high, low)
            hits = np.flatnonzero(at >= 0)
            if not len(hits):
                continue
            at = at[hits]
            hours = run.hour[at].astype(np.int64) + run.first_hour
            rows = zip(run.fact[at].tolist(), run.cell[at].tolist(), hours.tolist(), at.tolist(), strict=True)
            for n, (fact, cell, hour, index) in zip(order[hits].tolist(), rows, strict=True):
                found[identities[n]] = Place(fact, cell, hour, run, index)
        return found

    def amend(self, identity: bytes, found: dict[bytes, Place], fact: int, cell: int) -> None:
        """Remember something else of an identity that is known."""
        if (entry := self.open.get(identity)) is not None:
            self.open[identity] = (fact, cell, entry[2])
        else:
            place = found[identity]
            place.run.amend(place.at, fact, cell)
            found[identity] = place._replace(fact=fact, cell=cell)

    def settle(self, hour: int, cutoff: int) -> None:
        """Seal what is full, drop what was noted before the cutoff. To be called now and then; it changes no answer.

        All that has expired is dropped before anything is merged: so an identity stands in one run at most.
        """
        if not self.open:
            self._open_since = hour
        if cutoff > self._cutoff:
            self._cutoff = cutoff
            self.runs = [left for run in self.runs for left in run.since(cutoff)]
        if len(self.open) >= OPEN_MAX or hour - self._open_since >= SPAN_HOURS:
            self._seal()
            self._open_since = hour
            self._merge()

    def __len__(self) -> int:
        return len(self.open) + sum(run.size for run in self.runs)

    def state(self) -> dict[str, Any]:
        """What `restored` takes. Arrays are shared: none of them is changed afterwards."""
        for run in self.runs:
            run.shared = True
        keys, rows = self._opened()
        return {
            "cutoff": self._cutoff,
            "open_since": self._open_since,
            "open": {"keys": keys, "rows": rows},
            "runs": [
                {
                    "high": run.high,
                    "low": run.low,
                    "fact": run.fact,
                    "cell": run.cell,
                    "hour": run.hour,
                    "first_hour": run.first_hour,
                    "last_hour": run.last_hour,
                }
                for run in self.runs
            ],
        }

    @classmethod
    def restored(cls, tree: dict[str, Any]) -> Self:
        known = cls()
        known._cutoff, known._open_since = tree["cutoff"], tree["open_since"]
        keys = tree["open"]["keys"].tobytes()
        rows = enumerate(tree["open"]["rows"].tolist())
        known.open = {keys[16 * n : 16 * n + 16]: (fact, cell, hour) for n, (fact, cell, hour) in rows}
        for run in tree["runs"]:
            own = _Run.of_size(len(run["high"]), run["first_hour"], run["last_hour"])
            own.put(0, (run["high"], run["low"], run["fact"], run["cell"], run["hour"]))
            known.runs.append(own)
        return known

    def _opened(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """The dict as columns: keys in two; fact, cell and hour in three."""
        keys = np.frombuffer(b"".join(self.open), dtype="<u8").reshape(-1, 2)
        rows = np.fromiter(chain.from_iterable(self.open.values()), np.int64, 3 * len(self.open))
        return keys, rows.reshape(-1, 3)

    def _seal(self) -> None:
        """Make runs of what is open: one, where hours don't lie far apart."""
        keys, rows = self._opened()
        self.open.clear()
        kept = rows[:, 2] >= self._cutoff
        if not kept.all():
            keys, rows = keys[kept], rows[kept]
        while len(rows):
            first_hour = int(rows[:, 2].min())
            near = rows[:, 2] < first_hour + SPAN_HOURS
            if near.all():
                self._add_run(keys, rows, first_hour)
                return
            self._add_run(keys[near], rows[near], first_hour)
            keys, rows = keys[~near], rows[~near]

    def _add_run(self, keys: NDArray[np.uint64], rows: NDArray[np.int64], first_hour: int) -> None:
        hours = rows[:, 2] - first_hour
        run = _Run.of_size(len(rows), first_hour, first_hour + int(hours.max()))
        high, low = keys.T.copy()
        order = _order(high, low)
        run.put(0, (column[order] for column in (high, low, rows[:, 0], rows[:, 1], hours)))
        self.runs.append(run)

    def _merge(self) -> None:
        while len(self.runs) >= FAN:
            last = self.runs[-FAN:]
            if (
                len({run.tier for run in last}) > 1
                or sum(run.size for run in last) > RUN_MAX
                or last[-1].last_hour - last[0].first_hour >= SPAN_HOURS
            ):
                return
            self.runs[-FAN:] = [_merged(last)]
