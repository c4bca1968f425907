"""The evaluator of worlds gives what is worked out by hand."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from support.worlds.alarms import alarms
from support.worlds.causes import CAUSES, by_cause, causes
from support.worlds.evaluate import Case, Truth, false_a_week, findings, summaries, threshold_for, truth
from support.worlds.incidents import ALL, Label
from support.worlds.judge import judge_cases
from support.worlds.options import DAY, HOUR, WEEK, Country, Incidents, Options, Singles, plain
from support.worlds.world import make

NO = np.float32(np.nan)


def _scores(rows: int, buckets: int, high: dict[tuple[int, int], float]) -> Singles:
    """[rows, buckets] without an opinion but in these places."""
    scores = np.full((rows, buckets), NO, np.float32)
    for (row, at), score in high.items():
        scores[row, at] = score
    return scores


def test_an_alarm_closes_after_an_hour_below_and_is_raised_anew_after_a_day() -> None:
    # stream 0   0 . 12 ........ 25       high at 12 is within the hour (12 buckets), 25 is 13 later: a second alarm
    # stream 1   0, then every 6 buckets to 600; raised anew at 288 and 576
    # stream 0's last bucket and stream 1's first are neighbours in memory, and yet two alarms
    high = {(0, 0): 1.0, (0, 12): 1.0, (0, 25): 1.0, (0, 863): 1.0} | {(1, at): 1.0 for at in range(0, 601, 6)}
    found = alarms(_scores(2, 3 * DAY, high), 1.0, HOUR)
    assert list(zip(found.stream.tolist(), found.start.tolist(), found.end.tolist(), strict=True)) == [
        (0, 0, 13),
        (0, 25, 26),
        (0, 863, 864),
        (1, 0, 283),
        (1, 288, 571),
        (1, 576, 601),
    ]
    assert len(alarms(_scores(2, DAY, {}), 1.0, HOUR)) == 0


# Two countries (A, B) x two topics (x, y): segments 0 Ax, 1 Ay, 2 Bx, 3 By; streams 4 *x, 5 *y, 6 A*, 7 B*. One week.
#
#   bucket    0       100         200         400         600        1000
#   Ax        .       [spike 100-124)         [=== topic x 400-448)
#   Bx                                        [=== topic x 400-448)
#   By                            [burn 200-400)
#   Ay                                                     quiet all the week
LABELS = (
    Label("spike", 0, 0, 100, 124, 3.0, 24.0),
    Label("burn", 1, 1, 200, 400, 1.5, 200.0),
    Label("topic", ALL, 0, 400, 448, 1.3, 96.0),
)


def _truth() -> Truth:
    extra = np.zeros((4, WEEK), np.int64)
    extra[0, 100:124] = 2
    extra[3, 200:400] = 1
    extra[[0, 2], 400:448] = 1
    return Truth(
        country=np.array([0, 0, 1, 1]),
        topic=np.array([0, 1, 0, 1]),
        countries=2,
        topics=2,
        extra=extra,
        labels=LABELS,
        bucket_seconds=300,
    )


def test_incidents_are_found_by_alarms_that_open_in_time_on_their_streams() -> None:
    high = {
        (0, 90): 5.0,  # Ax opens 10 buckets before the spike: true (within the hour) and too early to detect it
        (0, 105): 5.0,  # and opens again 15 buckets later: detects the spike in its sixth bucket
        (1, 600): 5.0,  # Ay: false
        (3, 411): 5.0,  # By, 11 buckets after the end of the burn: detects it
        (4, 403): 5.0,  # *x: detects the topic's rise by roll-up in its fourth bucket
        (2, 410): 5.0,  # Bx: later than the roll-up
        (5, 90): 5.0,  # *y: the burn on By touches it from bucket 188 on: false
        (7, 300): 5.0,  # B*: true, and yet no stream on which a burn is detected
        (6, 1000): 5.0,  # A*: false
    }
    case = Case(_scores(8, WEEK, high), _truth())
    wrong = case.false(5.0)
    assert list(zip(wrong.stream.tolist(), wrong.start.tolist(), strict=True)) == [(1, 600), (5, 90), (6, 1000)]
    assert false_a_week([case], 5.0) == 3
    spike, burn, topic = findings(case, 5.0)
    assert (spike.delay_minutes, spike.excess_before, spike.excess, spike.by_roll_up) == (30, 12, 48, False)
    assert (burn.delay_minutes, burn.excess_before, burn.excess) == (212 * 5, 200, 200)
    assert (topic.delay_minutes, topic.excess_before, topic.excess, topic.by_roll_up) == (20, 8, 96, True)
    of_all = summaries([spike, burn, topic])["all"]
    assert (of_all.number, of_all.detected, of_all.delay_minutes_median) == (3, 1, 30)
    assert of_all.excess_before == pytest.approx((12 + 200 + 8) / 344)


def test_what_is_not_found_costs_all_its_excess() -> None:
    # The alarm of By opens before the burn and lasts: it is true, but did not open in time.
    high = {(3, at): 5.0 for at in range(180, 260, 10)}
    spike, burn, topic = findings(Case(_scores(4, WEEK, high), _truth()), 5.0)
    for missed in (spike, burn, topic):
        assert np.isnan(missed.delay_minutes)
        assert missed.excess_before == missed.excess
    assert Case(_scores(4, WEEK, high), _truth()).false(5.0).stream.tolist() == []


def test_an_alarm_an_hour_away_from_an_incident_is_false() -> None:
    # The spike of Ax is in [100, 124); with an hour around, [88, 136).
    for at, false in ((87, 1), (88, 0), (135, 0), (136, 1)):
        assert len(Case(_scores(4, WEEK, {(0, at): 1.0}), _truth()).false(1.0)) == false


def test_the_threshold_is_the_lowest_that_keeps_the_budget() -> None:
    # Ay, quiet: peaks 9, 8, 7, ... two hours apart and more; a week has as many false pages as peaks at or above.
    high = {(1, 100 * n): float(10 - n) for n in range(1, 10)}
    case = Case(_scores(8, WEEK, high), _truth())
    assert threshold_for([case], 3) == 7.0
    assert threshold_for([case, case], 3) == 7.0
    assert threshold_for([case], 3.9) == 7.0


def test_false_pages_are_told_apart_by_cause() -> None:
    # Spain, four weeks from 14 October 2024, the first is history. 27 October 01:00 UTC: clock change (bucket 1740 of
    # the evaluated); 1 November (UTC+1): holiday, in the week after the change, so the change is named.
    options = replace(
        plain(),
        weeks=5,
        history_weeks=1,
        countries=(Country("ES", "Europe/Madrid"),),
        topics=("atm", "cards"),
        start=datetime(2024, 10, 14, tzinfo=UTC),
        incidents=Incidents(0, 0, 0, 0),
        clock_changes=True,
        holidays=True,
        ramps=False,
        noise=False,
    )
    world = make(1, options)
    cause = causes(world)
    assert cause.shape == (2 + 2 + 1, 4 * WEEK)
    change = 6 * DAY + HOUR
    quiet, other, roll_up = change - HOUR, CAUSES.index("other"), CAUSES.index("roll-up")
    assert cause[:, quiet].tolist() == [other, other, roll_up, roll_up, roll_up]
    assert (cause[:, change : change + WEEK] == CAUSES.index("clock change")).all()
    assert (cause[:2, change + WEEK] == other).all()
    case = Case(_scores(5, 4 * WEEK, {(0, change + 5): 1.0, (1, quiet): 1.0, (4, quiet): 1.0}), truth(world))
    assert by_cause(cause, case.false(1.0)) == dict.fromkeys(CAUSES, 0) | {"clock change": 1, "other": 1, "roll-up": 1}
    before = make(1, replace(options, start=datetime(2024, 4, 15, tzinfo=UTC)))
    may_day = 9 * DAY - 2 * HOUR + 1  # 1 May in Madrid begins 30 April 22:00 UTC; the evaluated weeks on 22 April
    assert (causes(before)[:, may_day] == CAUSES.index("holiday")).all()


def test_a_judgement_has_two_lines_a_budget_and_the_causes() -> None:
    small = Options(weeks=3, history_weeks=1, topics=("atm", "cards"), incidents=Incidents(3, 0, 0, 0))
    world = make(2, small)
    case = Case(np.zeros((24 + 2 + 12, 2 * WEEK), np.float32), truth(world))
    case.scores[:, ::DAY] = 1.0
    lines = list(judge_cases([world], [case], [1, 5]))
    assert [line.split()[:3] for line in lines] == [
        ["best", "budget", "1"],
        ["own", "budget", "1"],
        ["best", "budget", "5"],
        ["own", "budget", "5"],
        ["best", "budget", "5"],
        ["own", "budget", "5"],
    ]
    assert "threshold    0.00" in lines[1].replace("-0.00", " 0.00")
    assert "clock change" in lines[-1]
