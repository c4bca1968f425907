"""What sources send in a simulation: contacts and copies of them, late, early and out of order; amendments; a spike."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pegel.eventlog.port import LogUnavailable
from pegel.ingest.pipeline.intake import Delivery, Outcome
from support.simulation.services import Replica
from support.simulation.world import START_MS, World

SOURCES = ("app", "chat", "desk")
SEGMENTS = (("ES", "atm"), ("ES", "cards"), ("DE", "atm"), ("DE", "login"))
CHANNELS = ("phone", "chat", "web")
ANSWER_SECONDS = 6.0
"""How long a source waits for an answer before it sends again."""


@dataclass(frozen=True, slots=True)
class Item:
    """Something to send at a time (seconds since the beginning)."""

    at: float
    source: str
    kind: Literal["contact", "amendment"]
    value: dict[str, Any]

    @property
    def id(self) -> tuple[str, str, str]:
        name = "event_id" if self.kind == "contact" else "amendment_id"
        return self.kind, self.source, self.value[name]


def planned(world: World, seconds: float) -> list[Item]:
    """All items of a simulation whose load lasts so long, in the order of their times."""
    random = world.random("workload")
    items: list[Item] = []
    numbers = dict.fromkeys(SOURCES, 0)

    def iso(at: float) -> str:
        return (datetime.fromtimestamp(START_MS / 1000, UTC) + timedelta(seconds=at)).isoformat()

    def contact(at: float, segment: tuple[str, str]) -> None:
        source = random.choice(SOURCES)
        numbers[source] += 1
        occurred = at
        if random.random() < 0.15:
            occurred -= random.choice((5, 20, 60, 7200))
        elif random.random() < 0.05:
            occurred += random.choice((3, 15, 60))
        value: dict[str, Any] = {
            "event_id": f"e{numbers[source]}",  # the same in each source: only together with it they are identities
            "occurred_at": iso(occurred),
            "country": segment[0],
            "topic": segment[1],
            "channel": random.choice(CHANNELS),
        }
        if random.random() < 0.4:
            value["handled_seconds"] = random.randrange(600)
        if random.random() < 0.2:
            value["complaint"] = random.random() < 0.5
        items.append(Item(at, source, "contact", value))
        if random.random() < 0.15:
            copy = dict(value)
            if random.random() < 0.3:
                copy["topic"] = "loan"  # it says something else than the first
            items.append(Item(at + random.choice((0.0, 1.0, 30.0)), source, "contact", copy))
        if random.random() < 0.25:
            amend(at, source, value["event_id"])

    def amend(at: float, source: str, event_id: str) -> None:
        made: list[dict[str, Any]] = []
        for number in range(random.randrange(1, 4)):
            amendment: dict[str, Any] = {"amendment_id": f"a{number}-{event_id}", "event_id": event_id}
            what = random.randrange(8)
            if what == 0:
                amendment |= {"void": True, "reason": "spam"}
            elif what == 1:
                amendment |= {"set": {"satisfaction": {"scale": "csat", "value": 4}}, "reason": "survey"}
            elif what == 2:
                amendment |= {"set": {"occurred_at": iso(at - 30)}, "reason": "wrap_up"}
            else:
                topic = random.choice(("atm", "cards", "login", "loan"))
                amendment |= {"set": {"topic": topic, "handled_seconds": 10 * number}, "reason": "retagged"}
            made.append(amendment)
        when = at + random.choice((0.5, 3.0, 15.0))
        for amendment in made:
            items.append(Item(when, source, "amendment", amendment))
            when += random.choice((0.5, 5.0))
        if random.random() < 0.6:  # one that was sent before comes once more, when later ones hold
            items.append(Item(when + random.choice((1.0, 10.0)), source, "amendment", random.choice(made)))

    for _ in range(round(seconds * 0.8)):
        contact(random.uniform(0, seconds), random.choice(SEGMENTS))
    for begins in random.choice(((0.1,), (0.3,), (0.1, 0.75))):
        for _ in range(45):
            contact((begins + random.uniform(0, 0.15)) * seconds, SEGMENTS[0])
    amend(seconds / 2, SOURCES[0], "never-seen")
    return sorted(items, key=lambda item: item.at)


@dataclass
class Sources:
    """Send the items to whichever ingest answers, until it says that the log has them."""

    world: World
    ingests: Sequence[Replica]
    items: Sequence[Item]
    acknowledged: set[tuple[str, str, str]] = field(default_factory=set)
    open: int = 0

    async def run(self) -> None:
        random = self.world.random("sources")
        waiting = [(max(0.0, item.at + random.uniform(0, 2)), item) for item in self.items]
        if random.random() < 0.5:
            waiting.sort(key=lambda one: one[0])  # so that they come in another order than they arose
        tasks = []
        place = 0
        while place < len(waiting):
            first = waiting[place]
            due = max(first[0], self.world.clock)
            await asyncio.sleep(due - self.world.clock)
            batch, count = [first[1]], random.choice((1, 3, 10))
            place += 1
            while (
                place < len(waiting)
                and len(batch) < count
                and waiting[place][0] <= due + 1
                and waiting[place][1].source == batch[0].source
                and waiting[place][1].kind == batch[0].kind
            ):
                batch.append(waiting[place][1])
                place += 1
            self.open += 1
            tasks.append(self.world.spawn(None, self._deliver(batch)))
        await asyncio.gather(*tasks)

    async def _deliver(self, batch: list[Item]) -> None:
        values = [item.value for item in batch]
        body = json.dumps(values if len(values) > 1 else values[0]).encode()
        while True:
            running = [replica for replica in self.ingests if replica.intake is not None]
            if running:
                replica = running[self.world.below(len(running))]
                try:
                    outcome = await asyncio.wait_for(self._ask(replica, batch, body), ANSWER_SECONDS)
                except (LogUnavailable, TimeoutError):
                    pass
                else:
                    if outcome.refused or outcome.accepted != len(batch):
                        self.world.wrong(f"ingest refused {batch[0].id}: {outcome.refused[:1]}")
                    self.acknowledged.update(item.id for item in batch)
                    self.open -= 1
                    return
            await asyncio.sleep(self.world.between(0.2, 2.0))

    async def _ask(self, replica: Replica, batch: list[Item], body: bytes) -> Outcome:
        """A request; it is answered by the process that took it, or never."""
        world, process, intake = self.world, replica.process, replica.intake
        assert intake is not None
        delivery = Delivery(body, "json", batch[0].source, world.now())
        take = intake.contacts if batch[0].kind == "contact" else intake.amendments
        answer: asyncio.Future[Outcome] = world.loop.create_future()

        async def handle() -> None:
            try:
                outcome = await take(delivery)
            except Exception as error:  # noqa: BLE001 (it is the answer)
                world.later(world.travel_seconds(), _fail, answer, error)
            else:
                world.later(world.travel_seconds(), _answer, answer, outcome)

        await asyncio.sleep(world.travel_seconds())
        world.spawn(process, handle())
        return await answer


def _answer(answer: "asyncio.Future[Outcome]", outcome: Outcome) -> None:
    if not answer.done():
        answer.set_result(outcome)


def _fail(answer: "asyncio.Future[Outcome]", error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
