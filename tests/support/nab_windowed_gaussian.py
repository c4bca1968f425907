"""NAB's detector windowedGaussian, to see that `support.nab` scores as NAB does.

    python -m support.nab_windowed_gaussian DIR SCORES_DIR

reads the values in DIR and writes scores to SCORES_DIR, for `python -m support.nab DIR SCORES_DIR --threshold 1.0`
(NAB's threshold for this detector). It gives what NAB publishes on each series of realTweets, 51.41 in all. The rules
are those of nab/detectors/gaussian/windowedGaussian_detector.py: one less the normal tail on the value's own side, by
the mean and deviation of up to 6,400 values before it, which move on by 100. Scores are written with the 12 digits that
NAB's own result files have: with more, fewer of them are 1.0.
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from support.nab import Floats, read_rows, tables

ROWS: Final = 6400
STEP: Final = 100
DEVIATION_OF_EQUALS: Final = 1e-6


def windowed_gaussian(values: Floats) -> Floats:
    """Anomaly scores in [0, 1], shape (n,)."""
    scores = np.zeros(len(values))
    begin = 0
    mean = deviation = math.nan
    for row, value in enumerate(values):
        if row:
            end = row
            if row > ROWS:
                begin = (row - ROWS) // STEP * STEP
                end = begin + ROWS
            if row <= ROWS or (row - ROWS) % STEP == 0:
                mean = float(np.mean(values[begin:end]))
                deviation = float(np.std(values[begin:end])) or DEVIATION_OF_EQUALS
            scores[row] = 1.0 - 0.5 * math.erfc(abs(value - mean) / deviation / math.sqrt(2.0))
    return scores


def main(arguments: Sequence[str]) -> int:
    data, out = map(Path, arguments)
    for name, path in tables(data):
        times, values = read_rows(path, "value")
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        scores = windowed_gaussian(values).tolist()
        lines = [f"{time:%Y-%m-%d %H:%M:%S},{score:.12g}" for time, score in zip(times, scores, strict=True)]
        target.write_text("\n".join(["timestamp,anomaly_score", *lines, ""]), "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
