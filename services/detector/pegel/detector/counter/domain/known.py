"""What is remembered of every identity of the horizon: exact, on 128 bits, amendable, 29 bytes each.

The newest identities stand in a dict. When it is full they become a run: arrays sorted by identity, which are searched
for many identities at once. Runs of one size are merged, so that there are few. What a run remembers is amended in
place.

An identity that was noted in an hour before the cutoff is unknown, whether or not it still stands somewhere. So what is
known depends on nothing but the records, and not on when runs were sealed, merged, saved or restored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

OPEN_MAX: Final = 32_768
"""Identities in the dict, where one takes some 300 bytes. It may hold more until `settle` is called."""
RUN_MAX: Final = 96 * OPEN_MAX
"""Identities of a run, so that a merge, which holds them twice for a moment, needs little."""
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
            self.fact, self.cell, self.shared = self.fact.copy(), self.cell.copy(), False
        self.fact[index], self.cell[index] = fact, cell

    def since(self, hour: int) -> "list[_Run]":
        """What was noted in this hour or later: one run or none."""
        if self.first_hour >= hour:
            return [self]
        keep = self.hour >= min(hour - self.first_hour, 255)
        if hour > self.last_hour or not keep.any():
            return []
        return [
            _Run(
                self.high[keep],
                self.low[keep],
                self.fact[keep],
                self.cell[keep],
                self.hour[keep],
                self.first_hour,
                self.last_hour,
            )
        ]


def _sorted(
    high: list[NDArray[np.uint64]],
    low: list[NDArray[np.uint64]],
    fact: list[NDArray[np.int64]],
    cell: list[NDArray[np.uint32]],
    hour: list[NDArray[np.uint8]],
    first_hour: int,
    last_hour: int,
) -> _Run:
    """A run of the parts of each column, one column after the other: so little is held twice at a time."""
    highs = np.concatenate(high)
    order = np.argsort(highs, kind="stable")  # quick where the parts are sorted
    highs = highs[order]
    if (highs[1:] == highs[:-1]).any():
        order = np.lexsort((np.concatenate(low), np.concatenate(high)))
    return _Run(
        highs,
        np.concatenate(low)[order],
        np.concatenate(fact)[order],
        np.concatenate(cell)[order],
        np.concatenate(hour)[order],
        first_hour,
        last_hour,
    )


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
        known.runs = [_Run(**run) for run in tree["runs"]]
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
        hour = rows[:, 2]
        left = hour >= self._cutoff
        while left.any():
            first = int(hour[left].min())
            part = left & (hour < first + SPAN_HOURS)
            since = (hour[part] - first).astype(np.uint8)
            high, low, fact, cell = keys[part, 0], keys[part, 1], rows[part, 0], rows[part, 1].astype(np.uint32)
            self.runs.append(_sorted([high], [low], [fact], [cell], [since], first, first + int(since.max())))
            left &= ~part

    def _merge(self) -> None:
        while len(self.runs) >= FAN:
            last = self.runs[-FAN:]
            first_hour, last_hour = last[0].first_hour, last[-1].last_hour
            if (
                len({run.tier for run in last}) > 1
                or sum(run.size for run in last) > RUN_MAX
                or last_hour - first_hour >= SPAN_HOURS
            ):
                return
            self.runs[-FAN:] = [
                _sorted(
                    [run.high for run in last],
                    [run.low for run in last],
                    [run.fact for run in last],
                    [run.cell for run in last],
                    [run.hour + np.uint8(run.first_hour - first_hour) for run in last],
                    first_hour,
                    last_hour,
                )
            ]
