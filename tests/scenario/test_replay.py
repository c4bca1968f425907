"""A file of the past through a real ingest onto the embedded log: every row is told of, and counts once."""

import asyncio
import csv
import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from pegel.cli.replay import app
from pegel.cli.replay.app import Options, replay_file
from pegel.eventlog.connect import connect
from pegel.eventlog.port import CONTACTS
from pegel.runtime.settings import ConfigurationError, Settings, load
from pegel.schemas.contact import ContactRecord, TickRecord
from support import runs
from support.wait import until_sync

START = datetime(2013, 1, 1)  # noqa: DTZ001 (a file's times are local)
MAPPING = ("--time", "ts", "--tz", "America/Toronto", "--set", "country=CA", "--column", "attributes.region=region")


@pytest.fixture
def here(tmp_path: Path) -> Iterator[runs.Place]:
    with runs.place(tmp_path) as place:
        yield place


def settings_of(here: runs.Place) -> Settings:
    return load({}, data_dir=here.folder / "data", ingest_port=here.ports["ingest"], bucket_seconds=300, clock="data")


@contextmanager
def ingest(here: runs.Place, clock: str = "data") -> Iterator["subprocess.Popen[bytes]"]:
    """A real ingest on a log of its own, until the block is left."""
    over = {"PEGEL_CLOCK": clock, "PEGEL_BUCKET_SECONDS": "300", "PEGEL_DRAIN_SECONDS": "0"}
    with (here.folder / "ingest.log").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "pegel", "serve", "ingest"], cwd=here.folder, env=here.env(over), stderr=out
        )
    try:
        until_sync(lambda: here.answers("ingest") == 200, 15)
        yield process
    finally:
        process.terminate()
        process.wait(10)


def write(here: runs.Place, rows: int) -> Path:
    """A file of so many rows, a minute apart; every tenth equals the one before it, the third has no topic."""
    text = io.StringIO()
    out = csv.writer(text)
    out.writerow(["ts", "region", "topic", "channel", "owner"])
    for number in range(rows):
        at = START + timedelta(minutes=number - (number % 10 == 9))
        out.writerow([f"{at:%Y-%m-%d %H:%M:%S}", "Ward 1", "" if number == 2 else "Lost Card", "CC PHONE", "x"])
    file = here.folder / "contacts.csv"
    file.write_text(text.getvalue())
    return file


def options(file: Path, **over: object) -> Options:
    values: dict[str, object] = {
        "file": file, "time_column": "ts", "zone": "America/Toronto", "columns": ("attributes.region=region",),
        "fixed": ("country=CA",), "id_column": None, "speed": None, "shift": False, "late": False, "as_json": True,
    }  # fmt: skip
    return Options(**{**values, **over})  # type: ignore[arg-type]


def records(settings: Settings) -> tuple[list[ContactRecord], list[TickRecord]]:
    """What is on the stream contacts."""

    async def read() -> list[bytes]:
        log = connect(settings)
        try:
            bounds = await log.bounds(CONTACTS)
            reader = log.reader(CONTACTS, {partition: each.begin for partition, each in bounds.items()})
            values = []
            while any(reader.positions()[partition] < each.end for partition, each in bounds.items()):
                for found in (await reader.fetch()).values():
                    values += [record.value for record in found]
            await reader.close()
            return values
        finally:
            await log.close()

    values = asyncio.run(read())
    contacts = [ContactRecord.decode(value) for value in values if value.startswith(b'{"kind":"contact"')]
    return contacts, [TickRecord.decode(value) for value in values if value.startswith(b'{"kind":"tick"')]


def test_every_row_is_told_of_and_counts_once_however_often_it_is_sent(
    here: runs.Place, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(here, 1200)
    with ingest(here):
        first = here.pegel("replay", str(file), *MAPPING, "--json")
        assert replay_file(settings_of(here), options(file)) == 0
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout.splitlines()[-1]) == {"read": 1200, "accepted": 1199, "rejected": 1}
    assert capsys.readouterr().out == first.stdout
    for said in (
        "1,200 rows", "Lost Card -> lost-card", "(CC PHONE)", "topic: left out in 1 rows", "no field: owner",
        "rejected 1 times: topic: ",
    ):  # fmt: skip
        assert said in first.stderr
    contacts, ticks = records(settings_of(here))
    assert len(contacts) == 2 * 1199
    assert len({contact.event_id for contact in contacts}) == 1199
    one = contacts[0]
    assert (one.country, one.topic, one.channel, one.attributes) == ("CA", "lost-card", "other", {"region": "Ward 1"})
    # 00:00 in Toronto is 05:00 UTC; 1,200 minutes on is 01:00, and the last row stands a minute before its time.
    times = [tick.at.isoformat() for tick in ticks if tick.at]
    assert min(times) == "2013-01-01T05:00:00+00:00"
    assert max(times) == "2013-01-02T01:00:10+00:00"


def test_it_goes_on_when_ingest_was_away_for_a_moment(here: runs.Place) -> None:
    file = write(here, 3000)
    with ingest(here) as process:
        client = subprocess.Popen(
            [sys.executable, "-m", "pegel", "replay", str(file), *MAPPING, "--json", "--speed", "1000/s"],
            cwd=here.folder,
            env=here.env(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        until_sync(lambda: len(records(settings_of(here))[0]) > 300, 20)
        process.kill()
        process.wait()
    with ingest(here):
        out, said = client.communicate(timeout=30)
    assert client.returncode == 0, said
    assert json.loads(out) == {"read": 3000, "accepted": 2999, "rejected": 1}
    assert b"takes nothing" in said
    assert b"takes contacts again" in said
    contacts, _ = records(settings_of(here))
    assert len({contact.event_id for contact in contacts}) == 2999


def test_it_gives_up_with_a_sentence_when_ingest_stays_away(
    here: runs.Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(app, "PATIENCE_SECONDS", 0.5)
    assert here.pegel("streams", "create", over={"PEGEL_CLOCK": "data"}).returncode == 0
    assert replay_file(settings_of(here), options(write(here, 20))) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"read": 20, "accepted": 0, "rejected": 0}
    assert "0 of 20 rows were sent; run the same command again to go on" in captured.err


def test_ctrl_c(here: runs.Place) -> None:
    with ingest(here):
        client = subprocess.Popen(
            [sys.executable, "-m", "pegel", "replay", str(write(here, 1000)), *MAPPING, "--speed", "60x"],
            cwd=here.folder,
            env=here.env(),
            stderr=subprocess.PIPE,
        )
        until_sync(lambda: records(settings_of(here))[0], 20)
        client.send_signal(signal.SIGINT)
        _, said = client.communicate(timeout=10)
    assert client.returncode == 130
    assert b"nothing counts twice" in said
    assert b"Traceback" not in said


def test_a_log_in_wall_mode_refuses_unless_it_is_told_how(here: runs.Place) -> None:
    file = write(here, 50)
    with ingest(here, "wall"):
        refused = here.pegel("replay", str(file), *MAPPING)
        assert refused.returncode == 2
        assert "--shift" in refused.stderr
        assert "--late" in refused.stderr
        shifted = here.pegel("replay", str(file), *MAPPING, "--shift", "--json")
        assert json.loads(shifted.stdout) == {"read": 50, "accepted": 49, "rejected": 1}
        late = here.pegel("replay", str(file), *MAPPING, "--late", "--json")
        assert json.loads(late.stdout) == {"read": 50, "accepted": 0, "rejected": 50}  # older than 35 days
        assert late.returncode == 0
        assert "occurred_at: " in late.stderr


def test_faults_of_the_file_and_the_options(here: runs.Place) -> None:
    file = write(here, 5)
    settings = settings_of(here)
    with pytest.raises(ConfigurationError, match="no log was made here yet"):
        replay_file(settings, options(file))
    assert not (here.folder / "data" / "log").exists()
    assert here.pegel("streams", "create", over={"PEGEL_CLOCK": "data"}).returncode == 0
    for over, said in (
        ({"zone": None}, "--tz is needed"),
        ({"zone": "Europe/Nowhere"}, "--tz Europe/Nowhere"),
        ({"time_column": "region"}, r"--time region: none is a time \(Ward 1\)"),
        ({"time_column": "when"}, "--time when: the file has no column when"),
        ({"fixed": ()}, "no column gives country"),
        ({"speed": "fast"}, "--speed fast"),
        ({"shift": True}, "--shift: this log is in data mode"),
        ({"shift": True, "late": True}, "give one of them"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            replay_file(settings, options(file, **over))
