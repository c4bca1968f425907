"""Contacts as they come: drawn each second from the world, sent to ingest, kept while it is away."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from pegel.cli.ingest import IngestClient
from pegel.cli.simulate.contacts import Contacts
from pegel.cli.simulate.failure import Failure
from pegel.cli.simulate.world import SEGMENTS, STEP_SECONDS, World

EVERY_SECONDS: Final = 1.0
PAUSE_SECONDS_MAX: Final = 60.0
"""A machine that slept does not make up for what it slept through."""
BATCH: Final = 500
PENDING_MAX: Final = 20_000


class Live:
    """The bank from now on. say: prints a line."""

    def __init__(self, world: World, ingest: IngestClient, say: Callable[[str], None]) -> None:
        self._world, self._ingest, self._say = world, ingest, say
        # Not seeded: two runs of the same bank must not send the same contacts.
        self._generator = np.random.default_rng()
        self._contacts = Contacts(self._generator)
        self._pending: deque[dict[str, Any]] = deque(maxlen=PENDING_MAX)
        self._step, self._rates = -1, np.zeros(len(SEGMENTS))
        self._failure: tuple[Failure, float] | None = None

    def fail(self, failure: Failure, at: float) -> None:
        """The cash machines in Spain begin to fail at this second since 1970."""
        self._failure = (failure, at)

    async def run(self) -> None:
        """Draw and send until cancelled."""
        await asyncio.gather(self._draw(), self._send())

    async def _draw(self) -> None:
        before = time.time()
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            now = time.time()
            self._pending.extend(self.between(max(before, now - PAUSE_SECONDS_MAX), now))
            before = now

    def between(self, since: float, until: float) -> list[dict[str, Any]]:
        """The contacts of these seconds (since 1970), in order of time."""
        passed = max(until - since, 0.0)
        step = int(until) // STEP_SECONDS
        if step != self._step:
            self._step, self._rates = step, self._world.rates(np.array([step * STEP_SECONDS]))[0] / STEP_SECONDS
        drawn = []
        for place in np.repeat(np.arange(len(SEGMENTS)), self._generator.poisson(self._rates * passed)):
            country, topic = SEGMENTS[int(place)]
            drawn.append(self._contacts.usual(country, topic, self._moment(since, passed)))
        if self._failure is not None:
            failure, began = self._failure
            calls = self._generator.poisson(failure.rate(until - began) * passed)
            drawn += [self._contacts.no_cash(self._moment(since, passed)) for _ in range(calls)]
            if until - began > failure.over_seconds:
                self._failure = None
                self._say("the cash machines in Spain work again")
        return sorted(drawn, key=lambda contact: str(contact["occurred_at"]))

    def _moment(self, since: float, passed: float) -> datetime:
        return datetime.fromtimestamp(since + self._generator.random() * passed, UTC)

    async def _send(self) -> None:
        while True:
            if not self._pending:
                await asyncio.sleep(EVERY_SECONDS / 4)
                continue
            batch = [self._pending.popleft() for _ in range(min(BATCH, len(self._pending)))]
            answer = await self._ingest.contacts(batch)
            if answer.rejected:
                self._say(f"{answer.rejected} of {len(batch)} contacts were rejected: {answer.refused[0]}")
