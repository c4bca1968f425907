"""The judge: buckets judged once all partitions closed them; late, gaps, missing partitions; spikes as stories."""

import random
from datetime import timedelta
from uuid import UUID

import pytest

from pegel.detector.judge.domain.spikes import onset_of
from pegel.eventlog.keys import contact_key, partition_of
from pegel.schemas.detection import CountsRecord, HistoryEndRecord, HistoryRecord
from support.detecting import MADE, Detection, at, contact

FIRST = int(MADE.timestamp()) // 60
HISTORY = str(UUID(int=1))


def history(days: int, a_step: int = 5, *, until: float = 0.0) -> HistoryRecord:
    """A flat history of ES/atm: so many contacts in each 5 minutes, ending so many minutes after the log was made."""
    return HistoryRecord(
        id=HISTORY,
        part=0,
        start=at(until - days * 1440),
        step_seconds=300,
        segments=(("ES", "atm"),),
        counts=(tuple([a_step] * (days * 288)),),
    )


END = HistoryEndRecord(id=HISTORY, parts=1)


def test_a_bucket_waits_for_all_partitions() -> None:
    d = Detection(partitions=3)
    d.send(0.5, 6)
    d.tick(1.2, but=2)
    assert d.buckets == []
    d.tick(1.3)
    (record,) = d.buckets
    assert (record.bucket - FIRST, record.status, record.windows_contacts) == (0, "observed", 6)
    (window,) = d.windows
    assert (window.segments, window.observed, window.status) == ((("ES", "atm"),), (6,), "observed")
    assert sum(window.additions.contacts) == 6


def test_the_bucket_record_says_how_far_into_the_contacts_it_reaches() -> None:
    d = Detection(partitions=2)
    d.send(0.5, 10)
    d.tick(1.2)
    d.send(1.3, 3)  # open: not covered
    (record,) = d.buckets
    for covered in record.covered:
        counter = d.counters[covered.partition]
        closing = counter.records[covered.offset]
        assert b'"tick"' in closing.value
    assert sum(c.totals.contacts for c in record.covered) == 10


def test_a_late_contact_is_passed_on_and_scores_given_stand() -> None:
    d = Detection()
    d.send(0.5, 2)
    d.tick(1.2)
    d.send(1.5, occurred=0.7)
    d.tick(2.2)
    late, closed = d.windows[-2], d.windows[-1]
    assert (late.status, late.bucket - FIRST, late.observed, late.score) == ("late", 0, (1,), ())
    assert (closed.status, closed.bucket - FIRST) == ("observed", 1)
    assert d.buckets[-1].windows_contacts == 3


def test_contacts_from_before_the_log_was_made_are_passed_on_as_early() -> None:
    d = Detection()
    d.send(0.5, occurred=-10)
    d.tick(1.2)
    assert [(w.status, w.bucket - FIRST) for w in d.windows] == [("early", -10), ("observed", 0)]


def test_an_outage_of_all_ingests_is_one_gap_and_what_it_held_is_passed_on() -> None:
    # ticks:   0 1 2 | nothing until 30 | 30 31
    d = Detection()
    d.until(0, 2)
    d.send(2.5, 3)
    d.until(30, 32)
    statuses = [(b.bucket - FIRST, b.to - FIRST, b.status) for b in d.buckets]
    seen = ((0, 1, "observed"), (1, 2, "observed"))
    back = ((28, 29, "observed"), (29, 30, "observed"), (30, 31, "observed"))
    assert statuses == [*seen, (2, 3, "gap"), (3, 28, "gap"), *back]
    assert [(w.bucket - FIRST, w.observed) for w in d.windows if w.status == "gap"] == [(2, (3,))]
    assert d.buckets[-1].windows_contacts == 3


def test_a_late_contact_of_a_gap_stands_in_no_window() -> None:
    d = Detection()
    d.until(0, 2)
    d.until(30, 31)
    d.send(31.5, occurred=10)
    d.until(32, 33)
    assert [w.status for w in d.windows if w.bucket - FIRST == 10] == ["gap"]


def test_a_partition_that_is_missing_for_a_minute_is_left_out_and_named() -> None:
    d = Detection(partitions=2)
    d.until(0, 1.5)
    for half in range(4, 12):
        d.tick(half / 2, but=1)
    assert [(b.bucket - FIRST, b.incomplete) for b in d.buckets[:3]] == [(0, ()), (1, (1,)), (2, (1,))]
    # it comes back: what it held is late, and nothing is lost
    missed = next(n for n in range(100) if partition_of(contact_key("desk", f"late{n}"), 2) == 1)
    d.put(6, contact(f"late{missed}", 1.5))
    d.until(6, 8)
    assert [(w.status, w.observed) for w in d.windows if w.bucket - FIRST == 1 and w.additions.contacts] == [
        ("late", (1,))
    ]
    assert d.buckets[-1].incomplete == ()


def test_the_order_in_which_partitions_arrive_changes_nothing() -> None:
    def told(seed: int) -> list[bytes]:
        rng = random.Random(seed)
        d = Detection(partitions=4)
        held: dict[int, list[CountsRecord]] = {n: [] for n in range(4)}
        for minute in range(6):
            for number in range(20):
                record = contact(f"{minute}-{number}", minute + 0.5, topic=f"t{(minute + number) % 7}")
                held_in = partition_of(contact_key("desk", f"{minute}-{number}"), 4)
                held[held_in] += [
                    o for o in d.counters[held_in].put(minute + 0.5, record) if isinstance(o, CountsRecord)
                ]
            for n in range(4):
                held[n] += [o for o in d.counters[n].tick(minute + 1.3) if isinstance(o, CountsRecord)]
        queue = [n for n in range(4) for _ in held[n]]
        rng.shuffle(queue)
        for n in queue:
            d.counts_record(6.5, held[n].pop(0))
        return [w.model_copy(update={"origin": None}).model_dump_json().encode() for w in d.windows]

    assert told(1) == told(2) == told(3)
    assert len(told(1)) == 6


def test_beyond_max_segments_contacts_count_under_topic_other() -> None:
    d = Detection(partitions=1, max_segments=2)
    for topic in ("atm", "cards", "loan", "fees", "loan"):
        d.send(0.5, topic=topic)
    d.send(0.5, topic="atm", country="PT")
    d.until(1, 1.5)
    (window,) = d.windows
    by_segment = dict(zip(window.segments, window.observed, strict=True))
    assert by_segment == {("ES", "atm"): 1, ("ES", "cards"): 1, ("ES", "other"): 3, ("PT", "other"): 1}
    assert d.buckets[-1].segments_refused == 2  # told apart up to as many as are kept


def test_an_output_of_a_zombie_counter_is_not_taken() -> None:
    d = Detection(partitions=1)
    d.send(0.5, 2)
    d.tick(1.2)
    d.fence.claim("counter/0", 7)  # another owner has claimed the partition since
    d.send(1.5, 5)
    d.tick(2.2)
    assert [b.windows_contacts for b in d.buckets] == [2]


def test_a_repeated_counts_record_changes_nothing() -> None:
    d = Detection(partitions=1)
    d.send(0.5, 2)
    d.tick(1.2)
    assert d.judge.apply([d.counts[-1]._replace(offset=99)]) == []


class TestStory:
    """Cash machines in Spain, with two weeks of history of one contact a minute."""

    @pytest.fixture
    def bank(self) -> Detection:
        d = Detection()
        d.counts_record(0, history(14))
        d.counts_record(0, END)
        return d

    def minutes(self, d: Detection, first: int, last: int, contacts: int) -> None:
        for minute in range(first, last):
            d.send(minute + 0.2, contacts)
            d.tick(minute + 0.25)
            d.tick(minute + 0.75)

    def test_a_rise_is_a_spike_within_minutes_and_names_its_onset(self, bank: Detection) -> None:
        # 60 ordinary minutes, then 12 a minute
        self.minutes(bank, 0, 60, 1)
        assert bank.spikes == []
        self.minutes(bank, 60, 75, 12)
        opened = bank.spikes[0]
        assert opened.state == "opened"
        assert opened.segment == ("ES", "atm")
        assert timedelta(minutes=60) <= opened.at - MADE <= timedelta(minutes=65)
        assert abs((opened.onset - at(60)).total_seconds()) <= 120
        assert opened.spike_id.startswith("ES/atm@2026-03-02T01:0")
        assert opened.observed_since_onset >= 12
        assert opened.explanation.startswith("atm, ES: ")

    def test_it_is_resolved_once_it_was_below_for_an_hour_and_not_learnt(self, bank: Detection) -> None:
        self.minutes(bank, 0, 60, 1)
        self.minutes(bank, 60, 80, 12)
        self.minutes(bank, 80, 200, 1)
        states = [s.state for s in bank.spikes]
        assert states[0] == "opened"
        assert states[-1] == "resolved"
        assert states.count("opened") == states.count("resolved") == 1
        resolved = bank.spikes[-1]
        assert timedelta(minutes=135) <= resolved.at - MADE <= timedelta(minutes=165)
        expected = [w.expected[0] for w in bank.windows if w.bucket - FIRST in (30, 190)]
        assert expected[1] == pytest.approx(expected[0], rel=0.15)

    def test_ordinary_days_page_nobody(self, bank: Detection) -> None:
        rng = random.Random(5)
        for minute in range(6 * 60):
            bank.send(minute + 0.2, rng.choice([0, 0, 1, 1, 1, 2, 2]))
            bank.tick(minute + 0.25)
            bank.tick(minute + 0.75)
        assert bank.spikes == []

    def test_the_return_from_an_outage_of_ours_pages_nobody(self, bank: Detection) -> None:
        self.minutes(bank, 0, 30, 1)
        self.minutes(bank, 90, 150, 1)
        assert bank.spikes == []

    def test_what_rises_after_a_gap_of_hours_is_another_spike(self, bank: Detection) -> None:
        # up from 10 to 30, then nobody observes for three hours, then up again
        self.minutes(bank, 0, 10, 1)
        self.minutes(bank, 10, 30, 15)
        self.minutes(bank, 210, 230, 15)
        states = [s.state for s in bank.spikes if s.state != "updated"]
        assert states == ["opened", "resolved", "opened"]
        first, second = (s for s in bank.spikes if s.state == "opened")
        (resolved,) = (s for s in bank.spikes if s.state == "resolved")
        assert first.spike_id == resolved.spike_id != second.spike_id
        assert timedelta(minutes=85) <= resolved.at - MADE <= timedelta(minutes=95)

    def test_what_goes_on_after_a_short_gap_is_the_same_spike(self, bank: Detection) -> None:
        self.minutes(bank, 0, 10, 1)
        self.minutes(bank, 10, 30, 15)
        self.minutes(bank, 45, 60, 15)
        assert [s.state for s in bank.spikes if s.state != "updated"] == ["opened"]

    def test_a_growing_spike_is_told_again(self, bank: Detection) -> None:
        self.minutes(bank, 0, 10, 1)
        self.minutes(bank, 10, 40, 15)
        told = [s.observed_since_onset for s in bank.spikes]
        assert len(told) > 2
        assert told == sorted(told)


class TestHistory:
    """Learnt into a fresh baseline, and then the live buckets since."""

    def test_without_it_a_segment_is_not_judged(self) -> None:
        d = Detection()
        for minute in range(30):
            d.send(minute + 0.2, 40 if minute == 20 else 1)
            d.until(minute + 0.5, minute + 1)
        assert d.spikes == []
        assert max(score for w in d.windows for score in w.score) == -9
        assert {source for w in d.windows for source in w.baseline_source or ()} == {"borrowed"}

    def test_expected_counts_follow_it(self) -> None:
        d = Detection()
        d.counts_record(0, history(14, 10))
        d.counts_record(0, END)
        assert d.judge.history_steps == 14 * 288
        d.until(0, 3)
        assert d.windows[-1].expected[0] == pytest.approx(2.0, rel=0.1)

    def test_live_buckets_before_it_came_are_kept(self) -> None:
        d = Detection()
        d.send(0.5, 4, topic="cards")
        d.until(1, 3)
        d.counts_record(3, history(14, 10))
        d.counts_record(3, END)
        d.until(3.5, 5)
        window = d.windows[-1]
        assert window.segments == (("ES", "cards"), ("ES", "atm"))
        assert window.expected[1] == pytest.approx(2.0, rel=0.1)

    def test_one_with_missing_parts_is_refused_with_the_reason(self) -> None:
        d = Detection()
        d.counts_record(0, history(2))
        d.counts_record(0, HistoryEndRecord(id=HISTORY, parts=2))
        assert d.judge.history_steps == 0
        assert d.judge.refusals == [f"history {HISTORY} has 1 of its 2 parts"]

    def test_after_a_day_it_is_refused(self) -> None:
        d = Detection(partitions=1, bucket_seconds=600)
        for step in range(146):
            d.tick(step * 10 + 0.2)
        d.counts_record(1470, history(2))
        d.counts_record(1470, END)
        assert d.judge.history_steps == 0
        assert "within 24 h" in d.judge.refusals[0]


@pytest.mark.parametrize(
    ("observed", "rise"),
    [([1, 1, 1, 9, 9], 2), ([0, 0, 0, 0, 30], 1), ([9, 9, 9], 3), ([5, 0, 0, 9, 9, 9], 3)],
)
def test_the_onset_is_where_the_cumulative_excess_begins_to_rise(observed: list[int], rise: int) -> None:
    import numpy as np  # noqa: PLC0415

    assert onset_of(np.array(observed), np.full(len(observed), 2.0)) == rise


@pytest.mark.parametrize("words", ["x", "ñ"])
def test_a_large_bucket_is_split_into_records_below_512_kib(words: str) -> None:
    """3,000 cells whose words are as long as they may be, in dimensions of which one is anything a source says."""
    d = Detection(partitions=1, dimensions=("country", "topic", "attributes.region"))
    for number in range(3_000):
        attributes = {"region": words * 60 + f"{number % 1_000:04d}"}
        d.send(0.5, subtopic=f"s{number:063d}", site="m" * 64, topic="t" * 64, attributes=attributes)
    d.tick(1.2)
    assert len(d.windows) > 1
    assert sum(sum(w.observed) for w in d.windows) == 3_000
    assert sum(sum(w.additions.contacts) for w in d.windows) == d.buckets[-1].windows_contacts == 3_000
    assert max(len(w.encode()) for w in d.windows) < 512 * 1024
