"""SIGTERM under load: not ready at once, requests taken a while longer, all that was acknowledged is on the log."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pegel.eventlog.connect import connect
from pegel.eventlog.port import CONTACTS
from pegel.runtime.settings import load
from pegel.schemas.contact import ContactRecord
from support import runs
from support.ingests import contact
from support.wait import until

SENDERS, BATCH = 8, 50


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


async def on_the_log(folder: Path) -> set[str]:
    settings = load({}, data_dir=folder)
    log = connect(settings)
    ids: set[str] = set()
    try:
        reader = log.reader(CONTACTS, dict.fromkeys(range(settings.partitions), 0))
        while found := await reader.fetch(wait_seconds=0.1):
            for records in found.values():
                for record in records:
                    if record.value.startswith(b'{"kind":"contact"'):
                        ids.add(ContactRecord.decode(record.value).event_id)
        await reader.close()
    finally:
        await log.close()
    return ids


@pytest.mark.timeout(60)
async def test_what_was_acknowledged_is_on_the_log(here: runs.Place, serving: "subprocess.Popen[bytes]") -> None:
    base = f"http://127.0.0.1:{here.ports['ingest']}"
    acknowledged: set[str] = set()
    statuses: set[int] = set()

    async def send() -> None:
        async with httpx.AsyncClient(base_url=base, timeout=20) as client:
            while True:
                batch = [contact() for _ in range(BATCH)]
                try:
                    answer = await client.post("/v1/contacts", json=batch)
                except httpx.TransportError:
                    return
                statuses.add(answer.status_code)
                if answer.status_code == 202:
                    acknowledged.update(str(each["event_id"]) for each in batch)

    await until(lambda: here.answers("ingest") == 200, 25)
    senders = [asyncio.create_task(send()) for _ in range(SENDERS)]
    await until(lambda: len(acknowledged) > 20 * BATCH)
    serving.send_signal(signal.SIGTERM)
    told, at_that_time = time.monotonic(), len(acknowledged)
    async with httpx.AsyncClient(base_url=base) as client:

        async def draining() -> bool:
            answer = await client.get("/readyz")
            return answer.status_code == 503 and answer.json()["status"] == "draining"

        await until(draining, 1.5)
    await asyncio.gather(*senders)
    assert await asyncio.to_thread(serving.wait, 25) == 0, (here.folder / "ingest.log").read_text()
    assert 2 <= time.monotonic() - told < 25
    assert statuses == {202}
    assert len(acknowledged) > at_that_time, "requests are taken while balancers still send them"
    assert acknowledged <= await on_the_log(here.folder / "data")
    assert "Traceback" not in (here.folder / "ingest.log").read_text()
