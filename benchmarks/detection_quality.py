"""What the detector finds, and whether it keeps its promise, on small worlds, beside an estimator of river's.

    PYTHONPATH=tests python benchmarks/detection_quality.py [--seeds 9101 9102] [--beside river.anomaly.GaussianScorer]

Worlds of tests/support/worlds: 6 countries x 8 topics in buckets of 5 minutes, 4 weeks of history and 4 evaluated, made
from these seeds in two kinds: `plain` (rhythm, noise, growth, batches, slow rises) and `calendar` (with clock changes,
public holidays, paydays, days of a country, births, retirements and new normals too). All worlds of a kind are judged
together. A JSON line a kind, model and number of false pages a week:

- found: share of the incidents that are detected at the threshold that keeps this number on these very worlds (`best`;
  it compares methods), by kind of incident, and the share of excess contacts that came before the page;
- own: the product's own threshold for this number: false pages a week that were seen, and what was found.

The requirements of 180 segments (benchmarks don't make worlds of that size) are not these: fewer segments make fewer
roll-ups, and a promise that is shared by fewer. Process seconds of the detector stand in each line.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pegel.cli.backtest.counts import Counts, counted
from pegel.cli.backtest.holidays import make_holidays
from pegel.cli.backtest.models import DEFAULT, chosen
from pegel.cli.backtest.running import Block, Listener, Setting, run
from support.worlds.evaluate import Case, false_a_week, findings, summaries, threshold_for, truth
from support.worlds.incidents import KINDS
from support.worlds.judge import own_threshold
from support.worlds.options import COUNTRIES, TOPICS, Incidents, Options, Singles, plain
from support.worlds.world import World, make

SEEDS: Final = (9101, 9102)
"""Nothing was tuned on them."""
BUDGETS: Final = (1.0, 5.0, 20.0)
BESIDE: Final = "river.anomaly.GaussianScorer"
SMALL: Final = Options(
    weeks=8,
    history_weeks=4,
    countries=COUNTRIES[::2],
    topics=TOPICS[:8],
    incidents=Incidents(spikes=18, burns=9, topic_wide=5, country_wide=4),
)
WORLDS: Final = {"plain": plain(SMALL), "calendar": SMALL}
DIMENSIONS: Final = ("country", "topic")


@dataclass(frozen=True, slots=True)
class Judged:
    """Worlds of a kind as one model scored them."""

    cases: tuple[Case, ...]
    cpu_seconds: float


class Kept(Listener):
    """Listens to a run: the scores of the evaluated buckets, [S+K+C, N], by the world's numbers."""

    def __init__(self, world: World) -> None:
        codes = [country.code for country in world.countries]
        names: list[tuple[str, ...]] = []
        names += [(codes[c], world.topics[k]) for c, k in zip(world.country, world.topic, strict=True)]
        names += [("*", topic) for topic in world.topics] + [(code, "*") for code in codes]
        self._rows = {name: row for row, name in enumerate(names)}
        self._first = int(world.start.timestamp()) // world.bucket_seconds + world.history
        self.scores: Singles = np.full((len(names), world.counts.shape[1] - world.history), np.nan, np.float32)

    def block(self, block: Block) -> None:
        at = block.start // block.bucket_seconds - self._first
        for lines, names in ((block.segments, block.segment_names), (block.rollups, block.rollup_names)):
            places = [place for place, name in enumerate(names) if name in self._rows]
            rows = [self._rows[names[place]] for place in places]
            self.scores[rows, at : at + block.buckets] = lines.score[:, places].T


def counts_of(world: World) -> Counts:
    """As the back-test reads them from a file."""
    first = int(world.start.timestamp()) // world.bucket_seconds
    bucket, segment = np.nonzero(world.counts.T)
    codes = [country.code for country in world.countries]
    names: list[tuple[str, ...]] = [
        (codes[c], world.topics[k]) for c, k in zip(world.country, world.topic, strict=True)
    ]
    alive = np.unique(segment)
    code = np.searchsorted(alive, segment)
    contacts = world.counts.T[bucket, segment].astype(np.int64)
    return counted(world.bucket_seconds, DIMENSIONS, bucket + first, code, contacts, [names[row] for row in alive])


def zone_of(world: World, kind: str) -> Callable[[tuple[str, ...]], str]:
    """A plain world has clocks that never change."""
    if kind == "plain":
        return lambda _: "UTC"
    zones = {country.code: country.zone for country in world.countries}
    return lambda segment: zones[segment[0]]


def judged(model: str, kind: str, worlds: Sequence[World]) -> Judged:
    """Run a model over worlds."""
    cases, spent = [], 0.0
    factory = chosen([model])[model]
    for world in worlds:
        holidays = make_holidays("none" if kind == "plain" else "auto", DIMENSIONS)
        setting = Setting(world.bucket_seconds, DIMENSIONS, zone_of(world, kind), holidays, 5.0)
        counts, kept = counts_of(world), Kept(world)
        place = int(world.start.timestamp()) // world.bucket_seconds + world.history - counts.first
        began = time.process_time()
        run(factory(setting), counts, place, [kept], lambda _: None)
        spent += time.process_time() - began
        cases.append(Case(kept.scores, truth(world)))
    return Judged(tuple(cases), spent)


def lines(kind: str, model: str, found: Judged) -> Iterator[dict[str, object]]:
    """A line a budget."""
    for budget in BUDGETS:
        best, own = threshold_for(found.cases, budget), own_threshold(budget)
        at_best, at_own = (
            summaries([one for case in found.cases for one in findings(case, threshold)]) for threshold in (best, own)
        )
        yield {
            "name": f"detection_quality_{kind}_{budget:g}",
            "value": _short(at_best["all"].detected),
            "unit": "share of incidents found",
            "model": model,
            "false_pages_per_week": budget,
            "incidents": at_best["all"].number,
            "by_kind": {name: _short(at_best[name].detected) for name in KINDS},
            "delay_minutes_median": at_best["all"].delay_minutes_median,
            "excess_before": _short(at_best["all"].excess_before),
            "own_false_pages_per_week": _short(false_a_week(found.cases, own)),
            "own_found": _short(at_own["all"].detected),
            "cpu_seconds": round(found.cpu_seconds, 1),
        }


def _short(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--beside", default=BESIDE)
    given = parser.parse_args()
    for kind, options in WORLDS.items():
        worlds = [make(seed, options) for seed in given.seeds]
        for model in (DEFAULT, given.beside):
            for line in lines(kind, model, judged(model, kind, worlds)):
                print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
