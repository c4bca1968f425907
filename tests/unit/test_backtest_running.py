"""Models are driven strictly in order of time, and what they say is passed on whole."""

import gzip
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pegel.cli.backtest.models import DEFAULT, MODELS, chosen
from pegel.cli.backtest.running import Block, Listener, Names, Step, run
from pegel.cli.backtest.scores import Scores
from pegel.runtime.settings import ConfigurationError
from support.backtests import ATM, EVERYTHING, MONDAY, Scripted, counts_of, ran, setting

CARDS = ("PT", "cards")
HOUR = 3600


class Heard(Listener):
    """All that was said."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.steps: list[tuple[object, ...]] = []
        self.judged: list[bool] = []

    def step(self, step: Step, names: Names, *, judged: bool) -> None:
        self.steps.append((*(repr(array.tolist()) for array in step.segments), tuple(step.spikes)))  # nan is no nan
        self.judged.append(judged)

    def block(self, block: Block) -> None:
        self.blocks.append(block)


def test_a_segment_is_made_known_with_the_bucket_that_counts_it_first() -> None:
    model = Scripted()
    counts = counts_of({ATM: [1, 0, 2, 0], CARDS: [0, 0, 3, 1]})
    result = ran(model, counts, judged_from=1)
    assert model.segments == [ATM, CARDS]
    assert model.seen == [
        (MONDAY, [1]),
        (MONDAY + 300, [0]),
        (MONDAY + 600, [2, 3]),
        (MONDAY + 900, [0, 1]),
    ]
    assert (result.buckets, result.judged_buckets, result.segments, result.rollups) == (4, 3, 2, 1)


def test_blocks_hold_judged_buckets_and_end_where_lines_are_added_and_with_a_day() -> None:
    # Known:     ES/atm from 0 on, PT/cards from 3 on; judged from 1 on; a day has 288 buckets.
    # Blocks:    [1, 3)  [3, 291)  [291, 300)
    heard = Heard()
    counts = counts_of({ATM: [1] * 300, CARDS: [0] * 3 + [1] * 297})
    ran(Scripted([5.0] * 300), counts, heard, judged_from=1)
    assert heard.judged == [False] + [True] * 299
    assert [((block.start - MONDAY) // 300, block.buckets) for block in heard.blocks] == [(1, 2), (3, 288), (291, 9)]
    first, second, _ = heard.blocks
    assert first.segment_names == (ATM,)
    assert second.segments.observed.tolist() == [[1, 1]] * 288
    everything = second.of(EVERYTHING)
    assert everything is not None
    assert everything.observed.tolist() == [2] * 288
    assert everything.score.tolist() == [5.0] * 288
    assert first.of(CARDS) is None


HOURLY = st.lists(st.integers(0, 60), min_size=30, max_size=80)


@pytest.mark.parametrize("name", MODELS)
@given(data=st.data())
@settings(max_examples=15)
def test_what_comes_later_changes_nothing(name: str, data: st.DataObject) -> None:
    """The first k buckets are judged the same, and page the same, when the rows after them are cut off."""
    atm, cards = data.draw(HOURLY), data.draw(HOURLY)
    hours = min(len(atm), len(cards))
    kept = data.draw(st.integers(2, hours - 1))
    atm[0], cards[0] = 1, 0
    whole = {ATM: atm[:hours], CARDS: [*cards[: hours - 1], 1]}
    heard, short = Heard(), Heard()
    spikes = []
    for listener, rows in ((heard, whole), (short, {name: row[:kept] for name, row in whole.items()})):
        counts = counts_of({segment: row for segment, row in rows.items() if any(row)}, HOUR)
        run(MODELS[name](setting(HOUR)), counts, 1, [listener], lambda _: None)
        spikes.append(counts.buckets)
    assert heard.steps[: spikes[1]] == short.steps


def test_scores_are_false_pages_a_week_of_the_whole_installation() -> None:
    """Where it opens is where the setting is, so the same counts that page at 20 a week don't at almost none."""
    rng = np.random.default_rng(5)
    usual = rng.poisson(20, 24 * 15)
    usual[-5:] = 75
    counts = counts_of({ATM: usual.tolist()}, HOUR)
    opened = {}
    for accepted in (20.0, 1e-30):
        model, states = MODELS[DEFAULT](setting(HOUR, accepted)), []
        for place in range(counts.buckets):
            if not place:
                model.add_segments([ATM])
            step = model.step(MONDAY + place * HOUR, counts.observed(place))
            states += [(event.state, event.score) for event in step.spikes]
        opened[accepted] = [score for state, score in states if state == "opened"]
    assert opened[20.0]
    assert min(opened[20.0]) >= -math.log10(20)
    assert opened[1e-30] == []


@pytest.mark.parametrize("name", ["s.csv", "s.csv.gz"])
def test_scores_are_written_a_row_a_line_and_judged_bucket(tmp_path: Path, name: str) -> None:
    counts = counts_of({ATM: [1, 2, 3], ("Curaçao, etc", "a"): [0, 0, 4]})
    with Scores(tmp_path / name, counts.dimensions) as scores:
        ran(Scripted([0.0, 1.23456789, -2.0]), counts, scores, judged_from=1)
    raw = (tmp_path / name).read_bytes()
    text = (gzip.decompress(raw) if name.endswith(".gz") else raw).decode()
    assert text.splitlines() == [
        "bucket_start,country,topic,observed,expected,lower,upper,score",
        "2024-11-04T00:05:00Z,ES,atm,2,1.0000,0.5000,2.0000,NaN",
        "2024-11-04T00:05:00Z,*,*,2,1.0000,0.5000,2.0000,1.2346",
        "2024-11-04T00:10:00Z,ES,atm,3,1.0000,0.5000,2.0000,NaN",
        '2024-11-04T00:10:00Z,"Curaçao, etc",a,4,1.0000,0.5000,2.0000,NaN',
        "2024-11-04T00:10:00Z,*,*,7,2.0000,1.0000,4.0000,-2.0000",
    ]
    assert pl.read_csv(tmp_path / name)["score"].is_nan().to_list() == [True, False, True, True, False]


def test_models_are_looked_up_by_name() -> None:
    assert list(chosen(())) == [DEFAULT]
    assert list(chosen(("river.anomaly.GaussianScorer", "pegel"))) == ["river.anomaly.GaussianScorer", "pegel"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pegle", "there is no such model; the nearest is pegel"),
        (
            "river.anomaly.Nobody",
            "river.anomaly.Nobody can't be imported: river.anomaly has no Nobody;"
            " the nearest is river.anomaly.GaussianScorer",
        ),
        (
            "river.preprocessing.StandardScaler",
            "river.preprocessing.StandardScaler has no score_one, as an anomaly detector has, and no forecast,",
        ),
        ("river.metrics.MAE", "river.metrics.MAE has no learn_one; "),
    ],
)
def test_what_is_no_model_is_refused_with_the_method_it_lacks(name: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as fault:
        chosen((name,))
    assert fault.value.faults[0].startswith(f"--model {name}: {said}")


def test_an_estimator_with_the_methods_runs_though_nobody_chose_its_parameters() -> None:
    assert list(chosen(("river.anomaly.StandardAbsoluteDeviation",))) == ["river.anomaly.StandardAbsoluteDeviation"]


def test_all_that_is_refused_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as fault:
        chosen(("pegle", "pegel", "river.metrics.MAE"))
    assert [line.partition(":")[0] for line in fault.value.faults] == ["--model pegle", "--model river.metrics.MAE"]
