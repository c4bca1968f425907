"""The detector's composition root: counter, judge, or both."""

import asyncio
import functools
import os
import socket
from collections.abc import Callable, Coroutine
from typing import Literal

from pegel.detector import models
from pegel.detector.counter.domain import counting
from pegel.detector.counter.pipeline import job as counter_job
from pegel.detector.judge.domain import judging
from pegel.detector.judge.domain.days import Calendar
from pegel.detector.judge.domain.models.kernel import Kernel
from pegel.detector.judge.domain.seasons import Zones
from pegel.detector.judge.pipeline import job as judge_job
from pegel.detector.judge.ports import Detector
from pegel.eventlog.connect import connect
from pegel.eventlog.identity import Identity, open_identity
from pegel.eventlog.jobs import Job
from pegel.eventlog.port import EventLog
from pegel.eventlog.processing import Processing
from pegel.runtime.http import make_app
from pegel.runtime.probes import Probe
from pegel.runtime.serve import Service
from pegel.runtime.settings import Settings
from pegel.runtime.zones import zone_of_country


def build(settings: Settings, only: Literal["counter", "judge"] | None = None) -> Service:
    """The detector, or one of its halves. Raises ConfigurationError for a model that does not exist."""
    models.check(settings)
    probe = Probe("detector", parts=("counter", "judge") if only is None else (only,))
    app = make_app(
        "detector",
        probe,
        title="Pegel detector",
        description="Counts contacts and judges the counts. It has probes and metrics, and no other interface.",
        body_bytes_max=settings.body_bytes_max,
    )

    async def run(stop: asyncio.Event) -> None:
        log = connect(settings)
        try:
            identity = await open_identity(log, settings)
            await asyncio.gather(*halves(log, identity, settings, probe, only, stop))
        finally:
            await log.close()

    return Service("detector", settings.detector_port, app, probe, run)


def halves(
    log: EventLog,
    identity: Identity,
    settings: Settings,
    probe: Probe,
    only: Literal["counter", "judge"] | None,
    stop: asyncio.Event,
) -> list[Coroutine[None, None, None]]:
    """The loops to run, made of the log's identity and the settings."""
    meta, owner = identity.meta, f"{socket.gethostname()}-{os.getpid()}"[:128]
    jobs: list[Job] = []
    if only != "judge":
        rules = counting.Rules(
            clock=meta.clock,
            bucket_seconds=meta.bucket_seconds,
            delay_seconds=meta.delay_seconds,
            dimensions=meta.dimensions,
            made_at_ms=identity.made_at_ms,
            horizon_hours=settings.dedup_horizon_hours,
        )
        jobs.append(counter_job(rules))
    if only != "counter":
        judge_rules = judging.Rules(
            clock=meta.clock,
            bucket_seconds=meta.bucket_seconds,
            delay_seconds=meta.delay_seconds,
            partitions=meta.partitions,
            dimensions=meta.dimensions,
            made_at_ms=identity.made_at_ms,
            max_segments=settings.max_segments,
            false_pages_per_week=settings.false_pages_per_week,
        )
        country_at = meta.dimensions.index("country") if "country" in meta.dimensions else None
        topic_at = meta.dimensions.index("topic") if "topic" in meta.dimensions else len(meta.dimensions) - 1
        zones = Zones(zone_of_country(settings.zones), country_at)
        holidays = Calendar(country_at, None if settings.holidays == "auto" else {})
        make: Callable[[], Detector] = functools.partial(Kernel, meta.bucket_seconds, zones, topic_at, holidays)
        beside = models.rules(settings, meta.bucket_seconds, zones)
        jobs.append(judge_job(judge_rules, make, meta.partitions, beside))
    loops = [
        Processing(
            log,
            job,
            log_id=meta.log_id,
            owner=owner,
            probe=probe,
            snapshot_seconds=settings.snapshot_seconds,
            unreadable_max=settings.unreadable_max,
        )
        for job in jobs
    ]
    return [loop.run(stop) for loop in loops]
