"""`pegel backtest` from outside: a bank's three weeks, cash machines that fail in Spain, and what is said of it."""

import csv
import gzip
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from support import runs

MONDAY = datetime(2024, 11, 4, tzinfo=UTC)
WEEKS = 3
SEGMENTS = [(country, topic) for country in ("ES", "PT", "DE") for topic in ("atm", "cards")]
ROLLUPS = 3 + 2 + 1
"""Each country, each topic, everything."""
FAILS_AT = MONDAY + timedelta(days=16, hours=10)
FAILS_FOR = timedelta(minutes=90)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[runs.Place]:
    with runs.place(tmp_path) as place:
        yield place


@pytest.fixture
def pegel(here: runs.Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> runs.InProcess:
    return runs.InProcess(here, monkeypatch, capsys)


def bank(path: Path, until: datetime = MONDAY + timedelta(weeks=WEEKS)) -> Path:
    """Counts of 5 minutes up to `until`: 2 to 8 by the hour of the day, 40 of Spain's cash machines while they fail."""
    rng = np.random.default_rng(7)
    rows = []
    for place in range(WEEKS * 2016):
        at = MONDAY + timedelta(minutes=5 * place)
        usual = 5 + 3 * np.sin((at.hour - 8) / 24 * 2 * np.pi)
        for segment, count in zip(SEGMENTS, rng.poisson(usual, len(SEGMENTS)), strict=True):
            failing = segment == ("ES", "atm") and FAILS_AT <= at < FAILS_AT + FAILS_FOR
            if (count or failing) and at < until:
                rows.append((f"{at:%Y-%m-%dT%H:%M:%SZ}", *segment, 40 if failing else int(count)))
    text = "bucket_start,country,topic,count\n" + "".join(f"{a},{b},{c},{d}\n" for a, b, c, d in rows)
    path.write_bytes(gzip.compress(text.encode(), 1))
    return path


ARGUMENTS = ("--count", "count", "--tz-by", "country", "--holidays", "none", "--history", "14d")


def test_failing_cash_machines_in_a_file_of_the_past(here: runs.Place, pegel: runs.InProcess) -> None:
    bank(here.folder / "bank.csv.gz")
    (here.folder / "labels.csv").write_text(
        f"country,topic,onset,end\nES,atm,{FAILS_AT.isoformat()},{(FAILS_AT + FAILS_FOR).isoformat()}\n"
    )
    (here.folder / "prices.yaml").write_text(
        'currency: EUR\nservices: {desk: The desk}\nprices: [{match: {}, service: desk, unit_price: "5.00"}]\n'
    )
    done = pegel(
        "backtest", "bank.csv.gz", *ARGUMENTS, "--scores", "scores.csv", "--alarms", "alarms.csv",
        "--report", "report.html", "--labels", "labels.csv", "--prices", "prices.yaml", "--false-pages-per-week", "1",
    )  # fmt: skip
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert "in 6 segments from 2024-11-04 00:00 to 2024-11-25 00:00 UTC" in done.stderr
    assert "6,048 buckets of 5 minutes, of which 2,016 were judged; 6 segments" in done.stdout
    assert "found 1 of 1, missed 0" in done.stdout

    scores = pl.read_csv(here.folder / "scores.csv")
    assert scores.columns == ["bucket_start", "country", "topic", "observed", "expected", "lower", "upper", "score"]
    assert scores["bucket_start"].n_unique() == 2016
    assert scores["bucket_start"].min() == "2024-11-18T00:00:00Z"
    its = scores.filter((pl.col("country") == "ES") & (pl.col("topic") == "atm"))
    assert its.height == 2016
    worst = its.sort("score", descending=True)["bucket_start"][0]
    assert FAILS_AT <= datetime.fromisoformat(worst) < FAILS_AT + FAILS_FOR

    with (here.folder / "alarms.csv").open() as file:
        first = next(row for row in csv.DictReader(file) if (row["country"], row["topic"]) == ("ES", "atm"))
    assert FAILS_AT < datetime.fromisoformat(first["opened_at"]) <= FAILS_AT + timedelta(minutes=15)
    assert float(first["peak_score"]) > 0
    assert "expected" in first["explanation"]

    report = (here.folder / "report.html").read_text("utf-8")
    assert "Cash machines, Spain: " in report
    assert "EUR" in report
    assert "Of 1 known event 1 was found and 0 missed." in report


def test_what_comes_later_changes_no_row_before(here: runs.Place, pegel: runs.InProcess) -> None:
    cut_at = MONDAY + timedelta(days=17)
    written = []
    for name, until in (("whole", MONDAY + timedelta(weeks=WEEKS)), ("cut", cut_at)):
        bank(here.folder / f"{name}.csv.gz", until)
        assert pegel("backtest", f"{name}.csv.gz", *ARGUMENTS, "--scores", f"{name}.csv").returncode == 0
        written.append((here.folder / f"{name}.csv").read_text().splitlines())
    whole, cut = written
    assert len(cut) == 1 + 3 * 288 * (len(SEGMENTS) + ROLLUPS)
    assert whole[: len(cut)] == cut


def test_models_side_by_side(here: runs.Place, pegel: runs.InProcess) -> None:
    bank(here.folder / "bank.csv.gz")
    models = ("--model", "pegel", "--model", "river.anomaly.GaussianScorer")
    done = pegel("backtest", "bank.csv.gz", *ARGUMENTS, *models, "--bucket", "1h")
    assert done.returncode == 0
    table = done.stdout.splitlines()[2:]
    assert table[0].split() == ["model", "pages", "a", "week", "seconds"]
    assert [line.split()[0] for line in table[1:]] == ["pegel", "river.anomaly.GaussianScorer"]


def test_two_estimators_of_river_side_by_side(here: runs.Place, pegel: runs.InProcess) -> None:
    bank(here.folder / "bank.csv.gz")
    names = ["river.anomaly.HalfSpaceTrees", "river.time_series.HoltWinters"]
    models = [part for name in names for part in ("--model", name)]
    done = pegel("backtest", "bank.csv.gz", *ARGUMENTS, *models, "--bucket", "1h", "--alarms", "alarms.csv")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert [line.partition(":")[0] for line in done.stdout.splitlines()[:2]] == names
    assert "504 buckets of 1 hour, of which 168 were judged; 6 segments and 0 roll-ups" in done.stdout
    table = [line.split() for line in done.stdout.splitlines()[2:]]
    assert table[0] == ["model", "pages", "a", "week", "seconds"]
    assert [line[0] for line in table[1:]] == names
    assert "HoltWinters: had seen too little to judge 7.0 of the days after --history" in done.stderr
    pages = int(table[1][1])
    assert len((here.folder / "alarms.csv").read_text().splitlines()) == 1 + pages


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("river.metrics.MAE", "river.metrics.MAE has no learn_one; "),
        (
            "river.cluster.KMeans",
            "river.cluster.KMeans has no score_one, as an anomaly detector has, and no forecast, as a forecaster has; ",
        ),
    ],
)
def test_an_estimator_without_a_method_is_refused_by_its_name(
    here: runs.Place, pegel: runs.InProcess, model: str, said: str
) -> None:
    rows(here.folder / "a.csv")
    done = pegel("backtest", "a.csv", "--model", model)
    assert done.returncode == 2
    assert done.stderr.startswith(f"--model {model}: {said}")


def test_a_series_without_a_segment(here: runs.Place, pegel: runs.InProcess) -> None:
    rng, lines = np.random.default_rng(3), ["timestamp,value"]
    for place in range(21 * 288):
        at = MONDAY + timedelta(minutes=5 * place)
        failing = FAILS_AT <= at < FAILS_AT + FAILS_FOR
        lines.append(f"{at:%Y-%m-%d %H:%M:%S},{60 if failing else rng.poisson(9)}")
    (here.folder / "tweets.csv").write_text("\n".join(lines))
    (here.folder / "labels.csv").write_text(f"onset,end\n{FAILS_AT.isoformat()},{(FAILS_AT + FAILS_FOR).isoformat()}\n")
    done = pegel(
        "backtest", "tweets.csv", "--segment", "", "--count", "value", "--tz", "UTC", "--history", "14d",
        "--labels", "labels.csv", "--scores", "s.csv", "--alarms", "a.csv", "--report", "r.html",
    )  # fmt: skip
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert "contacts in 1 segments" not in done.stderr
    assert "2,016 were judged; 1 segment and " in done.stdout
    assert "found 1 of 1" in done.stdout
    first = (here.folder / "s.csv").read_text().splitlines()[:2]
    assert first[0].startswith("bucket_start,segment,observed,")
    assert first[1].startswith("2024-11-18T00:00:00Z,all,")
    report = (here.folder / "r.html").read_text("utf-8")
    assert "All rows are one segment, counted every 5 minutes." in report
    assert "Everything: " in report


@pytest.mark.parametrize(("zones", "begin"), [("", "03:00"), ("BR=America/Manaus", "04:00")])
def test_a_country_s_local_time_is_as_the_services_have_it(
    here: runs.Place, pegel: runs.InProcess, zones: str, begin: str
) -> None:
    (here.folder / "a.csv").write_text("ts,country,topic\n2024-11-04 00:00,BR,atm\n2024-11-05 00:00,BR,atm\n")
    done = pegel("backtest", "a.csv", "--tz-by", "country", "--history", "1h", over={"PEGEL_ZONES": zones})
    assert done.returncode == 0
    assert f"from 2024-11-04 {begin} to " in done.stderr


def rows(path: Path) -> None:
    path.write_text("ts,country,topic\n2024-11-04T00:00:00Z,ES,atm\n2024-11-05T00:00:00Z,ES,atm\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--segment", "land"), "--segment land: a.csv has no column land; it has ts, country, topic"),
        (("--count", "n"), "--count n: a.csv has no column n; it has ts, country, topic"),
        (("--segment", ","), "--segment ,: names no column"),
        (("--segment", "", "--tz-by", "topic"), "--tz-by topic: is none of the segment's columns (none)"),
        ((), "--history 28d: the file covers 1.0 days, so nothing is left to judge; give less"),
        (("--bucket", "7m"), "--bucket 7m: an hour must be a whole number of buckets: 1m, 5m, 15m or 1h"),
        (("--false-pages-per-week", "0"), "--false-pages-per-week 0: must be more than 0"),
        (("--model", "pegle"), "--model pegle: there is no such model; the nearest is pegel"),
        (("--tz", "Mars/Olympus"), "--tz Mars/Olympus: there is no such zone; give a name like Europe/Madrid or UTC"),
        (("--scores", "no/where.csv"), "--scores no/where.csv: there is no folder no"),
        (("--alarms", "a.csv"), "--alarms a.csv: can't be written there"),
    ],
)
def test_what_is_wrong_is_a_line_and_exit_code_2(
    here: runs.Place, pegel: runs.InProcess, arguments: tuple[str, ...], said: str
) -> None:
    rows(here.folder / "a.csv")
    done = pegel("backtest", "a.csv", *arguments)
    assert (done.returncode, done.stderr.strip().splitlines()[-1]) == (2, said)


def test_bad_rows_are_told(here: runs.Place, pegel: runs.InProcess) -> None:
    rows(here.folder / "a.csv")
    with (here.folder / "a.csv").open("a") as file:
        file.write("never,ES,atm\nsoon,ES,atm\n")
    done = pegel("backtest", "a.csv", "--history", "1h")
    assert done.returncode == 0
    assert "2 rows left out: ts gives no time (the first is line 4)" in done.stderr


@pytest.mark.parametrize("factor", ["", "7"])
def test_maintenance_and_a_campaign_of_the_past_page_nobody(
    here: runs.Place, pegel: runs.InProcess, factor: str
) -> None:
    bank(here.folder / "bank.csv.gz")
    (here.folder / "events.csv").write_text(
        "name,country,topic,from,until,factor\n"
        f"Card swap,ES,at?,{FAILS_AT.isoformat()},{(FAILS_AT + FAILS_FOR).isoformat()},{factor}\n"
    )
    done = pegel(
        "backtest", "bank.csv.gz", *ARGUMENTS, "--bucket", "15m", "--events", "events.csv", "--alarms", "a.csv",
        "--scores", "s.csv",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with (here.folder / "a.csv").open() as file:
        pages = {(row["country"], row["topic"]) for row in csv.DictReader(file)}
    assert not {("ES", "atm"), ("ES", "*"), ("*", "atm"), ("*", "*")} & pages
    scores = pl.read_csv(here.folder / "s.csv").filter((pl.col("country") == "ES") & (pl.col("topic") == "atm"))
    at = scores.filter(pl.col("bucket_start") == f"{FAILS_AT + FAILS_FOR / 2:%Y-%m-%dT%H:%M:%SZ}")
    assert at["expected"][0] > 75 if factor else np.isnan(at["score"][0])


def test_all_that_is_wrong_with_events_is_told(here: runs.Place, pegel: runs.InProcess) -> None:
    rows(here.folder / "a.csv")
    (here.folder / "events.csv").write_text(
        "name,country,topic,from,until,factor\n"
        "a,ES,,2024-11-04T00:00:00,2024-11-05T00:00:00Z,2\n"
        "b,ES,,2024-11-05T00:00:00Z,2024-11-05T00:00:00Z,2\n"
        "c,ES,,2024-11-04T00:00:00Z,2024-11-05T00:00:00Z,0\n"
        ",ES,,2024-11-04T00:00:00Z,2024-11-05T00:00:00Z,\n"
        "e,ES,,2024-11-04T00:00:00Z,2024-11-05T00:00:00Z,nan\n"
    )
    done = pegel("backtest", "a.csv", "--events", "events.csv")
    faults = [line.removeprefix("--events events.csv: ") for line in done.stderr.splitlines()]
    assert done.returncode == 2
    assert faults == [
        "line 2: 2024-11-04T00:00:00 has no zone; write 2024-11-12T08:00:00Z",
        "line 3: until is not after from",
        "line 4: factor 0 is not between 0 and 1000",
        "line 5: has no name",
        "line 6: factor nan is not between 0 and 1000",
    ]
    (here.folder / "other.csv").write_text("name,country\n")
    done = pegel("backtest", "a.csv", "--events", "other.csv")
    assert [line.split(";")[0] for line in done.stderr.splitlines()] == [
        f"--events other.csv: has no column {name}" for name in ("topic", "from", "until", "factor")
    ]
