"""Pages, what they found of what is known to have happened, and how many there would be at other settings.

Timelines are in buckets of 5 minutes from Monday 00:00 on; `^` is a page.
"""

import gzip
import math
from pathlib import Path

import pytest

from pegel.cli.backtest.alarms import Alarm, Alarms, write_alarms
from pegel.cli.backtest.curves import AFTER_SECONDS, BEFORE_SECONDS, Curve, Curves, thinned
from pegel.cli.backtest.labels import Label, Verdict, judged, read_labels, touch
from pegel.cli.backtest.running import SpikeEvent
from pegel.cli.backtest.sensitivity import Sensitivity
from pegel.runtime.settings import ConfigurationError
from support.backtests import ATM, MONDAY, Scripted, counts_of, event, ran

ALL_ATM, ALL_ES = ("*", "atm"), ("ES", "*")


def alarms_of(*spikes: SpikeEvent, minutes: int = 600, judged_from: int = 0) -> list[Alarm]:
    alarms = Alarms()
    scores = [0.5] * 10 + [3.25] + [0.5] * 600
    ran(Scripted(scores, spikes), counts_of({ATM: [1] * (minutes // 5)}), alarms, judged_from=judged_from)
    return alarms.found


def test_a_page_has_the_window_that_told_most_and_all_since_its_onset() -> None:
    (alarm,) = alarms_of(
        event("opened", 30, score=1.0, window_seconds=900, observed=31, expected=2.0),
        event("updated", 40, opened=30, score=4.0, window_seconds=3600, observed=50, expected=5.0),
        event("updated", 50, opened=30, score=2.0, window_seconds=900, observed=9, expected=3.0),
        event("resolved", 120, opened=30, observed_since_onset=90, expected_since_onset=11.5),
    )
    assert (alarm.window_seconds, alarm.observed, alarm.expected) == (3600, 50, 5.0)
    assert (alarm.observed_since, alarm.expected_since, alarm.excess) == (90, 11.5, 78.5)
    assert (alarm.onset, alarm.opened_at) == (MONDAY + 20 * 60, MONDAY + 30 * 60)
    assert alarm.resolved_at == MONDAY + 120 * 60
    assert alarm.over_at(0) == MONDAY + 60 * 60  # an hour of quiet before


def test_the_peak_is_that_of_its_line_while_it_was_up() -> None:
    (alarm,) = alarms_of(event("opened", 30, ("*", "*"), score=1.0))
    assert alarm.peak_score == 3.25
    assert alarm.resolved_at is None
    assert alarm.over_at(MONDAY + 600 * 60) == MONDAY + 600 * 60


def test_what_opened_in_the_history_is_no_page() -> None:
    # bucket  0 1 2 3 | 4 ...     judged from minute 20 on
    # page          ^ |  ^
    spikes = (event("opened", 20), event("updated", 25, opened=20), event("resolved", 90, opened=20))
    found = alarms_of(*spikes, event("opened", 25, ("PT", "atm")), judged_from=4)
    assert [alarm.segment for alarm in found] == [("PT", "atm")]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_alarms_are_written(tmp_path: Path, name: str) -> None:
    found = alarms_of(
        event("opened", 30, explanation="31 contacts, 2 expected"),
        event("opened", 35, ALL_ATM),
        event("resolved", 120, opened=30),
    )
    write_alarms(tmp_path / name, ("country", "topic"), found)
    raw = (tmp_path / name).read_bytes()
    assert (gzip.decompress(raw) if name.endswith(".gz") else raw).decode().splitlines() == [
        "spike_id,country,topic,onset,opened_at,resolved_at,peak_score,observed,expected,excess,explanation",
        "ES/atm@30,ES,atm,2024-11-04T00:20:00Z,2024-11-04T00:30:00Z,2024-11-04T02:00:00Z,1.0000,40,4.0000,36.0000,"
        '"31 contacts, 2 expected"',
        "*/atm@35,*,atm,2024-11-04T00:25:00Z,2024-11-04T00:35:00Z,,1.0000,40,4.0000,36.0000,"
        '"31 contacts in 15 min, 2 expected."',
    ]


def verdict_of(labels: list[Label], *spikes: SpikeEvent, begin: int = 0) -> Verdict:
    return judged(labels, alarms_of(*spikes), begin=MONDAY + begin * 60, end=MONDAY + 36_000, bucket_seconds=300)


def label(onset: int, end: int, segment: tuple[str, ...] = ATM) -> Label:
    """Minutes after Monday 00:00."""
    return Label(segment, MONDAY + onset * 60, MONDAY + end * 60)


@pytest.mark.parametrize(
    ("opened", "found"),
    [
        # minute   55   60   65  ...  90  ...  145  150  155  160
        # label         [=============)
        # found          .    ^   ^    ^    ^    ^    ^
        (60, False),  # tells of the bucket before the onset
        (65, True),
        (90, True),
        (150, True),  # from the bucket 145 to 150, an hour after the end is at 150
        (155, False),
    ],
)
def test_a_page_from_the_onset_to_an_hour_after_the_end_found_it(opened: int, found: bool) -> None:
    verdict = verdict_of([label(60, 90)], event("opened", opened))
    assert len(verdict.found) == int(found)
    assert len(verdict.missed) == int(not found)
    assert verdict.delays_seconds == ([(opened - 60) * 60] if found else [])


def test_the_first_page_found_it_and_a_page_can_find_several() -> None:
    # minute    60        100       140
    # ES atm    [=====)
    # * atm     [===============)
    # pages        ^ES  ^*    ^PT
    labels = [label(60, 100), label(60, 140, ALL_ATM), label(300, 310)]
    verdict = verdict_of(labels, event("opened", 75), event("opened", 95, ALL_ATM), event("opened", 130, ("PT", "atm")))
    assert [alarm.opened_at - MONDAY for _, alarm in verdict.found] == [75 * 60, 75 * 60]
    assert verdict.missed == (labels[2],)
    assert verdict.false == ()
    assert (verdict.delay_minutes(50), verdict.delay_minutes(90)) == (15, 15)


def test_a_roll_up_of_more_than_the_label_is_no_find_and_not_false_either() -> None:
    verdict = verdict_of([label(60, 100)], event("opened", 75, ALL_ATM), event("opened", 80, ALL_ES))
    assert (len(verdict.missed), len(verdict.false)) == (1, 0)


def test_pages_are_false_that_overlap_nothing_within_an_hour() -> None:
    # minute          30   40   60  65      120   150       210  215
    # label            .    .    .   .       [=====)         .    .
    # in its hours     .    .    [---------------------------)    .
    # pages ES atm     ^=========)                                ^     both false: beside it, not in it
    # pages ES *            ^========)                       ^
    labels = [label(120, 150)]
    spikes = (
        event("opened", 30),
        event("resolved", 120, opened=30),  # above until minute 60: an hour before the onset is at 60
        event("opened", 40, ALL_ES),
        event("resolved", 125, ALL_ES, opened=40),  # above until 65
        event("opened", 210, ("ES", "*"), onset=200),  # in the bucket 205 to 210: an hour after the end is at 210
        event("opened", 215),
        event("opened", 130, ("PT", "atm")),  # another segment
    )
    false = verdict_of(labels, *spikes).false
    assert [(alarm.segment, (alarm.opened_at - MONDAY) // 60) for alarm in false] == [
        (ATM, 30),
        (("PT", "atm"), 130),
        (ATM, 215),
    ]


def test_only_what_began_in_the_judged_time_can_be_missed() -> None:
    verdict = verdict_of([label(10, 30), label(60, 90)], begin=20)
    assert [its.onset - MONDAY for its in verdict.missed] == [3600]
    assert verdict.delay_minutes(50) is None


@pytest.mark.parametrize(
    ("one", "other", "does"),
    [
        (ATM, ATM, True),
        (ATM, ALL_ATM, True),
        (ALL_ES, ALL_ATM, True),
        (ALL_ES, ("PT", "atm"), False),
        (("*", "*"), ATM, True),
    ],
)
def test_segments_touch(one: tuple[str, ...], other: tuple[str, ...], does: bool) -> None:
    assert touch(one, other) is does
    assert touch(other, one) is does


def test_labels_are_read(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(
        "kind,country,topic,onset,end\nx,ES,,2024-11-04T00:10:00Z,2024-11-04T01:10:00+01:00\n"
        "y,*,atm,2024-11-04T00:10Z,2024-11-04T00:20Z\n"
    )
    assert read_labels(file, ("country", "topic")) == [label(10, 10, ALL_ES), label(10, 20, ALL_ATM)]


def test_all_that_is_wrong_with_labels_is_said(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("topic,onset,end\natm,2024-11-04T00:10:00,x\natm,2024-11-04T00:10Z,2024-11-04T00:05Z\n")
    with pytest.raises(ConfigurationError) as said:
        read_labels(file, ("topic",))
    assert [fault.partition(": ")[2] for fault in said.value.faults] == [
        "line 2: 2024-11-04T00:10:00 has no zone; write 2024-11-12T02:22:00Z",
        "line 3: the end is before the onset",
    ]
    with pytest.raises(ConfigurationError, match="has no column country; it has topic, onset, end"):
        read_labels(file, ("country", "topic"))


def test_episodes_are_counted_at_every_setting() -> None:
    # bucket    0    1    2  ...  14   15  ...  27  28  ...
    # score     1.0  .    1.0     1.0  .        1.0
    # 0.5 a week opens at 0.30: from 2 to 14 are 12 buckets, an hour, so the same; from 14 to 27 are 13: another.
    # 5 a week opens at -0.70: the score of bucket 20 is -0.5, so all of it is one.
    scores = [math.nan] * 40
    for bucket in (0, 2, 14, 27):
        scores[bucket] = 1.0
    scores[20] = -0.5
    sensitivity = Sensitivity(300)
    ran(Scripted(scores), counts_of({ATM: [1] * 40}), sensitivity)
    assert sensitivity.pages == {0.5: 2, 1.0: 2, 2.0: 2, 5.0: 1, 10.0: 1, 20.0: 1}


def test_an_episode_that_was_open_when_the_history_ended_is_not_counted() -> None:
    # bucket  0 .. 9 | 10 .. 20   30      two lines: the roll-up of everything, and segments without a score
    # above        9 | 10    20   34
    scores = [math.nan] * 40
    for bucket in (9, 10, 20, 34):
        scores[bucket] = 2.0
    sensitivity = Sensitivity(300)
    ran(Scripted(scores), counts_of({ATM: [1] * 40}), sensitivity, judged_from=10)
    assert sensitivity.pages[1.0] == 1


def test_curves_hold_some_hours_around_a_page_and_only_of_judged_buckets() -> None:
    # Judged from minute 300 on; page at minute 1000, onset 990, above until 1060, resolved 1120.
    alarms = Alarms()
    curves = Curves(alarms)
    spikes = (
        event("opened", 1000),
        event("resolved", 1120, opened=1000),
        event("opened", 310, ("*", "*")),
        event("resolved", 380, ("*", "*"), opened=310),
    )
    counts = counts_of({ATM: list(range(1, 1201))})
    ran(Scripted([1.0] * 1200, spikes), counts, alarms, curves, judged_from=60)
    early, late = alarms.found
    first, second = curves.of(early), curves.of(late)
    assert first is not None
    assert second is not None
    assert first.start == MONDAY + 300 * 60  # six hours before lie in the history
    assert first.lines.observed[0] == 61
    assert second.start == late.onset - BEFORE_SECONDS
    end = second.start + len(second.lines.observed) * second.step_seconds
    assert end == late.over_at(0) + AFTER_SECONDS


def test_long_curves_are_thinned_to_whole_points() -> None:
    alarms = Alarms()
    curves = Curves(alarms)
    ran(Scripted((), (event("opened", 500),)), counts_of({ATM: [2] * 2000}), alarms, curves)
    curve = curves.of(alarms.found[0])
    assert curve is not None
    assert curve.step_seconds == 2400  # three days of a page that stays up, six and two hours around: 960 buckets
    assert curve.lines.observed.tolist() == [16] * 120
    assert curve.lines.expected.tolist() == [8.0] * 120
    assert curve.lines.upper.tolist() == pytest.approx([8 + math.sqrt(8)] * 120)
    few = Curve(0, 300, curve.lines)
    assert thinned(few) is few
    assert thinned(few, 3600).lines.observed.tolist() == [16 * 12] * 10
