"""Too little and too much: nobody sends, ten times as much comes, the disk is full."""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.faults import MARKS, often
from support.faults_cluster import BUCKET_SECONDS, Cluster, cluster
from support.faults_load import Load
from support.faults_servers import Servers
from support.wait import until

pytestmark = [*MARKS, pytest.mark.timeout(600)]
SILENT_BUCKETS = 20
DISK_MB = 12
RESIDENT_MB_MAX = {"ingest": 300, "counter": 300, "judge": 300, "alerter": 300}
"""What each service may hold in memory at its highest."""


async def test_all_ingests_are_silent_for_twenty_buckets(faulted: Cluster) -> None:
    """Nobody observed them: a gap, nothing learnt of it, and no page when the load is back."""
    await faulted.start_all(*("ingest", "counter", "judge", "alerter"), "ingest")
    async with faulted.load as load:
        await faulted.booked_on(2)
        await faulted.paged(0)
        await load.pause()
        pages = dict(faulted.receiver.told)
        for ingest in faulted.running("ingest"):
            await ingest.kill()
        await asyncio.sleep(SILENT_BUCKETS * BUCKET_SECONDS)
        await faulted.start_all("ingest", "ingest")
        load.resume()
        await faulted.booked_on(5)
        await faulted.check()
        assert faulted.receiver.told == pages, "nobody is paged on the return"
        gaps = [one for one in await faulted.windows("bucket") if one["status"] == "gap"]
        longest = max(one["to"] - one["bucket"] for one in gaps)
        assert longest >= SILENT_BUCKETS - 3, "a run of empty gaps is one record"
        await faulted.stop_all()


@pytest.mark.parametrize("what", ["many requests", "large bodies"])
async def test_a_burst_of_ten_times_the_load(faulted: Cluster, what: str) -> None:
    """Ingest says 429 before memory grows; what was taken is counted, and the lag drains."""
    limits = {"PEGEL_INGEST_REQUESTS_MAX": "2"} if what == "many requests" else {"PEGEL_INGEST_BYTES_MAX": "8000000"}
    (ingest, *_) = await asyncio.gather(
        faulted.start("ingest", over=limits), *(faulted.start(name) for name in ("counter", "judge", "alerter"))
    )
    async with faulted.load as load:
        await faulted.booked_on(2)
        if what == "many requests":
            async with Load(load.targets, rate=10 * load.rate, seed=2) as burst:
                await asyncio.sleep(often(60, 12))
                await burst.pause()
        else:
            burst = Load(load.targets, seed=2)
            async with burst:
                await burst.pause()
                for _ in range(often(6, 2)):
                    await asyncio.gather(*(burst.send(large(burst)) for _ in range(6)))
        assert burst.statuses[429] > 0
        load.acknowledged |= burst.acknowledged
        await faulted.check(seconds=120)
        for process in faulted.processes:
            assert process.resident_mb_max < RESIDENT_MB_MAX[process.name], process.name
        load.resume()
        await faulted.paged(0)
        await faulted.check()
        assert ingest.alive
        await faulted.stop_all()


def large(load: Load) -> list[dict[str, object]]:
    """A body of some 2 MB."""
    return [load.contact() for _ in range(10_000)]


async def test_the_disk_is_full_under_the_embedded_log(fault_servers: Servers, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        async with cluster(fault_servers, tmp_path, log_folder=disk / "log") as faulted:
            await faulted.start_all()
            async with faulted.load as load:
                await faulted.booked_on(2)
                ballast = disk / "ballast"
                fill(ballast)
                await until(lambda: load.statuses[503] > 3, 60)
                (ingest,) = faulted.running("ingest")
                async with httpx.AsyncClient(timeout=15, trust_env=False) as client:
                    answer = await client.post(f"{ingest.url}/v1/contacts", json=load.contact())
                assert answer.status_code == 503
                assert "full" in answer.json()["detail"]
                assert int(answer.headers["retry-after"]) > 0
                await asyncio.sleep(5)
                assert all(process.alive for process in faulted.processes)

                ballast.unlink()
                before = len(load.acknowledged)
                await until(lambda: len(load.acknowledged) > before + 100, 60)
                await faulted.paged(0)
                await faulted.check()
                await faulted.stop_all()


def fill(path: Path) -> None:
    """Take all that is left of the disk."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of its own of a few megabytes, in memory. Needs root, as the packages of the real servers do."""
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.fail("a small disk can be mounted by root only: run `make test-faults` as root", pytrace=False)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
