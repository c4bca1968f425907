"""Who contacted: what the counter tells of open buckets, and what the judge remembers of it."""

from base64 import b64decode

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pegel.detector.counter.domain import customers as counting
from pegel.detector.counter.domain.customers import hash_of
from pegel.detector.judge.domain import customers as memory
from pegel.detector.judge.domain.customers import QUIET_MAX, Customers, Known
from pegel.detector.judge.domain.judgement import Windows
from pegel.detector.judge.domain.lines import CustomersLine
from pegel.detector.state import decode, encode
from pegel.schemas.base import LogRecord
from pegel.schemas.contact import AmendmentRecord
from pegel.schemas.detection import CUSTOMERS_MAX, CountsRecord
from support.detecting import MADE, Counted, contact

FIRST = int(MADE.timestamp()) // 60
Told = dict[tuple[int, tuple[str, ...]], tuple[int, list[bytes]]]


def told(outputs: list[LogRecord]) -> Told:
    """By minute and segment: contacts that say their customer, and the hashes."""
    found: Told = {}
    for record in outputs:
        if isinstance(record, CountsRecord) and (rows := record.customers) is not None:
            for bucket, segment, contacts, text in zip(
                rows.bucket, rows.segment, rows.contacts, rows.hashes, strict=True
            ):
                data = b64decode(text)
                found[bucket - FIRST, segment] = (contacts, [data[n : n + 8] for n in range(0, len(data), 8)])
    return found


class TestTheCounter:
    def test_tells_each_customer_of_a_segment_once(self) -> None:
        c = Counted()
        for number, (who, channel) in enumerate([("ann", "phone"), ("bob", "phone"), ("ann", "chat"), (None, "chat")]):
            c.put(0.1, contact(f"c{number}", 0.1, customer=who, channel=channel))
        c.put(0.2, contact("other", 0.2, customer="ann", topic="cards"))
        assert told(c.tick(1.2)) == {
            (0, ("ES", "atm")): (3, sorted([hash_of("ann"), hash_of("bob")])),
            (0, ("ES", "cards")): (1, [hash_of("ann")]),
        }
        assert told(c.tick(2.2)) == {}

    def test_says_nothing_where_contacts_say_nothing(self) -> None:
        c = Counted()
        c.put(0.1, contact("a", 0.1))
        (record,) = c.tick(1.2)
        assert b"customers" not in record.encode()

    def test_counts_no_copy_and_tells_who_came_late(self) -> None:
        c = Counted()
        for _ in range(2):
            c.put(0.1, contact("a", 0.1, customer="ann"))
        assert told(c.tick(1.2))[0, ("ES", "atm")][0] == 1
        c.put(1.5, contact("b", 0.5, customer="bob"))
        assert told(c.tick(2.2)) == {(0, ("ES", "atm")): (1, [hash_of("bob")])}

    def test_takes_no_hash_back(self) -> None:
        c = Counted()
        c.put(0.1, contact("a", 0.1, customer="ann"))
        void = AmendmentRecord(amendment_id="m", source="desk", event_id="a", reason="spam", void=True)
        c.put(0.2, void)
        assert told(c.tick(1.2)) == {(0, ("ES", "atm")): (1, [hash_of("ann")])}

    def test_keeps_the_same_thousand_in_whatever_order_they_come(self) -> None:
        found = []
        for order in (1, -1):
            c = Counted()
            for number in range(CUSTOMERS_MAX + 50)[::order]:
                c.put(0.1, contact(f"c{number}", 0.1, customer=f"p{number}"))
            found.append(told(c.tick(1.2)))
        (contacts, hashes), *_ = found[0].values()
        assert (contacts, len(hashes)) == (CUSTOMERS_MAX + 50, CUSTOMERS_MAX)
        assert found[0] == found[1]

    def test_splits_what_is_large_and_only_the_last_part_closes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(counting, "PART_BYTES", 4_000)
        c = Counted()
        for number in range(1_000):
            c.put(0.1, contact(f"c{number}", 0.1, customer=f"p{number}", topic=f"t{number % 60}"))
        records = [record for record in c.tick(1.2) if isinstance(record, CountsRecord)]
        assert len(records) > 2
        assert [record.last for record in records] == [False] * (len(records) - 1) + [True]
        sizes = [len(record.customers.model_dump_json()) for record in records if record.customers is not None]
        assert max(sizes) < 4_000 + 1_000
        assert sum(len(hashes) for _, hashes in told(list(records)).values()) == 1_000

    def test_dimensions_that_are_not_said_are_unknown(self) -> None:
        c = Counted(dimensions=("country", "attributes.region"))
        c.put(0.1, contact("a", 0.1, customer="ann"))
        c.put(0.1, contact("b", 0.1, customer="ann", attributes={"region": "north"}))
        assert {segment for _, segment in told(c.tick(1.2))} == {("ES", "unknown"), ("ES", "north")}


SEGMENTS = (("ES", "atm"), ("PT", "atm"))
Met = dict[int, dict[int, list[int]]]
"""By bucket and segment: the customer of each contact."""


def line(bucket: int, met: dict[int, list[int]]) -> CustomersLine:
    return CustomersLine(
        bucket=[bucket] * len(met),
        segment=[SEGMENTS[segment] for segment in met],
        contacts=[len(who) for who in met.values()],
        hashes=[b"".join(n.to_bytes(8, "little") for n in sorted(set(who))) for who in met.values()],
    )


def entered(met: Met, bucket_seconds: int = 300) -> Customers:
    found = Customers(bucket_seconds)
    for bucket, its in sorted(met.items()):
        found.take(line(bucket, its))
        found.enter(bucket, bucket, SEGMENTS.index)
    return found


class TestTheJudge:
    @given(
        st.dictionaries(
            st.integers(1000, 1035),
            st.dictionaries(st.integers(0, 1), st.lists(st.integers(1, 9), min_size=1, max_size=6), min_size=1),
        ),
        st.sampled_from([(0,), (1,), (0, 1)]),
        st.sampled_from([300, 900, 3600, 3 * 3600]),
    )
    @settings(deadline=None)
    def test_counts_as_a_plain_set_does(self, met: Met, line: tuple[int, ...], seconds: int) -> None:
        found = entered(met)
        who = [
            customer
            for bucket, its in met.items()
            for segment in line
            for customer in its.get(segment, ())
            if 1036 - seconds // 300 <= bucket < 1036
        ]
        apart = {
            (segment, customer)
            for bucket, its in met.items()
            for segment in line
            for customer in its.get(segment, ())
            if 1036 - seconds // 300 <= bucket < 1036
        }
        expected = Known(len(set(who)), len(apart), len(who), whole=True)
        assert found.known(line, 1036 * 300, seconds) == expected
        restored = Customers(300)
        restored.restore(decode(encode(found.state())))
        assert restored.known(line, 1036 * 300, seconds) == expected
        assert encode(restored.state()) == encode(found.state())

    def test_a_quiet_segment_is_known_for_a_day_and_a_busy_one_for_three_hours(self) -> None:
        met = {1000 + n: {0: [n + 1]} if n % 20 else {0: [n + 1], 1: [n + 1]} for n in range(288)}
        found = entered(met)
        end = 1288 * 300
        assert found.known([1], end, 86_400) == Known(15, 15, 15, whole=True)
        assert found.known([0], end, 3 * 3600) == Known(36, 36, 36, whole=True)
        assert not found.known([0], end, 86_400).whole
        assert not found.known([0, 1], end, 86_400).whole
        assert QUIET_MAX >= 15

    def test_of_a_bucket_with_too_many_not_all_are_known(self) -> None:
        found = Customers(300)
        many = line(1000, {0: list(range(1, CUSTOMERS_MAX + 1))})
        many.contacts = [CUSTOMERS_MAX + 7]
        found.take(many)
        found.enter(1000, 1000, SEGMENTS.index)
        assert found.known([0], 1001 * 300, 300) == Known(CUSTOMERS_MAX, CUSTOMERS_MAX, CUSTOMERS_MAX + 7, whole=False)

    def test_a_very_busy_segment_is_forgotten_in_halves(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(memory, "KEPT_MAX", 100)
        found = entered({1000 + n: {0: list(range(20 * n + 1, 20 * n + 21))} for n in range(60)})
        assert found.known([0], 1060 * 300, 900) == Known(60, 60, 60, whole=True)
        assert not found.known([0], 1060 * 300, 3 * 3600).whole
        assert sum(len(met[1]) for met in found.state()["met"]) < 600

    def test_what_was_not_entered_is_not_seen(self) -> None:
        found = Customers(300)
        found.take(line(1000, {0: [1]}))
        assert found.waiting(1001) == [1000]
        assert found.known([0], 1001 * 300, 300).customers == 0
        found.drop(1000)
        found.enter(1000, 1001, SEGMENTS.index)
        assert found.known([0], 1001 * 300, 300).customers == 0

    @pytest.mark.parametrize(
        ("who", "observed", "expected", "few"),
        [
            ([1] * 29, 29, 0.2, True),  # one caller
            ([1, 2] * 15, 30, 0.2, True),  # two
            (list(range(1, 30)), 29, 0.2, False),  # an outage
            ([n % 8 + 1 for n in range(29)], 29, 0.2, False),  # an outage of whom some come again
            ([1] * 29, 60, 0.2, False),  # the others don't say who they are
            ([1] * 29 + list(range(2, 12)), 39, 9.0, True),  # one caller in a segment that has some
            ([], 29, 0.2, False),  # nobody says who they are
        ],
    )
    def test_a_few_who_come_again_and_again_are_told_from_many(
        self, who: list[int], observed: int, expected: float, few: bool
    ) -> None:
        found = entered({1000: {0: who}} if who else {})
        windows = Windows(np.array([900]), np.array([observed]), np.array([expected]), np.array([expected]))
        assert found.are_few([0], 1001 * 300, windows, 0) is few

    def test_those_who_usually_come_again_are_not_held_against_a_rise(self) -> None:
        # Each customer comes three times: 30 contacts of 10 in a bucket are usual, 60 of 20 are a rise.
        met = {1000 + n: {0: [n * 100 + k % 10 + 1 for k in range(30)]} for n in range(48)}
        usual, new = entered(met), entered({})
        windows = Windows(np.array([300]), np.array([60]), np.array([30.0]), np.array([30.0]))
        for found, few in ((usual, False), (new, True)):
            found.take(line(1048, {0: [90_000 + k % 20 + 1 for k in range(60)]}))
            found.enter(1048, 1048, SEGMENTS.index)
            assert found.are_few([0], 1049 * 300, windows, 0) is few
