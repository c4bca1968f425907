"""The port to who is paged. One contract suite (tests/contract/test_notifier.py) runs on all implementations."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pegel.schemas.incident import Money
from pegel.schemas.page import Page


@dataclass(frozen=True, slots=True)
class Sent:
    """The receiver took the page."""

    said: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The receiver says that the page, or we, are wrong: repeating it is of no use; a person must look."""

    said: str


@dataclass(frozen=True, slots=True)
class Failed:
    """It did not work this time. retry_after_seconds: what the receiver asked for."""

    said: str
    retry_after_seconds: float | None = None


Outcome = Sent | Refused | Failed


class Notifier(Protocol):
    """Gets pages to one receiver."""

    @property
    def receiver(self) -> str:
        """Its name in the outbox, in metrics and on incidents: a slug."""
        ...

    async def send(self, page_id: str, page: Page, cost: Money | None, now: datetime) -> Outcome:
        """Send one page. It may be sent again under the same page_id. Never raises for what the receiver does."""
        ...

    async def close(self) -> None: ...
