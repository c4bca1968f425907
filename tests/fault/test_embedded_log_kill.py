"""Four processes write the embedded log and two read it, all killed with -9 at random moments, again and again."""

import asyncio
import random
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from pegel.eventlog.port import CONTACTS, StreamSpec
from pegel.eventlog.sqlite import SqliteLog
from support.eventlogs import READER_SCRIPT, WRITER_SCRIPT

PARTITIONS, WRITERS, READERS = 3, 4, 2
SECONDS = 10.0
KILLS_MIN = 10

Lines = list[tuple[int, int, str]]


def lines(path: Path) -> Lines:
    """What a process wrote down: (partition, offset, value)."""
    if not path.exists():
        return []
    split = (line.split() for line in path.read_text().splitlines())
    return [(int(partition), int(offset), value) for partition, offset, value in split]


def disturb(log: Path, folder: Path, seconds: float, chance: random.Random) -> int:
    """Keep all processes running for `seconds`, killing one of them at a time; how many were killed in their work."""
    kills = 0
    running: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}

    def start(role: str) -> None:
        # Each life has a file and a name of its own: a reader begins anew, a writer's values are never repeated.
        life = f"{role}-{kills}"
        file = folder / life
        arguments = [log, file] if role.startswith("reader") else [log, life, file]
        script = READER_SCRIPT if role.startswith("reader") else WRITER_SCRIPT
        running[role] = subprocess.Popen([sys.executable, script, *map(str, arguments)]), file

    try:
        for role in [f"writer{n}" for n in range(WRITERS)] + [f"reader{n}" for n in range(READERS)]:
            start(role)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(chance.uniform(0.1, 0.6))
            role = chance.choice([role for role, (_, file) in running.items() if file.exists()] or ["none"])
            if role == "none":
                continue
            process, _ = running[role]
            assert process.poll() is None, f"{role} ended by itself with {process.returncode}"
            process.kill()
            process.wait()
            kills += 1
            start(role)
    finally:
        for process, _ in running.values():
            process.kill()
            process.wait()
    return kills


async def whole_log(folder: Path) -> dict[int, list[str]]:
    """All values by partition, in order of their offsets, which must be dense."""
    log = SqliteLog(folder)
    try:
        bounds = await log.bounds(CONTACTS)
        reader = log.reader(CONTACTS, dict.fromkeys(bounds, 0))
        found: dict[int, list[str]] = {partition: [] for partition in bounds}
        times: dict[int, list[int]] = defaultdict(list)
        while any(len(found[partition]) < bound.end for partition, bound in bounds.items()):
            for partition, records in (await reader.fetch()).items():
                assert records[0].offset == len(found[partition])
                found[partition] += [record.value.decode() for record in records]
                times[partition] += [record.time_ms for record in records]
        assert all(column == sorted(column) for column in times.values())
        return found
    finally:
        await log.close()


@pytest.mark.timeout(60)
def test_every_acknowledged_record_is_there_once_and_in_one_order(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    chance = random.Random()

    async def make() -> None:
        log = SqliteLog(folder)
        await log.create([StreamSpec(CONTACTS, PARTITIONS)])
        await log.close()

    asyncio.run(make())
    kills = disturb(folder, tmp_path, SECONDS, chance)
    assert kills >= KILLS_MIN
    found = asyncio.run(whole_log(folder))

    acknowledged = [line for path in tmp_path.glob("writer*") for line in lines(path)]
    assert len(acknowledged) > 1000
    for partition, offset, value in acknowledged:
        assert found[partition][offset] == value
    # What was appended and not acknowledged before the kill may be there too, but nothing is there twice.
    assert max(Counter(value for values in found.values() for value in values).values()) == 1

    read_lives = [lines(path) for path in tmp_path.glob("reader*")]
    assert sum(map(len, read_lives)) > 0
    for read in read_lives:
        seen: dict[int, list[str]] = {partition: [] for partition in found}
        for partition, offset, value in read:
            assert offset == len(seen[partition]), "a reader misses nothing and sees nothing twice"
            seen[partition].append(value)
        for partition, values in seen.items():
            assert values == found[partition][: len(values)], "all readers see the same order"
