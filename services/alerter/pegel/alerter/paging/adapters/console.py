"""Pages as lines on the terminal (standard output)."""

import sys
from datetime import datetime
from typing import TextIO

from pegel.alerter.paging.domain.text import line
from pegel.alerter.paging.ports import Failed, Notifier, Outcome, Sent
from pegel.schemas.incident import Money
from pegel.schemas.page import Page


class ConsoleNotifier(Notifier):
    """One line a page. stream: standard output unless another is given."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    @property
    def receiver(self) -> str:
        return "terminal"

    async def send(self, page_id: str, page: Page, cost: Money | None, now: datetime) -> Outcome:  # noqa: ARG002
        stream = self._stream or sys.stdout
        try:
            stream.write(line(page, cost) + "\n")
            stream.flush()
        except (OSError, ValueError) as error:  # a closed pipe, a closed file
            return Failed(f"the terminal does not take it: {error}")
        return Sent("shown")

    async def close(self) -> None:
        """Standard output is not ours to close."""
