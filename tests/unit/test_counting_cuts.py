"""However a partition's records are cut into batches, and wherever a snapshot and a restore lie between: one story.

And that story is the one that a plain model tells, which keeps every identity in a dict for ever.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pegel.detector import state
from pegel.detector.counter.domain import counting, known
from pegel.eventlog.keys import contact_key
from pegel.schemas.base import LogRecord
from pegel.schemas.contact import AmendmentRecord, TickRecord
from pegel.schemas.detection import CountsRecord
from pegel.schemas.rejected import RejectedRecord
from support.detecting import at, contact, rules

HORIZON_HOURS = 3
SMALL = {"OPEN_MAX": 3, "RUN_MAX": 40, "FAN": 2, "SPAN_HOURS": 5, "BLOCK": 4}


@dataclass(frozen=True)
class Step:
    """What comes, and how many minutes after what came before. keyed: its record has ingest's key."""

    minutes: float
    what: str
    contact: int
    late_minutes: int
    topic: str
    handled: int
    amendment: int
    keyed: bool


step = st.builds(
    Step,
    minutes=st.sampled_from([0, 0, 0, 0.01, 0.3, 1, 70, 200]),
    what=st.sampled_from(["contact"] * 6 + ["amend", "amend", "move", "void", "tick", "garbage"]),
    contact=st.integers(0, 5),
    late_minutes=st.sampled_from([0, 0, 0, 0, 3, 400]),
    topic=st.sampled_from(["atm", "cards"]),
    handled=st.sampled_from([0, 60, 2_592_000]),
    amendment=st.integers(0, 8),
    keyed=st.booleans(),
)
story = st.lists(step, min_size=8, max_size=100)


def records(steps: list[Step], clock: str) -> list[counting.In]:
    """The steps as records of a partition, and a tick a day later that closes everything."""
    found: list[counting.In] = []
    minutes = 0.0

    def put(value: bytes, key: bytes | None) -> None:
        found.append(counting.In(len(found), int(at(minutes).timestamp() * 1000), key, value))

    def tick() -> None:
        put(TickRecord(at=at(minutes) if clock == "data" else None).encode(), None)

    tick()
    for s in steps:
        minutes += s.minutes
        event_id, key = f"c{s.contact}", contact_key("desk", f"c{s.contact}") if s.keyed else None
        match s.what:
            case "contact":
                # Mostly a copy says what its first said: the topic hangs on the number.
                topic = "atm" if s.contact % 2 else s.topic
                happened = minutes - s.late_minutes if s.contact % 3 else 0
                who = f"p{s.contact // 2}" if s.contact else None
                put(
                    contact(event_id, happened, topic=topic, handled_seconds=s.handled or None, customer=who).encode(),
                    key,
                )
            case "tick":
                tick()
            case "garbage":
                put(b'{"kind":"contact","v":1,"topic":5}', key)
            case _:
                values: dict[str, object] = {"void": True}
                if s.what == "amend":
                    values = {"set": {"topic": s.topic, "handled_seconds": s.handled}}
                elif s.what == "move":
                    values = {"set": {"occurred_at": at(minutes - s.late_minutes)}}
                amendment = {"amendment_id": f"m{s.amendment}", "event_id": event_id, "source": "desk"}
                record = AmendmentRecord.model_validate({**amendment, "reason": "wrap_up", **values})
                put(record.encode(), key)
    minutes += 24 * 60
    tick()
    return found


def fresh(clock: str) -> counting.PartitionCounter:
    return counting.PartitionCounter(0, 0, rules(clock, horizon_hours=HORIZON_HOURS))


def encoded(outputs: list[LogRecord]) -> list[bytes]:
    return [output.encode() for output in outputs]


@given(story, st.sampled_from(["wall", "data"]), st.data())
@settings(deadline=None, max_examples=50)
def test_cuts_and_restores_change_nothing(steps: list[Step], clock: str, data: st.DataObject) -> None:
    read = records(steps, clock)
    undisturbed = fresh(clock)
    whole = encoded(undisturbed.apply(read))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(read)), max_size=12), "cuts"))
    restores = data.draw(st.sets(st.sampled_from(cuts)) if cuts else st.just(set[int]()), "restores")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALL.items():
            patch.setattr(known, name, value)
        patch.setattr(counting, "CHUNK", data.draw(st.sampled_from([1, 2, 7, 1000]), "chunk"))
        counter, outputs, begin = fresh(clock), list[bytes](), 0
        saved: list[tuple[int, int, dict[str, object]]] = []
        for end in [*cuts, len(read)]:
            outputs += encoded(counter.apply(read[begin:end]))
            begin = end
            tree = counter.state()
            saved.append((end, len(outputs), tree))
            if end in restores:
                body = state.encode(tree)
                counter = counting.PartitionCounter.restored(0, 0, counter.rules, state.decode(body))
                assert state.encode(counter.state()) == body
        assert outputs == whole
        assert (counter.read, counter.unreadable) == (undisturbed.read, undisturbed.unreadable)
        # What was saved on the way is still what it was then, although counting went on with the same arrays.
        end, told, tree = saved[len(saved) // 2]
        restored = counting.PartitionCounter.restored(0, 0, counter.rules, state.decode(state.encode(tree)))
        assert encoded(restored.apply(read[end:])) == whole[told:]


@dataclass
class Remembered:
    """What the model keeps of a contact."""

    bucket: int
    topic: str
    handled: int
    hour: int
    amended: bool = False
    void: bool = False


def model(steps: list[Step], clock: str) -> tuple[Counter[tuple[int, str]], Counter[tuple[int, str]], list[str]]:
    """Contacts and handled seconds by bucket and topic, and why what was rejected was rejected, in order."""
    contacts, handled = Counter[tuple[int, str]](), Counter[tuple[int, str]]()
    known_contacts, seen, rejected = dict[str, Remembered](), dict[str, int](), list[str]()
    minutes = 0.0

    def bucket(when: datetime) -> int:
        return int(when.timestamp()) // 60

    def count(r: Remembered, sign: int) -> None:
        contacts[r.bucket, r.topic] += sign
        handled[r.bucket, r.topic] += sign * r.handled

    def fits(hour: int, now: int) -> bool:
        return clock == "data" or hour >= now - HORIZON_HOURS

    for s in steps:
        minutes += s.minutes
        now = int(at(minutes).timestamp()) // 3600
        event_id = f"c{s.contact}"
        before = known_contacts.get(event_id)
        if before is not None and not fits(before.hour, now):
            before = None
        if s.what == "garbage":
            rejected.append("unreadable")
        elif s.what == "contact":
            happened = minutes - s.late_minutes if s.contact % 3 else 0
            new = Remembered(bucket(at(happened)), "atm" if s.contact % 2 else s.topic, s.handled, now)
            if before is None:
                known_contacts[event_id] = new
                count(new, 1)
            elif not before.amended and (before.bucket, before.topic, before.handled) != (
                new.bucket, new.topic, new.handled,
            ):  # fmt: skip
                rejected.append("conflict")
        elif s.what != "tick":
            if f"m{s.amendment}" in seen and fits(seen[f"m{s.amendment}"], now):
                continue
            if before is None or before.void:
                rejected.append("unknown_contact")
                continue
            seen[f"m{s.amendment}"] = now
            count(before, -1)
            before.amended = True
            if s.what == "void":
                before.void = True
                continue
            if s.what == "amend":
                before.topic, before.handled = s.topic, s.handled
            else:
                before.bucket = bucket(at(minutes - s.late_minutes))
            count(before, 1)
    return contacts, handled, rejected


@given(story, st.sampled_from(["wall", "data"]), st.sampled_from([1, 5, 1000]))
@settings(deadline=None, max_examples=50)
def test_it_counts_what_a_plain_model_counts(steps: list[Step], clock: str, chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALL.items():
            patch.setattr(known, name, value)
        patch.setattr(counting, "CHUNK", chunk)
        counter = fresh(clock)
        outputs = counter.apply(records(steps, clock))
    contacts, handled = Counter[tuple[int, str]](), Counter[tuple[int, str]]()
    for output in outputs:
        if isinstance(output, CountsRecord):
            rows = output.additions
            for bucket, cell, n, seconds in zip(
                rows.bucket, rows.cell, rows.contacts, rows.handled_seconds, strict=True
            ):
                contacts[bucket, rows.cells[cell]["topic"]] += n
                handled[bucket, rows.cells[cell]["topic"]] += seconds
    expected_contacts, expected_handled, expected_rejected = model(steps, clock)
    assert {k: v for k, v in contacts.items() if v} == {k: v for k, v in expected_contacts.items() if v}
    assert {k: v for k, v in handled.items() if v} == {k: v for k, v in expected_handled.items() if v}
    assert [o.reason for o in outputs if isinstance(o, RejectedRecord)] == expected_rejected
    assert counter.unreadable == expected_rejected.count("unreadable")
