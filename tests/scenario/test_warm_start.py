"""`pegel warm-start` on an embedded log while counter and judge run: the next buckets are expected as in the file."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from pegel.cli.warm_start.app import Options, warm_start
from pegel.detector.app import build
from pegel.eventlog.connect import connect
from pegel.eventlog.port import WINDOWS, EventLog
from pegel.runtime.settings import ConfigurationError, Settings
from pegel.schemas.detection import BucketRecord, WindowRecord
from support.wait import until
from support.whole import START, bucket, contact, data_mode, feed, put, tick

PARTITIONS = 2
WEEKS = 3
USUAL = 20
"""Contacts of cash machines in Spain in 5 minutes of the past; of cards in Portugal there are a tenth."""

pytestmark = pytest.mark.timeout(120)


def write_past(path: Path) -> Path:
    """Three weeks up to an hour after START."""
    rng = np.random.default_rng(4)
    lines = ["land,thema,ts,n"]
    for place in range(-WEEKS * 2016, 12):
        at = START + timedelta(minutes=5 * place)
        lines.append(f"ES,atm,{at:%Y-%m-%d %H:%M:%S},{rng.poisson(USUAL)}")
        lines.append(f"PT,cards,{at:%Y-%m-%d %H:%M:%S},{rng.poisson(USUAL / 10)}")
    path.write_bytes(gzip.compress("\n".join(lines).encode(), 1))
    return path


@asynccontextmanager
async def detecting(settings: Settings) -> AsyncIterator[EventLog]:
    """Both halves of the detector at work; the log they work on."""
    stop = asyncio.Event()
    loop = asyncio.ensure_future(build(settings).run(stop))
    log = connect(settings)
    try:
        yield log
    finally:
        await log.close()
        stop.set()
        await loop


async def judged(log: EventLog) -> tuple[int, dict[int, WindowRecord]]:
    """The end of what is judged, and what was said of each observed bucket."""
    bounds = (await log.bounds(WINDOWS))[0]
    reader, end, windows = log.reader(WINDOWS, {0: bounds.begin}), 0, {}
    while reader.positions()[0] < bounds.end:
        for record in (await reader.fetch()).get(0, ()):
            if b'"kind":"bucket"' in record.value:
                end = BucketRecord.decode(record.value).to
            elif b'"kind":"window"' in record.value:
                window = WindowRecord.decode(record.value)
                windows[window.bucket] = window
    await reader.close()
    return end, windows


async def judged_to(log: EventLog, minutes: float) -> dict[int, WindowRecord]:
    async def there() -> bool:
        return (await judged(log))[0] >= bucket(minutes)

    await until(there, 60)
    return (await judged(log))[1]


async def test_the_next_buckets_are_expected_as_in_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # File:  |--- three weeks of 20 contacts in 5 minutes ---|START|- an hour, left out -|
    # Log:                                                   |5 min, judged|  warm start  |25 minutes more, judged|
    settings = data_mode(tmp_path / "data", partitions=PARTITIONS, detector_port=1)
    past = Options(write_past(tmp_path / "past.csv.gz"), count="n", tz="UTC", segment="topic=thema,country=land")
    await feed(settings, [contact(n, n / 5) for n in range(20)], minutes=5.5)
    async with detecting(settings) as log:
        before = (await judged_to(log, 5))[bucket(0)]
        assert await asyncio.to_thread(warm_start, settings, past) == 0
        out = capsys.readouterr().out
        assert f"{WEEKS * 2016 * 2:,} counts of 2 segments, 3.0 weeks up to 2026-01-05 00:00 UTC, written in " in out
        assert "contacts from 2026-01-05 00:00 UTC on are left out" in out
        assert "the detector does not answer on this machine" in out

        await put(log, PARTITIONS, [contact(100 + n, 5 + n / 4) for n in range(100)])
        await tick(log, PARTITIONS, 30.5)
        windows = await judged_to(log, 30)
        with pytest.raises(ConfigurationError, match="has a history already"):
            await asyncio.to_thread(warm_start, settings, past)
    assert before.expected[before.segments.index(("ES", "atm"))] < USUAL / 2
    for place in range(1, 6):
        window = windows[bucket(5 * place)]
        expected = dict(zip(window.segments, window.expected, strict=True))
        assert expected["ES", "atm"] == pytest.approx(USUAL, rel=0.2)
        assert expected["PT", "cards"] == pytest.approx(USUAL / 10, rel=0.5)
