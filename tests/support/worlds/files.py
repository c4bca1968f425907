"""Worlds as files: arrays (npz), contacts for a back-test (CSV), labels (CSV); a back-test's scores read back."""

import csv
import gzip
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from support.worlds.incidents import ALL, KINDS, Label
from support.worlds.options import Country, Singles
from support.worlds.world import World, bucket_time

LABEL_FIELDS: Final = ("kind", "country", "topic", "onset", "end", "size", "expected_excess", "excess")
ARRAYS: Final = (
    *("country", "topic", "counts", "extra", "mu", "mu_det", "r", "marks", "country_day"),
    *("born_at", "retired_at", "step_at"),
)
ISO: Final = "%Y-%m-%dT%H:%M:%SZ"


def npz_path(folder: Path, seed: int) -> Path:
    """Where the arrays of a world are."""
    return folder / f"world_{seed}.npz"


def labels_path(folder: Path, seed: int) -> Path:
    """Where the labels of a world are."""
    return folder / f"world_{seed}_labels.csv"


def csv_path(folder: Path, seed: int) -> Path:
    """Where the contacts of a world are."""
    return folder / f"world_{seed}.csv.gz"


def write_arrays(world: World, folder: Path) -> None:
    """The npz and the labels.

    Beside the arrays of World, the npz holds `seed`, `start` (seconds since 1970), `bucket_seconds`, `history`
    (buckets), and the names: `country_codes` [C], `zones` [C], `topic_names` [K].
    """
    np.savez_compressed(
        npz_path(folder, world.seed),
        seed=np.int64(world.seed),
        start=np.int64(world.start.timestamp()),
        bucket_seconds=np.int64(world.bucket_seconds),
        history=np.int64(world.history),
        country_codes=np.array([country.code for country in world.countries]),
        zones=np.array([country.zone for country in world.countries]),
        topic_names=np.array(world.topics),
        **{name: getattr(world, name) for name in ARRAYS},
    )
    with labels_path(folder, world.seed).open("w", newline="") as file:
        writer = csv.DictWriter(file, LABEL_FIELDS)
        writer.writeheader()
        for label in world.labels:
            writer.writerow(
                asdict(label)
                | {
                    "country": "*" if label.country == ALL else world.countries[label.country].code,
                    "topic": "*" if label.topic == ALL else world.topics[label.topic],
                    "onset": bucket_time(world, label.onset).strftime(ISO),
                    "end": bucket_time(world, label.end).strftime(ISO),
                }
            )


def write_contacts(world: World, folder: Path) -> None:
    """The contacts as rows in order of time: bucket_start, country, topic, count; zeros left out."""
    bucket, segment = np.nonzero(world.counts.T)
    start = np.datetime64(int(world.start.timestamp()) * 1000, "ms")
    frame = pl.DataFrame(
        {
            "bucket_start": start + bucket * np.timedelta64(world.bucket_seconds * 1000, "ms"),
            "country": np.array([country.code for country in world.countries])[world.country[segment]],
            "topic": np.array(world.topics)[world.topic[segment]],
            "count": world.counts[segment, bucket],
        }
    ).with_columns(pl.col("bucket_start").dt.strftime(ISO))
    with gzip.open(csv_path(folder, world.seed), "wb", compresslevel=3) as file:
        file.write(frame.write_csv().encode())


def read_world(folder: Path, seed: int) -> World:
    """A world as it was written."""
    with np.load(npz_path(folder, seed)) as stored:
        arrays = {name: stored[name] for name in ARRAYS}
        world = World(
            seed=seed,
            start=datetime.fromtimestamp(int(stored["start"]), UTC),
            bucket_seconds=int(stored["bucket_seconds"]),
            history=int(stored["history"]),
            countries=tuple(
                Country(str(code), str(zone))
                for code, zone in zip(stored["country_codes"], stored["zones"], strict=True)
            ),
            topics=tuple(str(name) for name in stored["topic_names"]),
            labels=(),
            **arrays,
        )
    return _with_labels(world, folder)


def _with_labels(world: World, folder: Path) -> World:
    codes = {country.code: i for i, country in enumerate(world.countries)} | {"*": ALL}
    topics = {topic: i for i, topic in enumerate(world.topics)} | {"*": ALL}
    with labels_path(folder, world.seed).open(newline="") as file:
        rows = list(csv.DictReader(file))
    labels = [
        Label(
            kind=next(kind for kind in KINDS if kind == row["kind"]),
            country=codes[row["country"]],
            topic=topics[row["topic"]],
            onset=_bucket(world, row["onset"]),
            end=_bucket(world, row["end"]),
            size=float(row["size"]),
            expected_excess=float(row["expected_excess"]),
            excess=int(row["excess"]),
        )
        for row in rows
    ]
    return World(**(vars(world) | {"labels": tuple(labels)}))


def _bucket(world: World, text: str) -> int:
    seconds = datetime.fromisoformat(text).timestamp() - world.start.timestamp()
    return int(seconds // world.bucket_seconds)


def read_scores(path: Path, world: World) -> Singles:
    """[S+K+C,N] the scores of the N evaluated buckets: of segments, topics, countries; NaN for no opinion.

    From an array (.npy) in this form, or the CSV of a back-test with at least the columns bucket_start, country, topic,
    score, where `*` stands for the dimension left out. Rows of other times and of the roll-up of all are skipped.
    """
    if path.suffix == ".npy":
        array: Singles = np.load(path)
        return array
    topics, countries = len(world.topics), len(world.countries)
    segments = topics * countries
    country = {c.code: i for i, c in enumerate(world.countries)} | {"*": ALL}
    topic = {t: i for i, t in enumerate(world.topics)} | {"*": ALL}
    start = int(world.start.timestamp())
    number = world.counts.shape[1] - world.history
    c, k = pl.col("country"), pl.col("topic")
    row = (
        pl.when((c == ALL) & (k == ALL))
        .then(-1)
        .when(c == ALL)
        .then(segments + k)
        .when(k == ALL)
        .then(segments + topics + c)
        .otherwise(c * topics + k)
    )
    when = pl.col("bucket_start").str.to_datetime("%+", time_zone="UTC").dt.epoch("s")
    frame = (
        pl.read_csv(path, columns=["bucket_start", "country", "topic", "score"])
        .with_columns(c.replace_strict(country, return_dtype=pl.Int64), k.replace_strict(topic, return_dtype=pl.Int64))
        .select(row.alias("row"), ((when - start) // world.bucket_seconds - world.history).alias("at"), "score")
        .filter((pl.col("row") >= 0) & (pl.col("at") >= 0) & (pl.col("at") < number))
        .drop_nulls()
    )
    scores = np.full((segments + topics + countries, number), np.nan, np.float32)
    scores[frame["row"].to_numpy(), frame["at"].to_numpy()] = frame["score"].cast(pl.Float32).to_numpy()
    return scores
