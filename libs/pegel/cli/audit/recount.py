"""The first source: the stream contacts, read again and counted exactly. Shares no code with the counter."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from pegel.eventlog.identity import Identity
from pegel.eventlog.port import CONTACTS, EventLog, Record

HOUR_MS = 3_600_000
NEUTRAL = ("country", "topic", "channel")


class Place(NamedTuple):
    """Where something is counted: bucket (number since 1970) and the cell's main fields."""

    bucket: int
    country: str
    topic: str
    channel: str

    def text(self, bucket_seconds: int) -> str:
        start = datetime.fromtimestamp(self.bucket * bucket_seconds).astimezone()
        return f"{start:%Y-%m-%dT%H:%M:%S%z} {self.country}/{self.topic} {self.channel}"


class Totals(NamedTuple):
    """Of records of one partition: contacts read, copies among them, contacts taken out again."""

    contacts: int = 0
    copies: int = 0
    voided: int = 0

    def minus(self, other: "Totals") -> "Totals":
        return Totals(*(mine - its for mine, its in zip(self, other, strict=True)))


class Recount(NamedTuple):
    """counted: contacts by place, of buckets below the cut, without those sealed. open: those in no window yet.

    totals: by partition, up to where the cut covers it, without what was sealed.
    """

    counted: Counter[Place]
    open: int
    totals: dict[int, Totals]


class Cut(NamedTuple):
    """Up to where something reaches. covered: partition to its first offset not reached; to: end of the buckets."""

    covered: Mapping[int, int]
    to: int


class _Partition:
    """Contacts of one partition by identity: where each was last put, None when it was voided."""

    def __init__(self, identity: Identity, horizon_hours: float) -> None:
        self._bucket_seconds = identity.meta.bucket_seconds
        self._forgets = identity.meta.clock == "wall"
        self._horizon_hours = horizon_hours
        self._known: dict[tuple[str, str], tuple[int, Place | None]] = {}
        self._amendments: dict[tuple[str, str], int] = {}
        self._hour = 0
        self.counted: Counter[Place] = Counter()
        self.totals = Totals()

    def take(self, record: Record) -> None:
        """Count a record; what is no contact and no amendment, or can't be read, counts nothing."""
        self._hour = max(self._hour, record.time_ms // HOUR_MS)
        try:
            found = orjson.loads(record.value)
        except orjson.JSONDecodeError:
            return
        if not isinstance(found, dict) or found.get("v") != 1 or found.get("kind") not in ("contact", "amendment"):
            return
        try:
            identity = (found["source"], found["event_id"])
            if found["kind"] == "contact":
                self._contact(identity, found)
            else:
                self._amendment(identity, found)
        except (KeyError, TypeError, ValueError):
            return  # quarantined by the counter with the same reason: it stands in rejected

    def _fresh(self, hour: int) -> bool:
        """Whether what came in this hour is within the horizon."""
        return not (self._forgets and hour < self._hour - self._horizon_hours)

    def _remembered(self, identity: tuple[str, str]) -> bool:
        known = self._known.get(identity)
        return known is not None and self._fresh(known[0])

    def _contact(self, identity: tuple[str, str], found: dict[str, Any]) -> None:
        place = self._place(found)
        contacts, copies, voided = self.totals
        if self._remembered(identity):
            self.totals = Totals(contacts + 1, copies + 1, voided)
            return
        self.totals = Totals(contacts + 1, copies, voided)
        self._known[identity] = (self._hour, place)
        self.counted[place] += 1

    def _amendment(self, identity: tuple[str, str], found: dict[str, Any]) -> None:
        amendment = (found["source"], found["amendment_id"])
        if amendment in self._amendments and self._fresh(self._amendments[amendment]):
            return
        hour, before = self._known[identity] if self._remembered(identity) else (0, None)
        if before is None:
            return
        self._amendments[amendment] = self._hour
        if found.get("void"):
            self._known[identity] = (hour, None)
            self.totals = self.totals._replace(voided=self.totals.voided + 1)
        else:
            changes = found.get("set") or {}
            bucket = self._bucket(changes["occurred_at"]) if "occurred_at" in changes else before.bucket
            after = before._replace(bucket=bucket, **{name: changes[name] for name in NEUTRAL if name in changes})
            self._known[identity] = (hour, after)
            self.counted[after] += 1
        self.counted[before] -= 1

    def _place(self, found: dict[str, Any]) -> Place:
        return Place(self._bucket(found["occurred_at"]), found["country"], found["topic"], found["channel"])

    def _bucket(self, occurred_at: str) -> int:
        return int(datetime.fromisoformat(occurred_at).timestamp()) // self._bucket_seconds


class _Marks:
    """What a partition's state was at given offsets."""

    def __init__(self, state: _Partition, edges: Sequence[int | None]) -> None:
        self._state, self._edges = state, edges
        self._found: list[tuple[Counter[Place], Totals] | None] = [None] * len(edges)

    def pass_to(self, offset: int) -> None:
        """The record at this offset comes next."""
        for number, edge in enumerate(self._edges):
            if self._found[number] is None and edge is not None and offset >= edge:
                self._found[number] = self._state.counted.copy(), self._state.totals

    def at(self, number: int) -> tuple[Counter[Place], Totals]:
        """At the end where the edge was not reached; nothing where there is no edge."""
        if self._edges[number] is None:
            return Counter(), Totals()
        return self._found[number] or (self._state.counted, self._state.totals)


async def recount(
    log: EventLog, identity: Identity, horizon_hours: float, cut: Cut | None, sealed: Cut | None = None
) -> Recount:
    """Read every partition again, from its begin. Without a cut nothing is in windows, so all is open.

    sealed: what is taken from a seal; contacts before it only tell which ones are copies or can be amended.
    """
    counted: Counter[Place] = Counter()
    totals: dict[int, Totals] = {}
    taken_in_all = windowed_in_all = 0
    for partition, bounds in (await log.bounds(CONTACTS)).items():
        state = _Partition(identity, horizon_hours)
        edges = [None if its is None else its.covered.get(partition, bounds.begin) for its in (sealed, cut)]
        marks = _Marks(state, edges)
        reader = log.reader(CONTACTS, {partition: bounds.begin})
        try:
            while reader.positions()[partition] < bounds.end:
                for record in (await reader.fetch()).get(partition, ()):
                    marks.pass_to(record.offset)
                    if record.offset < bounds.end:
                        state.take(record)
        finally:
            await reader.close()
        before, totals_before = marks.at(0)
        until, totals_until = marks.at(1)
        totals[partition] = totals_until.minus(totals_before)
        taken_in_all += sum(state.counted.values())
        for place, contacts in until.items():
            if cut is not None and place.bucket < cut.to and contacts:
                counted[place] += contacts
                windowed_in_all += contacts
        for place, contacts in before.items():
            if sealed is not None and place.bucket < sealed.to:
                counted[place] -= contacts
    return Recount(_without_zeros(counted), taken_in_all - windowed_in_all, totals)


def _without_zeros(counts: Counter[Place]) -> Counter[Place]:
    return Counter({place: contacts for place, contacts in counts.items() if contacts})
