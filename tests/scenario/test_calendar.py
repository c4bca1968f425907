"""`pegel calendar`: told on the command line, it changes what the running judge expects."""

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from pegel.cli.calendar import Wanted, add, cancel, show
from pegel.cli.history import encoded, write
from pegel.detector.app import build
from pegel.eventlog.connect import connect
from pegel.eventlog.port import COUNTS, WINDOWS, EventLog, NewRecord
from pegel.schemas.detection import BucketRecord, CalendarRecord, WindowRecord
from support import runs
from support.wait import until
from support.whole import START, bucket, contact, data_mode, feed, put, tick

PARTITIONS = 2
DAYS = 4
USUAL = 20

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[runs.Place]:
    with runs.place(tmp_path) as place:
        yield place


@pytest.fixture
def pegel(here: runs.Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> runs.InProcess:
    return runs.InProcess(here, monkeypatch, capsys)


async def judged_to(log: EventLog, minutes: float) -> dict[int, float]:
    """Wait; what was expected of cash machines in Spain, by minute."""

    async def told() -> tuple[int, dict[int, float]]:
        bounds = (await log.bounds(WINDOWS))[0]
        reader, end, expected = log.reader(WINDOWS, {0: bounds.begin}), 0, {}
        while reader.positions()[0] < bounds.end:
            for record in (await reader.fetch()).get(0, ()):
                if b'"kind":"bucket"' in record.value:
                    end = BucketRecord.decode(record.value).to
                elif b'"kind":"window"' in record.value:
                    window = WindowRecord.decode(record.value)
                    if window.expected and ("ES", "atm") in window.segments:
                        minute = round((window.start - START) / timedelta(minutes=1))
                        expected[minute] = window.expected[window.segments.index(("ES", "atm"))]
        await reader.close()
        return end, expected

    async def there() -> bool:
        return (await told())[0] >= bucket(minutes)

    await until(there, 60)
    return (await told())[1]


def at(minutes: float) -> str:
    return (START + timedelta(minutes=minutes)).isoformat()


async def test_a_campaign_is_expected_by_the_running_judge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # minute: 0 | 5 told: x3 in [10, 20), and again [25, 60) | 30 the second is cancelled | 40
    settings = data_mode(tmp_path / "data", partitions=PARTITIONS)
    await feed(settings, [contact(n, n / 5) for n in range(20)], minutes=5.5)
    counts = np.full((DAYS * 288, 1), USUAL)
    stop, log = asyncio.Event(), connect(settings)
    loop = asyncio.ensure_future(build(settings).run(stop))
    try:
        past = int(START.timestamp()) - DAYS * 86_400
        await write(log, encoded(past, 300, [("ES", "atm")], counts))
        await judged_to(log, 5)
        first = Wanted("Spring campaign", "country=ES,topic=at?", at(10), at(20), None, 3.0, paging=True)
        second = Wanted("Autumn campaign", "*", at(25), at(60), None, 3.0, paging=True)
        for wanted in (first, second):
            assert await asyncio.to_thread(add, settings, wanted) == 0
        told = [line for line in capsys.readouterr().out.splitlines() if " campaign: " in line]
        assert told[0].endswith(
            "Spring campaign: country=ES, topic=at?, 2026-01-05 00:10 to 2026-01-05 00:20 UTC,"
            " 3 times as many contacts expected"
        )
        await put(log, PARTITIONS, [contact(100 + n, 5 + n / 4) for n in range(100)])
        await tick(log, PARTITIONS, 30.5)
        await judged_to(log, 30)
        assert await asyncio.to_thread(cancel, settings, told[1].split()[0]) == 0
        await tick(log, PARTITIONS, 40.5)
        expected = await judged_to(log, 40)
    finally:
        await log.close()
        stop.set()
        await loop
    times = {minute: round(value / USUAL) for minute, value in expected.items() if minute >= 5}
    assert times == {5: 1, 10: 3, 15: 3, 20: 1, 25: 3, 30: 1, 35: 1}


def planned(pegel: runs.InProcess, name: str, *options: str) -> str:
    """Its id."""
    done = pegel("calendar", "add", name, *options)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()[0]


def test_planned_listed_and_cancelled(here: runs.Place, pegel: runs.InProcess) -> None:
    assert pegel("streams", "create").returncode == 0
    span = ("--from", "2126-03-02T08:00", "--until", "2126-03-02 18:00", "--tz", "Europe/Madrid")
    one = planned(pegel, "Spring campaign", "--segment", "country=ES", *span, "--factor", "2.5")
    two = planned(pegel, "New core banking", "--segment", "*", *span, "--no-paging")
    listed = pegel("calendar", "list").stdout.splitlines()
    assert listed == [
        f"{one}  planned    Spring campaign: country=ES, 2126-03-02 07:00 to 2126-03-02 17:00 UTC,"
        " 2.5 times as many contacts expected",
        f"{two}  planned    New core banking: everything, 2126-03-02 07:00 to 2126-03-02 17:00 UTC, no paging",
    ]
    done = pegel("calendar", "cancel", one[:8])
    assert done.stdout.startswith("cancelled from the next bucket on: Spring campaign: country=ES, ")
    assert pegel("calendar", "list").stdout.splitlines() == listed[1:]
    items = json.loads(pegel("calendar", "list", "--all", "--json").stdout)["items"]
    assert [(item["id"], item["state"], item.get("factor"), item.get("paging")) for item in items] == [
        (one, "cancelled", 2.5, None),
        (two, "planned", None, False),
    ]
    again = pegel("calendar", "cancel", one)
    assert (again.returncode, again.stderr) == (2, f"{one}: is cancelled already\n")
    other = pegel("calendar", "cancel", "nothing")
    assert (other.returncode, "is no event on this log" in other.stderr) == (2, True)


def test_all_that_is_wrong_is_told_at_once_and_nothing_is_written(here: runs.Place, pegel: runs.InProcess) -> None:
    assert pegel("streams", "create").returncode == 0
    done = pegel(
        "calendar", "add", "x", "--segment", "land=ES,topic=", "--from", "tomorrow", "--until", "2026-03-02T08:00",
        "--tz", "Europe/Madird",
    )  # fmt: skip
    faults = done.stderr.splitlines()
    assert done.returncode == 2
    assert [fault.partition(":")[0] for fault in faults] == [
        "--tz Europe/Madird",
        "--from tomorrow",
        "--until 2026-03-02T08",
        "give either --factor, what is expected is multiplied with, or --no-paging",
        "--segment land=ES,topic=",
        "--segment land=ES,topic=",
    ]
    ways = ("--segment", "*", "--from", "2026-03-02T08:00Z")
    for options, fault in (
        (("--until", "2026-03-02T07:00Z", "--factor", "2"), "is not after --from"),
        (("--until", "2026-03-02T09:00Z", "--factor", "2"), "is over"),
        (("--until", "2126-03-02T09:00Z", "--factor", "-2"), "factor: "),
        (("--until", "2126-03-02T09:00Z", "--factor", "2", "--no-paging"), "either --factor"),
    ):
        done = pegel("calendar", "add", "x", *ways, *options)
        assert (done.returncode, fault in done.stderr) == (2, True), done.stderr
    assert pegel("calendar", "list", "--all").stdout == ""


async def test_what_another_wrote_is_listed_once_and_what_nobody_can_read_not_at_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = data_mode(tmp_path / "data", partitions=PARTITIONS)
    await feed(settings, [], minutes=5.5)
    log = connect(settings)
    wanted = {"id": "6f0c1a53-9b7e-4f7e-8a53-0d6a1c1f5a01", "name": "Fair", "line": ("ES", "*"), "factor": 2.0}
    record = CalendarRecord.model_validate({**wanted, "since": START, "until": START + timedelta(days=1)})
    for value in (record.encode(), record.encode(), b'{"kind":"calendar","v":7}', b'{"kind":"calendarium"'):
        await log.append(COUNTS, 0, [NewRecord(value)])
    await log.close()
    assert await asyncio.to_thread(show, settings, everything=False, as_json=False) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{record.id}  told ")
