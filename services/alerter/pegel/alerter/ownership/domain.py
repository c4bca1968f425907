"""Owner rules: the first one that matches a segment at a time says which team owns it."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Final

UNATTRIBUTED: Final = "unattributed"
"""The team of what no rule matches."""
BEGINNING: Final = datetime.min.replace(tzinfo=UTC)
END: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Floor:
    """A team is paged once an incident's excess reaches both: in contacts, and what these cost; 0 is no floor."""

    contacts: int = 0
    money_micros: int = 0


NO_FLOOR: Final = Floor()


@dataclass(frozen=True, slots=True)
class Team:
    """A team, where its costs go, and from when on it is paged."""

    id: str
    name: str
    cost_centre: str
    floor: Floor = NO_FLOOR


@dataclass(frozen=True, slots=True)
class OwnerRule:
    """From `since` (inclusive) until `until` (exclusive), segments whose dimensions match belong to `team`.

    match: dimension to globs (* ? [abc]), of which any may match. A roll-up's '*' is matched only by '*'.
    """

    match: Mapping[str, tuple[str, ...]]
    team: str
    since: datetime = BEGINNING
    until: datetime = END

    def covers(self, at: datetime) -> bool:
        return self.since <= at < self.until

    def matches(self, segment: Mapping[str, str]) -> bool:
        return all(
            any(fnmatchcase(segment.get(dimension, ""), glob) for glob in globs)
            for dimension, globs in self.match.items()
        )


class OwnerTable:
    """Rules in order, and what they said: segments are few, so each is matched once for each span of dates."""

    def __init__(self, rules: Sequence[OwnerRule], dimensions: Sequence[str]) -> None:
        self.rules, self.dimensions = rules, tuple(dimensions)
        self._borders = sorted({time for rule in rules for time in (rule.since, rule.until)})
        self._known: dict[tuple[int, tuple[str, ...]], str] = {}
        self._latest = (BEGINNING, bisect_right(self._borders, BEGINNING))

    def team(self, values: tuple[str, ...], at: datetime) -> str:
        """Id of the team that owns the segment with these values of the dimensions."""
        latest = self._latest  # one read: several threads ask
        if at != latest[0]:  # a window's segments are all of one time
            latest = self._latest = (at, bisect_right(self._borders, at))
        key = (latest[1], values)
        found = self._known.get(key)
        if found is None:
            segment = dict(zip(self.dimensions, values, strict=True))
            found = next((rule.team for rule in self.rules if rule.covers(at) and rule.matches(segment)), UNATTRIBUTED)
            self._known[key] = found
        return found
