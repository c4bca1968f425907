"""NAB's score, against values worked out by hand from its rules."""

import gzip
import json
from collections.abc import Sequence
from math import exp
from pathlib import Path

import numpy as np
import pytest

from support.nab import (
    ABOVE_ALL,
    Profile,
    Series,
    Window,
    gains,
    judge,
    main,
    probation,
    read,
    sigmoid,
    sweep,
)
from support.nab_windowed_gaussian import main as write_scores
from support.nab_windowed_gaussian import windowed_gaussian

ROWS = 20
"""Three of them are not scored."""


def series(detected: Sequence[int], *windows: Window, name: str = "a", rows: int = ROWS) -> Series:
    scores = np.zeros(rows)
    scores[list(detected)] = 1.0
    return Series(name, windows, scores)


def s(position: float) -> float:
    return 2 / (1 + exp(5 * position)) - 1


def test_the_sigmoid_has_the_papers_values() -> None:
    assert sigmoid(-1.0) == pytest.approx(0.98661, abs=1e-5)
    assert sigmoid(-0.5) == pytest.approx(0.84828, abs=1e-5)
    assert sigmoid(0.0) == 0.0
    assert sigmoid(1.0) == pytest.approx(-0.98661, abs=1e-5)
    assert sigmoid(2.5) > sigmoid(3.0) > -1.0
    assert sigmoid(3.0001) == -1.0


def test_a_row_brings_what_its_place_says() -> None:
    # rows     0      1      2      3      4      5      6      7 .. 11
    #        before  [ window of four rows  ]   1/3    2/3    3/3 .. > 3
    gain = gains(14, [(1, 4)])
    assert gain[0] == -0.11
    assert gain[1] == pytest.approx(1.0)
    assert gain[2] == pytest.approx(s(-3 / 4) / s(-1))
    assert gain[4] == pytest.approx(s(-1 / 4) / s(-1))
    assert gain[5] == pytest.approx(0.11 * s(1 / 3))
    assert gain[13] == pytest.approx(0.11 * s(3.0))
    assert gains(15, [(1, 4)])[14] == -0.11


def test_the_distance_is_from_the_last_window_before() -> None:
    gain = gains(12, [(1, 4), (7, 8)])
    assert gain[6] == pytest.approx(0.11 * s(2 / 3))
    assert gain[9] == pytest.approx(0.11 * s(1.0))


@pytest.mark.parametrize(("rows", "unscored"), [(20, 3), (19, 2), (4032, 604), (5000, 750), (15902, 750)])
def test_the_beginning_is_not_scored(rows: int, unscored: int) -> None:
    assert probation(rows) == unscored


def test_a_perfect_detector_has_100_and_the_null_detector_0() -> None:
    both = [series([105, 152], (105, 108), (152, 159), rows=600), series([100], (100, 150), name="b", rows=600)]
    assert judge(both).score == pytest.approx(100.0)
    for constant in (0.0, 0.5, 1.0):
        flat = [Series(one.name, one.windows, np.full(600, constant)) for one in both]
        assert judge(flat).score == pytest.approx(0.0)


def test_the_first_detection_in_a_window_counts_and_every_false_row() -> None:
    one = series([4, 9, 11, 13, 14], (8, 11))
    # Raw: row 9 is second of four; 4 is before any window; 13 and 14 are 2/3 and 3/3 of a length behind.
    raw = s(-3 / 4) / s(-1) - 0.11 + 0.11 * (s(2 / 3) + s(1.0))
    result = judge([one], threshold=1.0)
    assert result.raw == pytest.approx(raw)
    assert result.score == pytest.approx(100 * (raw + 1) / 2)
    assert result.by_series["a"][0] == pytest.approx(raw)
    assert result.by_series["a"][1:] == (1, 0, 3)


def test_a_missed_window_costs_its_weight() -> None:
    result = judge([series([5], (5, 8), (12, 14))], Profile(fn=2.0), threshold=1.0)
    assert result.raw == pytest.approx(1.0 - 2.0)
    assert result.score == pytest.approx(100 * (-1 + 4) / (2 + 4))
    assert result.by_series["a"][1:] == (1, 1, 0)


def test_detections_in_the_probation_are_neither_true_nor_false() -> None:
    assert judge([series([0, 1, 2, 5], (5, 8))], threshold=1.0).score == pytest.approx(100.0)


def test_a_window_that_is_not_scored_is_not_missed() -> None:
    # As NAB has it: no penalty, but the perfect detector is said to find it.
    result = judge([series([12], (0, 1), (12, 14))])
    assert result.by_series["a"][1:] == (1, 0, 0)
    assert result.score == pytest.approx(100 * (1 + 1) / (2 + 1))


def test_the_threshold_is_the_best_of_all_series_together() -> None:
    # At 0.9 the first window and no false row; at 0.4 the second window too, for one false row; at 0.2 rubbish.
    one = Series("a", ((8, 11),), np.array([0.2] * 8 + [0.9] + [0.2] * 11))
    two = Series("b", ((8, 11),), np.array([0.2] * 5 + [0.4] + [0.2] * 2 + [0.4] + [0.2] * 11))
    thresholds, sums = sweep([one, two])
    assert thresholds.tolist() == [ABOVE_ALL, 0.9, 0.4, 0.2]
    assert sums[:3] == pytest.approx([-2.0, 0.0, 2.0 - 0.11])
    result = judge([one, two])
    assert result.threshold == 0.4
    assert result.raw == pytest.approx(1.89)
    assert result.score == pytest.approx(100 * (1.89 + 2) / 4)


def test_the_sweep_agrees_with_each_threshold_by_itself() -> None:
    rng = np.random.default_rng(1)
    both = [Series(name, ((30, 44), (60, 80)), rng.integers(0, 12, 120) / 12) for name in ("a", "b")]
    for threshold, total in zip(*sweep(both), strict=True):
        assert judge(both, threshold=float(threshold)).raw == pytest.approx(total)


@pytest.mark.parametrize("windows", [((5, 5),), ((8, 9), (4, 5)), ((4, 8), (8, 9)), ((15, 20),)])
def test_windows_must_be_in_order_within_the_rows(windows: tuple[Window, ...]) -> None:
    with pytest.raises(ValueError, match="windows of two rows"):
        series([], *windows)


def test_scores_must_be_in_range() -> None:
    with pytest.raises(ValueError, match=r"scores must be in \[0, 1\]"):
        Series("a", (), np.array([0.5, np.nan]))
    with pytest.raises(ValueError, match="no window"):
        judge([series([])])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twenty values with a rise in rows 12 to 14, as NAB's folder has them."""
    folder = tmp_path / "data"
    (folder / "realTweets").mkdir(parents=True)
    lines = [f"2015-02-26 21:{minute:02}:53,{99 if minute in (12, 13) else minute % 2}" for minute in range(20)]
    with gzip.open(folder / "realTweets/x.csv.gz", "wt") as file:
        file.write("\n".join(["timestamp,value", *lines]))
    windows = {"realTweets/x.csv": [["2015-02-26 21:12:53.000000", "2015-02-26 21:14:53.000000"]]}
    (folder / "combined_windows.json").write_text(json.dumps(windows))
    return folder


def test_the_command_prints_the_score(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert write_scores([str(data), str(tmp_path / "scores")]) == 0
    assert main([str(data), str(tmp_path / "scores")]) == 0
    assert "standard profile 100.00" in capsys.readouterr().out


def test_scores_of_other_rows_are_refused(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = tmp_path / "scores"
    scores.mkdir()
    assert main([str(data), str(scores)]) == 2
    (scores / "y.csv").write_text("timestamp,anomaly_score\n")
    with pytest.raises(ValueError, match=r"has no series y\.csv"):
        read(data, scores)
    (scores / "y.csv").unlink()
    (scores / "realTweets").mkdir()
    (scores / "realTweets/x.csv").write_text("timestamp,anomaly_score\n2015-02-26 21:00:53,0.5\n")
    with pytest.raises(ValueError, match="its timestamps are not those of"):
        read(data, scores)
    (scores / "realTweets/x.csv").write_text("timestamp,score\n2015-02-26 21:00:53,0.5\n")
    with pytest.raises(ValueError, match="needs the columns timestamp and anomaly_score"):
        read(data, scores)
    assert "has no scores" in capsys.readouterr().err


def test_the_windowed_gaussian_is_the_normal_tail_of_what_came_before() -> None:
    scores = windowed_gaussian(np.array([1.0, 1.0, 4.0, 2.0 + np.sqrt(2.0), 0.0]))
    assert scores[:3].tolist() == [0.0, 0.5, 1.0]
    # Before row 3: mean 2, deviation sqrt(2): one deviation above.
    assert scores[3] == pytest.approx(0.841345, abs=1e-6)
    assert scores[4] > 0.5


def test_the_windowed_gaussians_window_moves_by_a_hundred() -> None:
    values = np.concatenate([np.zeros(100), np.tile([4.0, 6.0], 3150), np.full(200, 5.0)])
    scores = windowed_gaussian(values)
    # Until row 6500 the hundred zeros at the beginning are in the window of 6,400.
    assert scores[6499] == scores[6400] > 0.5
    assert scores[6500] < scores[6499]
