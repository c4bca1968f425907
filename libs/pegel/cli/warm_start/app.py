"""Reads a file of the past as the back-test does, writes it to the stream counts, and waits until it is learnt."""

import asyncio
import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pegel.cli.backtest.columns import Wanted
from pegel.cli.backtest.reading import read_counts
from pegel.cli.backtest.telling import utc_minute, what_was_read
from pegel.cli.backtest.zones import make_zones
from pegel.cli.history import STEP_SECONDS, encoded, has_history, steps_learnt, write
from pegel.cli.log import opened
from pegel.cli.warm_start.fitting import Past, columns_of, past_of, value_faults
from pegel.cli.warm_start.live import Live, look
from pegel.detector.judge.domain.judging import LIVE_KEPT_SECONDS
from pegel.eventlog.identity import read_identity
from pegel.eventlog.port import EventLog
from pegel.runtime.settings import ConfigurationError, Settings
from pegel.runtime.zones import zone_of_country

WAIT_SECONDS: Final = 120.0
POLL_SECONDS: Final = 0.25
DAY: Final = 86_400
METRIC: Final = "pegel_judge_history_steps"
HOW_TO_SEE: Final = (
    f"the metric {METRIC} of the detector that judges rises once it is learnt;"
    " a history that it refuses stands in its log as history_refused"
)


@dataclass(frozen=True, slots=True)
class Options:
    """As on the command line."""

    file: Path
    time: str | None = None
    segment: str | None = None
    count: str | None = None
    tz: str | None = None
    tz_by: str | None = None
    again: bool = False


def say(text: str) -> None:
    """One line on standard output."""
    print(text, flush=True)


def warm_start(settings: Settings, options: Options) -> int:
    """0 once it is written. Raises ConfigurationError for what is wrong with the options, the file or the log."""
    try:
        return asyncio.run(_warm_start(settings, options))
    except OSError as error:
        raise ConfigurationError([f"{error.filename or options.file}: {error.strerror or error}"]) from error


async def _warm_start(settings: Settings, options: Options) -> int:
    learnt = functools.partial(steps_learnt, settings.detector_port)
    async with opened(settings) as log:
        before = await asyncio.to_thread(learnt)
        await give_history(log, settings, options, time.time(), say)
        await wait_until_learnt(learnt, before, WAIT_SECONDS, say)
    return 0


async def give_history(
    log: EventLog, settings: Settings, options: Options, now_seconds: float, say: Callable[[str], None]
) -> None:
    """Write the file's past to the log. Raises ConfigurationError, and then nothing is written."""
    identity = await read_identity(log)
    dimensions = identity.meta.dimensions
    columns = columns_of(options.segment, dimensions)
    live = await look(log, identity, now_seconds)
    if live.too_late:
        raise ConfigurationError([_too_late(live)])
    if not options.again and await has_history(log):
        raise ConfigurationError(["this log has a history already; with --again the judge learns anew from this one"])
    zones = make_zones(columns, tz=options.tz, by=options.tz_by, of_country=zone_of_country(settings.zones))
    began = time.perf_counter()
    wanted = Wanted(options.time, columns, options.count)
    read = await asyncio.to_thread(read_counts, options.file, wanted, zones, STEP_SECONDS)
    for line in what_was_read(options.file, read, zones, time.perf_counter() - began):
        say(line)
    if faults := value_faults(dimensions, read.counts.names):
        raise ConfigurationError([f"{options.file}: {fault}" for fault in faults])
    past = past_of(read.counts, live.first)
    for line in _what_fits(past, live, settings):
        say(line)
    began = time.perf_counter()
    records = await asyncio.to_thread(encoded, past.start, STEP_SECONDS, past.segments, past.counts)
    await write(log, records)
    say(
        f"{past.counts.size:,} counts of {len(past.segments):,} segments,"
        f" {(past.end - past.start) / (7 * DAY):.1f} weeks up to {utc_minute(past.end)} UTC,"
        f" written in {time.perf_counter() - began:.1f} s"
    )


def _too_late(live: Live) -> str:
    assert live.observed is not None  # noqa: S101  (else it is not too late)
    return (
        f"this log's first observed bucket began at {utc_minute(live.observed)} UTC, {live.seconds / 3600:.0f} h ago by"
        f" its clock: the judge takes a history within {LIVE_KEPT_SECONDS // 3600} h of it, and has learnt from live"
        " buckets since. To begin with a history, make another log"
    )


def _what_fits(past: Past, live: Live, settings: Settings) -> list[str]:
    """What is left out, and what may surprise. Raises ConfigurationError where nothing is left."""
    lines = []
    if live.first is not None:
        if not len(past.counts):
            raise ConfigurationError(
                [f"the log's first bucket begins at {utc_minute(live.first)} UTC, and nothing in the file is before it"]
            )
        if past.contacts_cut:
            lines.append(
                f"{past.contacts_cut:,} contacts from {utc_minute(past.end)} UTC on are left out: the log's first"
                f" bucket begins at {utc_minute(live.first)} UTC, and what is live is not learnt twice"
            )
        elif live.first - past.end >= DAY:
            lines.append(f"the file ends {(live.first - past.end) / DAY:.1f} days before the log's first bucket")
    else:
        lines.append(f"this log's time has not begun: what is replayed must come after {utc_minute(past.end)} UTC")
    if len(past.segments) > settings.max_segments:
        lines.append(
            f"{len(past.segments):,} segments are more than PEGEL_MAX_SEGMENTS={settings.max_segments}:"
            " those beyond it are learnt as topic other"
        )
    return lines


async def wait_until_learnt(
    learnt: Callable[[], int | None], before: int | None, seconds: float, say: Callable[[str], None]
) -> None:
    """learnt: how many steps the judge has learnt, None where it can't be asked; before: that before the writing."""
    if before is None:
        say(f"the detector does not answer on this machine (PEGEL_DETECTOR_PORT), so this ends here: {HOW_TO_SEE}")
        return
    say(f"waiting until the judge has learnt it, at most {seconds:.0f} s")
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        steps = await asyncio.to_thread(learnt)
        if steps is not None and steps > before:
            say(f"learnt: {steps - before:,} steps, after {passed:.1f} s")
            return
        await asyncio.sleep(POLL_SECONDS)
    say(f"not learnt after {seconds:.0f} s; it stands in the log, and the judge comes to it: {HOW_TO_SEE}")
