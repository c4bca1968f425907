"""Events that are known beforehand: a campaign multiplies what is expected, in planned maintenance nobody is paged.

An event holds from its bucket, or from the next one to be judged; one that is cancelled holds until then. So what was
judged stands, and whoever judges the same buckets again (a history that came late) finds the same events in them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple

import numpy as np

from pegel.detector.judge.domain.judgement import Floats
from pegel.detector.judge.domain.lines import CalendarCancelLine, CalendarLine

EVENTS_MAX: Final = 10_000
"""That are not over, and ids that are remembered: a repeated one is known among the newest."""
KEPT_SECONDS: Final = 26 * 3600
"""After its end: live buckets are kept a day, and learnt an hour later."""
REFUSED_MAX: Final = 100
"""Reasons that are kept until somebody reads them."""
NO_PAGING: Final = float("nan")
"""As a factor: nobody is paged, whatever comes."""


@dataclass(slots=True)
class Event:
    """Holds in buckets that begin in [since, until), seconds since 1970. line: a glob a dimension."""

    id: str
    name: str
    line: tuple[str, ...]
    since: int
    until: int
    factor: float
    """NO_PAGING, or what is expected is multiplied with it."""

    def covers(self, segment: Sequence[str]) -> bool:
        return all(fnmatchcase(value, glob) for value, glob in zip(segment, self.line, strict=True))

    def holds(self, start: int) -> bool:
        return self.since <= start < self.until


class _InForce(NamedTuple):
    """What holds in buckets that begin in [since, until), of so many segments."""

    since: float
    until: float
    segments: int
    factors: Floats | None
    quiet: Collection[tuple[str, ...]]


_UNKNOWN: Final = _InForce(np.inf, -np.inf, 0, None, frozenset())


class Events:
    """All that are planned or hold, in the order in which they were told."""

    def __init__(self, bucket_seconds: int, events: Sequence[Event] = ()) -> None:
        self._bucket_seconds = bucket_seconds
        self._events = list(events)
        self._ids: dict[str, None] = {}
        self._now = _UNKNOWN
        self.refusals: list[str] = []
        """Why nothing was made of a record. Whoever reads them clears them."""

    def take(self, line: CalendarLine | CalendarCancelLine, next_bucket: int | None) -> None:
        """A record of counts; a repeated one is dropped. next_bucket: the first that is not judged, where one was."""
        if line.id in self._ids:
            return
        self._ids[line.id] = None
        if len(self._ids) > EVENTS_MAX:
            del self._ids[next(iter(self._ids))]
        begin = None if next_bucket is None else next_bucket * self._bucket_seconds
        if begin is not None:
            self._events = [event for event in self._events if event.until > begin - KEPT_SECONDS]
        if isinstance(line, CalendarLine):
            self._add(event_of(line, self._bucket_seconds), begin)
        else:
            self._cancel(line.cancels, begin)
        self._now = _UNKNOWN

    def factors(self, start: int, segments: Sequence[tuple[str, ...]]) -> Floats | None:
        """What is expected of each segment is multiplied with, (S,), in the bucket that begins at `start`.

        None where no event holds; NO_PAGING where nobody is paged.
        """
        if not self._events:
            return None
        now = self._now
        if not now.since <= start < now.until or now.segments != len(segments):
            now = self._now = self._look(start, segments)
        return now.factors

    def quiet(self, members: Sequence[tuple[str, ...]]) -> bool:
        """Whether nobody is paged about these segments, all of them, in the bucket whose factors were asked last."""
        return bool(self._now.quiet) and all(member in self._now.quiet for member in members)

    def names(self, start: int, members: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
        """Of the events that hold for any of these segments in the bucket that begins at `start`."""
        found = [event for event in self._events if event.holds(start)]
        return tuple(dict.fromkeys(event.name for event in found if any(map(event.covers, members))))

    def state(self) -> dict[str, Any]:
        return {"events": [asdict(event) for event in self._events], "ids": list(self._ids)}

    def restore(self, tree: Mapping[str, Any]) -> None:
        self._events = [Event(**{**event, "line": tuple(event["line"])}) for event in tree["events"]]
        self._ids = dict.fromkeys(tree["ids"])
        self._now = _UNKNOWN

    def _add(self, event: Event, begin: int | None) -> None:
        if begin is not None:
            event.since = max(event.since, begin)
        if event.until <= event.since:
            self._refuse(f"event {event.id} was over before it was told")
        elif len(self._events) >= EVENTS_MAX:
            self._refuse(f"event {event.id} is one too many: {EVENTS_MAX:,} are kept at most")
        else:
            self._events.append(event)

    def _cancel(self, name: str, begin: int | None) -> None:
        event = next((event for event in self._events if event.id == name), None)
        if event is None or (begin is not None and event.until <= begin):
            self._refuse(f"event {name} can't be cancelled: it is over, or was never told")
            return
        event.until = event.since if begin is None else max(event.since, begin)
        if event.until == event.since:
            self._events.remove(event)

    def _look(self, start: int, segments: Sequence[tuple[str, ...]]) -> _InForce:
        borders = [border for event in self._events for border in (event.since, event.until)]
        since = max((border for border in borders if border <= start), default=-np.inf)
        until = min((border for border in borders if border > start), default=np.inf)
        factors: Floats | None = None
        for event in self._events:
            if event.holds(start):
                factors = np.ones(len(segments)) if factors is None else factors
                factors[np.array([event.covers(segment) for segment in segments], dtype=bool)] *= event.factor
        quiet: Collection[tuple[str, ...]] = frozenset()
        if factors is not None:
            quiet = frozenset(segments[number] for number in np.flatnonzero(np.isnan(factors)).tolist())
        return _InForce(since, until, len(segments), factors, quiet)

    def _refuse(self, why: str) -> None:
        self.refusals = [*self.refusals, why][-REFUSED_MAX:]


def event_of(line: CalendarLine, bucket_seconds: int) -> Event:
    """It holds from the bucket that `since` lies in to the one that `until` ends in."""
    return Event(
        id=line.id,
        name=line.name,
        line=line.line,
        since=int(line.since.timestamp()) // bucket_seconds * bucket_seconds,
        until=-(-int(line.until.timestamp()) // bucket_seconds) * bucket_seconds,
        factor=NO_PAGING if line.factor is None else line.factor,
    )
