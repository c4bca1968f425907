"""The first source: the stream contacts, read again and counted exactly. Shares no code with the counter."""

from collections import Counter
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


class Recount(NamedTuple):
    """counted: contacts by place, of buckets below the cut; open: those that are in no window yet."""

    counted: Counter[Place]
    open: int


class _Partition:
    """Contacts of one partition by identity: where each was last put, None when it was voided."""

    def __init__(self, identity: Identity, horizon_hours: float) -> None:
        self._bucket_seconds = identity.meta.bucket_seconds
        self._forgets = identity.meta.clock == "wall"
        self._horizon_hours = horizon_hours
        self._known: dict[tuple[str, str], tuple[int, Place | None]] = {}
        self._amendments: set[tuple[str, str]] = set()
        self._hour = 0
        self.counted: Counter[Place] = Counter()

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

    def _remembered(self, identity: tuple[str, str]) -> bool:
        known = self._known.get(identity)
        return known is not None and not (self._forgets and known[0] < self._hour - self._horizon_hours)

    def _contact(self, identity: tuple[str, str], found: dict[str, Any]) -> None:
        if self._remembered(identity):
            return
        place = self._place(found)
        self._known[identity] = (self._hour, place)
        self.counted[place] += 1

    def _amendment(self, identity: tuple[str, str], found: dict[str, Any]) -> None:
        amendment = (found["source"], found["amendment_id"])
        if amendment in self._amendments:
            return
        self._amendments.add(amendment)
        hour, before = self._known[identity] if self._remembered(identity) else (0, None)
        if before is None:
            return
        self.counted[before] -= 1
        after: Place | None = None
        if not found.get("void"):
            changes = found["set"]
            bucket = self._bucket(changes["occurred_at"]) if "occurred_at" in changes else before.bucket
            after = before._replace(bucket=bucket, **{name: changes[name] for name in NEUTRAL if name in changes})
            self.counted[after] += 1
        self._known[identity] = (hour, after)

    def _place(self, found: dict[str, Any]) -> Place:
        return Place(self._bucket(found["occurred_at"]), found["country"], found["topic"], found["channel"])

    def _bucket(self, occurred_at: str) -> int:
        return int(datetime.fromisoformat(occurred_at).timestamp()) // self._bucket_seconds


async def recount(
    log: EventLog, identity: Identity, horizon_hours: float, covered: dict[int, int], cut_to: int | None
) -> Recount:
    """Read every partition again. covered: partition to the first offset that the cut does not reach; cut_to: its end.

    Without a cut nothing is in windows, so all is open.
    """
    counted: Counter[Place] = Counter()
    accepted_in_all = 0
    for partition, bounds in (await log.bounds(CONTACTS)).items():
        state = _Partition(identity, horizon_hours)
        at_cut: Counter[Place] | None = None
        edge = covered.get(partition, bounds.begin)
        reader = log.reader(CONTACTS, {partition: bounds.begin})
        try:
            while reader.positions()[partition] < bounds.end:
                for record in (await reader.fetch()).get(partition, ()):
                    if record.offset >= edge and at_cut is None:
                        at_cut = state.counted.copy()
                    if record.offset < bounds.end:
                        state.take(record)
        finally:
            await reader.close()
        for place, contacts in (state.counted if at_cut is None else at_cut).items():
            if cut_to is not None and place.bucket < cut_to and contacts:
                counted[place] += contacts
        accepted_in_all += sum(state.counted.values())
    return Recount(counted, accepted_in_all - sum(counted.values()))
