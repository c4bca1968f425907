"""The judge with a calendar: what is told on counts, from which bucket it holds, and what is said of a spike then."""

import json
from copy import deepcopy
from functools import cache
from uuid import UUID

import pytest

from pegel.detector.judge.domain.judging import Judge
from pegel.detector.judge.domain.models.kernel import Kernel
from pegel.detector.judge.domain.seasons import Zones
from pegel.detector.state import decode, encode
from pegel.eventlog.fencing import Fence
from pegel.schemas.base import LogRecord
from pegel.schemas.detection import CalendarCancelRecord, CalendarRecord, HistoryEndRecord, HistoryRecord
from pegel.schemas.rejected import RejectedRecord
from support.detecting import MADE, Detection, at

pytestmark = pytest.mark.timeout(120)

DAYS = 4
FIRST = int(MADE.timestamp()) // 60


def name(number: int) -> str:
    return str(UUID(int=number))


def history() -> list[LogRecord]:
    """Four days of 10 contacts in 5 minutes."""
    record = HistoryRecord(
        id=name(99),
        part=0,
        start=at(-DAYS * 1440),
        step_seconds=300,
        segments=(("ES", "atm"),),
        counts=(tuple([10] * (DAYS * 288)),),
    )
    return [record, HistoryEndRecord(id=name(99), parts=1)]


def event(number: int, since: float, until: float, factor: float | None = None, **over: object) -> CalendarRecord:
    """Minutes; without a factor it is one without paging."""
    fields: dict[str, object] = {"name": "Spring campaign", "line": ("ES", "*"), **over}
    paging = None if factor is not None else False
    record = {"id": name(number), "since": at(since), "until": at(until), "factor": factor, "paging": paging, **fields}
    return CalendarRecord.model_validate(record)


@cache
def after_history() -> Detection:
    d = Detection()
    for record in history():
        d.counts_record(0, record)
    return d


def learnt() -> Detection:
    return deepcopy(after_history())


def expected(d: Detection) -> dict[int, float]:
    """Of ES/atm, by minute."""
    return {w.bucket - FIRST: w.expected[0] for w in d.windows if w.status == "observed" and w.segments}


def test_an_event_holds_from_its_bucket_and_a_late_one_from_the_next() -> None:
    # minute: 0 1 2 3 4 | 5: told [4, 12) | cancelled at 9.5, where 0 to 8 were judged
    d = learnt()
    d.until(0, 5)
    d.counts_record(5, event(1, 4, 12, 3.0))
    d.counts_record(5, event(1, 4, 12, 9.0))  # repeated
    d.until(5.5, 9.5)
    d.counts_record(9.5, CalendarCancelRecord(id=name(2), cancels=name(1)))
    d.until(10, 14)
    found = expected(d)
    usual = found[0]
    assert usual == pytest.approx(2.0, rel=0.2)
    assert [minute for minute, value in found.items() if value > 2 * usual] == [4, 5, 6, 7, 8]
    assert found[6] == pytest.approx(3 * usual, rel=0.02)


@pytest.mark.parametrize("ready", [True, False])
def test_a_rise_tells_of_the_event_it_comes_in(ready: bool) -> None:
    d = learnt()
    if ready:
        d.counts_record(0, event(1, 10, 60, 2.0))
        d.counts_record(0, event(2, 10, 60, 2.0, line=("PT", "*"), name="Elsewhere"))
    for minute in range(30):
        d.send(minute + 0.5, 4 if minute < 20 and ready else 2 if minute < 20 else 30)
        d.tick(minute + 1.3)
    opened = next(spike for spike in d.spikes if spike.state == "opened")
    assert opened.at > at(20)
    assert opened.events == (("Spring campaign",) if ready else None)
    assert opened.explanation.endswith("; during: Spring campaign.") is ready
    assert str(opened.explanation_de).endswith("; während: Spring campaign.") is ready


def test_without_paging_no_spike_opens_and_none_after_it() -> None:
    # minute: 0 | 10 maintenance, 30 contacts a minute from 12 to 28 | 30 | 60
    for quiet in (True, False):
        d = learnt()
        if quiet:
            d.counts_record(0, event(1, 10, 30))
        for minute in range(60):
            d.send(minute + 0.5, 30 if 12 <= minute < 28 else 2)
            d.tick(minute + 1.3)
        assert {spike.segment for spike in d.spikes} == (set() if quiet else {("ES", "atm")})


def test_live_buckets_are_learnt_again_with_the_events_that_held_there() -> None:
    """A history that comes after them: as if it had come before."""

    def told(first: bool) -> Detection:
        d = learnt() if first else Detection()
        d.counts_record(0, event(1, 5, 10, 3.0))
        d.counts_record(0, event(2, 12, 20))
        for minute in range(15):
            d.send(minute + 0.5, 7 if 5 <= minute < 10 else 2)
            d.tick(minute + 1.3)
        for record in () if first else history():
            d.counts_record(15.4, record)
        d.until(15.5, 25)
        return d

    one, other = told(first=True), told(first=False)
    assert {m: v for m, v in expected(one).items() if m >= 15} == {m: v for m, v in expected(other).items() if m >= 15}


@pytest.mark.parametrize("cut", [4, 30, 55])
def test_restored_within_an_event_it_goes_on_as_one_that_was_not_stopped(cut: int) -> None:
    d = learnt()
    d.counts_record(0, event(1, 5, 30, 3.0))
    d.counts_record(0, event(2, 10, 20, line=("*", "at?")))
    for minute in range(35):
        d.send(minute + 0.5, 30 if 8 <= minute < 32 else 2)
        d.tick(minute + 1.3)
        if minute == 24:
            d.counts_record(minute + 1.4, CalendarCancelRecord(id=name(3), cancels=name(1)))
    make = lambda: Kernel(60, Zones({"ES": "Europe/Madrid"}, 0), 1)  # noqa: E731
    first = Judge(d.judge_rules, 0, make, Fence())
    fence = Fence()
    before = first.apply(d.counts[:cut])
    second = Judge.restored(d.judge_rules, 0, make, fence, decode(encode(first.state())))
    outputs = [*before, *second.apply(d.counts[cut:])]
    assert [o.encode() for o in outputs] == [o.encode() for o in d.outputs]
    assert any(spike.events for spike in d.spikes)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"line": ["ES"]}, "line"),
        ({"line": ["ES", ""]}, "line"),
        ({"name": ""}, "name"),
        ({"until": "2026-03-02T00:05:00Z"}, "until"),
        ({"until": "2300-01-01T00:00:00Z"}, "until"),
        ({"since": "2026-03-02T00:05:00"}, "since"),
        ({"factor": 0}, "factor"),
        ({"factor": None}, "factor"),
        ({"paging": False}, "factor"),
    ],
)
def test_an_event_that_says_too_little_or_too_much_is_quarantined(change: dict[str, object], field: str) -> None:
    d = Detection(partitions=1)
    record = json.loads(event(1, 5, 10, 3.0).encode()) | change

    class Raw(LogRecord):
        def encode(self) -> bytes:
            return json.dumps(record).encode()

    d.counts_record(0, Raw(kind="calendar"))
    (rejected,) = [o for o in d.outputs if isinstance(o, RejectedRecord)]
    assert rejected.errors[0].field.startswith(field)


def test_what_can_not_be_cancelled_is_told() -> None:
    d = Detection(partitions=1)
    d.counts_record(0, CalendarCancelRecord(id=name(2), cancels=name(1)))
    assert d.judge.events.refusals == [f"event {name(1)} can't be cancelled: it is over, or was never told"]
