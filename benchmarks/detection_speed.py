"""Speed and size of detection: all that a tick costs, state a segment, a back-test; beside river's HalfSpaceTrees.

    python benchmarks/detection_speed.py [--rounds 3] [--no-backtest]

- A tick is what the judge does with the counts records of a bucket, whole: read, judge, learn, follow spikes, write the
  records of windows as bytes. 1,800 and 20,000 segments in buckets of 5 minutes and of 1 minute; the detector has six
  weeks in its archive and full windows. Process time, the best of the rounds, which take turns; a round is of whole
  hours, so the weekly shapes that are fitted anew each hour are in it. `detector`: what the detector alone takes.
- HalfSpaceTrees (ten of height 6) judges and learns so few segments that its trees stay in the cache: with 180 each
  takes 1.5 times as long.
- State: the detector's arrays in memory, and the judge's whole snapshot as packed, in KiB a segment.
- The back-test of 10 weeks of 180 segments (2.3 million rows of counts), reading included, on one core.

One JSON line a figure; exit code 1 when a requirement is missed.
"""

import argparse
import gc
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from pegel.detector.judge.domain.baseline import ARCHIVE_HOURS, DAY_HOURS
from pegel.detector.judge.domain.judgement import Ints, Judgement
from pegel.detector.judge.domain.judging import In, Judge, Rules
from pegel.detector.judge.domain.models.beside import RiverBeside
from pegel.detector.judge.domain.models.kernel import Kernel
from pegel.detector.judge.domain.seasons import Zones
from pegel.detector.state import encode
from pegel.eventlog.fencing import Fence
from pegel.schemas.base import Origin
from pegel.schemas.detection import Additions, CountsRecord, PartitionTotals

REQUIRED_US: Final = {1_800: 4.0, 20_000: 3.0}
REQUIRED_KIB: Final = {300: 12.0, 60: 24.0}
REQUIRED_BACKTEST_SECONDS: Final = 45.0
BESIDE: Final = "river.anomaly.HalfSpaceTrees"
BESIDE_SEGMENTS: Final = 20
WEEK: Final = 2016
WARM_HOURS: Final = 26
"""Then the windows are full, and each segment's shape was fitted once."""
HOURS: Final = {1_800: 6, 20_000: 1, BESIDE_SEGMENTS: 24}
"""Measured a round; of buckets of 1 minute a third, but an hour at least."""
ROWS: Final = 2_500
"""Of a counts record."""
START: Final = 1_772_409_600
"""2026-03-02T00:00Z, a Monday."""
ZONES: Final = {"ES": "Europe/Madrid", "PT": "Europe/Lisbon", "GB": "Europe/London", "MX": "America/Mexico_City"}
BACKTEST_WEEKS: Final = 10
BACKTEST_SEGMENTS: Final = 180


def segments(count: int) -> list[tuple[str, ...]]:
    return [(list(ZONES)[number % len(ZONES)], f"topic{number // len(ZONES)}") for number in range(count)]


def contacts(count: int, start: int, seconds: int) -> Ints:
    """Of each segment in a bucket, shape (count,): 0.05 to 100 in 5 minutes, with a day's curve."""
    rng = np.random.default_rng([count, start, seconds])
    curve = (1.0 + 0.8 * np.sin(2 * np.pi * start / 86_400)) * seconds / 300
    observed: Ints = rng.poisson(np.geomspace(0.05, 100.0, count) * curve).astype(np.int64)
    return observed


class Warm(Kernel):
    """The detector with a history, made before the judge names its segments. seconds: process time in `judge`."""

    def __init__(self, count: int, bucket_seconds: int) -> None:
        super().__init__(bucket_seconds, Zones(ZONES, 0), 1)
        self.seconds = 0.0
        self.add_segments(segments(count))
        for hour in range(-WARM_HOURS, 0):
            self.learn(START + hour * 3600, 3600, contacts(count, START + hour * 3600, 3600))
            if hour == -WARM_HOURS:
                self._make_old(START // 3600 + hour, count)

    def _make_old(self, now: int, count: int) -> None:
        """Fill the archive as six weeks would have: to learn them takes minutes with 20,000 segments."""
        baseline = self._baseline
        for hour in range(now - ARCHIVE_HOURS - DAY_HOURS, now - DAY_HOURS):
            at = hour % ARCHIVE_HOURS
            baseline._archive[at] = contacts(count, hour * 3600, 3600)
            baseline._observed[at], baseline._archived[at] = 1.0, hour
        baseline._born -= ARCHIVE_HOURS + DAY_HOURS
        baseline._learnt_hours += ARCHIVE_HOURS

    def add_segments(self, segments: Sequence[tuple[str, ...]]) -> None:
        super().add_segments([segment for segment in segments if segment not in self._numbers])

    def judge(self, start: int, observed: Ints, **more: Any) -> Judgement:
        began = time.process_time()
        judgement = super().judge(start, observed, **more)
        self.seconds += time.process_time() - began
        return judgement


class Product:
    """The judge with its detector, fed by counts records."""

    def __init__(self, count: int, bucket_seconds: int) -> None:
        self.count, self.bucket_seconds, self.name = count, bucket_seconds, Kernel.version
        self.detector = Warm(count, bucket_seconds)
        rules = Rules("wall", bucket_seconds, 10, 1, ("country", "topic"), START * 1000, count, 5.0)
        self.judge = Judge(rules, 0, lambda: self.detector, Fence())
        self._cells = [{"country": country, "topic": topic} for country, topic in segments(count)]
        # In its first bucket every segment has a contact: so the judge numbers them as the detector does.
        self.step(self.prepared(START, np.maximum(1, contacts(count, START, bucket_seconds))))
        self.seconds = self.detector.seconds = 0.0

    def prepared(self, start: int, observed: Ints) -> list[In]:
        """The counts records of a bucket as they lie in the log."""
        bucket, rows = start // self.bucket_seconds, np.flatnonzero(observed)
        parts = [rows[first : first + ROWS].tolist() for first in range(0, max(1, len(rows)), ROWS)]
        records = []
        for place, part in enumerate(parts):
            record = CountsRecord.model_construct(
                origin=Origin(producer="counter/0", epoch=0, partition=0, offset=bucket, place=place),
                closed_from=bucket,
                closed_to=bucket + 1,
                gap_from=0,
                gap_to=0,
                last=place == len(parts) - 1,
                additions=Additions(
                    cells=tuple(self._cells[row] for row in part),
                    bucket=(bucket,) * len(part),
                    cell=tuple(range(len(part))),
                    contacts=tuple(observed[part].tolist()),
                    handled_seconds=(0,) * len(part),
                ),
                totals=PartitionTotals(),
            )
            at_ms = (start + self.bucket_seconds + 10) * 1000
            records.append(In(bucket * 100 + place, at_ms, record.encode()))
        return records

    def step(self, records: list[In]) -> None:
        for output in self.judge.apply(records):
            output.encode()


class Beside:
    """river's estimator, one clone a segment."""

    def __init__(self) -> None:
        self.count, self.bucket_seconds = BESIDE_SEGMENTS, 300
        self._beside = RiverBeside(BESIDE, self.bucket_seconds, Zones(ZONES, 0))
        self._beside.add_segments(segments(BESIDE_SEGMENTS))
        self.name = self._beside.version

    def prepared(self, start: int, observed: Ints) -> tuple[int, Ints]:
        return start, observed

    def step(self, prepared: tuple[int, Ints]) -> None:
        self._beside.step(*prepared)


class Measured:
    """One of them, as it takes its rounds."""

    def __init__(self, what: Any, warm_buckets: int = 0) -> None:
        self.what, self._bucket = what, 1
        self.best_us = self.detector_us = float("inf")
        self._run(warm_buckets)

    def round(self) -> None:
        hours = HOURS[self.what.count] if self.what.bucket_seconds == 300 else max(1, HOURS[self.what.count] // 3)
        buckets = hours * 3600 // self.what.bucket_seconds
        each = 1e6 / (buckets * self.what.count)
        detector = getattr(self.what, "detector", None)
        before = detector.seconds if detector else 0.0
        self.best_us = min(self.best_us, self._run(buckets) * each)
        if detector:
            self.detector_us = min(self.detector_us, (detector.seconds - before) * each)

    def _run(self, buckets: int) -> float:
        """Process seconds of the steps."""
        spent = 0.0
        for number in range(self._bucket, self._bucket + buckets):
            start = START + number * self.what.bucket_seconds
            prepared = self.what.prepared(start, contacts(self.what.count, start, self.what.bucket_seconds))
            began = time.process_time()
            self.what.step(prepared)
            spent += time.process_time() - began
        self._bucket += buckets
        return spent


def array_bytes(tree: Any) -> int:
    if isinstance(tree, np.ndarray):
        return tree.nbytes
    if isinstance(tree, dict):
        return sum(map(array_bytes, tree.values()))
    return sum(map(array_bytes, tree)) if isinstance(tree, list | tuple) else 0


def speed_line(one: Measured, beside: Measured) -> dict[str, Any]:
    minutes = one.what.bucket_seconds // 60
    return {
        "name": f"detection_us_a_segment_bucket_{one.what.count}_{minutes}m",
        "value": round(one.best_us, 2),
        "unit": "us",
        "ratio": round(beside.best_us / one.best_us, 1),
        "ratio_to": f"{BESIDE}, same run",
        "required": REQUIRED_US[one.what.count],
        "detector": round(one.detector_us, 2),
        "model": one.what.name,
        "segments": one.what.count,
    }


def state_line(one: Measured) -> dict[str, Any]:
    count, seconds = one.what.count, one.what.bucket_seconds
    state = one.what.judge.state()
    return {
        "name": f"detection_state_kib_a_segment_{count}_{seconds // 60}m",
        "value": round(array_bytes(state["detector"]) / 1024 / count, 2),
        "unit": "KiB",
        "required": REQUIRED_KIB[seconds],
        "snapshot_kib": round(len(encode(state)) / 1024 / count, 2),
        "model": one.what.name,
        "segments": count,
    }


def backtest_rows(path: Path) -> int:
    """Ten weeks of counts as a file: a row a segment and bucket that has contacts."""
    rows = 0
    with gzip.open(path, "wt", compresslevel=1) as file:
        file.write("bucket_start,country,topic,count\n")
        names = [",".join(segment) for segment in segments(BACKTEST_SEGMENTS)]
        for bucket in range(BACKTEST_WEEKS * WEEK):
            start = START + bucket * 300
            observed = contacts(BACKTEST_SEGMENTS, start, 300)
            at = f"{datetime.fromtimestamp(start, UTC):%Y-%m-%dT%H:%M:%SZ}"
            there = np.flatnonzero(observed).tolist()
            file.write("".join([f"{at},{names[row]},{observed[row]}\n" for row in there]))
            rows += len(there)
    return rows


def backtest_line() -> dict[str, Any]:
    """`pegel backtest` as a process, on one core."""
    with tempfile.TemporaryDirectory(prefix="pegel-bench-") as folder:
        path = Path(folder, "counts.csv.gz")
        rows = backtest_rows(path)
        command = [sys.executable, "-m", "pegel", "backtest", str(path), "--count", "count"]
        threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")} | {"POLARS_MAX_THREADS": "1"}
        before, began = os.times(), time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=os.environ | threads)
        wall, after = time.perf_counter() - began, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {
        "name": "detection_backtest_seconds",
        "value": round(cpu, 1),
        "unit": "s of one core",
        "required": REQUIRED_BACKTEST_SECONDS,
        "wall_seconds": round(wall, 1),
        "rows": rows,
        "segments": BACKTEST_SEGMENTS,
        "weeks": BACKTEST_WEEKS,
    }


def figures(rounds: int, *, backtest: bool) -> Iterator[dict[str, Any]]:
    # HalfSpaceTrees judges once a week has given its trees their masses.
    beside = Measured(Beside(), WEEK + 1)
    products = [Measured(Product(count, seconds)) for count in REQUIRED_US for seconds in REQUIRED_KIB]
    gc.collect()
    for _ in range(rounds):
        for each in (beside, *products):
            each.round()
    yield {
        "name": "detection_beside_us_a_segment_bucket",
        "value": round(beside.best_us, 2),
        "unit": "us",
        "ratio": 1.0,
        "ratio_to": "itself",
        "model": beside.what.name,
        "segments": beside.what.count,
    }
    for one in products:
        yield speed_line(one, beside)
    for one in products:
        yield state_line(one)
    if backtest:
        products.clear()
        yield backtest_line()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-backtest", action="store_true")
    given = parser.parse_args()
    gc.set_threshold(50_000, 20, 20)  # as every process of Pegel does
    missed = 0
    for line in figures(given.rounds, backtest=not given.no_backtest):
        missed += line["value"] > line.get("required", float("inf"))
        print(json.dumps(line), flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
