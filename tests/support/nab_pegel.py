"""The product's detector on NAB's series, scored by NAB's own rules beside what NAB publishes: a JSON line a figure.

    PYTHONPATH=tests python -m support.nab_pegel DIR [--scores SCORES_DIR]

DIR is that of `support.nab`: NAB's data are not in this repository. Each series is one segment in buckets of 5 minutes,
and learns from its first row on; nothing was fitted to these data. As NAB does, each figure takes the threshold that is
best for all series together:

- nab_scores: every row's score, 1/2 + atan(score) / pi; 0 while there is no opinion. To NAB each row that is above is
  a detection of its own, and a rise that stays up outside the windows costs row by row.
- nab_pages: a row is detected where a page leaves, as the product would have it; the threshold is the number of false
  pages that is set.

--scores writes the scores as files, for `support.nab`.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from pegel.detector.judge.domain.models.kernel import Kernel
from pegel.detector.judge.domain.seasons import SLOT_SECONDS, Zones
from pegel.detector.judge.domain.spikes import SpikeTracker
from support.nab import PUBLISHED, Floats, Result, judge, read, read_rows, tables

SETTINGS: Final = tuple(10.0**power for power in range(1, -11, -1))
"""False pages a week and series."""
LINE: Final = ("series",)


def scores_and_pages(starts: Sequence[int], values: Floats) -> tuple[Floats, Floats]:
    """Of each row in [0, 1]: the detector's score, (n,); and 1 where a page leaves at a setting, (settings, n).

    starts: in seconds since 1970.
    """
    detector = Kernel(SLOT_SECONDS, Zones({}, None), 0)
    detector.add_segments([LINE])
    trackers = [SpikeTracker(SLOT_SECONDS, setting) for setting in SETTINGS]
    scores, pages = np.zeros(len(values)), np.zeros((len(SETTINGS), len(values)))
    for row, (start, value) in enumerate(zip(starts, values, strict=True)):
        bucket, observed = start // SLOT_SECONDS * SLOT_SECONDS, np.array([value], dtype=np.int64)
        judgement = detector.judge(bucket, observed)
        scores[row] = 0.5 + np.arctan(judgement.score[0]) / np.pi
        for number, spikes in enumerate(trackers):
            if judgement.score[0] < spikes.bar and not spikes.up:
                continue  # nothing opens, and nothing is up
            told = spikes.follow(bucket + SLOT_SECONDS, [LINE], observed, judgement, _Apart(detector))
            pages[number, row] = any(state == "opened" for state, _ in told)
    return scores, pages


class _Apart:
    """The detector, as trackers beside each other ask it: the end of a spike at one setting is not told to it."""

    def __init__(self, detector: Kernel) -> None:
        self._detector = detector

    def __getattr__(self, name: str) -> Any:
        return getattr(self._detector, name)

    def over(self, name: tuple[str, ...]) -> None:
        """Let the evidence stand."""

    @property
    def history_days(self) -> float:
        return self._detector.history_days


def write(folder: Path, name: str, times: Sequence[datetime], scores: Floats) -> None:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{time:%Y-%m-%d %H:%M:%S},{score:.12g}" for time, score in zip(times, scores.tolist(), strict=True)]
    target.write_text("\n".join(["timestamp,anomaly_score", *lines, ""]), "utf-8")


def line_of(name: str, result: Result, **more: object) -> str:
    """A figure as a line of JSON."""
    _, found, missed, false = (sum(part) for part in zip(*result.by_series.values(), strict=True))
    figure = {"name": name, "value": round(result.score, 2), "unit": "NAB's score, standard profile"}
    parts = {"windows_found": found, "windows_missed": missed, "false_rows": false, "series": len(result.by_series)}
    return json.dumps(figure | parts | more | {"model": Kernel.version, "published": PUBLISHED}) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DIR", type=Path)
    parser.add_argument("--scores", metavar="SCORES_DIR", type=Path, help="write the scores there")
    given = parser.parse_args(arguments)
    paged: dict[str, Floats] = {}
    with tempfile.TemporaryDirectory() as scratch:
        scored = given.scores or Path(scratch)
        try:
            for name, path in tables(given.data):
                times, values = read_rows(path, "value")
                scores, paged[name] = scores_and_pages([int(time.timestamp()) for time in times], values)
                write(scored, name, times, scores)
            series = read(given.data, scored)
        except (ValueError, OSError) as error:
            sys.stderr.write(f"nab: {error}\n")
            return 2
    sys.stdout.write(line_of("nab_scores", judge(series)))
    settings = [
        judge([replace(one, scores=paged[one.name][number]) for one in series], threshold=1.0)
        for number in range(len(SETTINGS))
    ]
    best = max(range(len(SETTINGS)), key=lambda number: settings[number].raw)
    by_setting = {f"{setting:g}": round(result.score, 2) for setting, result in zip(SETTINGS, settings, strict=True)}
    more = {"false_pages_per_week": SETTINGS[best], "by_setting": by_setting}
    sys.stdout.write(line_of("nab_pages", settings[best], **more))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
