"""A broker that dies in mid-stream and comes back: appends fail in time, and nothing acknowledged is lost."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pegel.eventlog.kafka import KafkaLog
from pegel.eventlog.port import CONTACTS, LogUnavailable, NewRecord, StreamSpec
from support import servers
from support.wait import until

PARTITIONS = 2
DEADLINE_SECONDS = 2.0


class Broker:
    """A broker of this test's own, which can be killed."""

    def __init__(self, folder: Path) -> None:
        self.port = servers.free_port(2)
        self.environment = {**os.environ, "KAFKA_DATA": str(folder), "KAFKA_PORT": str(self.port)}
        self.folder = folder

    def run(self, what: str) -> None:
        subprocess.run([servers.KAFKA, what], env=self.environment, check=True, capture_output=True)

    def kill(self) -> None:
        os.kill(int((self.folder / "pid").read_text()), signal.SIGKILL)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    servers.command("java", "Java 17", "openjdk-17-jre-headless")
    broker = Broker(tmp_path)
    broker.run("start")
    yield broker
    broker.run("stop")


@pytest.mark.kafka
@pytest.mark.timeout(180)
async def test_a_killed_broker_loses_nothing_that_was_acknowledged(broker: Broker) -> None:
    log = KafkaLog([f"127.0.0.1:{broker.port}"], "outage", deadline_seconds=DEADLINE_SECONDS)
    await log.create([StreamSpec(CONTACTS, PARTITIONS)])
    reader = log.reader(CONTACTS, dict.fromkeys(range(PARTITIONS), 0))
    acknowledged: dict[tuple[int, int], bytes] = {}
    refused: list[LogUnavailable] = []
    seen: list[tuple[int, int, bytes]] = []
    done = asyncio.Event()

    async def write(name: int) -> None:
        clock = asyncio.get_running_loop().time
        number = 0
        while not done.is_set():
            number += 1
            value, partition, began = b"%d:%d" % (name, number), name % PARTITIONS, clock()
            try:
                (placed,) = await log.append(CONTACTS, partition, [NewRecord(value)])
                acknowledged[partition, placed.offset] = value
            except LogUnavailable as error:
                refused.append(error)
                assert clock() - began < DEADLINE_SECONDS + 1.5

    async def read() -> None:
        while not done.is_set():
            for records in (await reader.fetch(wait_seconds=0.2)).values():
                seen.extend((record.partition, record.offset, record.value) for record in records)

    async with asyncio.TaskGroup() as tasks:
        for name in range(4):
            tasks.create_task(write(name))
        tasks.create_task(read())
        await until(lambda: len(acknowledged) > 100)
        await asyncio.to_thread(broker.kill)
        await until(lambda: len(refused) >= 4, 20)
        await asyncio.to_thread(broker.run, "start")
        before = len(acknowledged)
        await until(lambda: len(acknowledged) > before + 100, 60)
        done.set()

    bounds = await log.bounds(CONTACTS)

    async def all_read() -> bool:
        for records in (await reader.fetch(wait_seconds=0.2)).values():
            seen.extend((record.partition, record.offset, record.value) for record in records)
        return len(seen) >= sum(bound.end for bound in bounds.values())

    await until(all_read)
    assert f"Kafka at 127.0.0.1:{broker.port}" in str(refused[0])
    there = {(partition, offset): value for partition, offset, value in seen}
    assert len(there) == len(seen), "nothing is read twice"
    assert len(set(there.values())) == len(there), "nothing is in the log twice"
    assert acknowledged.items() <= there.items()
    await log.close()


@pytest.mark.kafka
@pytest.mark.timeout(180)
async def test_a_reader_that_is_closed_while_the_broker_is_away_does_not_end_its_task(broker: Broker) -> None:
    log = KafkaLog([f"127.0.0.1:{broker.port}"], "outage", deadline_seconds=DEADLINE_SECONDS)
    await log.create([StreamSpec(CONTACTS, PARTITIONS)])

    looks = [0] * 4

    async def look(number: int) -> str:
        """As a service's loop does: it reads and looks, closes its reader when the log is away, and goes on."""
        reader = log.reader(CONTACTS, dict.fromkeys(range(PARTITIONS), 0))
        try:
            while True:
                await reader.fetch(wait_seconds=0.2)
                await log.bounds(CONTACTS)
                looks[number] += 1
        except LogUnavailable:
            await reader.close()
            return "closed"

    looking = [asyncio.create_task(look(number)) for number in range(len(looks))]
    await until(lambda: min(looks) > 2)
    await asyncio.to_thread(broker.kill)
    assert await asyncio.gather(*looking) == ["closed"] * len(looks)
    await log.close()
