"""The same contacts in every kind of file are the same table."""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from pegel.cli.replay.files import read
from pegel.runtime.settings import ConfigurationError

CSV = "ts,topic,subtopic,waited_seconds\n2013-01-01T00:00:00Z,Cards,007,5\n2013-01-02T00:00:00Z,ATM,,\n"
ROWS: list[dict[str, object]] = [
    {"ts": "2013-01-01T00:00:00Z", "topic": "Cards", "subtopic": "007", "waited_seconds": 5},
    {"ts": "2013-01-02T00:00:00Z", "topic": "ATM", "subtopic": None, "waited_seconds": None},
]
EXPECTED = [("2013-01-01T00:00:00Z", "Cards", "007", "5"), ("2013-01-02T00:00:00Z", "ATM", None, None)]
EXPECTED_CSV = [EXPECTED[0], ("2013-01-02T00:00:00Z", "ATM", "", "")]


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "A.CSV", "a.tsv", "b.csv"])
def test_csv(tmp_path: Path, name: str) -> None:
    text = CSV.replace(",", "\t") if name == "a.tsv" else CSV.replace(",", ";") if name == "b.csv" else CSV
    assert read(write(tmp_path / name, text.encode())).rows.rows() == EXPECTED_CSV


@pytest.mark.parametrize("name", ["a.ndjson", "a.jsonl.gz"])
def test_ndjson(tmp_path: Path, name: str) -> None:
    lines = "\n".join(json.dumps(row) for row in ROWS)
    assert read(write(tmp_path / name, lines.encode())).rows.rows() == EXPECTED


def test_parquet(tmp_path: Path) -> None:
    frame = pl.DataFrame(ROWS)
    frame.write_parquet(tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet").rows.rows() == EXPECTED
    write(tmp_path / "a.parquet.gz", (tmp_path / "a.parquet").read_bytes())
    assert read(tmp_path / "a.parquet.gz").rows.rows() == EXPECTED


def test_times_of_parquet_keep_their_type_and_lists_are_left_out(tmp_path: Path) -> None:
    at = datetime(2013, 1, 1, tzinfo=UTC)
    pl.DataFrame({"ts": [at], "attributes": [{"region": "x"}], "tags": [["a"]], "complaint": [True]}).write_parquet(
        tmp_path / "a.parquet"
    )
    rows = read(tmp_path / "a.parquet").rows
    assert rows.to_dicts() == [{"ts": at, "attributes.region": "x", "complaint": "true"}]


def test_objects_in_ndjson_are_names_with_a_dot_and_types_may_change(tmp_path: Path) -> None:
    lines = b'{"topic": "atm", "attributes": {"region": "x"}}\n\n{"topic": 7, "resolved": true}\n'
    rows = read(write(tmp_path / "a.ndjson", lines)).rows
    assert rows.to_dicts() == [
        {"topic": "atm", "attributes.region": "x", "resolved": None},
        {"topic": "7", "attributes.region": None, "resolved": "true"},
    ]


def test_lines_that_are_no_json_object_are_counted(tmp_path: Path) -> None:
    table = read(write(tmp_path / "a.ndjson", b'{"topic": "atm"}\nnonsense\n[1]\n{"topic": "ca'))
    assert table.rows.height == 1
    assert table.unreadable == 3


def test_quotes_newlines_and_a_byte_order_mark(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbfts,topic\r\n1,"a, ""b""\r\nc"\r\n'
    assert read(write(tmp_path / "a.csv", content)).rows.to_dicts() == [{"ts": "1", "topic": 'a, "b"\r\nc'}]


def test_csv_as_people_write_it(tmp_path: Path) -> None:
    content = b'\nts,topic,topic\n1,a,x\n\n2\n3,b,y,extra\n4,"c" d,\xff\n,,\n\n'
    table = read(write(tmp_path / "a.csv", content)).rows
    assert table.columns == ["ts", "topic", "topic (3)"]
    assert table.rows() == [
        ("1", "a", "x"), ("2", None, None), ("3", "b", "y"), ("4", "c d", "\ufffd"), ("", "", ""),
    ]  # fmt: skip


def test_empty_files_have_no_rows(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.csv", b"ts,topic\n")).rows.shape == (0, 2)
    assert read(write(tmp_path / "b.csv", b"")).rows.height == 0
    assert read(write(tmp_path / "b.ndjson", b"")).rows.height == 0


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.xlsx", b"x"), ("a.parquet", b"no parquet"), ("a.csv.gz", None)],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    path.write_bytes(b"not gzip" if content is None else content)
    with pytest.raises(ConfigurationError, match=name) as caught:
        read(path)
    assert len(caught.value.faults) == 1
    assert "\n" not in caught.value.faults[0]
