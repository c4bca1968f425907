"""Speed of detection: microseconds a segment-bucket, all included, beside river's HalfSpaceTrees in the same run.

    python benchmarks/detection_speed.py [--rounds 3]

The product's detector (PRODUCT) judges and learns buckets of 5 minutes of 1,800 and of 20,000 segments after a warm-up;
HalfSpaceTrees (ten of height 6) judges and learns so few segments that its trees stay in the
cache: with 180 each takes 1.5 times as long. Process time, the best of the rounds, which take turns. One JSON
line a figure; exit code 1 when the requirement is missed.
"""

import argparse
import gc
import json
import time
from collections.abc import Callable
from typing import Final

import numpy as np

from pegel.detector.judge.domain.judgement import Ints
from pegel.detector.judge.domain.models.beside import RiverBeside
from pegel.detector.judge.domain.models.kernel import Kernel
from pegel.detector.judge.domain.seasons import Zones
from pegel.detector.judge.ports import Detector

PRODUCT: Final[Callable[[int, Zones], Detector]] = Kernel
"""The detector that pages by default: what another is set beside. It goes through judge.ports.Detector."""
REQUIRED_US: Final = {1_800: 4.0, 20_000: 3.0}
BESIDE: Final = "river.anomaly.HalfSpaceTrees"
BESIDE_SEGMENTS: Final = 20
BUCKET_SECONDS: Final = 300
WEEK: Final = 2016
WARM_BUCKETS: Final = 288
"""A day: the product judges from then on, and its windows are full."""
BUCKETS: Final = {1_800: 144, 20_000: 36, BESIDE_SEGMENTS: 288}
"""Measured a round."""
START: Final = 1_772_409_600
"""2026-03-02T00:00Z, a Monday."""
ZONES: Final = {"ES": "Europe/Madrid", "PT": "Europe/Lisbon", "GB": "Europe/London", "MX": "America/Mexico_City"}


def segments(count: int) -> list[tuple[str, ...]]:
    return [(list(ZONES)[number % len(ZONES)], f"topic{number // len(ZONES)}") for number in range(count)]


def contacts(count: int, bucket: int) -> Ints:
    """Of each segment in that bucket, shape (count,): 0.05 to 100, with a day's curve."""
    rng = np.random.default_rng([count, bucket])
    curve = 1.0 + 0.8 * np.sin(2 * np.pi * bucket / 288)
    observed: Ints = rng.poisson(np.geomspace(0.05, 100.0, count) * curve).astype(np.int64)
    return observed


class Product:
    """The product's detector, as the judge drives it: each bucket judged, then learnt."""

    def __init__(self, count: int) -> None:
        self._detector = PRODUCT(BUCKET_SECONDS, Zones(ZONES, 0))
        self._detector.add_segments(segments(count))
        self.count, self.name = count, self._detector.version

    def step(self, start: int, observed: Ints) -> None:
        self._detector.judge(start, observed)
        self._detector.learn(start, BUCKET_SECONDS, observed)


class Beside:
    """river's estimator, one clone a segment."""

    def __init__(self) -> None:
        self._beside = RiverBeside(BESIDE, BUCKET_SECONDS, Zones(ZONES, 0))
        self._beside.add_segments(segments(BESIDE_SEGMENTS))
        self.count, self.name = BESIDE_SEGMENTS, self._beside.version

    def step(self, start: int, observed: Ints) -> None:
        self._beside.step(start, observed)


class Measured:
    """One detector, warmed when it is made."""

    def __init__(self, detector: Product | Beside, warm_buckets: int) -> None:
        self.detector, self._bucket = detector, 0
        self.best_us = float("inf")
        self._run(warm_buckets)

    def round(self) -> None:
        seconds = self._run(BUCKETS[self.detector.count])
        self.best_us = min(self.best_us, seconds * 1e6 / (BUCKETS[self.detector.count] * self.detector.count))

    def _run(self, buckets: int) -> float:
        """Process seconds of the detector's steps."""
        rows = [contacts(self.detector.count, self._bucket + number) for number in range(buckets)]
        began = time.process_time()
        for number, row in enumerate(rows, self._bucket):
            self.detector.step(START + number * BUCKET_SECONDS, row)
        self._bucket += buckets
        return time.process_time() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    # HalfSpaceTrees judges once a week has given its trees their masses.
    beside = Measured(Beside(), WEEK + 1)
    products = [Measured(Product(count), WARM_BUCKETS) for count in REQUIRED_US]
    gc.collect()
    for _ in range(arguments.rounds):
        for each in (beside, *products):
            each.round()
    lines = [
        {
            "name": "detection_beside_us_a_segment_bucket",
            "value": round(beside.best_us, 2),
            "unit": "us",
            "ratio": 1.0,
            "ratio_to": "itself",
            "model": beside.detector.name,
            "segments": beside.detector.count,
        }
    ]
    missed = 0
    for product in products:
        required = REQUIRED_US[product.detector.count]
        missed += product.best_us > required
        lines.append(
            {
                "name": f"detection_us_a_segment_bucket_{product.detector.count}",
                "value": round(product.best_us, 2),
                "unit": "us",
                "ratio": round(beside.best_us / product.best_us, 1),
                "ratio_to": f"{BESIDE}, same run",
                "required": required,
                "model": product.detector.name,
                "segments": product.detector.count,
            }
        )
    for line in lines:
        print(json.dumps(line), flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
