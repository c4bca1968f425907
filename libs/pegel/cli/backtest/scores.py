"""Writes scores.csv: a row a line and judged bucket, some millions of them, a day at a time."""

import gzip
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

import numpy as np
import polars as pl

from pegel.cli.backtest.running import Block, Listener, Names

DECIMALS: Final = 4
GZIP_LEVEL: Final = 1
VALUES: Final = ("observed", "expected", "lower", "upper", "score")


class Scores(Listener):
    """Listens to a run and writes; use it as a context. A score that is no opinion stands as NaN."""

    def __init__(self, path: Path, dimensions: Sequence[str]) -> None:
        self._path, self._dimensions = path, dimensions
        self._file: io.BufferedIOBase | None = None
        self._names: tuple[Names, Names] | None = None
        self._columns: list[pl.Series] = []

    def __enter__(self) -> Self:
        zipped = self._path.suffix == ".gz"
        file: io.BufferedIOBase = gzip.open(self._path, "wb", GZIP_LEVEL) if zipped else self._path.open("wb")
        self._file = file
        file.write((",".join(["bucket_start", *map(_quoted, self._dimensions), *VALUES]) + "\n").encode())
        return self

    def __exit__(self, *_: object) -> None:
        assert self._file is not None  # noqa: S101
        self._file.close()

    def block(self, block: Block) -> None:
        assert self._file is not None  # noqa: S101
        lines = len(block.segment_names) + len(block.rollup_names)
        if not lines:
            return
        if self._names != (block.segment_names, block.rollup_names):
            self._names = (block.segment_names, block.rollup_names)
            self._columns = self._named(block)
        starts = pl.Series(range(block.start, block.end, block.bucket_seconds), dtype=pl.Int64)
        stamps = (starts * 1000).cast(pl.Datetime("ms")).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
        rows = block.buckets * lines
        bucket = np.repeat(np.arange(block.buckets, dtype=np.uint32), lines)
        line = np.tile(np.arange(lines, dtype=np.uint32), block.buckets)
        frame = pl.DataFrame(
            [
                stamps.gather(bucket).alias("bucket_start"),
                *(column.gather(line) for column in self._columns),
                *(
                    pl.Series(name, np.concatenate(both, axis=1).reshape(rows))
                    for name, *both in zip(VALUES, block.segments, block.rollups, strict=True)
                ),
            ]
        )
        text = io.BytesIO()
        frame.write_csv(text, include_header=False, float_precision=DECIMALS)
        self._file.write(text.getbuffer())

    def _named(self, block: Block) -> list[pl.Series]:
        names = [*block.segment_names, *block.rollup_names]
        return [
            pl.Series(f"{place} {dimension}", [name[place] for name in names], dtype=pl.String)
            for place, dimension in enumerate(self._dimensions)
        ]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if any(mark in name for mark in ',"\n') else name
