"""The lines that judge a back-test on worlds: at the best threshold for a budget, and at the product's own."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from support.worlds.causes import CAUSES, by_cause, causes, shares
from support.worlds.evaluate import Case, false_a_week, findings, summaries, threshold_for, truth
from support.worlds.files import read_scores, read_world
from support.worlds.world import World

CAUSES_AT = 5.0
"""The budget, in false pages a week, at which they are told apart by cause."""


def judge(folder: Path, seeds: Sequence[int], pattern: str, budgets: Sequence[float]) -> Iterator[str]:
    """The lines for worlds in a folder, with the scores in files of this name (`{seed}` in it is replaced)."""
    worlds, cases = [], []
    for seed in seeds:
        world = read_world(folder, seed)
        cases.append(Case(read_scores(folder / pattern.format(seed=seed), world), truth(world)))
        worlds.append(world)
    return judge_cases(worlds, cases, budgets)


def judge_cases(worlds: Sequence[World], cases: Sequence[Case], budgets: Sequence[float]) -> Iterator[str]:
    """Two lines a budget, all worlds together, and the causes of the false pages at the product's own threshold.

    best: the threshold that keeps the budget on these very worlds. own: score >= -log10(budget), what it promises
    against what is seen.
    """
    for budget in budgets:
        yield _line("best", budget, cases, threshold_for(cases, budget))
        yield _line("own", budget, cases, own_threshold(budget))
    yield _causes("best", worlds, cases, threshold_for(cases, CAUSES_AT))
    yield _causes("own", worlds, cases, own_threshold(CAUSES_AT))


def own_threshold(budget: float) -> float:
    """The score that a product means by this many false pages a week."""
    return float(np.float32(-np.log10(budget)))


def _line(name: str, budget: float, cases: Sequence[Case], threshold: float) -> str:
    kinds = summaries([x for case in cases for x in findings(case, threshold)])
    return (
        f"{name:5s} budget {budget:<4g} false/week {false_a_week(cases, threshold):6.2f} threshold {threshold:7.2f} | "
    ) + " | ".join(
        f"{kind} {x.detected:.2f} {x.delay_minutes_median:.0f}/{x.delay_minutes_p90:.0f} min,"
        f" excess {x.excess_before:.2f}"
        for kind, x in kinds.items()
    )


def _causes(name: str, worlds: Sequence[World], cases: Sequence[Case], threshold: float) -> str:
    """False pages a week by cause, with the share of time that each cause takes."""
    number: Counter[str] = Counter()
    time: Counter[str] = Counter()
    for world, case in zip(worlds, cases, strict=True):
        cause = causes(world)
        number.update(by_cause(cause, case.false(threshold)))
        time.update(shares(cause))
    weeks = sum(case.truth.weeks for case in cases)
    return f"{name:5s} budget {CAUSES_AT:<4g} false/week by cause (share of time): " + ", ".join(
        f"{name} {number[name] / weeks:.1f} ({time[name] / len(worlds):.2f})" for name in CAUSES
    )
