"""The counter of one partition: copies, lateness, gaps, ticks, amendments. Times are minutes after the log was made."""

import json
import random

import pytest

from pegel.detector.counter.domain import counting
from pegel.schemas.base import LogRecord
from pegel.schemas.contact import AmendmentRecord, TickRecord
from pegel.schemas.detection import CountsRecord
from pegel.schemas.rejected import RejectedRecord
from support.detecting import MADE, Counted, contact

FIRST = int(MADE.timestamp()) // 60
TICK = TickRecord().encode()


def sums(outputs: list[LogRecord]) -> dict[tuple[int, str], int]:
    """Contacts by (minute, topic) that these outputs add."""
    found: dict[tuple[int, str], int] = {}
    for record in outputs:
        if isinstance(record, CountsRecord):
            rows = record.additions
            for bucket, cell, contacts in zip(rows.bucket, rows.cell, rows.contacts, strict=True):
                key = (bucket - FIRST, rows.cells[cell]["topic"])
                found[key] = found.get(key, 0) + contacts
    return found


def only(outputs: list[LogRecord]) -> CountsRecord:
    (record,) = outputs
    assert isinstance(record, CountsRecord)
    return record


def test_a_bucket_closes_at_the_first_record_at_or_after_its_end_and_delay() -> None:
    # minute 0         1    1:10
    #        |--a--b---|-----|
    c = Counted()
    assert c.put(0.2, contact("a", 0.2)) == []
    assert c.put(0.9, contact("b", 0.9)) == []
    assert c.tick(1.1) == []
    closed = only(c.tick(70 / 60))
    assert (closed.closed_from - FIRST, closed.closed_to - FIRST) == (0, 1)
    assert sums([closed]) == {(0, "atm"): 2}
    assert closed.totals.model_dump() == {
        "contacts": 2, "copies": 0, "conflicts": 0, "voided": 0, "open": 0, "counted": 2,
    }  # fmt: skip


def test_a_contact_at_the_closing_record_itself_belongs_to_the_next() -> None:
    c = Counted()
    closed = only(c.put(1.5, contact("a", 0.5)))
    assert sums([closed]) == {}
    assert sums(c.tick(2.2)) == {(0, "atm"): 1}  # late: added to its own bucket with the next close


def test_copies_are_dropped_and_a_copy_that_says_something_else_is_a_conflict() -> None:
    c = Counted()
    c.put(0.1, contact("a", 0.1))
    assert c.put(0.2, contact("a", 0.1)) == []
    (conflict,) = c.put(0.3, contact("a", 0.1, topic="cards"))
    assert isinstance(conflict, RejectedRecord)
    assert (conflict.reason, conflict.event_id, conflict.offset) == ("conflict", "a", 2)
    closed = only(c.tick(1.2))
    assert sums([closed]) == {(0, "atm"): 1}
    assert (closed.totals.contacts, closed.totals.copies, closed.totals.conflicts) == (3, 2, 1)


def test_the_same_event_id_of_two_sources_are_two_contacts() -> None:
    c = Counted()
    c.put(0.1, contact("a", 0.1))
    c.put(0.1, contact("a", 0.1, source="other-desk"))
    assert sums(c.tick(1.2)) == {(0, "atm"): 2}


def test_an_identity_is_forgotten_after_the_horizon() -> None:
    c = Counted()
    c.put(0.1, contact("a", 0.1))
    for day in range(1, 9):
        c.tick(day * 1440)
    week_later = 8 * 1440 + 1
    c.put(week_later, contact("a", week_later))
    assert sums(c.tick(week_later + 2)) == {(week_later, "atm"): 1}


class TestTheHorizon:
    """Seven days of append time, by the hour. What is older is as if it had never come."""

    # hour 0            168              169
    #      |--a----------|----------------|
    LAST, BEYOND = 168 * 60 + 59.9, 169 * 60

    def test_a_copy_in_its_last_hour_is_dropped(self) -> None:
        c = Counted()
        c.put(0.1, contact("a", 0.1))
        assert c.put(self.LAST, contact("a", 0.1)) != []  # the bucket closes
        assert c.counter.read == (2, 1)

    def test_a_contact_that_comes_again_beyond_it_counts_again(self) -> None:
        c = Counted()
        c.put(0.1, contact("a", 0.1))
        c.put(self.BEYOND, contact("a", 0.1))
        assert c.counter.read == (2, 0)
        c.put(self.BEYOND + 1, contact("a", 0.1))
        assert c.counter.read == (3, 1)

    def test_an_amendment_beyond_it_is_rejected_and_says_how_long_it_is(self) -> None:
        c = Counted()
        c.put(0.1, contact("a", 0.1))
        (rejected,) = [r for r in c.put(self.BEYOND, amendment("m", "a", void=True)) if isinstance(r, RejectedRecord)]
        assert rejected.reason == "unknown_contact"
        assert rejected.errors[0].reason == "no contact of this id is known; they are remembered for 168 hours"

    def test_an_amendment_id_is_remembered_as_long(self) -> None:
        c = Counted()
        c.put(0.1, contact("a", 0.1))
        c.put(0.1, amendment("m", "a", set={"topic": "cards"}))
        last = c.put(self.LAST, amendment("m", "a", set={"topic": "login"}))
        assert sums(last) == {(0, "cards"): 1}
        beyond = c.put(self.BEYOND, contact("a", self.BEYOND))
        beyond += c.put(self.BEYOND, amendment("m", "a", set={"topic": "login"}))
        beyond += c.tick(self.BEYOND + 2)
        assert {topic: count for (_, topic), count in sums(beyond).items()} == {"login": 1}


@pytest.mark.parametrize(
    ("written", "minute"),
    [
        ("2026-03-02T00:01:59Z", 1),
        ("2026-03-02T00:01:59.999999Z", 1),
        ("2026-03-02t00:01:00z", 1),
        ("2026-03-02T05:31:59+05:30", 1),
        ("2026-03-01T19:01:00.5-05:00", 1),
        ("1970-01-01T00:00:30+14:00", -FIRST - 840),
    ],
)
def test_each_way_of_writing_a_time_counts_alike(written: str, minute: int) -> None:
    c = Counted()
    line = json.loads(contact("a", 0).encode()) | {"occurred_at": written}
    c.counter.apply([counting.In(0, int(MADE.timestamp() * 1000), None, json.dumps(line).encode())])
    assert sums(c.counter.apply([counting.In(1, int((MADE.timestamp() + 200) * 1000), None, TICK)])) == {
        (minute, "atm"): 1
    }


def test_whole_seconds_may_be_written_with_a_point() -> None:
    c = Counted()
    for number, key in enumerate((None, b"k" * 16)):
        value = contact("a", 0.1, handled_seconds=240).encode().replace(b":240,", b":240.0,")
        assert b":240.0," in value
        c.counter.apply([counting.In(number, int(MADE.timestamp() * 1000), key, value)])
    assert only(c.tick(1.2)).additions.handled_seconds == (480,)


def test_a_contact_before_the_log_was_made_is_counted_all_the_same() -> None:
    c = Counted()
    c.put(0.1, contact("a", -30))
    assert sums(c.tick(1.2)) == {(-30, "atm"): 1}


def test_a_contact_ahead_of_time_waits_for_its_bucket() -> None:
    c = Counted()
    c.put(0.1, contact("a", 3.5))
    closed = only(c.tick(1.2))
    assert sums([closed]) == {}
    assert closed.totals.open == 1
    c.tick(2.2)
    c.tick(3.2)
    assert sums(c.tick(4.2)) == {(3, "atm"): 1}


@pytest.mark.parametrize(
    ("silent_until", "gaps"),
    [
        (2 + 10 / 60, []),  # bucket 0 closes exactly one bucket length late: it was observed
        (2 + 11 / 60, [0]),  # a second later it was observed by nobody
        (10.5, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
    ],
)
def test_what_closes_more_than_a_bucket_late_is_a_gap(silent_until: float, gaps: list[int]) -> None:
    c = Counted()
    c.put(0.1, contact("a", 0.1))
    closed = only(c.tick(silent_until))
    seen = [b - FIRST for b in range(closed.closed_from, closed.closed_to) if closed.gap_from <= b < closed.gap_to]
    assert seen == [b for b in gaps if b < closed.closed_to - FIRST]
    assert sums([closed]) == {(0, "atm"): 1}  # and charged all the same


def test_the_logs_time_is_a_running_maximum() -> None:
    c = Counted()
    c.tick(5)
    assert c.tick(3) == []
    assert c.put(4, contact("a", 4.0)) == []


class TestDataMode:
    """Time moves only by ticks that carry one."""

    def test_nothing_closes_without_a_tick(self) -> None:
        c = Counted("data")
        for minute in range(100):
            assert c.put(minute, contact(f"c{minute}", minute)) == []

    def test_buckets_without_contacts_are_observed_zeros(self) -> None:
        c = Counted("data")
        c.tick(0, data=-100_000)
        c.put(0, contact("a", -100_000 + 0.5))
        closed = only(c.tick(0, data=-100_000 + 600))
        assert closed.closed_to - closed.closed_from == 599  # the last one's delay is not over
        assert closed.gap_from == closed.gap_to
        assert sums([closed]) == {(-100_000, "atm"): 1}

    def test_an_earlier_tick_changes_nothing(self) -> None:
        c = Counted("data")
        c.tick(0, data=50)
        c.tick(0, data=60)
        assert c.tick(0, data=55) == []
        assert only(c.tick(0, data=61.5)).closed_from - FIRST == 59

    def test_only_a_tick_over_a_day_makes_what_it_skips_a_gap(self) -> None:
        # data time: 0 ... 10 --------- more than a day --------- 10+1441
        c = Counted("data")
        c.tick(0, data=0)
        c.tick(0, data=10)
        closed = only(c.tick(0, data=10 + 1441))
        assert (closed.gap_from - FIRST, closed.gap_to - FIRST) == (11, 1450)
        assert (closed.closed_from - FIRST, closed.closed_to - FIRST) == (9, 1450)

    def test_identities_are_kept_for_the_whole_log(self) -> None:
        c = Counted("data")
        c.tick(0, data=0)
        c.put(0, contact("a", 0.5))
        c.tick(60 * 24 * 30, data=20_000)
        c.put(60 * 24 * 30, contact("a", 0.5))
        assert sums(c.tick(60 * 24 * 30, data=20_100)) == {}


def amendment(number: str, event_id: str, **values: object) -> AmendmentRecord:
    return AmendmentRecord.model_validate(
        {"amendment_id": number, "event_id": event_id, "source": "desk", "reason": "wrap_up", **values}
    )


class TestAmendments:
    """They take a contact out of its old cell and put it into the new one."""

    def test_before_the_bucket_closed(self) -> None:
        c = Counted()
        c.put(0.1, contact("a", 0.1))
        c.put(0.2, amendment("m", "a", set={"topic": "cards"}))
        assert sums(c.tick(1.2)) == {(0, "cards"): 1}

    def test_after_it_closed(self) -> None:
        c = Counted()
        c.put(0.1, contact("a", 0.1))
        c.tick(1.2)
        c.put(1.5, amendment("m", "a", set={"topic": "cards"}))
        assert sums(c.tick(2.2)) == {(0, "atm"): -1, (0, "cards"): 1}

    def test_void_takes_it_out(self) -> None:
        c = Counted()
        c.put(0.1, contact("a", 0.1))
        c.tick(1.2)
        c.put(1.5, amendment("m", "a", void=True))
        closed = only(c.tick(2.2))
        assert sums([closed]) == {(0, "atm"): -1}
        totals = closed.totals
        assert totals.contacts == totals.copies + totals.voided + totals.open + totals.counted

    def test_repeated_changes_nothing(self) -> None:
        c = Counted()
        c.put(0.1, contact("a", 0.1))
        for _ in range(2):
            c.put(0.2, amendment("m", "a", void=True))
        assert sums(c.tick(1.2)) == {}

    def test_of_an_unknown_contact_is_rejected(self) -> None:
        c = Counted()
        (rejected,) = c.put(0.2, amendment("m", "nobody", void=True))
        assert isinstance(rejected, RejectedRecord)
        assert (rejected.reason, rejected.amendment_id) == ("unknown_contact", "m")

    def test_one_that_came_before_its_contact_takes_effect_when_it_is_sent_again(self) -> None:
        c = Counted()
        early = amendment("m", "a", set={"topic": "cards"})
        assert len(c.put(0.2, early)) == 1
        c.put(0.3, contact("a", 0.3))
        assert c.put(0.4, early) == c.put(0.5, early) == []
        assert sums(c.tick(1.2)) == {(0, "cards"): 1}

    def test_of_a_contact_that_was_voided_is_rejected(self) -> None:
        c = Counted()
        c.put(0.1, contact("a", 0.1))
        c.put(0.2, amendment("m", "a", void=True))
        (rejected,) = c.put(0.3, amendment("n", "a", set={"topic": "cards"}))
        assert isinstance(rejected, RejectedRecord)
        assert (rejected.reason, rejected.amendment_id) == ("unknown_contact", "n")
        assert rejected.errors[0].reason == "the contact was voided before"
        assert sums(c.tick(1.2)) == {}

    def test_a_copy_of_what_was_amended_is_no_conflict(self) -> None:
        c = Counted()
        c.put(0.1, contact("a", 0.1))
        c.put(0.2, amendment("m", "a", set={"topic": "cards"}))
        assert c.put(0.3, contact("a", 0.1)) == []
        c.put(0.4, amendment("n", "a", void=True))
        assert c.put(0.5, contact("a", 0.1)) == []
        totals = only(c.tick(1.2)).totals
        assert (totals.contacts, totals.copies, totals.voided, totals.conflicts) == (3, 2, 1, 0)

    def test_what_it_leaves_out_stays(self) -> None:
        c = Counted()
        c.put(0.1, contact("a", 0.1, handled_seconds=90, site="leeds", complaint=True))
        c.put(0.2, amendment("m", "a", set={"outcome": "answered", "complaint": False}))
        rows = only(c.tick(1.2)).additions
        (cell,) = [rows.cells[cell] for cell, contacts in zip(rows.cell, rows.contacts, strict=True) if contacts]
        assert (cell["site"], cell["outcome"], cell["complaint"], cell["topic"]) == (
            "leeds",
            "answered",
            "false",
            "atm",
        )
        assert sum(rows.handled_seconds) == 90

    def test_to_another_time_moves_it_to_another_bucket(self) -> None:
        c = Counted()
        c.put(3.1, contact("a", 3.1))
        c.put(3.2, amendment("m", "a", set={"occurred_at": contact("a", 1.0).occurred_at}))
        assert sums(c.tick(4.2)) == {(1, "atm"): 1}


@pytest.mark.parametrize(
    "value",
    [
        b"\xff\xfe",
        b"{}",
        b'{"kind":"contact","v":1,"source":"x"}',
        b'{"kind":"contact","v":9}',
        b'{"kind":"counts","v":1}',
        b'{"kind":"tick","v":1,"at":"2026-03-02T00:00:00"}',
        b'{"kind":"amendment","v":1,"source":"desk","event_id":"a","amendment_id":"m","set":{"topic":["atm"]}}',
        contact("a", 0.1).encode().replace(b"00:00:06Z", b"00:00:06"),
        contact("a", 0.1).encode().replace(b'"2026-', b'"1969-'),
        contact("a", 0.1).encode().replace(b'"2026-03-02T00:00:06Z', b'"9999-12-31T23:59:59-14:00'),
        b'{"kind":"amendment","v":1,"source":"desk","event_id":"a","amendment_id":"m","set":{"occurred_at":"0001-01-01T00:00:00Z"}}',
        contact("a", 0.1, handled_seconds=5).encode().replace(b":5,", b":-5,"),
        contact("a", 0.1, handled_seconds=5).encode().replace(b":5,", b":5.5,"),
        contact("a", 0.1, handled_seconds=5).encode().replace(b":5,", b":99999999,"),
    ],
)
def test_what_cannot_be_read_is_quarantined_with_its_reason_and_the_partition_goes_on(value: bytes) -> None:
    c = Counted()
    (rejected,) = c.counter.apply([counting.In(0, int(MADE.timestamp() * 1000), None, value)])
    assert isinstance(rejected, RejectedRecord)
    assert rejected.reason == "unreadable"
    assert rejected.errors[0].reason
    assert c.counter.unreadable == 1
    c.put(0.5, contact("a", 0.5))
    assert sums(c.tick(1.2)) == {(0, "atm"): 1}


def test_a_replay_gives_the_same_outputs_however_the_records_are_cut_into_batches() -> None:
    rng = random.Random(7)
    c = Counted()
    outputs: list[LogRecord] = []
    for step in range(400):
        minute = step / 4
        outputs += c.put(
            minute, contact(f"c{rng.randrange(300)}", minute - rng.choice([0, 0, 0, 5]), topic=rng.choice("ab"))
        )
        if rng.random() < 0.1:
            outputs += c.put(minute, amendment(f"m{step}", f"c{rng.randrange(300)}", set={"topic": "z"}))
    again, at = c.fresh(), 0
    repeated: list[LogRecord] = []
    while at < len(c.records):
        size = rng.randrange(1, 60)
        repeated += again.apply(c.records[at : at + size])
        at += size
    assert [r.encode() for r in repeated] == [r.encode() for r in outputs]
    ids = [o.origin.id for o in outputs if isinstance(o, CountsRecord)]
    assert ids == sorted(set(ids))


@pytest.mark.parametrize("words", ["x", "ñ"])
def test_a_large_bucket_is_split_and_only_the_last_part_closes(words: str) -> None:
    c = Counted(dimensions=("country", "topic", "attributes.region"))
    for number in range(3_000):
        attributes = {"region": words * 64}
        c.put(0.1, contact(f"c{number}", 0.1, subtopic=f"s{number:063d}", site="m" * 64, attributes=attributes))
    parts = c.tick(1.2)
    lasts = [p.last for p in parts if isinstance(p, CountsRecord)]
    assert len(lasts) > 1
    assert lasts == [False] * (len(lasts) - 1) + [True]
    assert sum(sums(parts).values()) == 3_000
    assert max(len(p.encode()) for p in parts) < 512 * 1024
