"""What the judge can't read of counts is quarantined as a whole, and the judge goes on: no record makes it raise."""

import json
import random
from collections.abc import Callable
from copy import deepcopy
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from pegel.detector.judge.domain.judging import In, Judge
from pegel.detector.judge.domain.models.kernel import Kernel
from pegel.detector.judge.domain.seasons import Zones
from pegel.detector.state import encode
from pegel.eventlog.fencing import Fence
from pegel.schemas.base import Origin
from pegel.schemas.detection import ClaimRecord, CountsRecord, HistoryEndRecord, HistoryRecord
from pegel.schemas.rejected import RejectedRecord
from support.detecting import MADE, Detection, at

FIRST = int(MADE.timestamp()) // 60
HISTORY = str(UUID(int=1))
Change = Callable[[dict[str, Any]], object]


def one_minute() -> tuple[Detection, dict[str, Any]]:
    """A judge of one partition that has judged a minute, and the counts record of the next."""
    d = Detection(partitions=1)
    d.send(0.5, 2)
    d.tick(1.2)
    d.send(1.5, 3, handled_seconds=60, customer="ann")
    (record,) = d.counters[0].tick(2.2)
    return d, json.loads(record.encode())


def read(d: Detection, value: bytes, minutes: float = 2.2) -> list[Any]:
    """What comes of a record of counts."""
    before = len(d.outputs)
    record = In(len(d.counts), int(at(minutes).timestamp() * 1000), value)
    d.counts.append(record)
    d.outputs.extend(d.judge.apply([record]))
    return d.outputs[before:]


@pytest.mark.parametrize(
    ("value", "field", "reason"),
    [
        (b"", "record", "truncated"),
        (b"no JSON at all", "record", "malformed"),
        (b'{"kind":"counts","v":1', "record", "truncated"),
        (b"\xff\xfe", "record", "malformed"),
        (b"[1]", "record", "Expected `object`"),
        (b'{"kind":"window","v":1}', "kind", "does not belong on counts"),
        (b'{"kind":"counts","v":2}', "v", "version 2 is not known"),
        (b'{"kind":"counts","v":1}', "record", "missing required field"),
        (b'{"kind":"claim","v":1,"producer":"judge/0","epoch":1}', "producer", "is no counter of this log"),
        (b'{"kind":"claim","v":1,"producer":"counter/0","epoch":-1}', "epoch", ">= 0"),
        (b'{"kind":"counts","v":1,"x":' + b"[" * 100_000, "record", "nested too deeply"),
    ],
)
def test_what_is_no_record_of_counts_is_quarantined_with_its_place_and_the_reason(
    value: bytes, field: str, reason: str
) -> None:
    d, good = one_minute()
    (rejected,) = read(d, value)
    assert isinstance(rejected, RejectedRecord)
    assert (rejected.reason, rejected.what, rejected.partition) == ("unreadable", "record", 0)
    assert rejected.offset == len(d.counts) - 1
    assert rejected.origin == Origin(producer="judge/0", epoch=0, partition=0, offset=len(d.counts) - 1, place=0)
    assert rejected.errors[0].field == field
    assert reason in rejected.errors[0].reason
    assert d.judge.unreadable == 1
    assert [w.observed for w in read(d, json.dumps(good).encode()) if w.kind == "window"] == [(3,)]


def put(path: str, value: object) -> Change:
    """Sets a field: additions.cell, origin.partition."""

    def change(record: dict[str, Any]) -> None:
        *parents, name = path.split(".")
        for parent in parents:
            record = record[parent]
        record[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (put("origin.partition", 1), "origin.partition"),
        (put("origin.producer", "counter/1"), "origin.producer"),
        (put("origin.epoch", -1), "origin.epoch"),
        (put("origin.offset", 10**30), "origin.offset"),
        (put("closed_to", FIRST + 2 * 1440), "closed_to"),  # wall mode: no bucket of the day after tomorrow has closed
        (put("closed_to", 10**12), "closed_to"),
        (put("closed_from", FIRST - 3 * 1440), "closed_to"),
        (put("closed_from", FIRST + 5), "closed_to"),
        (put("closed_from", -1), "closed_to"),
        (put("gap_from", FIRST - 1), "gap_to"),
        (put("additions.bucket", [FIRST + 2]), "additions.bucket"),
        (put("additions.bucket", [-1]), "additions.bucket"),
        (put("additions.bucket", [FIRST, FIRST]), "additions"),
        (put("additions.cell", [1]), "additions.cell"),
        (put("additions.cell", [-1]), "additions.cell"),
        (put("additions.contacts", []), "additions"),
        (put("additions.contacts", [2**31]), "additions.contacts[0]"),
        (put("additions.contacts", [1.5]), "additions.contacts[0]"),
        (put("additions.handled_seconds", [2**60]), "additions.handled_seconds[0]"),
        (put("additions.cells", [{"country": 1}]), "additions.cells[0][...]"),
        (put("customers.bucket", [FIRST + 2]), "customers.bucket"),
        (put("customers.bucket", []), "customers"),
        (put("customers.segment", [["ES"]]), "customers.segment"),
        (put("customers.contacts", [0]), "customers.contacts[0]"),
        (put("customers.hashes", ["AAAA"]), "customers.hashes"),
        (put("customers.hashes", [""]), "customers.hashes"),
        (put("customers.hashes", ["no base64"]), "customers.hashes[0]"),
        (put("customers.hashes", ["A" * 10_668]), "customers.hashes"),
        (put("totals", {"contacts": -1}), "totals"),
        (put("totals", {"stars": 1}), "totals"),
        (put("last", None), "last"),
    ],
)
def test_a_counts_record_beyond_bounds_is_quarantined_before_anything_of_it_is_taken(
    change: Change, field: str
) -> None:
    d, good = one_minute()
    before = encode({**d.judge.state(), "time_ms": 0, "unreadable": 0})
    bad = deepcopy(good)
    change(bad)
    (rejected,) = read(d, json.dumps(bad).encode())
    assert rejected.errors[0].field == field
    assert encode({**d.judge.state(), "time_ms": 0, "unreadable": 0}) == before
    # the fence has not seen it either: the true one of the same id is taken
    assert [w.observed for w in read(d, json.dumps(good).encode()) if w.kind == "window"] == [(3,)]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (put("segments", [["ES"]]), "segments"),
        (put("counts", [[1], [2]]), "counts"),
        (put("counts", [[-1]]), "counts[0][0]"),
        (put("counts", [[2**31]]), "counts[0][0]"),
        (put("step_seconds", 0), "step_seconds"),
        (put("start", "2026-03-01T00:00:00"), "start"),
        (put("start", "2199-12-31T23:59:00Z"), "start"),
        (put("start", "1969-12-31T23:59:00Z"), "start"),
        (put("part", -1), "part"),
        (put("id", "x" * 65), "id"),
    ],
)
def test_a_part_of_a_history_beyond_bounds_is_quarantined(change: Change, field: str) -> None:
    d = Detection(partitions=1)
    good = HistoryRecord(
        id=HISTORY, part=0, start=at(-60), step_seconds=300, segments=(("ES", "atm"),), counts=((1,) * 12,)
    )
    bad = json.loads(good.encode())
    change(bad)
    (rejected,) = read(d, json.dumps(bad).encode())
    assert rejected.errors[0].field == field
    d.counts_record(0, good)
    d.counts_record(0, HistoryEndRecord(id=HISTORY, parts=1))
    assert (d.judge.history_steps, d.judge.refusals) == (12, [])


def test_buckets_whose_closing_could_not_be_read_are_a_gap() -> None:
    # minute:   0         1 (its closing is lost)   2
    d, _ = one_minute()
    assert [output.kind for output in read(d, b"?")] == ["rejected"]
    d.send(2.5, 4)
    d.tick(3.2)
    assert [(b.bucket - FIRST, b.status) for b in d.buckets] == [(0, "observed"), (1, "gap"), (2, "observed")]
    assert d.windows[-1].observed == (4,)


class TestBounds:
    """Nothing in the judge grows without bound, whatever it reads."""

    def part(self, name: int, number: int, steps: int = 12) -> HistoryRecord:
        return HistoryRecord(
            id=str(UUID(int=name)),
            part=number,
            start=at(-60),
            step_seconds=300,
            segments=(("ES", "atm"),),
            counts=((1,) * steps,),
        )

    def test_of_histories_that_never_end_the_oldest_is_dropped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pegel.detector.judge.domain.history.NUMBERS_MAX", 1000)
        d = Detection(partitions=1)
        d.counts_record(0, self.part(9, 0))
        for number in range(4):
            d.counts_record(0, self.part(1, number))
        assert "00000009 is too large" in d.judge.refusals[0]
        d.counts_record(0, HistoryEndRecord(id=str(UUID(int=1)), parts=4))
        assert (d.judge.history_steps, len(d.judge.refusals)) == (12, 1)

    def test_a_history_that_would_be_an_immense_matrix_is_refused(self) -> None:
        d = Detection(partitions=1)
        d.counts_record(0, self.part(1, 0))
        far = self.part(1, 1).model_copy(update={"start": at(-60) - timedelta(seconds=300 * 5_000_000)})
        d.counts_record(0, far)
        d.counts_record(0, HistoryEndRecord(id=str(UUID(int=1)), parts=2))
        assert "is too large" in d.judge.refusals[0]

    def test_its_parts_are_not_kept_once_it_would_be_refused(self) -> None:
        d = Detection(partitions=1, bucket_seconds=600)
        d.counts_record(0, self.part(1, 0))
        for step in range(146):
            d.tick(step * 10 + 0.2)
        d.counts_record(1470, self.part(2, 0))
        assert d.judge.state()["history"] == []

    @pytest.mark.parametrize("clock", ["wall", "data"])
    @pytest.mark.parametrize("partitions", [1, 2])
    def test_a_quiet_day_leaves_nothing_behind(self, clock: str, partitions: int) -> None:
        d = Detection(clock, partitions=partitions)
        for minute in range(300):
            d.tick(minute + 0.2, data=minute + 0.2 if clock == "data" else None)
        state = d.judge.state()
        assert len(state["closings"]) <= 1
        assert all(p["pending"] == p["gaps"] == [] for p in state["partitions"])

    def test_gaps_side_by_side_are_one(self) -> None:
        d = Detection(partitions=1)
        for hour in range(10):
            d.tick(hour * 60 + 0.2)
        assert len(d.judge.state()["gaps"]) <= 10

    def test_segments_beyond_twice_the_limit_are_one(self) -> None:
        d = Detection(partitions=1, max_segments=3)
        for number in range(20):
            country = chr(ord("A") + number) * 2
            record = counts_of(number, [(number, {"country": country, "topic": f"t{number}"}, 1)])
            d.counts_record(number + 1.2, record)
        assert d.judge.segments == 7
        assert d.windows[-1].segments[-1] == ("other", "other")
        assert d.buckets[-1].windows_contacts == 20


def counts_of(number: int, rows: list[tuple[int, dict[str, str], int]]) -> CountsRecord:
    """What counter 0 writes at the close of the bucket after so many; rows: buckets after FIRST, cell, contacts."""
    return CountsRecord.model_validate(
        {
            "origin": Origin(producer="counter/0", epoch=0, partition=0, offset=number, place=0),
            "closed_from": FIRST + number, "closed_to": FIRST + number + 1, "gap_from": 0, "gap_to": 0,
            "additions": {
                "cells": tuple(cell for _, cell, _ in rows), "bucket": tuple(FIRST + at for at, _, _ in rows),
                "cell": tuple(range(len(rows))), "contacts": tuple(contacts for _, _, contacts in rows),
                "handled_seconds": (0,) * len(rows),
            },
            "totals": {},
        }
    )  # fmt: skip


class TestExtremes:
    """Numbers within bounds that no bank has."""

    def story(self, minutes: list[int], names: tuple[str, str] = ("ES", "atm")) -> Detection:
        """A taught judge, and so many contacts a minute."""
        d = Detection(partitions=1)
        history = HistoryRecord(
            id=HISTORY, part=0, start=at(-400 * 60), step_seconds=3600, segments=(names,), counts=((60,) * 400,)
        )
        d.counts_record(0, history)
        d.counts_record(0, HistoryEndRecord(id=HISTORY, parts=1))
        cell = dict(zip(("country", "topic"), names, strict=True))
        for number, contacts in enumerate(minutes):
            d.counts_record(number + 1.2, counts_of(number, [(number, cell, contacts)]))
        return d

    def test_more_contacts_taken_back_than_a_spike_had_make_no_negative_count(self) -> None:
        d = self.story([1] * 10 + [30] * 5)
        assert [spike.state for spike in d.spikes][:1] == ["opened"]
        cell = {"country": "ES", "topic": "atm"}
        d.counts_record(16.2, counts_of(15, [(13, cell, -1_000_000), (15, cell, 1)]))
        for number in range(16, 100):
            d.counts_record(number + 1.2, counts_of(number, [(number, cell, 1)]))
        assert d.spikes[-1].state == "resolved"
        assert d.spikes[-1].observed_since_onset == 0

    def test_the_most_contacts_that_a_record_can_hold_are_judged_and_passed_on(self) -> None:
        most = 2**31 - 1
        d = self.story([1, most, 1, -most, most])
        cell = {"country": "ES", "topic": "atm"}
        phone = {**cell, "channel": "phone"}
        d.counts_record(6.2, counts_of(5, [(4, cell, most), (3, cell, -most), (5, cell, most), (5, phone, most)]))
        assert d.spikes[0].state == "opened"
        assert d.buckets[-1].windows_contacts == 2 + 3 * most
        assert all(score >= -9 for window in d.windows for score in window.score)

    def test_more_than_a_ring_can_hold_is_a_spike_too(self) -> None:
        d = self.story([1])
        most, cell = 2**31 - 1, {"country": "ES", "topic": "atm"}
        d.counts_record(2.2, counts_of(1, [(1, cell, most), (1, {**cell, "channel": "phone"}, most)]))
        assert [spike.state for spike in d.spikes] == ["opened"]

    def test_a_long_name_of_a_segment_still_makes_an_id(self) -> None:
        d = self.story([1] * 10 + [30] * 5, ("ES", "t" * 600))
        other = self.story([1] * 10 + [30] * 5, ("ES", "t" * 601))
        assert len(d.spikes[0].spike_id) < 256
        assert d.spikes[0].spike_id != other.spikes[0].spike_id
        assert d.spikes[0].segment == ("ES", "t" * 600)


ODD: tuple[object, ...] = (
    None, True, -1, 0, 1, 2**31, 2**53 + 1, 2**63, 10**40, 1.5, 1e308, "", "x", "\x00", "\U0001f6a8", "a" * 300, [], {},
    [[]], {"": ""}, [None], FIRST, FIRST + 10**6, "counter/0", "2026-03-01T00:00:00Z",
)  # fmt: skip


def odd(rng: random.Random, value: Any) -> Any:
    """The value with one place in it changed, dropped, or doubled."""
    choice = rng.random()
    if isinstance(value, dict) and value and choice < 0.9:
        key = rng.choice(list(value))
        if choice < 0.05:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: odd(rng, value[key])}
    if isinstance(value, list) and value and choice < 0.9:
        number = rng.randrange(len(value))
        if choice < 0.1:
            return [*value[:number], *value[number + 1 :]]
        return [*value[:number], odd(rng, value[number]), *value[number + (choice > 0.2) :]]
    if isinstance(value, int) and choice < 0.5:
        return value + rng.choice([-1, 1, -(10**6), 10**6, 2**31, -(2**31), 60])
    return rng.choice(ODD)


def broken(rng: random.Random, value: bytes) -> bytes:
    """Bytes of a record after an accident."""
    if rng.random() < 0.6:
        return json.dumps(odd(rng, json.loads(value)), ensure_ascii=rng.random() < 0.5).encode()
    at_byte = rng.randrange(len(value))
    return rng.choice(
        [
            value[:at_byte],
            value[at_byte:],
            value[:at_byte] + bytes([rng.randrange(256)]) + value[at_byte + 1 :],
            value[:at_byte] + value[at_byte + 1 :],
            value[:at_byte] + b"9" + value[at_byte:],
            value[:at_byte] + rng.choice([b'"\\ud800"', b"\\u0000", b"-", b"1e999"]) + value[at_byte:],
        ]
    )


def spoilt(seed: int, clock: str, records: int) -> tuple[Judge, list[Any], int]:
    """A taught judge after records of which half had an accident; its outputs, and how many were broken."""
    rng = random.Random(seed)
    d = Detection(clock, partitions=2, max_segments=5)
    steps = ((5,) * 400, (9,) * 400)
    whole = HistoryRecord(
        id=HISTORY,
        part=0,
        start=at(-400 * 60),
        step_seconds=3600,
        segments=(("ES", "atm"), ("PT", "atm")),
        counts=steps,
    )
    end = HistoryEndRecord(id=HISTORY, parts=1)
    d.counts_record(0, whole)
    d.counts_record(0, end)
    small = whole.model_copy(update={"counts": ((5,) * 4, (9,) * 4)})
    claim = ClaimRecord(producer="counter/1", owner="x", epoch=0)
    numbers = [0, 0]
    made = 0
    for _ in range(records):
        minute = sum(numbers) // 2
        partition = rng.randrange(2) if abs(numbers[0] - numbers[1]) < 5 else numbers.index(min(numbers))
        bucket = FIRST + numbers[partition]
        true = CountsRecord.model_validate(
            {
                "origin": Origin(
                    producer=f"counter/{partition}", epoch=0, partition=partition, offset=numbers[partition], place=0
                ),
                "closed_from": bucket, "closed_to": bucket + 1, "gap_from": bucket, "gap_to": bucket,
                "additions": {
                    "cells": ({"country": "ES", "topic": "atm"}, {"country": rng.choice(["PT", "GB"]), "topic": "atm"}),
                    "bucket": (bucket, bucket - rng.randrange(4)), "cell": (0, 1),
                    "contacts": (rng.choice([1, 2, 40]), rng.choice([1, -1, 2])), "handled_seconds": (60, 0),
                },
                "totals": {"contacts": 2, "counted": 2},
                "customers": {
                    "bucket": (bucket, bucket - rng.randrange(4)), "segment": (("ES", "atm"), ("PT", "atm")),
                    "contacts": (rng.choice([1, 40]), 1), "hashes": ("AAECAwQFBgc=", "CAkKCwwNDg8="),
                },
            }
        )  # fmt: skip
        numbers[partition] += 1
        if rng.random() < 0.5:
            value = broken(rng, rng.choice([true, true, true, small, end, claim]).encode())
            made += 1
            read(d, value, minute + 1.2)
        d.counts_record(minute + 1.2, true)
    return d.judge, d.outputs, made


@pytest.mark.parametrize("clock", ["wall", "data"])
@pytest.mark.parametrize("seed", range(6))
def test_no_record_makes_the_judge_raise(seed: int, clock: str) -> None:
    judge, outputs, made = spoilt(seed, clock, 150)
    rejected = [output for output in outputs if output.kind == "rejected"]
    assert made / 3 < len(rejected) == judge.unreadable <= made
    assert len({output.origin.id for output in outputs}) == len(outputs)
    for output in outputs:
        assert type(output).decode(output.encode()).encode() == output.encode()
    restored = Judge.restored(
        judge._rules, 1, lambda: Kernel(60, Zones({"ES": "Europe/Madrid"}, 0)), Fence(), judge.state()
    )
    assert encode(restored.state()) == encode(judge.state())
