"""Challengers are silent, their scores are recorded, and a record says from which bucket on one of them pages."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from pegel.detector.judge.domain.challengers import Hours, Opinion, Rules
from pegel.detector.judge.domain.judgement import Floats, Ints
from pegel.detector.judge.domain.judging import Judge
from pegel.detector.judge.domain.models.kernel import Kernel
from pegel.detector.judge.domain.seasons import Zones
from pegel.detector.judge.domain.segments import Segments
from pegel.detector.judge.domain.writing import Writer
from pegel.detector.judge.pipeline import WouldPage
from pegel.detector.state import decode, encode
from pegel.eventlog.fencing import Fence
from pegel.schemas.base import LogRecord
from pegel.schemas.detection import (
    BucketRecord,
    ChallengerRecord,
    HistoryEndRecord,
    HistoryRecord,
    PromotionRecord,
    RollupRecord,
)
from support.detecting import MADE, Detection, at

BUCKET = 300
FIRST = int(MADE.timestamp()) // BUCKET
"""Number of the first bucket judged."""
SEGMENTS = (("ES", "atm"), ("ES", "cards"))


class Counting:
    """A challenger that scores what it has seen of a segment since a restart would have forgotten it."""

    version = "test.Counting/1"

    def __init__(self) -> None:
        self.sums = np.zeros(0)
        self.hours_warmed = 0

    @property
    def score(self) -> Floats:
        return np.where(self.sums > 0, self.sums / 10, -np.inf)

    def add_segments(self, names: Sequence[tuple[str, ...]]) -> None:
        self.sums = np.append(self.sums, np.zeros(len(names)))

    def judge(self, start: int, observed: Ints, *, whole: bool) -> Floats | None:
        self.sums = self.sums + observed
        return self.score

    def warm(self, names: Sequence[tuple[str, ...]], hours: Hours) -> None:
        self.add_segments(names)
        for _, counts, _ in hours:
            self.sums = self.sums + counts.sum(axis=0)
            self.hours_warmed += 1

    def state(self) -> dict[str, Any]:
        return {"sums": self.sums.copy(), "hours_warmed": self.hours_warmed}

    def restore(self, tree: Mapping[str, Any], names: Sequence[tuple[str, ...]]) -> None:
        self.sums, self.hours_warmed = tree["sums"], tree["hours_warmed"]


class Newer(Counting):
    version = "test.Counting/2"


def rules(*names: str, first: str = "pegel", make: type[Counting] = Counting) -> Rules:
    return Rules(first, names, lambda _: make())


def promotion(bucket: int, model: str = "test.Counting", number: int = 1) -> PromotionRecord:
    return PromotionRecord(id=str(UUID(int=number)), model=model, bucket=FIRST + bucket)


def lived(models: Rules, promotions: Mapping[int, Sequence[LogRecord]] | None = None, buckets: int = 8) -> Detection:
    """Two days of history, and buckets with contacts of two segments; promotions stand before the bucket they name."""
    d = Detection("data", partitions=1, bucket_seconds=BUCKET, models=models)
    name = str(UUID(int=99))
    counts = tuple((60,) * 48 for _ in SEGMENTS)
    d.counts_record(
        0, HistoryRecord(id=name, part=0, start=at(-2880), step_seconds=3600, segments=SEGMENTS, counts=counts)
    )
    d.counts_record(0, HistoryEndRecord(id=name, parts=1))
    d.tick(0, data=0)
    for bucket in range(buckets):
        for record in (promotions or {}).get(bucket, ()):
            d.counts_record(5 * bucket, record)
        d.send(5 * bucket + 1, 4, country="ES", topic="atm")
        if bucket > 2:
            d.send(5 * bucket + 2, 1 + 20 * (bucket == 4), country="ES", topic="cards")
        d.tick(5 * bucket + 5.2, data=5 * bucket + 5.2)
    return d


def of_challengers(d: Detection) -> list[ChallengerRecord]:
    return [o for o in d.outputs if isinstance(o, ChallengerRecord)]


def told(outputs: Sequence[LogRecord]) -> list[bytes]:
    return [output.encode() for output in outputs]


def pages(d: Detection) -> dict[int, str]:
    """Model that pages, by bucket since the first."""
    return {window.bucket - FIRST: window.model for window in d.windows if window.status == "observed"}


def test_challengers_change_no_other_record_not_even_its_id() -> None:
    alone, beside = lived(rules()), lived(rules("test.Counting", "test.Other"))
    assert told([o for o in beside.outputs if o.kind != "challenger"]) == told(alone.outputs)
    assert len(of_challengers(beside)) == 2 * 8


def test_their_scores_are_recorded_after_the_bucket_without_those_that_have_no_opinion() -> None:
    d = lived(rules("test.Counting"))
    record = of_challengers(d)[0]
    assert (record.bucket, record.model, record.segments) == (FIRST, "test.Counting/1", SEGMENTS)
    assert record.score == ((2880 + 4) / 10, 2880 / 10)
    assert record.start.timestamp() == record.bucket * BUCKET
    before = d.outputs[d.outputs.index(record) - 1]
    assert isinstance(before, BucketRecord)
    assert (before.origin.offset, before.origin.place + 1) == (record.origin.offset, record.origin.place)
    fresh = Detection("data", partitions=1, bucket_seconds=BUCKET, models=rules("test.Counting"))
    fresh.tick(0, data=0)
    fresh.send(1, 2)
    fresh.tick(10.2, data=10.2)
    assert [r.score for r in of_challengers(fresh)] == [(0.2,), (0.2,)]


def test_a_promoted_model_pages_from_the_bucket_that_the_record_names() -> None:
    # Bucket:     0      1      2      3      4      5 ...
    # Pages:      pegel  pegel  pegel  pegel  Counting ...
    # Record:            |names 4
    d = lived(rules("test.Counting"), {1: [promotion(4)]})
    assert pages(d) == {**dict.fromkeys(range(4), "pegel/1"), **dict.fromkeys(range(4, 8), "test.Counting/1")}
    observed = [window for window in d.windows if window.status == "observed"]
    assert observed[4].score == ((2880 + 20) / 10, (2880 + 1 + 21) / 10)
    alone = [window for window in lived(rules()).windows if window.status == "observed"]
    assert observed[4].expected == alone[4].expected
    assert [spike.model for spike in d.spikes] == ["test.Counting/1"] * len(d.spikes)
    assert {spike.segment for spike in d.spikes} == set(SEGMENTS)
    # What pages no more is a challenger, with its roll-ups, which the new one has not.
    assert {r.bucket - FIRST: r.model for r in of_challengers(d)} == {
        **dict.fromkeys(range(4), "test.Counting/1"),
        **dict.fromkeys(range(4, 8), "pegel/1"),
    }
    assert ("ES", "*") in of_challengers(d)[-1].segments
    assert {o.bucket - FIRST for o in d.outputs if isinstance(o, RollupRecord)} == set(range(4))


def test_one_that_names_a_judged_bucket_holds_from_the_next() -> None:
    d = lived(rules("test.Counting"), {5: [promotion(1)]})
    assert [pages(d)[bucket] for bucket in (4, 5)] == ["pegel/1", "test.Counting/1"]


def test_of_several_for_one_bucket_the_last_holds_and_a_repeated_one_changes_nothing() -> None:
    back = promotion(2, "pegel", number=2)
    d = lived(rules("test.Counting"), {1: [promotion(4), promotion(3, "pegel", number=3)], 6: [back, promotion(6)]})
    assert [pages(d)[bucket] for bucket in range(3, 8)] == ["pegel/1", *["test.Counting/1"] * 2, "pegel/1", "pegel/1"]
    one_bucket = lived(rules("test.Counting"), {1: [promotion(4), promotion(4, "pegel", number=4)]})
    assert set(pages(one_bucket).values()) == {"pegel/1"}


def test_a_model_that_does_not_run_is_refused_and_told() -> None:
    d = lived(rules("test.Counting"), {1: [promotion(2, "test.Stranger")]})
    assert d.judge.models.refusals == [
        "test.Stranger does not run here, so it can't page: the models are pegel, test.Counting"
    ]
    assert set(pages(d).values()) == {"pegel/1"}
    assert d.judge.unreadable == 0


def test_too_many_promotions_that_wait_are_refused() -> None:
    many = [promotion(1000 + n, number=n) for n in range(101)]
    d = lived(rules("test.Counting"), {1: many}, buckets=2)
    assert d.judge.models.refusals == ["100 promotions wait for their bucket already"]


def test_a_bucket_that_no_time_has_is_quarantined() -> None:
    far = PromotionRecord(id=str(UUID(int=7)), model="pegel", bucket=2**52)
    d = lived(rules(), {1: [far]}, buckets=2)
    assert d.judge.unreadable == 1


def test_the_first_model_pages_until_a_promotion() -> None:
    d = lived(rules(first="test.Counting"), {3: [promotion(3, "pegel")]})
    assert [pages(d)[bucket] for bucket in (2, 3)] == ["test.Counting/1", "pegel/1"]
    assert {r.model for r in of_challengers(d)} == {"pegel/1", "test.Counting/1"}


def kernel() -> Kernel:
    return Kernel(BUCKET, Zones({"ES": "Europe/Madrid"}, 0))


def restored(d: Detection, state: dict[str, Any], models: Rules) -> Judge:
    return Judge.restored(d.judge_rules, 0, kernel, Fence(), decode(encode(state)), models)


@pytest.mark.parametrize("pending", [1, 4])
def test_a_restored_judge_goes_on_the_same_with_challengers_and_promotions_that_wait(pending: int) -> None:
    d = lived(rules("test.Counting"), {pending: [promotion(5), promotion(7, "pegel", number=2)]})
    whole = Judge(d.judge_rules, 0, kernel, Fence(), rules("test.Counting"))
    expected = told(whole.apply(d.counts))
    assert b"test.Counting/1" in b"".join(line for line in expected if b'"kind":"window"' in line)
    judge, outputs = Judge(d.judge_rules, 0, kernel, Fence(), rules("test.Counting")), []
    for record in d.counts:
        outputs += told(judge.apply([record]))
        # The fence is not in the judge's state; each record of this log passes it.
        judge = restored(d, judge.state(), rules("test.Counting"))
    assert outputs == expected


def test_a_changed_set_of_challengers_stops_no_restart() -> None:
    d = lived(rules("test.Counting"), {1: [promotion(4)]}, buckets=6)
    state = d.judge.state()
    paging = restored(d, state, rules())
    assert paging.model == "test.Counting/1"
    new = restored(d, state, rules("test.New"))
    running = new.state()["models"]["running"]
    assert running.keys() == {"test.New", "test.Counting"}
    assert running["test.New"][1]["hours_warmed"] > 40
    assert running["test.Counting"][1]["hours_warmed"] == state["models"]["running"]["test.Counting"][1]["hours_warmed"]
    # Another version knows nothing of that one's state.
    other = restored(d, state, rules(make=Newer))
    assert other.model == "test.Counting/2"
    assert other.state()["models"]["running"]["test.Counting"][1]["sums"].tolist() == pytest.approx(
        state["models"]["running"]["test.Counting"][1]["sums"].tolist()
    )


def test_a_challenger_that_is_configured_no_more_ends() -> None:
    d = lived(rules("test.Counting"), buckets=2)
    assert restored(d, d.judge.state(), rules()).state()["models"]["running"] == {}


def test_a_state_of_a_judge_without_challengers_is_taken() -> None:
    d = lived(rules(), buckets=2)
    state = d.judge.state()
    del state["models"]
    judge = restored(d, state, rules("test.New"))
    assert judge.model == "pegel/1"
    assert judge.state()["models"]["running"]["test.New"][1]["hours_warmed"] > 40


def test_a_large_number_of_scores_is_split() -> None:
    names = [("ES", f"topic-{number:05d}-{'x' * 40}") for number in range(6000)]
    segments = Segments(("country", "topic"), 10_000)
    for name in names:
        segments.of(name)
    writer = Writer(3, BUCKET, segments)
    writer.begin(5)
    writer.challenger(Opinion(FIRST, "test.Counting/1", names, np.arange(6000) / 8))
    records = [record for record in writer.take() if isinstance(record, ChallengerRecord)]
    assert len(records) > 1
    assert [name for record in records for name in record.segments] == names
    assert [score for record in records for score in record.score] == (np.arange(6000) / 8).tolist()
    assert [record.origin.place for record in records] == list(range(len(records)))
    assert max(len(record.encode()) for record in records) < 512 * 1024


def test_what_a_challenger_would_have_paged_is_counted_once_an_episode() -> None:
    # Bucket (5 min):  0      1      2 .. 13   14     15
    # ES/atm:          above  above  below     above: more than an hour later
    # ES/cards:        below  above                   above: not yet an hour
    d = Detection("data", partitions=1, bucket_seconds=BUCKET)
    would = WouldPage(replace(d.judge_rules, false_pages_per_week=0.1))
    record = of_challengers(lived(rules("test.Counting"), buckets=2))[0]

    def told_of(bucket: int, atm: float, cards: float) -> int:
        return would.opened(record.model_copy(update={"bucket": bucket, "score": (atm, cards)}))

    assert [told_of(0, 1.0, 0.9), told_of(1, 3.0, 1.2)] == [1, 1]
    assert told_of(13, 0.0, 1.0) == 0
    assert told_of(14, 1.5, 0.0) == 1
    assert told_of(15, 1.5, 1.5) == 0
    assert would.opened(record.model_copy(update={"model": "other/1", "bucket": 15, "score": (1.5, 0.0)})) == 1
