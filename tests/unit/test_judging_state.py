"""A judge that is stopped anywhere and restored from its state goes on as if nothing had been."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from itertools import count
from typing import Any
from uuid import UUID

import pytest

from pegel.detector.judge.domain.judging import In, Judge, Rules
from pegel.detector.judge.domain.models.kernel import Kernel
from pegel.detector.judge.domain.seasons import Zones
from pegel.detector.judge.ports import Detector
from pegel.detector.state import decode, encode
from pegel.eventlog.fencing import Fence
from pegel.eventlog.keys import contact_key, partition_of
from pegel.schemas.base import LogRecord
from pegel.schemas.contact import AmendmentRecord
from pegel.schemas.detection import ClaimRecord, FeedbackRecord, HistoryEndRecord, HistoryRecord
from support.detecting import Detection, at, contact

SEGMENTS = (("ES", "atm"), ("ES", "cards"), ("PT", "atm"))
MINUTES = 170
SEEDS = range(4)
Make = Callable[[], Detector]


@cache
def story(seed: int, clock: str) -> "Story":
    return Story(seed, clock)


class Story:
    """A random life of a bank in wall or data mode: what stands on counts afterwards."""

    def __init__(self, seed: int, clock: str = "wall") -> None:
        self.rng = random.Random(seed)
        self.clock = clock
        self.d = Detection(clock, partitions=1 + seed % 3, max_segments=3)
        self.numbers = count()
        self.sent: list[tuple[str, float]] = []
        if seed != 2:
            self.history(0, whole=True)
        self.history(1, whole=False)
        rising = self.rng.choice(SEGMENTS)
        outage = range(50, 50 + 15 * (seed % 2))
        self.missing = range(75, 75 + 8)
        """Minutes in which nothing reaches the first of several partitions."""
        if clock == "data":
            self.tick(0, None)
        for minute in range(MINUTES):
            if minute in outage:
                continue
            if seed == 2 and minute == 20:
                self.history(0, whole=True)
            for country, topic in SEGMENTS:
                usual = self.rng.choice([0, 1, 1, 2])
                self.send(
                    minute, usual + (12 if (country, topic) == rising and 30 <= minute < 80 else 0), country, topic
                )
            self.oddities(minute)
            self.answers(minute, rising)
            self.tick(minute, 0 if self.reaches_not(0, minute) else None)

    def reaches_not(self, partition: int, minute: float) -> bool:
        return partition == 0 and minute in self.missing and len(self.d.counters) > 1

    def history(self, number: int, *, whole: bool) -> None:
        """Five days of hours, in two parts; a half one lacks its second part and its end."""
        name = str(UUID(int=number))
        for part in range(2 if whole else 1):
            counts = tuple(tuple(self.rng.choice([50, 60, 70]) for _ in range(60)) for _ in SEGMENTS)
            start = at(-(5 - 2.5 * part) * 1440)
            record = HistoryRecord(id=name, part=part, start=start, step_seconds=3600, segments=SEGMENTS, counts=counts)
            self.d.counts_record(0, record)
        if whole:
            self.d.counts_record(0, HistoryEndRecord(id=name, parts=2))

    def send(self, minute: float, contacts: int, country: str, topic: str, occurred: float | None = None) -> None:
        for _ in range(contacts):
            name = f"c{next(self.numbers)}"
            if self.reaches_not(partition_of(contact_key("desk", name), len(self.d.counters)), minute):
                continue
            happened = minute if occurred is None else occurred
            self.sent.append((name, happened))
            told = {"channel": self.rng.choice(["phone", "chat"]), "customer": f"p{self.rng.randrange(400)}"}
            self.d.put(minute, contact(name, happened, country=country, topic=topic, handled_seconds=60, **told))

    def oddities(self, minute: int) -> None:
        """Late contacts, amendments, claims of another owner, records that nobody can read."""
        odd = self.rng.random()
        if odd < 0.15:
            self.send(minute, 2, "PT", "cards", occurred=self.rng.uniform(-20, minute))
        elif odd < 0.3:
            name, _ = self.rng.choice(self.sent)
            told = AmendmentRecord(amendment_id=f"a{minute}", source="desk", event_id=name, reason="spam", void=True)
            number = partition_of(contact_key("desk", name), len(self.d.counters))
            if not self.reaches_not(number, minute):
                for output in self.d.counters[number].put(minute, told):
                    self.d.counts_record(minute, output)
        elif odd < 0.35:
            number = self.rng.randrange(len(self.d.counters))
            self.d.counts_record(minute, ClaimRecord(producer=f"counter/{number}", owner="other", epoch=0))
        elif odd < 0.4:
            self.d.counts_record(minute, ClaimRecord(producer="counter/99", owner="other", epoch=0))

    def answers(self, minute: int, rising: tuple[str, ...]) -> None:
        """What rose is normal, a pager was of no use, and both are taken back; one of them is sent twice."""
        said = {45: (1, "not_useful", ("*", "*")), 60: (2, "new_normal", rising), 61: (2, "new_normal", rising),
                110: (3, "undo", 2), 111: (4, "undo", 1)}  # fmt: skip
        if minute in said:
            number, verdict, what = said[minute]
            named = {"undoes": str(UUID(int=what))} if isinstance(what, int) else {"segment": what, "since": at(30)}
            fields = {"id": str(UUID(int=number)), "verdict": verdict, "bucket": 5, "given_by": "cash", **named}
            self.d.counts_record(minute, FeedbackRecord.model_validate(fields))

    def tick(self, minute: float, but: int | None) -> None:
        for half in (0.3, 0.8):
            self.d.tick(minute + half, data=minute + half if self.clock == "data" else None, but=but)


def told(outputs: Sequence[LogRecord]) -> list[dict[str, Any]]:
    """Ids and contents; the epoch is the owner's."""
    found = [json.loads(output.encode()) for output in outputs]
    for output in found:
        del output["origin"]["epoch"]
    return found


def kernel() -> Kernel:
    return Kernel(60, Zones({"ES": "Europe/Madrid"}, 0))


def telling_cuts(records: Sequence[In]) -> list[int]:
    """After the first part of a history, the first counts, and the first that tells of a gap: others are to follow."""
    lines = [json.loads(record.value) for record in records]
    counts = [number for number, line in enumerate(lines) if line["kind"] == "counts"]
    gaps = [number for number in counts if lines[number]["gap_from"] < lines[number]["gap_to"]]
    return [1, counts[0] + 1, *(number + 1 for number in gaps[:1])]


def stopped_and_restored(rules: Rules, records: Sequence[In], make: Make, cuts: Sequence[int]) -> list[LogRecord]:
    """The outputs of a judge that is stopped before each of these records, by its number, and goes on elsewhere."""
    fence = Fence()
    judge = Judge(rules, 0, make, fence)
    outputs: list[LogRecord] = []
    for number, record in enumerate(records):
        if number in cuts:
            state, seen = judge.state(), dict(fence.seen)
            saved = encode(state)
            judge.apply(records[number : number + 20])  # what it goes on to do must not touch the state it gave
            assert encode(state) == saved
            fence = Fence(seen)
            judge = Judge.restored(rules, number, make, fence, decode(saved))
            assert encode(judge.state()) == saved
        outputs += judge.apply([record])
    return outputs


@pytest.mark.parametrize("make", [kernel])
@pytest.mark.parametrize("clock", ["wall", "data"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_restored_judge_goes_on_as_one_that_was_not_stopped(seed: int, clock: str, make: Make) -> None:
    d = story(seed, clock).d
    whole = Judge(d.judge_rules, 0, make, Fence())
    expected = told(whole.apply(d.counts))
    cuts = [*telling_cuts(d.counts), *random.Random(seed).sample(range(2, len(d.counts)), 8)]
    assert told(stopped_and_restored(d.judge_rules, d.counts, make, cuts)) == expected


def test_what_was_quarantined_is_counted_across_a_restart() -> None:
    d = story(0, "wall").d
    whole = Judge(d.judge_rules, 0, kernel, Fence())
    rejected = [output for output in whole.apply(d.counts) if output.kind == "rejected"]
    restored = Judge.restored(d.judge_rules, 1, kernel, Fence(), decode(encode(whole.state())))
    assert restored.unreadable == whole.unreadable == len(rejected) > 0
    assert restored.history_steps == whole.history_steps > 0


def test_the_stories_hold_what_they_are_to_try() -> None:
    seen: set[str] = set()
    for d in (story(seed, clock).d for seed in SEEDS for clock in ("wall", "data")):
        seen |= {w.status for w in d.windows} | {s.state for s in d.spikes} | {o.kind for o in d.outputs}
        seen |= {f"bucket {b.status}" for b in d.buckets}
        seen |= {"incomplete" for b in d.buckets if b.incomplete} | {"other" for b in d.buckets if b.segments_refused}
    assert seen >= {"late", "early", "gap", "opened", "updated", "resolved", "bucket gap", "incomplete", "rejected"}
    assert "other" in seen


def test_a_state_of_other_rules_is_refused() -> None:
    d = story(1, "wall").d
    state = Judge(d.judge_rules, 0, kernel, Fence()).state()
    other = replace(d.judge_rules, partitions=5)
    with pytest.raises(ValueError, match="a state of 2 partitions, not 5"):
        Judge.restored(other, 1, kernel, Fence(), state)
