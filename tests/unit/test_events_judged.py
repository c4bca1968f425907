"""Campaigns and maintenance as the detector and its spikes see them: weeks of steps of 5 minutes, and then an event."""

from datetime import UTC, datetime
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from pegel.detector.judge.domain.events import NO_PAGING, Event, Events
from pegel.detector.judge.domain.judgement import Floats, Ints, Judgement
from pegel.detector.judge.domain.models.kernel import Kernel
from pegel.detector.judge.domain.seasons import Zones
from pegel.detector.judge.domain.spikes import SpikeTracker
from pegel.detector.state import decode, encode
from pegel.schemas.detection import SpikeState

pytestmark = pytest.mark.timeout(300)

MONDAY = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp())
STEP = 300
DAY = 86_400
SEGMENTS: list[tuple[str, ...]] = [(country, topic) for country in ("ES", "PT", "DE") for topic in ("atm", "cards")]
USUAL = np.array([12.0, 6.0, 8.0, 3.0, 20.0, 5.0])
MANY = 4
ES = np.array([name[0] == "ES" for name in SEGMENTS])
ES_ATM = np.array([name == ("ES", "atm") for name in SEGMENTS])


def event(since: float, until: float, factor: float, line: tuple[str, ...] = ("ES", "*")) -> Event:
    """Days after MONDAY."""
    return Event("e", "Spring campaign", line, MONDAY + int(since * DAY), MONDAY + int(until * DAY), factor)


def usual(days: int, seed: int, bucket_seconds: int) -> Ints:
    """Contacts by bucket and segment, (buckets, S): fewer at night."""
    hours = np.arange(0, 24 * days, bucket_seconds / 3600) % 24
    day = 0.4 + 0.6 * np.sin(np.pi * hours / 24) ** 2
    return np.random.default_rng(seed).poisson(USUAL * day[:, None] * bucket_seconds / STEP)


@cache
def taught(bucket_seconds: int) -> bytes:
    """A detector that has learnt two weeks before MONDAY, with buckets of a minute only days: those take longer."""
    days = 14 if bucket_seconds == STEP else 4
    kernel = Kernel(bucket_seconds, Zones({}, 0))
    kernel.add_segments(SEGMENTS)
    for step, observed in enumerate(usual(days, 1, STEP)):
        kernel.learn(MONDAY - days * DAY + step * STEP, STEP, observed)
    return encode(kernel.state())


class Bank:
    """What comes from MONDAY on is the same in every bank, but for what is changed. Days are counted from there."""

    def __init__(self, *events: Event, bucket_seconds: int = STEP) -> None:
        self.kernel = Kernel(bucket_seconds, Zones({}, 0))
        self.kernel.restore(decode(taught(bucket_seconds)))
        self.bucket_seconds = bucket_seconds
        self.events = Events(bucket_seconds, events)
        self.spikes = SpikeTracker(bucket_seconds, 1.0)
        self.told: list[tuple[SpikeState, tuple[str, ...], float]] = []
        """What was said of which line, and when (days after MONDAY)."""
        self.judged: list[Judgement] = []
        self._coming = np.stack([usual(9, seed, bucket_seconds) for seed in range(2, 2 + MANY)])

    def live(self, until: float, times: Ints | int = 1) -> "Bank":
        """times: as many contacts as usual, at most MANY."""
        for bucket in range(len(self.judged), round(until * DAY) // self.bucket_seconds):
            start, end = MONDAY + bucket * self.bucket_seconds, MONDAY + (bucket + 1) * self.bucket_seconds
            observed = (self._coming[:, bucket] * (np.arange(MANY)[:, None] < times)).sum(axis=0)
            factors = self.events.factors(start, SEGMENTS)
            judgement = self.kernel.judge(start, observed, factors=factors)
            self.judged.append(judgement)
            followed = self.spikes.follow(end, SEGMENTS, observed, judgement, self.kernel, self.events.quiet)
            self.told += [(state, spike.line, (end - MONDAY) / DAY) for state, spike in followed]
        return self

    @property
    def opened(self) -> list[tuple[str, ...]]:
        return [line for state, line, _ in self.told if state == "opened"]

    @property
    def expected(self) -> Floats:
        return self.judged[-1].expected


def times(rows: NDArray[np.bool_], as_many: int = 3) -> Ints:
    return np.where(rows, as_many, 1)


def test_a_campaign_pages_nobody_and_its_end_teaches_nothing_wrong() -> None:
    # day:   0 | 1 campaign, x3 in Spain | 2.5 | 4: its last hours would be learnt by then
    known, unknown, without = Bank(event(1, 2.5, 3.0)), Bank(), Bank()
    known.live(1).live(2.5, times(ES)).live(4)
    without.live(4)
    assert known.opened == without.opened == []
    assert unknown.live(1).live(1.1, times(ES)).opened
    for judged, as_many in ((DAY // STEP + 60, 3), (-1, 1)):
        usual = without.judged[judged].expected
        assert known.judged[judged].expected == pytest.approx(usual * times(ES, as_many), rel=0.1)


def test_a_factor_that_was_wrong_teaches_nothing_either() -> None:
    # day:   0 | 1 campaign, x3 expected, as usual in fact | 3 | 4
    mistaken, without = Bank(event(1, 3, 3.0)).live(4), Bank().live(4)
    assert mistaken.opened == []
    assert mistaken.expected == pytest.approx(without.expected, rel=0.1)


def test_a_rise_within_a_campaign_pages() -> None:
    # day:   0 | 0.5 campaign, x2 expected | x4 from 1.0 on
    bank = Bank(event(0.5, 3, 2.0)).live(0.5).live(1, times(ES, 2))
    assert bank.opened == []
    bank.live(1.1, times(ES, 4))
    assert set(bank.opened) & {("ES", "atm"), ("ES", "cards"), ("ES", "*")}


def test_maintenance_pages_nobody_and_teaches_nothing() -> None:
    # hour:   0 | 24 maintenance, x4 in Spain | 30 | 60
    known, unknown, without = Bank(event(1, 1.25, NO_PAGING)), Bank(), Bank()
    for bank, as_many in ((known, 4), (unknown, 4), (without, 1)):
        bank.live(1).live(1.25, times(ES, as_many)).live(2.5)
    assert known.told == without.told == []
    assert {("ES", "atm"), ("*", "*")} & set(unknown.opened)
    assert known.expected == pytest.approx(without.expected, rel=0.03)
    windows = known.kernel.windows(("ES", "atm"))
    assert (np.abs(windows.observed - windows.expected) < 4 * np.sqrt(windows.variance)).all()


def test_trouble_elsewhere_pages_during_maintenance() -> None:
    # hour:   0 | 24 maintenance in Spain, x4 everywhere
    bank = Bank(event(1, 1.25, NO_PAGING)).live(1).live(1.1, 4)
    assert ("DE", "atm") in bank.opened
    assert not {("ES", "atm"), ("ES", "cards"), ("ES", "*")} & set(bank.opened)


def test_a_spike_that_is_up_stays_and_ends_as_any_other() -> None:
    # hour:   0 | 24 x4 | 25 maintenance | 28 as usual | 32 its end
    bank = Bank(event(1 + 1 / 24, 1 + 8 / 24, NO_PAGING, ("*", "*"))).live(1).live(1 + 4 / 24, times(ES_ATM, 4))
    assert bank.opened == [("ES", "atm")]
    assert [state for state, *_ in bank.told if state == "resolved"] == []
    assert bank.spikes.up[("ES", "atm")].last_above == MONDAY + DAY + 4 * 3600
    bank.live(1 + 6 / 24)
    assert [state for state, *_ in bank.told if state == "resolved"] == ["resolved"]


def test_what_lasts_beyond_the_end_of_maintenance_is_a_spike_of_then() -> None:
    # hour:   0 | 24 maintenance, x4 from 25 on | 27 its end, and still x4 | 28
    end = 1 + 3 / 24
    bank = Bank(event(1, end, NO_PAGING)).live(1 + 1 / 24).live(end, times(ES_ATM, 4))
    assert bank.told == []
    bank.live(end + 1 / 24, times(ES_ATM, 4))
    ((state, line, opened),) = [its for its in bank.told if its[0] == "opened"]
    assert (state, line) == ("opened", ("ES", "atm"))
    assert end < opened <= end + 0.5 / 24
    assert bank.spikes.up[line].onset >= MONDAY + round(end * DAY)


def test_evidence_of_the_step_in_which_maintenance_ends_begins_with_its_end() -> None:
    # minute: 0 | 600 maintenance, x4 | 633, in the middle of a step of 5 minutes
    bank = Bank(event(600 / 1440, 633 / 1440, NO_PAGING), bucket_seconds=60)
    bank.live(600 / 1440).live(633 / 1440, times(ES, 4))
    before = bank.judged[-1].score
    assert before[ES].min() > 0
    bank.live(640 / 1440)
    assert bank.judged[634].score[ES].max() < -1
    assert bank.told == []


@pytest.mark.parametrize("hour", [20, 27, 31])
def test_restored_within_and_after_events_the_answers_are_the_same_to_the_bit(hour: int) -> None:
    # hour:   0 | 18 campaign in Spain | 24 maintenance of all cash machines | 30 | 36
    events = (event(0.75, 1.5, 2.0), event(1, 1.25, NO_PAGING, ("*", "atm")))
    whole, stopped = (Bank(*events).live(hour / 24, times(ES, 2)) for _ in range(2))
    again = Bank()
    again.kernel = Kernel(STEP, Zones({}, 0))
    again.kernel.restore(decode(encode(stopped.kernel.state())))
    again.events.restore(decode(encode(stopped.events.state())))
    again.judged = list(stopped.judged)
    for bank in (whole, again):
        bank.live(2, times(ES, 2))
    assert len(whole.judged) == len(again.judged)
    for one, other in zip(whole.judged, again.judged, strict=True):
        assert one.score.tobytes() == other.score.tobytes()
        assert one.expected.tobytes() == other.expected.tobytes()
        assert one.rollups.score.tobytes() == other.rollups.score.tobytes()
