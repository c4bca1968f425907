"""Who is paged: it takes pages over a network that loses its answers, and remembers who sent what when."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from pegel.alerter.paging.ports import Failed, Notifier, Outcome, Sent
from pegel.schemas.incident import Money
from pegel.schemas.page import Page
from support.simulation.loop import Process
from support.simulation.world import World


@dataclass(eq=False)
class Delivery:
    """A page that was sent. answered: the sender was told that it was taken."""

    page_id: str
    page: Page
    process: Process
    at: float
    answered: bool = False


@dataclass(eq=False)
class Pager:
    """The receiver. state_of: how far the outbox has a page, asked past the services."""

    world: World
    state_of: Callable[[str], str | None]
    deliveries: list[Delivery] = field(default_factory=list)


class SimulatedNotifier(Notifier):
    """A process's way to the receiver."""

    def __init__(self, pager: Pager, process: Process) -> None:
        self._pager, self._process = pager, process

    @property
    def receiver(self) -> str:
        return "pager"

    async def send(self, page_id: str, page: Page, cost: Money | None, now: datetime) -> Outcome:
        world = self._pager.world
        if self._pager.state_of(page_id) == "sent":
            world.wrong(f"pages: {page_id} was sent again although the outbox says that it was sent")
        if world.mortal("die_at_page"):
            await world.dead(self._process, f"before sending page {page_id}")
        if world.chance("page_fails"):
            await asyncio.sleep(world.between(0.01, 3.0))
            world.say(f"page {page_id} is not taken")
            return Failed("not taken")
        answer: asyncio.Future[Outcome] = world.loop.create_future()
        world.later(world.travel_seconds(), self._arrive, page_id, page, answer)
        outcome = await answer
        if world.mortal("die_at_page"):
            await world.dead(self._process, f"after sending page {page_id}")
        return outcome

    def _arrive(self, page_id: str, page: Page, answer: "asyncio.Future[Outcome]") -> None:
        world = self._pager.world
        delivery = Delivery(page_id, page, self._process, world.clock)
        self._pager.deliveries.append(delivery)
        world.say(f"page {page_id} ({page.kind}) of {self._process.name} is taken")
        if world.chance("page_unanswered"):
            world.later(world.between(0.1, 3.0), _settle, answer, Failed("no answer came"), delivery)
        else:
            world.later(world.travel_seconds(), _settle, answer, Sent("taken"), delivery)

    async def close(self) -> None:
        """Nothing is open."""


def _settle(answer: "asyncio.Future[Outcome]", outcome: Outcome, delivery: Delivery) -> None:
    if not answer.done():
        delivery.answered = isinstance(outcome, Sent)
        answer.set_result(outcome)
