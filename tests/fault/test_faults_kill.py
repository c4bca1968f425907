"""kill -9 of each service under load, at named points and at random moments: nothing is lost, nothing stands twice."""

import random

import pytest

from support.faults import MARKS, often
from support.faults_cluster import NAMES, Cluster

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


@pytest.mark.timeout(1800)
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
