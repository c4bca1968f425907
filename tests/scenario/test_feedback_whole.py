"""From the page to the next judgement: detector and alerter on one log, and what a team says in between."""

import asyncio
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pegel.cli.history import encoded, write
from pegel.detector.app import halves
from pegel.eventlog.identity import open_identity
from pegel.eventlog.memory import MemoryLog
from pegel.eventlog.port import WINDOWS
from pegel.runtime.probes import Probe
from pegel.runtime.settings import load
from pegel.schemas.detection import SpikeRecord, WindowRecord
from support.alerters import Running, alerter
from support.wait import until
from support.whole import BUCKET_SECONDS, START, contact, put, tick

PARTITIONS, USUAL, RISEN = 2, 30, 150
DAYS = 4


class Bank:
    """Cash machines in Spain: so many contacts a bucket, on a log that detector and alerter read."""

    def __init__(self, log: MemoryLog, running: Running) -> None:
        self.log, self.running, self.buckets = log, running, 0
        self._numbers = count()

    async def pass_buckets(self, contacts: int, buckets: int = 1) -> None:
        """Each is judged and applied before the next."""
        for _ in range(buckets):
            minutes = self.buckets * BUCKET_SECONDS / 60
            await put(self.log, PARTITIONS, [contact(next(self._numbers), minutes + 1) for _ in range(contacts)])
            self.buckets += 1
            await tick(self.log, PARTITIONS, self.buckets * BUCKET_SECONDS / 60 + 1)
            end = START + timedelta(seconds=self.buckets * BUCKET_SECONDS)
            await until(lambda: self._applied(end), 60)  # noqa: B023  (it is waited for in this turn)

    async def _applied(self, end: datetime) -> bool:
        as_of = (await self.running.client.get("/v1/incidents")).json()["as_of"]
        return as_of is not None and datetime.fromisoformat(as_of) >= end

    async def written(self, kind: type[Any]) -> list[Any]:
        """Records of a kind on windows."""
        bounds = (await self.log.bounds(WINDOWS))[0]
        reader = self.log.reader(WINDOWS, {0: bounds.begin})
        records = (await reader.fetch()).get(0, ())
        mark = f'{{"kind":"{kind.model_fields["kind"].default}"'.encode()
        return [kind.decode(record.value) for record in records if record.value.startswith(mark)]

    async def expected(self) -> float:
        """What was expected in the last bucket."""
        windows: list[WindowRecord] = [w for w in await self.written(WindowRecord) if w.status == "observed"]
        return windows[-1].expected[0]

    async def said(self, verdict: str) -> None:
        """Of the only incident; and the log has it."""
        (incident,) = await self.running.incidents()
        path = f"/v1/incidents/{incident['id']}/feedback"
        answer = await self.running.client.post(path, json={"verdict": verdict})
        assert answer.status_code == 200, answer.text

        async def sent() -> bool:
            return all(item["sent"] for item in (await self.running.client.get("/v1/feedback")).json()["items"])

        await until(sent)


@pytest.mark.timeout(120)
async def test_a_new_normal_is_expected_from_the_next_bucket_on_and_no_more_once_it_is_undone(tmp_path: Path) -> None:
    settings = load({}, data_dir=tmp_path, clock="data", bucket_seconds=BUCKET_SECONDS, partitions=PARTITIONS)
    log, stop = MemoryLog(), asyncio.Event()
    identity = await open_identity(log, settings)
    past = np.full((DAYS * 288, 1), USUAL)
    await write(log, encoded(int(START.timestamp()) - DAYS * 86_400, 300, [("ES", "atm")], past))
    await tick(log, PARTITIONS, 0)
    probe = Probe("detector", parts=("counter", "judge"))
    loops = asyncio.gather(*halves(log, identity, settings, probe, None, stop))
    async with alerter(settings, log) as running:
        bank = Bank(log, running)
        await bank.pass_buckets(USUAL, 6)
        assert await running.incidents() == []
        await bank.pass_buckets(RISEN, 2)
        (incident,) = await running.incidents()
        assert (incident["state"], incident["answer"]) == ("open", None)
        assert await bank.expected() == pytest.approx(USUAL, rel=0.3)

        await bank.said("new_normal")
        await bank.pass_buckets(RISEN, 2)
        assert await bank.expected() == pytest.approx(RISEN, rel=0.2)
        (incident,) = await running.incidents()
        assert (incident["state"], incident["answer"]) == ("resolved", "new_normal")

        await bank.said("undo")
        await bank.pass_buckets(RISEN, 2)
        assert await bank.expected() == pytest.approx(USUAL, rel=0.6)
        spikes: list[SpikeRecord] = await bank.written(SpikeRecord)
        assert [spike.state for spike in spikes if spike.state != "updated"] == ["opened", "resolved", "opened"]

        await bank.said("not_useful")
        await bank.pass_buckets(RISEN)
        text = (await running.client.get("/metrics")).text
        assert 'pegel_judge_bars_raised{powers_of_ten="0.3"} 1.0' in text
    stop.set()
    await loops
    await log.close()
