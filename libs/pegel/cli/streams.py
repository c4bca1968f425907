"""`pegel streams create`: the streams of a log, and its identity."""

import asyncio

from pegel.cli.log import opened
from pegel.eventlog.identity import open_identity
from pegel.runtime.settings import Settings


def create(settings: Settings) -> int:
    """Make what is missing and say what the log is. Raises ConfigurationError, also where log and settings differ."""
    return asyncio.run(_create(settings))


async def _create(settings: Settings) -> int:
    async with opened(settings) as log:
        meta = (await open_identity(log, settings)).meta
    print(
        f"{settings.resolved_log_url}: log {meta.log_id}, {meta.clock} clock, buckets of {meta.bucket_seconds} s,"
        f" delay {meta.delay_seconds} s, {meta.partitions} partitions, dimensions {', '.join(meta.dimensions)}"
    )
    return 0
