"""kill -9 of each service under load, at named points and at random moments: nothing is lost, nothing stands twice."""

import asyncio
import contextlib
import itertools
import random
import signal
from collections.abc import AsyncIterator

import pytest

from support.faults import FULL, MARKS, often
from support.faults_cluster import NAMES, Cluster

POINTS = {
    "ingest": [f"{when} append contacts:{number}" for when in ("before", "after") for number in (1, 6)],
    "counter": [
        f"{when} append {what}:1"
        for what in ("claim", "claim on counts", "claim on rejected", "counts", "rejected", "chunk", "manifest")
        for when in ("before", "after")
    ],
    "judge": [
        f"{when} append {what}:1"
        for what in ("claim", "claim on windows", "windows", "chunk", "manifest")
        for when in ("before", "after")
    ],
    "alerter": [
        *(f"{when} move {part}:2" for part in ("incidents", "ledger") for when in ("before", "after")),
        *(f"after effect {part}:2" for part in ("incidents", "ledger")),
        *(f"after apply {part}:2" for part in ("incidents", "ledger")),
        *(f"{when} {step} webhook:1" for step in ("claim", "send", "settle") for when in ("before", "after")),
    ],
}

pytestmark = [*MARKS, pytest.mark.timeout(600)]


@pytest.mark.timeout(240)
async def test_nothing_is_disturbed(faulted: Cluster) -> None:
    await faulted.start_all()
    async with faulted.load as load:
        await faulted.booked_on(2)
        await faulted.paged(0)
        await faulted.check()
        assert load.statuses.keys() == {202}
        assert faulted.incidents() == ["quiet-0"]
        await faulted.stop_all()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", NAMES)
async def test_kill_9_at_random_moments(faulted: Cluster, name: str) -> None:
    chance, times = random.Random(), often(20, 2)
    await faulted.start_all()
    async with faulted.load as load:
        await faulted.booked_on(1)
        for number in range(times):
            (victim,) = faulted.running(name)
            await faulted.grown("contacts", chance.randrange(1, 200))
            await load.surge(number)
            await victim.kill()
            await faulted.start(name)
            await faulted.check()
            load.resume()
        await faulted.paged(times)
        await faulted.check()
        await faulted.stop_all()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", NAMES)
async def test_kill_9_at_each_named_point(faulted: Cluster, name: str) -> None:
    numbers = itertools.count()
    await faulted.start_all()
    async with faulted.load as load:
        await faulted.booked_on(1)
        for point in often(POINTS[name], random.sample(POINTS[name], 4)):
            for victim in faulted.running(name):
                await victim.kill()
            dying = await faulted.start(name, "--crash", point, ready=False)
            async with provoking(faulted, next(numbers)):
                assert await dying.end(90) == -signal.SIGKILL, f"{point}: {dying.said[-2000:]}"
                if FULL:
                    await faulted.start(name)
            if FULL:
                await faulted.check()
                load.resume()
        if not faulted.running(name):
            await faulted.start(name)
        await faulted.paged(next(numbers))
        await faulted.check()
        await faulted.stop_all()


@contextlib.asynccontextmanager
async def provoking(faulted: Cluster, number: int) -> AsyncIterator[None]:
    """Whatever makes a service pass its points: a spike, things to reject; again and again until the block ends."""

    ended = asyncio.Event()

    async def provoke() -> None:
        while not ended.is_set():
            await faulted.load.surge(number)
            await faulted.load.trouble()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), 1)

    task = asyncio.create_task(provoke())
    try:
        yield
    finally:
        ended.set()
        if not faulted.running("ingest"):
            await faulted.start("ingest")  # what it is just sending comes to its end
        await task
