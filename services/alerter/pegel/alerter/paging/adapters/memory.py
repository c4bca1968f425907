"""A receiver in memory, for tests."""

from collections import deque
from datetime import datetime

from pegel.alerter.paging.ports import Notifier, Outcome, Sent
from pegel.schemas.incident import Money
from pegel.schemas.page import Page


class MemoryNotifier(Notifier):
    """Keeps what it took. answers: what it says next; when there are none left, it takes everything."""

    def __init__(self, receiver: str = "memory") -> None:
        self._receiver = receiver
        self.answers: deque[Outcome] = deque()
        self.attempts: list[str] = []
        self.taken: list[tuple[str, Page, Money | None]] = []

    @property
    def receiver(self) -> str:
        return self._receiver

    async def send(self, page_id: str, page: Page, cost: Money | None, now: datetime) -> Outcome:  # noqa: ARG002
        self.attempts.append(page_id)
        outcome = self.answers.popleft() if self.answers else Sent("taken")
        if isinstance(outcome, Sent):
            self.taken.append((page_id, page, cost))
        return outcome

    async def close(self) -> None:
        """Nothing is open."""
