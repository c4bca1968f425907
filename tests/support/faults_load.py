"""Load as sources make it: batches by HTTP at a steady rate, sent again, with the same ids, until acknowledged."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
import orjson

SOURCE: Final = "desk"
COUNTRIES: Final = ("ES", "PT", "DE")
TOPICS: Final = ("atm", "login", "loan", "cards")
CHANNELS: Final = ("phone", "chat", "email")
QUIET: Final = tuple(("ES", f"quiet-{number}") for number in range(40))
"""Segments that have next to no contacts: a surge in one of them is a spike."""
QUIET_RATE: Final = 0.002
"""Contacts a second that a quiet segment is taught to have."""
SURGE: Final = 60
AGAIN_SECONDS: Final = 0.25
UNDER_WAY_MAX: Final = 40
"""Batches that wait for an answer: a source holds back beyond them."""
NOBODY, CUT = -1, 0
"""In place of a status: nobody listens; the connection was cut before an answer came."""
JSON: Final = {"Content-Type": "application/json"}


@dataclass
class Load:
    """targets: base URLs of ingest, asked before each attempt, so that they may come and go.

    acknowledged: (source, event_id) of every contact answered with 202. statuses: of all answers, NOBODY and CUT too.
    """

    targets: Callable[[], Sequence[str]]
    rate: float = 100.0
    batch: int = 20
    seed: int = 1
    acknowledged: set[tuple[str, str]] = field(default_factory=set)
    statuses: Counter[int] = field(default_factory=Counter)
    sent: int = 0
    newest: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    """The latest occurred_at that was sent."""
    _number: int = 0
    _ended: asyncio.Event = field(default_factory=asyncio.Event)
    _paused: bool = False
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)
    _running: asyncio.Task[None] | None = None
    _client: httpx.AsyncClient | None = None

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    async def __aenter__(self) -> "Load":
        self._client = httpx.AsyncClient(timeout=15, trust_env=False, limits=httpx.Limits(max_connections=60))
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ended.set()
        assert self._client is not None
        assert self._running is not None
        for task in (self._running, *self._under_way):
            task.cancel()
        await asyncio.gather(self._running, *self._under_way, return_exceptions=True)
        await self._client.aclose()

    async def pause(self) -> None:
        """No new batches; returns when all that were sent are acknowledged."""
        self._paused = True
        while self._under_way:
            await asyncio.wait(self._under_way)

    def resume(self) -> None:
        self._paused = False

    def contact(self, segment: tuple[str, str] | None = None, *, ago: float = 0.0) -> dict[str, Any]:
        """A new contact, of this moment or so many seconds ago (in the future when it is negative)."""
        self._number += 1
        country, topic = segment or (self._chance.choice(COUNTRIES), self._chance.choice(TOPICS))
        at = datetime.now(UTC) - timedelta(seconds=ago)
        self.newest = max(self.newest, at)
        return {
            "source": SOURCE,
            "event_id": f"{self.seed}-{self._number}",
            "occurred_at": at.isoformat(),
            "country": country,
            "topic": topic,
            "channel": self._chance.choice(CHANNELS),
            "handled_seconds": self._chance.randrange(30, 600),
        }

    async def send(self, contacts: Sequence[dict[str, Any]], path: str = "/v1/contacts") -> None:
        """Until it is acknowledged, however often that takes."""
        body = orjson.dumps(contacts)
        assert self._client is not None
        while True:
            status = await self._post(path, body)
            self.statuses[status] += 1
            if status == 202:
                if path == "/v1/contacts":
                    self.acknowledged.update((one["source"], one["event_id"]) for one in contacts)
                return
            assert status in (NOBODY, CUT, 429, 503), f"ingest answers {status}"
            await asyncio.sleep(AGAIN_SECONDS)

    async def surge(self, number: int, contacts: int = SURGE) -> None:
        """Trouble in a segment that is quiet otherwise."""
        await self.send([self.contact(QUIET[number]) for _ in range(contacts)])

    async def trouble(self) -> None:
        """What counters reject: a contact that came before with another topic, an amendment of what is not known."""
        one = self.contact()
        for topic in ("atm", "fees"):
            await self.send([{**one, "topic": topic}])
        await self.send([{**self._amendment(one), "event_id": f"never-{self._number}"}], "/v1/amendments")

    async def _post(self, path: str, body: bytes) -> int:
        """The status; NOBODY or CUT when there is none."""
        assert self._client is not None
        targets = self.targets()
        if not targets:
            return NOBODY
        try:
            answer = await self._client.post(self._chance.choice(targets) + path, content=body, headers=JSON)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            return NOBODY
        except httpx.HTTPError:
            return CUT
        return answer.status_code

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not self._ended.is_set():
            due = max(due + self.batch / self.rate, loop.time() - 0.5)
            if not self._paused and len(self._under_way) < UNDER_WAY_MAX:
                task = asyncio.create_task(self._one())
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def _one(self) -> None:
        """A batch, and now and then what sources do beside: copies, conflicts, amendments."""
        contacts = [self.contact() for _ in range(self.batch)]
        self.sent += len(contacts)
        await self.send(contacts)
        what = self._chance.random()
        if what < 0.1:
            await self.send(contacts[: self.batch // 2])
        elif what < 0.15:
            await self.send([{**contacts[0], "topic": "fees"}])
        elif what < 0.3:
            await self.send([self._amendment(one) for one in contacts[:4]], "/v1/amendments")

    def _amendment(self, contact: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        amendment: dict[str, Any] = {
            "amendment_id": f"a{self.seed}-{self._number}",
            "source": SOURCE,
            "event_id": contact["event_id"] if self._chance.random() < 0.9 else f"unknown-{self._number}",
            "reason": "retagged",
        }
        if self._chance.random() < 0.3:
            return {**amendment, "reason": "spam", "void": True}
        return {**amendment, "set": {"topic": self._chance.choice(TOPICS), "handled_seconds": 77}}
