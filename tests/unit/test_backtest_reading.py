"""A file of contacts, or of counts, becomes counted buckets, whatever its kind."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from pegel.cli.backtest.columns import Wanted
from pegel.cli.backtest.counts import Counts
from pegel.cli.backtest.holidays import make_holidays
from pegel.cli.backtest.lengths import bucket_seconds_of, seconds_of
from pegel.cli.backtest.reading import Read, read_counts
from pegel.cli.backtest.zones import make_zones
from pegel.runtime.settings import ConfigurationError

BOTH = ("country", "topic")
OF_COUNTRY = {"ES": "Europe/Madrid", "GB": "Europe/London"}
CONTACTS = """ts,country,topic,channel
2024-11-04T00:01:00Z,ES,atm,phone
2024-11-04T00:04:59Z,ES,atm,chat
2024-11-04T00:05:00Z,PT,cards,phone
2024-11-04T00:21:00Z,ES,atm,phone
"""


def read(
    path: Path,
    content: str | bytes = "",
    *,
    count: str | None = None,
    segment: tuple[str, ...] = BOTH,
    tz: str | None = None,
    by: str | None = None,
    time: str | None = None,
) -> Read:
    if content:
        raw = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    zones = make_zones(segment, tz=tz, by=by, of_country=OF_COUNTRY)
    return read_counts(path, Wanted(time, segment, count), zones, 300)


def table(counts: Counts) -> dict[tuple[str, ...], list[int]]:
    """Segment to its counts, None before it was first counted as 0."""
    rows = [counts.observed(place).tolist() for place in range(counts.buckets)]
    return {name: [row[number] if number < len(row) else 0 for row in rows] for number, name in enumerate(counts.names)}


def starts(found: Read) -> list[str]:
    """When there were contacts."""
    counts = found.counts
    return [
        f"{datetime.fromtimestamp((counts.first + place) * 300, UTC):%Y-%m-%d %H:%M}"
        for place in range(counts.buckets)
        if counts.observed(place).any()
    ]


def refused(*arguments: object, **options: object) -> list[str]:
    with pytest.raises(ConfigurationError) as said:
        read(*arguments, **options)  # type: ignore[arg-type]
    return said.value.faults


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_contacts_are_counted_and_buckets_without_any_are_zeros(tmp_path: Path, name: str) -> None:
    # 00:00 two in ES/atm, 00:05 one in PT/cards, 00:10 and 00:15 none, 00:20 one in ES/atm
    found = read(tmp_path / name, CONTACTS)
    assert table(found.counts) == {("ES", "atm"): [2, 0, 0, 0, 1], ("PT", "cards"): [0, 1, 0, 0, 0]}
    assert found.counts.known.tolist() == [1, 2, 2, 2, 2]
    assert (found.rows, found.bad, found.counts.total) == (4, [], 4)
    assert found.counts.start == int(datetime(2024, 11, 4, tzinfo=UTC).timestamp())


def test_separators_byte_order_marks_and_blank_lines(tmp_path: Path) -> None:
    text = "\ufeff" + CONTACTS.replace(",", ";").replace("\n", "\n\n") + "\n\n"
    assert table(read(tmp_path / "a.csv", text).counts) == table(read(tmp_path / "b.csv", CONTACTS).counts)
    windows = CONTACTS.replace("\n", "\r\n")
    assert table(read(tmp_path / "a.csv", windows).counts) == table(read(tmp_path / "b.csv", CONTACTS).counts)


@pytest.mark.parametrize("name", ["a.ndjson", "a.jsonl.gz"])
def test_ndjson(tmp_path: Path, name: str) -> None:
    header, *rows = [line.split(",") for line in CONTACTS.splitlines()]
    lines = "\n".join(json.dumps(dict(zip(header, row, strict=True))) for row in rows)
    assert table(read(tmp_path / name, lines).counts) == table(read(tmp_path / "b.csv", CONTACTS).counts)


def test_parquet_with_typed_times_and_counts(tmp_path: Path) -> None:
    at = datetime(2024, 11, 4, tzinfo=UTC)
    frame = pl.DataFrame(
        {"ts": [at, at + timedelta(minutes=6)], "country": ["ES", None], "topic": ["atm", "atm"], "n": [7, 3]}
    )
    frame.write_parquet(tmp_path / "a.parquet")
    expected = {("ES", "atm"): [7, 0], ("unknown", "atm"): [0, 3]}
    assert table(read(tmp_path / "a.parquet", count="n").counts) == expected
    (tmp_path / "a.parquet.gz").write_bytes(gzip.compress((tmp_path / "a.parquet").read_bytes()))
    assert table(read(tmp_path / "a.parquet.gz", count="n").counts) == expected


def test_counts_are_added_up_and_a_segment_may_be_one_column(tmp_path: Path) -> None:
    text = "bucket_start,country,topic,count\n2024-11-04T00:00Z,ES,atm,3\n2024-11-04T00:00Z,PT,atm,4\n"
    found = read(tmp_path / "a.csv", text, count="count", segment=("topic",))
    assert table(found.counts) == {("atm",): [7]}


def test_a_file_without_a_segment_is_one(tmp_path: Path) -> None:
    series = "timestamp,value\n2024-11-04 00:01:00,3\n2024-11-04 00:06:00,x\n2024-11-04 00:11:00,4\n"
    found = read(tmp_path / "a.csv", series, count="value", segment=(), tz="UTC")
    assert table(found.counts) == {("all",): [3, 0, 4]}
    assert found.counts.dimensions == ("segment",)
    assert [bad.line for bad in found.bad] == [3]


def test_the_name_of_the_one_segment_s_column_may_be_another_column_s(tmp_path: Path) -> None:
    series = "ts,segment\n2024-11-04T00:01:00Z,3\n2024-11-04T00:01:00Z,4\n"
    assert table(read(tmp_path / "a.csv", series, count="segment", segment=()).counts) == {("all",): [7]}


def test_empty_cells_are_unknown_and_blanks_around_values_are_none(tmp_path: Path) -> None:
    text = "ts,country,topic\n2024-11-04T00:00Z,, atm \n2024-11-04T00:00Z,  ,atm\n"
    assert table(read(tmp_path / "a.csv", text).counts) == {("unknown", "atm"): [2]}


def test_bad_rows_are_left_out_and_told_with_the_first_line(tmp_path: Path) -> None:
    text = (
        "ts,country,topic,n\n"  # line 1
        "\n"
        '2024-11-04T00:00Z,"a\nb",atm,1\n'  # lines 3 and 4
        "yesterday,ES,atm,1\n"  # line 5
        "2024-11-04T00:00Z,ES,atm,1.5\n"
        "2024-11-04T00:00Z,ES,atm,-1\n"
        "2024-11-04T00:00Z,ES,atm,\n"
        "2024-11-04T00:00Z,*,atm,1\n"  # line 9
        "2024-11-04T00:00Z,ES,atm,2.0\n"
        ",ES,atm,2\n"
    )
    found = read(tmp_path / "a.csv", text, count="n")
    assert table(found.counts) == {("ES", "atm"): [2], ("a\nb", "atm"): [1]}
    assert [(bad.rows, bad.line) for bad in found.bad] == [(2, 5), (3, 6), (1, 9)]
    assert [bad.reason for bad in found.bad] == [
        "ts gives no time",
        "n gives no whole number from 0 on",
        "a segment can't be *, which means all",
    ]


def test_lines_of_another_length_are_read_by_the_tolerant_reader(tmp_path: Path) -> None:
    text = CONTACTS + "2024-11-04T00:21:00Z,ES,atm,phone,and,more\n2024-11-04T00:21:00Z,ES\n"
    assert table(read(tmp_path / "a.csv", text).counts) == {
        ("ES", "atm"): [2, 0, 0, 0, 2],
        ("PT", "cards"): [0, 1, 0, 0, 0],
        ("ES", "unknown"): [0, 0, 0, 0, 1],
    }


def test_a_line_that_is_no_object_is_told(tmp_path: Path) -> None:
    lines = '{"ts": "2024-11-04T00:00Z", "topic": "atm"}\n\n[1]\n{"ts": "never", "topic": "atm"}\n'
    found = read(tmp_path / "a.ndjson", lines, segment=("topic",))
    assert [(bad.reason, bad.rows, bad.line) for bad in found.bad] == [
        ("the line is no JSON object", 1, 3),
        ("ts gives no time", 1, 4),
    ]
    assert found.rows == 3


def test_wrong_columns_are_refused_with_those_there_are(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    assert refused(path, CONTACTS, segment=("land", "topic"), time="when", count="n") == [
        f"--time when: {path} has no column when; it has ts, country, topic, channel",
        f"--segment land: {path} has no column land; it has ts, country, topic, channel",
        f"--count n: {path} has no column n; it has ts, country, topic, channel",
    ]
    assert refused(path, CONTACTS, segment=("topic", "ts")) == ["--segment ts: is the column of times or counts"]
    assert refused(path, CONTACTS, segment=("topic", "topic")) == ["--segment topic,topic: a column is named twice"]


def test_files_without_a_row_to_count_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    assert refused(path, "ts,country,topic\n") == [f"{path}: has no rows"]
    assert refused(path, "ts,country,topic\nnever,ES,atm\n") == [f"{path}: 1 rows: ts gives no time"]
    far = "ts,country,topic\n1904-01-01T00:00Z,ES,atm\n2024-01-01T00:00Z,ES,atm\n"
    assert "a mistake" in refused(path, far)[0]


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        ("2024-11-04 09:00", "2024-11-04 08:00"),
        ("2024-10-27 02:30", "2024-10-27 00:30"),  # twice: the first
        ("2024-03-31 02:30", "2024-03-31 01:30"),  # skipped: moves on to 03:30
    ],
)
def test_local_times_with_a_zone(tmp_path: Path, local: str, utc: str) -> None:
    text = f"ts,country,topic\n{local},ES,atm\n"
    assert starts(read(tmp_path / "a.csv", text, tz="Europe/Madrid")) == [utc]
    assert starts(read(tmp_path / "a.csv", text, by="country")) == [utc]


def test_local_times_are_those_of_each_row_s_country_and_aware_ones_are_kept(tmp_path: Path) -> None:
    text = (
        "ts,country,topic\n2024-11-04 09:00,ES,atm\n2024-11-04 10:00,GB,atm\n"
        "2024-11-04 11:00,XX,atm\n2024-11-04T13:00+01:00,ES,atm\n"
    )
    found = read(tmp_path / "a.csv", text, by="country")
    assert starts(found) == [f"2024-11-04 {hour}:00" for hour in ("08", "10", "11", "12")]
    assert found.no_zone == ["XX"]


def test_many_equal_local_times_are_read_as_few(tmp_path: Path) -> None:
    text = "ts,country,topic\n" + "2024-11-04 09:00,ES,atm\n" * 50 + "never,ES,atm\n"
    found = read(tmp_path / "a.csv", text, tz="Europe/Madrid")
    assert table(found.counts) == {("ES", "atm"): [50]}
    assert found.bad[0].line == 52


def test_local_times_without_a_zone_are_refused(tmp_path: Path) -> None:
    faults = refused(tmp_path / "a.csv", "ts,country,topic\n2024-11-04 09:00,ES,atm\n")
    assert faults == ["--tz ZONE or --tz-by COLUMN is needed: the times in column ts say no zone (2024-11-04 09:00)"]


def test_zones_of_segments() -> None:
    zones = make_zones(BOTH, tz=None, by=None, of_country=OF_COUNTRY)
    assert [zones.of((country, "atm")) for country in ("ES", "gb", "Asia/Tokyo", "XX", "*")] == [
        "Europe/Madrid",
        "Europe/London",
        "Asia/Tokyo",
        "UTC",
        "UTC",
    ]
    assert make_zones(BOTH, tz="Europe/Paris", by=None, of_country=OF_COUNTRY).of(("ES", "atm")) == "Europe/Paris"
    assert make_zones(("queue",), tz=None, by=None, of_country=OF_COUNTRY).of(("q",)) == "UTC"


@pytest.mark.parametrize(
    ("tz", "by", "word"), [("Europe/Madrid", "country", "one of"), ("Mars", None, "Mars"), (None, "x", "--tz-by x")]
)
def test_wrong_zones_are_refused(tz: str | None, by: str | None, word: str) -> None:
    with pytest.raises(ConfigurationError, match=word):
        make_zones(BOTH, tz=tz, by=by, of_country=OF_COUNTRY)


def test_lengths_of_time() -> None:
    assert [seconds_of("--x", text) for text in ("30s", "5m", "1h", "28d", "4w")] == [30, 300, 3600, 2419200, 2419200]
    assert bucket_seconds_of("15m") == 900
    for wrong in ("7m", "0m", "2h"):
        with pytest.raises(ConfigurationError, match="--bucket"):
            bucket_seconds_of(wrong)
    with pytest.raises(ConfigurationError, match="--history 4 weeks"):
        seconds_of("--history", "4 weeks")


def test_holidays(tmp_path: Path) -> None:
    file = tmp_path / "days.csv"
    file.write_text("date,country\n2024-12-24,es\n2024-12-25,\n")
    found = make_holidays(str(file), BOTH)
    assert {country: {str(day) for day in days} for country, days in found.days.items()} == {
        "ES": {"2024-12-24"},
        "": {"2024-12-25"},
    }
    assert make_holidays("auto", BOTH).source == "auto"
    assert make_holidays("auto", ("queue",)).source == "none"
    file.write_text("date\nsoon\n")
    with pytest.raises(ConfigurationError, match="line 2: soon is not a date"):
        make_holidays(str(file), BOTH)
    with pytest.raises(ConfigurationError, match="No such file"):
        make_holidays("autumn", BOTH)
