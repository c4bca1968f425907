"""A burst of more than ingest can take: senders are told to come again before its memory grows."""

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
import pytest

from support import runs
from support.ingests import JSON, contact
from support.wait import until

SENDERS: Final = 30
BURST_SECONDS: Final = 6
RESIDENT_MIB_MAX: Final = 320
"""What the settings say (pegel.runtime.settings): 64 MiB for the process, and 8 times PEGEL_INGEST_BYTES_MAX."""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[runs.Place]:
    with runs.place(tmp_path) as place:
        yield place


@pytest.fixture
def serving(here: runs.Place) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that serves ingest on the embedded log."""
    with (here.folder / "ingest.log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "pegel", "serve", "ingest"],
            cwd=here.folder,
            env=here.env(),
            stdin=subprocess.DEVNULL,
            stderr=output,
        )
        yield process
        process.kill()
        process.wait()


def resident_mib_most(pid: int) -> int:
    """The most memory that a process ever had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def smallest_contacts() -> bytes:
    """The body that takes most memory: as large as is taken, of contacts that say as little as they may."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    items = [
        {"event_id": str(number), "occurred_at": now, "country": "ES", "topic": "a", "channel": "app"}
        for number in range(52_000)
    ]
    return json.dumps(items, separators=(",", ":")).encode()


@pytest.mark.timeout(120)
async def test_a_burst_is_turned_away_before_memory_grows(here: runs.Place, serving: "subprocess.Popen[bytes]") -> None:
    base = f"http://127.0.0.1:{here.ports['ingest']}"
    await until(lambda: here.answers("ingest") == 200, 25)
    before = resident_mib_most(serving.pid)
    body = smallest_contacts()
    assert 4.9 < len(body) / (1 << 20) <= 5
    statuses: Counter[int] = Counter()

    async def send() -> None:
        ends = time.monotonic() + BURST_SECONDS
        async with httpx.AsyncClient(base_url=base, headers=JSON, timeout=90) as client:
            while time.monotonic() < ends:
                answer = await client.post("/v1/contacts", content=body)
                statuses[answer.status_code] += 1
                if answer.status_code != 202:
                    assert int(answer.headers["retry-after"]) > 0
                    await asyncio.sleep(0.1)

    await asyncio.gather(*(send() for _ in range(SENDERS)))
    most = resident_mib_most(serving.pid)
    assert before < 100
    assert most < RESIDENT_MIB_MAX, f"{before} MiB before the burst, {most} MiB at its worst: {statuses}"
    assert statuses.keys() <= {202, 429, 503}, statuses
    assert statuses[429] > 0

    # When it is over all is as before.
    async with httpx.AsyncClient(base_url=base, timeout=90) as client:
        assert (await client.post("/v1/contacts", json=contact())).status_code == 202
        lines = (await client.get("/metrics")).text.splitlines()
        assert "pegel_ingest_bodies_bytes 0.0" in lines
        assert f"pegel_ingest_turned_away_total {statuses[429]}.0" in lines
