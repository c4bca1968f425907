"""An estimator's pages: they open where its scaled score reaches the setting, and are over after an hour below."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pegel.cli.backtest.alarms import Alarms
from pegel.cli.backtest.beside import EstimatorModel
from pegel.cli.backtest.curves import Curves
from pegel.cli.backtest.report import Subject, render
from pegel.cli.backtest.results import Result
from pegel.cli.backtest.running import SpikeEvent, run
from pegel.cli.backtest.scores import Scores
from pegel.cli.backtest.sensitivity import SETTINGS
from pegel.detector.judge.domain.models.named import PARAMETERS
from support.backtests import ATM, MONDAY, WORDS, counts_of, setting

CARDS = ("PT", "cards")
BUCKET = 900
DAY = 96
DAYS = 24
JUMP = slice(22 * DAY + 40, 22 * DAY + 46)
"""10:00 to 11:30 of the 23rd day."""


def rows() -> dict[tuple[str, ...], Sequence[int]]:
    """Poisson counts of 8 a bucket, and five times as many of cash machines for 90 minutes."""
    counts = np.random.default_rng(3).poisson(8, (DAYS * DAY, 2))
    counts[JUMP, 0] = 40
    return {ATM: counts[:, 0].tolist(), CARDS: counts[:, 1].tolist()}


def stepped(name: str, accepted: float = 1.0, days: int = DAYS) -> tuple[EstimatorModel, list[SpikeEvent], list[float]]:
    counts = counts_of({segment: row[: days * DAY] for segment, row in rows().items()}, BUCKET)
    model = EstimatorModel(name, setting(BUCKET, accepted))
    model.add_segments(counts.names)
    events: list[SpikeEvent] = []
    scores = []
    for place in range(counts.buckets):
        step = model.step(MONDAY + place * BUCKET, counts.observed(place))
        events += step.spikes
        scores.append(float(step.segments.score[0]))
    return model, events, scores


def test_a_page_opens_where_the_score_reaches_the_setting_and_ends_after_an_hour_below() -> None:
    # Score of ES/atm:  ...below|reached ... above ... last above|below for 4 buckets of 15 min
    # Events:                   |opened   (updated at new peaks)  |                       |resolved
    _, events, scores = stepped("river.anomaly.GaussianScorer")
    its = [event for event in events if event.segment == ATM and event.onset >= MONDAY + JUMP.start * BUCKET]
    assert [event.state for event in its] == ["opened", *["updated"] * (len(its) - 2), "resolved"]
    opened, *_, resolved = its
    above = [place for place, score in enumerate(scores) if score >= 0 and place >= JUMP.start]
    assert opened.onset == MONDAY + above[0] * BUCKET
    assert opened.at == opened.opened_at == opened.onset + BUCKET
    assert resolved.at == MONDAY + (above[-1] + 1) * BUCKET + 3600
    peaks = [event.score for event in its[:-1]]
    assert peaks == sorted(peaks)
    counted = rows()[ATM][above[0] : above[-1] + 5]
    assert resolved.observed_since_onset == sum(counted)
    assert resolved.expected_since_onset == pytest.approx(8 * len(counted), rel=0.1)


def test_it_is_explained_by_its_last_hour_and_since_its_onset() -> None:
    _, events, _ = stepped("river.anomaly.GaussianScorer")
    opened = next(event for event in events if event.state == "opened" and event.segment == ATM)
    last = (opened.at - MONDAY) // BUCKET
    assert (opened.window_seconds, opened.observed) == (3600, sum(rows()[ATM][last - 4 : last]))
    assert opened.expected == pytest.approx(32, rel=0.05)
    assert opened.explanation == (
        f"ES/atm: {opened.observed} contacts in 1 hour where {opened.expected:.0f} are usual;"
        f" 40 contacts since 2024-11-26T10:{(last - 1) % 4 * 15:02}:00Z where 8 are usual."
    )


def test_a_rarer_setting_asks_for_a_higher_score() -> None:
    often, seldom = (
        sum(event.state == "opened" for event in stepped("river.anomaly.HalfSpaceTrees", accepted)[1])
        for accepted in (100.0, 1e-9)
    )
    assert often > seldom == 0


@pytest.mark.parametrize("name", PARAMETERS)
def test_what_comes_later_changes_no_score_and_no_page(name: str) -> None:
    _, events, scores = stepped(name)
    _, cut_events, cut_scores = stepped(name, days=23)
    assert np.isfinite(cut_scores[-1])
    assert repr(scores[: 23 * DAY]) == repr(cut_scores)
    assert events[: len(cut_events)] == cut_events


def test_what_an_estimator_does_not_expect_is_the_mean_before() -> None:
    model = EstimatorModel("river.anomaly.HalfSpaceTrees", setting(BUCKET))
    model.add_segments([ATM])
    told = [float(model.step(MONDAY + place * BUCKET, np.array([n])).segments.expected[0]) for place, n in
            enumerate((4, 8, 0))]  # fmt: skip
    assert math.isnan(told[0])
    assert told[1:] == [4, 6]


def test_scores_and_report_do_without_a_band(tmp_path: Path) -> None:
    counts, alarms = counts_of(rows(), BUCKET), Alarms()
    curves = Curves(alarms)
    with Scores(tmp_path / "s.csv", counts.dimensions) as scores:
        model = EstimatorModel("river.anomaly.GaussianScorer", setting(BUCKET))
        ran = run(model, counts, 21 * DAY, [alarms, curves, scores], lambda _: None)
    assert (tmp_path / "s.csv").read_text().splitlines()[-1].split(",")[5:7] == ["NaN", "NaN"]
    subject = Subject(
        "calls.csv", counts, counts.start + 21 * DAY * BUCKET, 1.0, WORDS, lambda _: "UTC", lambda _: None
    )
    page = render(subject, [Result(ran, tuple(alarms.found), None, 1.0, BUCKET)], curves, dict.fromkeys(SETTINGS, 1))
    assert page.count("<svg") == 1 + len(alarms.found) > 1
    assert "NaN" not in page
    assert "nan" not in page.replace("financ", "")
