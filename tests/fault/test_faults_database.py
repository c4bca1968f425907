"""PostgreSQL is stopped at once, is away, and comes back as it was last night: pages and books catch up, once each."""

import asyncio
import time

import pytest

from support.faults import MARKS, often
from support.faults_cluster import Cluster
from support.faults_load import QUIET
from support.faults_servers import Servers
from support.wait import until

pytestmark = [*MARKS, pytest.mark.timeout(900)]
AWAY_SECONDS = often(60, 15)
PAGE_SECONDS_MAX = 30.0
"""From the return of the database to the page of what rose meanwhile."""


async def test_the_database_is_away(faulted: Cluster, fault_servers: Servers) -> None:
    postgres = fault_servers.postgres
    await faulted.start_all()
    async with faulted.load as load:
        await faulted.booked_on(2)
        await faulted.paged(0)
        await asyncio.to_thread(postgres.stop)
        try:
            await load.surge(1)
            await until(lambda: spiking(faulted, 1), 30)
            await asyncio.sleep(AWAY_SECONDS)
            assert load.statuses.keys() == {202}, "sources do not notice"
            assert all(process.alive for process in faulted.processes)
        finally:
            await asyncio.to_thread(postgres.start)
        back = time.monotonic()
        await until(lambda: QUIET[1][1] in faulted.pages("incident.opened"), PAGE_SECONDS_MAX)
        assert time.monotonic() - back < PAGE_SECONDS_MAX
        await faulted.check()
        assert faulted.incidents() == ["quiet-0", "quiet-1"]
        await faulted.stop_all()


async def spiking(faulted: Cluster, number: int) -> bool:
    """Whether the judge has said that the quiet segment is in a spike; it is made to rise until then."""
    if await faulted.spikes(QUIET[number][1]):
        return True
    await faulted.load.surge(number, 20)
    await asyncio.sleep(1)
    return False


async def test_last_nights_backup_is_restored(faulted: Cluster, fault_servers: Servers) -> None:
    postgres = fault_servers.postgres
    await faulted.start_all()
    async with faulted.load as load:
        await faulted.booked_on(1)
        await faulted.paged(0)
        backup = await asyncio.to_thread(postgres.dump, faulted.database)
        await faulted.paged(1)
        await faulted.booked_on(2)
        pages = dict(faulted.receiver.told)

        (alerter,) = faulted.running("alerter")
        await alerter.kill()
        await asyncio.to_thread(postgres.restore, faulted.database, backup)
        await faulted.start("alerter")
        await faulted.check()
        # What was sent before is sent under its old id, so no receiver takes it for another.
        assert pages.items() <= faulted.receiver.told.items()
        assert faulted.incidents() == ["quiet-0", "quiet-1"]
        load.resume()
        await faulted.paged(2)
        await faulted.check()
        await faulted.stop_all()
