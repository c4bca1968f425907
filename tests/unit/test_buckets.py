"""Records of windows become whole buckets, each output once."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from pegel.alerter.windows.buckets import Assembler, Bucket, LogEnd, Unreadable
from pegel.eventlog.port import Record
from pegel.schemas.base import LogRecord
from pegel.schemas.detection import BucketRecord, ChallengerRecord
from support.windows import START, Windows, cell

KINDS = ("window", "spike")


def on_log(records: Sequence[LogRecord | bytes], start: int = 0) -> list[Record]:
    return [
        Record(0, start + place, 1000 + place, None, its if isinstance(its, bytes) else its.encode(), ())
        for place, its in enumerate(records)
    ]


def contacts(buckets: Sequence[Bucket]) -> list[int]:
    return [sum(sum(window.additions.contacts) for window in bucket.windows) for bucket in buckets]


def test_a_bucket_is_given_when_its_record_is_there() -> None:
    windows = Windows()
    records = on_log([*windows.bucket([(cell(), 3)], spikes=[windows.spike()]), *windows.bucket([(cell(), 4)])])
    assembler = Assembler({}, KINDS)
    assert list(assembler.take(records[:2])) == []
    first, second = assembler.take(records[2:])
    assert contacts([first, second]) == [3, 4]
    assert [len(bucket.spikes) for bucket in (first, second)] == [1, 0]
    assert (first.offset, second.offset) == (2, 4)
    assert first.seen["judge/0"].id == (1, 2)


def test_only_what_is_asked_for_is_read() -> None:
    windows = Windows()
    (bucket,) = Assembler({}, ("spike",)).take(on_log(windows.bucket([(cell(), 3)], spikes=[windows.spike()])))
    assert (len(bucket.windows), len(bucket.spikes)) == (0, 1)


def test_what_challengers_say_is_known_and_left_alone() -> None:
    windows = Windows()
    first, second = windows.bucket([(cell(), 3)]), windows.bucket([(cell(), 4)])
    end = first[-1]
    assert isinstance(end, BucketRecord)
    origin = end.origin.model_copy(update={"place": end.origin.place + 1})
    said = ChallengerRecord(
        origin=origin, bucket=end.bucket, start=START, model="other/1", segments=(("ES", "atm"),), score=(1.5,)
    )
    assembler = Assembler({}, KINDS)
    taken = list(assembler.take(on_log([*first, said, *second])))
    assert contacts(taken) == [3, 4]
    assert [bucket.unreadable for bucket in taken] == [(), ()]
    assert [bucket.offset for bucket in taken] == [1, 4]


def test_what_was_written_twice_is_taken_once() -> None:
    # The judge died after its first record and wrote all of the bucket again under its new epoch.
    windows = Windows()
    window, end = windows.bucket([(cell(), 3)])
    claim = Windows(epoch=1).claim()
    again = [its.model_copy(update={"origin": its.origin.model_copy(update={"epoch": 1})}) for its in (window, end)]  # type: ignore[attr-defined]
    (bucket,) = Assembler({}, KINDS).take(on_log([window, claim, *again]))
    assert contacts([bucket]) == [3]
    assert bucket.seen["judge/0"].epoch == 1


def test_a_zombie_writes_in_vain() -> None:
    # epoch 0:  a        b'   (b' comes after the claim of epoch 1, and says something else)
    # epoch 1:     claim    b
    old, new = Windows(), Windows(epoch=1)
    first = old.bucket([(cell(), 1)])
    zombie = old.bucket([(cell(), 100)])
    new.bucket([(cell(), 1)])
    second = new.bucket([(cell(), 2)])
    found = list(Assembler({}, KINDS).take(on_log([*first, new.claim(), *zombie, *second])))
    assert contacts(found) == [1, 2]


def test_it_goes_on_from_what_was_seen() -> None:
    windows = Windows()
    records = on_log([*windows.bucket([(cell(), 1)]), *windows.bucket([(cell(), 2)])])
    first, _ = Assembler({}, KINDS).take(records)
    # read again from the start, as after a position that was not moved
    assert contacts(list(Assembler(first.seen, KINDS).take(records))) == [2]


HEAD = b'{"kind":"bucket","v":1,"origin":{"producer":"judge/0","epoch":0,"partition":0,"offset":0,"place":0}'


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"not json", "JSON is malformed: invalid character (byte 4)"),
        (b'{"kind":"window","v":2,"secret":"s"}', "v=2, this version of Pegel reads 1"),
        (b'{"kind":"secret","v":1}', "its kind does not belong on windows, or it has no origin"),
        (b'{"kind":"bucket","v":1}', "its kind does not belong on windows, or it has no origin"),
        (HEAD + b"}", "bucket record: bucket: missing"),
        (HEAD + b',"bucket":"secret"}', "bucket record: bucket: int_type"),
        (HEAD + b',"bucket":1,"to":2,"secret":1}', "bucket record: as_of: missing"),
    ],
)
def test_what_cannot_be_read_is_passed_over_and_named_without_its_content(value: bytes, says: str) -> None:
    windows = Windows()
    assembler = Assembler({}, KINDS)
    assert list(assembler.take(on_log([value], start=41))) == []
    assert assembler.unreadable == [Unreadable(41, says)]
    assert "secret" not in says
    # the next bucket carries it, so that it is noted with the position that passes it
    first, second = assembler.take(on_log([*windows.bucket([(cell(), 3)]), *windows.bucket()], start=42))
    assert contacts([first, second]) == [3, 0]
    assert (first.unreadable, second.unreadable) == ((Unreadable(41, says),), ())
    assert assembler.unreadable == []


def test_the_logs_end_says_how_far_behind_a_bucket_is() -> None:
    end = LogEnd(int((START + timedelta(minutes=3)).timestamp() * 1000), reached=True)
    assert end.since(START) == timedelta(minutes=3)
