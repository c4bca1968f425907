"""`pegel promote` on an embedded log while counter and judge run: from a bucket on another model pages."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from pegel.cli.promote import promote
from pegel.detector import metrics
from pegel.detector.app import build
from pegel.eventlog.connect import connect
from pegel.eventlog.port import WINDOWS, EventLog
from pegel.runtime.settings import ConfigurationError, Settings
from pegel.schemas.detection import BucketRecord, WindowRecord
from support.wait import until
from support.whole import START, bucket, contact, data_mode, feed, put, tick

PARTITIONS = 1
GAUSSIAN = "river.anomaly.GaussianScorer"

pytestmark = pytest.mark.timeout(120)


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


async def judged(log: EventLog) -> tuple[int, dict[int, str]]:
    """The end of what is judged, and which model paged, by observed bucket."""
    bounds = (await log.bounds(WINDOWS))[0]
    reader, end, pages = log.reader(WINDOWS, {0: bounds.begin}), 0, {}
    while reader.positions()[0] < bounds.end:
        for record in (await reader.fetch()).get(0, ()):
            if b'"kind":"bucket"' in record.value:
                end = BucketRecord.decode(record.value).to
            elif b'"kind":"window"' in record.value:
                window = WindowRecord.decode(record.value)
                pages[window.bucket] = window.model
    await reader.close()
    return end, pages


async def judged_to(log: EventLog, minutes: float) -> dict[int, str]:
    async def there() -> bool:
        return (await judged(log))[0] >= bucket(minutes)

    await until(there, 60)
    return (await judged(log))[1]


async def test_another_model_pages_from_the_bucket_named_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Minutes:  0                    10                  20                    30             40
    # Pages:    |pegel               |pegel  promoted at 20: the estimator     |pegel again, from now on
    settings = data_mode(tmp_path / "data", partitions=PARTITIONS, detector_port=1, challengers=GAUSSIAN)
    await feed(settings, [contact(n, n) for n in range(10)], minutes=10.5)
    async with detecting(settings) as log:
        await judged_to(log, 10)
        with pytest.raises(ConfigurationError, match="pegel pages already"):
            await asyncio.to_thread(promote, settings, "pegel", None)
        with pytest.raises(ConfigurationError, match=f"{GAUSSIAN} has given no score lately"):
            await asyncio.to_thread(promote, settings, GAUSSIAN, None)
        at = START + timedelta(minutes=20)
        assert await asyncio.to_thread(promote, settings, GAUSSIAN, at.isoformat(), unheard=True) == 0
        out = capsys.readouterr().out
        assert f"{GAUSSIAN} pages from the bucket that begins at 2026-01-05 00:20:00 UTC on" in out
        assert "before it pegel/1 does" in out
        await put(log, PARTITIONS, [contact(n, n) for n in range(10, 30)])
        await tick(log, PARTITIONS, 30.5)
        pages = await judged_to(log, 30)
        assert [pages[bucket(minute)].partition("/")[0] for minute in range(0, 30, 5)] == [
            *["pegel"] * 4,
            *[GAUSSIAN] * 2,
        ]
        assert await asyncio.to_thread(promote, settings, "pegel", None) == 0
        await put(log, PARTITIONS, [contact(n, n) for n in range(30, 40)])
        await tick(log, PARTITIONS, 40.5)
        pages = await judged_to(log, 40)
    assert [pages[bucket(minute)].partition("/")[0] for minute in range(20, 40, 5)] == [
        *[GAUSSIAN] * 2,
        *["pegel"] * 2,
    ]


async def test_the_model_that_was_promoted_pages_after_a_restart_without_its_name(tmp_path: Path) -> None:
    settings = data_mode(tmp_path / "data", partitions=PARTITIONS, detector_port=1, challengers=GAUSSIAN)
    await feed(settings, [contact(n, n) for n in range(10)], minutes=10.5)
    async with detecting(settings) as log:
        await judged_to(log, 10)
        await asyncio.to_thread(promote, settings, GAUSSIAN, None, unheard=True)
        await put(log, PARTITIONS, [contact(n, n) for n in range(10, 20)])
        await tick(log, PARTITIONS, 20.5)
        await judged_to(log, 20)
    async with detecting(settings.model_copy(update={"challengers": ""})) as log:
        await put(log, PARTITIONS, [contact(n, n) for n in range(20, 30)])
        await tick(log, PARTITIONS, 30.5)
        pages = await judged_to(log, 30)
    assert [pages[bucket(minute)].partition("/")[0] for minute in range(0, 30, 5)] == [
        *["pegel"] * 2,
        *[GAUSSIAN] * 4,
    ]


async def test_a_promotion_that_the_judge_refuses_is_counted(tmp_path: Path) -> None:
    settings = data_mode(tmp_path / "data", partitions=PARTITIONS, detector_port=1)
    await feed(settings, [contact(n, n) for n in range(10)], minutes=10.5)
    before = metrics.PROMOTIONS_REFUSED._value.get()
    async with detecting(settings) as log:
        await judged_to(log, 10)
        await asyncio.to_thread(promote, settings, GAUSSIAN, None, unheard=True)
        await until(lambda: refused(before + 1), 60)
        await put(log, PARTITIONS, [contact(n, n) for n in range(10, 20)])
        await tick(log, PARTITIONS, 20.5)
        assert set((await judged_to(log, 20)).values()) == {"pegel/1"}


async def refused(count: float) -> bool:
    return bool(metrics.PROMOTIONS_REFUSED._value.get() == count)


@pytest.mark.parametrize(
    ("model", "since", "fault"),
    [
        ("pegel", "yesterday", "--from yesterday: Invalid isoformat string"),
        ("pegel", "2026-03-02T09:00", "--from 2026-03-02T09:00: give it with its zone"),
        ("a model", None, "a model: String should match pattern"),
    ],
)
async def test_what_is_no_model_and_no_time_is_refused(
    tmp_path: Path, model: str, since: str | None, fault: str
) -> None:
    settings = data_mode(tmp_path / "data", partitions=PARTITIONS)
    await feed(settings, [], minutes=1)
    with pytest.raises(ConfigurationError, match=fault):
        await asyncio.to_thread(promote, settings, model, since, unheard=True)
