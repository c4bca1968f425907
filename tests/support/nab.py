"""Numenta Anomaly Benchmark's score of a detector, by NAB's own rules.

    python -m support.nab DIR SCORES_DIR

DIR holds the data and combined_windows.json (`realTweets/Twitter_volume_AAPL.csv` or .csv.gz); SCORES_DIR has, at the
same paths, a row for each row of the data, with the columns timestamp and anomaly_score, the score in [0, 1]. Prints
the standard profile's score of the series that SCORES_DIR has. NAB's data are not in this repository.

Sources: Lavin and Ahmad, Evaluating Real-Time Anomaly Detection Algorithms (ICMLA 2015), and, where they differ, what
numenta/NAB does at its last commits: nab/sweeper.py (gains of rows, scores by threshold), nab/optimizer.py (the best
threshold over all series together) and nab/runner.py (normalisation). The rules:

- A row counts as detected when its score is at least the threshold. The first min(15 %, 750) rows are not scored.
- The earliest detection in a window earns tp x S(y) / S(-1), S(y) = 2 / (1 + e^5y) - 1, where y = -1 at the window's
  first row and -1/n at its last of n. A window without a detection costs fn.
- A detection outside costs -fp x S(y), y > 0 its distance from the end of the window before it in lengths (n - 1) of
  that window; fp when there is none, or beyond 3 lengths.
- Of all thresholds the one with the largest sum over all series is taken, and the sum is normalised so that no
  detection at all (the null detector) gives 0 and each window found at its first row, with nothing else, gives 100.
"""

import argparse
import csv
import gzip
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Window = tuple[int, int]
"""First and last row, both in it."""

PROBATION_SHARE: Final = 0.15
PROBATION_ROWS_MAX: Final = 750
ABOVE_ALL: Final = 1.1
"""A threshold at which nothing is detected."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a window found, a window missed and a false row weigh. True negatives weigh nothing in NAB's sums."""

    tp: float = 1.0
    fn: float = 1.0
    fp: float = 0.11


STANDARD: Final = Profile()
PUBLISHED: Final = {
    "ARTime": 81.84,
    "earthgeckoSkyline": 68.93,
    "numenta": 68.02,
    "knncad": 64.29,
    "relativeEntropy": 59.76,
    "twitterADVec": 59.62,
    "windowedGaussian": 51.41,
    "randomCutForest": 48.13,
}
"""Of detectors that NAB publishes on all of realTweets, standard profile: the sums of the ten series in
results/*/*_standard_scores.csv, those whose total is the one in results/final_results.json, normalised. Their
thresholds are the best for NAB's whole corpus of 58 series, ours is the best for the series given: that helps us."""


@dataclass(frozen=True, slots=True)
class Series:
    """A series with its windows in order, as rows, and a detector's scores in [0, 1], shape (n,)."""

    name: str
    windows: tuple[Window, ...]
    scores: Floats

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if not ((self.scores >= 0) & (self.scores <= 1)).all():
            raise ValueError(f"{self.name}: scores must be in [0, 1]")
        ends = [-1, *(row for window in self.windows for row in window)]
        if ends != sorted(set(ends)) or ends[-1] >= len(self.scores):
            raise ValueError(f"{self.name}: windows of two rows at least, in order, that don't overlap")


@dataclass(frozen=True, slots=True)
class Result:
    """score: normalised. raw: the sum before. by_series: each one's part of it, windows found, missed, false rows."""

    score: float
    raw: float
    threshold: float
    by_series: dict[str, tuple[float, int, int, int]]


def sigmoid(position: float) -> float:
    """NAB's scaled sigmoid S of a relative position."""
    return -1.0 if position > 3.0 else 2.0 / (1.0 + float(np.exp(5.0 * position))) - 1.0


def gains(rows: int, windows: Sequence[Window], profile: Profile = STANDARD) -> Floats:
    """What a detection in each row brings, shape (rows,)."""
    gain = np.full(rows, -profile.fp)
    for number, (first, last) in enumerate(windows):
        length = last - first + 1
        for row in range(first, last + 1):
            gain[row] = profile.tp * sigmoid((row - last - 1) / length) / sigmoid(-1.0)
        following = windows[number + 1][0] if number + 1 < len(windows) else rows
        for row in range(last + 1, following):
            gain[row] = profile.fp * sigmoid((row - last) / (length - 1))
    return gain


def probation(rows: int) -> int:
    """How many rows at the beginning are not scored."""
    return int(min(PROBATION_SHARE * rows, PROBATION_ROWS_MAX))


def sweep(series: Sequence[Series], profile: Profile = STANDARD) -> tuple[Floats, Floats]:
    """Thresholds from the highest to the lowest, and the sum at each, both (t,); at the first nothing is detected."""
    worst, scores, changes = 0.0, [np.zeros(0)], [np.zeros(0)]
    for one in series:
        gain, outside = gains(len(one.scores), one.windows, profile), np.ones(len(one.scores), dtype=bool)
        outside[: probation(len(outside))] = False
        for first, last in one.windows:
            outside[first : last + 1] = False
            rows = np.arange(max(first, probation(len(outside))), last + 1)
            if not len(rows):
                continue
            worst -= profile.fn
            # As the threshold falls, the window earns what its best row so far does.
            rows = rows[np.argsort(-one.scores[rows], kind="stable")]
            scores.append(one.scores[rows])
            changes.append(np.diff(np.maximum.accumulate(gain[rows]), prepend=-profile.fn))
        scores.append(one.scores[outside])
        changes.append(gain[outside])
    score = np.concatenate(scores)
    order = np.argsort(-score, kind="stable")
    score, sums = score[order], worst + np.cumsum(np.concatenate(changes)[order])
    # Rows of equal score are detected together.
    lasts = np.flatnonzero(np.append(np.diff(score) != 0, True)) if len(score) else np.zeros(0, dtype=np.int64)
    return np.append(ABOVE_ALL, score[lasts]), np.append(worst, sums[lasts])


def judge(series: Sequence[Series], profile: Profile = STANDARD, threshold: float | None = None) -> Result:
    """The score at a threshold, or at the best one. Raises ValueError when no series has a window."""
    thresholds, sums = sweep(series, profile)
    best = int(sums.argmax())  # the highest of the best
    taken = float(thresholds[best]) if threshold is None else threshold
    parts = {one.name: _part(one, profile, taken) for one in series}
    raw = sum(part for part, *_ in parts.values())
    perfect = profile.tp * sum(len(one.windows) for one in series)
    null = float(sums[0])
    if perfect == null:
        raise ValueError("there is no window to be found")
    return Result(100.0 * (raw - null) / (perfect - null), raw, taken, parts)


def _part(one: Series, profile: Profile, threshold: float) -> tuple[float, int, int, int]:
    """A series' sum, windows found, windows missed, and false rows at a threshold."""
    detected = one.scores >= threshold
    detected[: probation(len(detected))] = False
    gain = gains(len(detected), one.windows, profile)
    raw, found, missed, false = 0.0, 0, 0, detected.copy()
    for first, last in one.windows:
        false[first : last + 1] = False
        rows = first + np.flatnonzero(detected[first : last + 1])
        found += len(rows) > 0
        if len(rows):
            raw += float(gain[rows[0]])
        elif last >= probation(len(detected)):
            missed += 1
            raw -= profile.fn
    return raw + float(gain[false].sum()), found, missed, int(false.sum())


def read_rows(path: Path, column: str) -> tuple[list[datetime], Floats]:
    """Timestamps (NAB's are naive; taken as UTC) and a column of a CSV file, .gz or not. Raises ValueError."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        rows = list(csv.DictReader(file))
    if rows and not {"timestamp", column} <= rows[0].keys():
        raise ValueError(f"{path}: needs the columns timestamp and {column}")
    return [moment(row["timestamp"]) for row in rows], np.array([float(row[column]) for row in rows])


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def tables(folder: Path) -> Iterator[tuple[str, Path]]:
    """The CSV files below a folder, each with the name NAB has for it (`realTweets/Twitter_volume_AAPL.csv`)."""
    for path in sorted(folder.rglob("*.csv*")):
        if path.name.endswith((".csv", ".csv.gz")):
            yield path.relative_to(folder).as_posix().removesuffix(".gz"), path


def read(data: Path, scores: Path) -> list[Series]:
    """The series that `scores` has. Raises ValueError, OSError."""
    labelled = json.loads((data / "combined_windows.json").read_text("utf-8"))
    known, found = dict(tables(data)), []
    for name, path in tables(scores):
        if name not in known or name not in labelled:
            raise ValueError(f"{path}: {data} has no series {name}, or no windows of it")
        times, values = read_rows(path, "anomaly_score")
        if times != read_rows(known[name], "value")[0]:
            raise ValueError(f"{path}: its timestamps are not those of {known[name]}")
        row_of = {time: row for row, time in enumerate(times)}
        limits = [[moment(end) for end in window] for window in labelled[name]]
        if not all(end in row_of for window in limits for end in window):
            raise ValueError(f"{name}: a window begins or ends at no row")
        found.append(Series(name, tuple((row_of[first], row_of[last]) for first, last in limits), values))
    if not found:
        raise ValueError(f"{scores} has no scores (*.csv, *.csv.gz)")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DIR", type=Path)
    parser.add_argument("scores", metavar="SCORES_DIR", type=Path)
    parser.add_argument("--threshold", type=float, help="instead of the best one")
    given = parser.parse_args(arguments)
    try:
        result = judge(read(given.data, given.scores), threshold=given.threshold)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"nab: {error}\n")
        return 2
    for name, (raw, found, missed, false) in result.by_series.items():
        sys.stdout.write(f"{name:<44} {raw:8.4f}  windows found {found}, missed {missed}; false rows {false}\n")
    sys.stdout.write(f"standard profile {result.score:.2f} (sum {result.raw:.4f}, threshold {result.threshold!r})\n")
    published = ", ".join(f"{name} {score:.2f}" for name, score in PUBLISHED.items())
    sys.stdout.write(f"published on all of realTweets: {published}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
