"""The detector's composition root: counter, judge, or both."""

import asyncio
import os
import socket
from collections.abc import Coroutine
from typing import Literal

from pegel.detector import models
from pegel.detector.counter.domain import counting
from pegel.detector.counter.pipeline import job as counter_job
from pegel.detector.judge.domain import judging
from pegel.detector.judge.pipeline import job as judge_job
from pegel.eventlog.connect import connect
from pegel.eventlog.identity import Identity, open_identity
from pegel.eventlog.jobs import Job
from pegel.eventlog.port import EventLog
from pegel.eventlog.processing import Processing
from pegel.runtime.http import make_app
from pegel.runtime.probes import Probe
from pegel.runtime.serve import Service
from pegel.runtime.settings import Settings


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
        make = models.detector(settings, meta.bucket_seconds, meta.dimensions)
        beside = models.rules(settings, meta.bucket_seconds, meta.dimensions)
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
