"""The broker restarts, is away, hangs; connections to it are cut: sources are told to wait, nothing else happens."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from support.faults import MARKS, often
from support.faults_cluster import Cluster, cluster
from support.faults_servers import Broker, Servers
from support.wait import until

pytestmark = [*MARKS, pytest.mark.timeout(900)]
AWAY_SECONDS = often(60, 15)
RESIDENT_MB_MAX = 300
"""What ingest may hold in memory, whatever happens."""


@contextlib.asynccontextmanager
async def under_load(faulted: Cluster) -> AsyncIterator[None]:
    """All services and a load; afterwards a spike is still paged, and everything is checked."""
    await faulted.start_all()
    async with faulted.load:
        await faulted.booked_on(2)
        yield
        await faulted.booked_on(2, 120)
        await faulted.paged(0, 120)
        await faulted.check(seconds=120)
        await faulted.stop_all()


async def test_the_broker_restarts(faulted: Cluster, fault_servers: Servers) -> None:
    broker = fault_servers.broker
    async with under_load(faulted):
        await asyncio.to_thread(broker.stop)
        await asyncio.to_thread(broker.start)


async def test_the_broker_is_killed_and_restarts(faulted: Cluster, fault_servers: Servers) -> None:
    broker = fault_servers.broker
    async with under_load(faulted):
        broker.kill()
        await asyncio.to_thread(broker.start)


@pytest.mark.parametrize("how", ["stopped", "hanging"])
async def test_the_broker_is_away(faulted: Cluster, fault_servers: Servers, how: str) -> None:
    broker = fault_servers.broker
    async with under_load(faulted):
        (ingest,) = faulted.running("ingest")
        before = len(faulted.load.acknowledged)
        async with away(broker, how):
            await until(lambda: faulted.load.statuses[503] > 0, 30)
            async with httpx.AsyncClient(timeout=15, trust_env=False) as client:
                answer = await client.post(f"{ingest.url}/v1/contacts", json=faulted.load.contact())
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            await asyncio.sleep(AWAY_SECONDS)
        assert all(process.alive for process in faulted.processes), "nobody ends because the broker is away"
        await until(lambda: len(faulted.load.acknowledged) > before + 200, 60)
        assert ingest.resident_mb_max < RESIDENT_MB_MAX


@contextlib.asynccontextmanager
async def away(broker: Broker, how: str) -> AsyncIterator[None]:
    """Nobody answers at its address, or its process is there and answers nothing."""
    if how == "hanging":
        broker.pause()
    else:
        await asyncio.to_thread(broker.stop)
    try:
        yield
    finally:
        if how == "hanging":
            broker.resume()
        else:
            await asyncio.to_thread(broker.start)


async def test_connections_are_cut_at_random(fault_servers: Servers, tmp_path: Path) -> None:
    chance = random.Random()
    async with cluster(fault_servers, tmp_path, proxied=True) as faulted, under_load(faulted):
        for _ in range(often(60, 15)):
            await asyncio.sleep(chance.uniform(0.3, 1.5))
            await asyncio.to_thread(fault_servers.proxy.cut, chance, 0.3)
        assert fault_servers.proxy.cut_so_far > 10
