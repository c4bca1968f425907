"""Members of the groups come, go, sleep and are replaced under load: each partition has one writer that counts."""

import json
import random
import signal

import pytest

from pegel.eventlog.port import COUNTS, WINDOWS
from support import stages
from support.faults import MARKS, often
from support.faults_cluster import NAMES, Cluster, Process
from support.faults_load import NOBODY
from support.launcher import MORE
from support.wait import until

pytestmark = [*MARKS, pytest.mark.timeout(3600)]


async def test_sigterm_under_load_drains_in_the_grace_time(faulted: Cluster) -> None:
    await faulted.start_all()
    async with faulted.load as load:
        await faulted.booked_on(1)
        for name in NAMES:
            (old,) = faulted.running(name)
            assert await old.stop() == 0, old.said[-2000:]
            await faulted.start(name)
        await faulted.paged(0)
        await faulted.check()
        assert load.statuses.keys() <= {202, NOBODY}, "what was taken was answered"
        await faulted.stop_all()


@pytest.mark.parametrize(("name", "stream"), [("counter", COUNTS), ("judge", WINDOWS)])
async def test_a_sleeper_that_was_replaced_wakes_as_another_build_and_changes_nothing(
    faulted: Cluster, name: str, stream: str
) -> None:
    others = [each for each in NAMES if each != name]
    sleeper = await faulted.start(name, "--sleep", f"before append {stream}:4")
    await faulted.start_all(*others)
    async with faulted.load as load:
        await until(lambda: sleeper.asleep, 60)
        await faulted.start(name)
        await faulted.booked_on(3)

        sleeper.signal(signal.SIGCONT)
        await until(lambda: wrote_in_vain(faulted, stream), 60)
        await faulted.check()
        load.resume()
        # It is a member again, and writes right things under new claims.
        await faulted.paged(0)
        await faulted.check()
        await faulted.stop_all()


async def wrote_in_vain(faulted: Cluster, stream: str) -> bool:
    """Whether what only a woken sleeper writes stands in the stream."""
    for record in (await stages.read(faulted.log, stream))[0]:
        origin = json.loads(record.value).get("origin")
        if origin and origin["offset"] >= MORE:
            return True
    return False


async def test_members_join_and_leave(faulted: Cluster) -> None:
    chance = random.Random()
    await faulted.start_all()
    async with faulted.load as load:
        await faulted.booked_on(1)
        for _ in range(often(20, 3)):
            name = chance.choice(("counter", "judge"))
            await faulted.start(name, ready=chance.random() < 0.7)
            if len(faulted.running(name)) > 2 or chance.random() < 0.7:
                leaving: Process = chance.choice(faulted.running(name))
                if chance.random() < 0.5:
                    await leaving.kill()
                else:
                    await faulted.ready(leaving)
                    assert await leaving.stop() == 0, leaving.said[-2000:]
            await faulted.check()
            load.resume()
        await faulted.paged(0)
        await faulted.check()
        await faulted.stop_all()


async def test_a_rolling_upgrade_under_load(faulted: Cluster) -> None:
    """Each process is replaced by one of the next release, whose states and whose model are not this one's."""
    next_release = {
        "counter": ("--state-version", "counter/next"),
        "judge": ("--model-version", "pegel/next"),
    }
    await faulted.start_all(*NAMES, "ingest", "counter", "alerter")
    async with faulted.load as load:
        await faulted.booked_on(1)
        await faulted.paged(0)
        for name in NAMES:
            for old in faulted.running(name):
                new = await faulted.start(name, *next_release.get(name, ()))
                assert await old.stop() == 0, old.said[-2000:]
                await faulted.booked_on(1)
                assert new.alive
        await faulted.paged(1)
        # The two releases' models call themselves otherwise, and say the same.
        await faulted.check(but=("model",))
        assert faulted.incidents() == ["quiet-0", "quiet-1"]
        assert load.statuses.keys() == {202}
        await faulted.stop_all()
