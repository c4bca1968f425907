"""What the dashboard needs from outside: the alerter's API, and somebody who draws."""

from typing import Literal, Protocol

from pegel.dashboard.domain.costs import Bar
from pegel.schemas.incident import IncidentList, IncidentState
from pegel.schemas.ledger import CostList

Change = Literal["acknowledge", "resolve"]
Size = Literal["wide", "narrow"]
Theme = Literal["light", "dark"]


class UnreachableError(Exception):
    """The alerter does not answer, or can't be understood. The text is shown: no customer, team or money is in it."""


class RefusedError(Exception):
    """The alerter answered, and said no. status: its HTTP status; detail: its reason, for the person who asked."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status, self.detail = status, detail


class DrawError(Exception):
    """The chart could not be drawn."""


class Alerter(Protocol):
    """The alerter's API. Every method raises UnreachableError or RefusedError."""

    async def incidents(self, state: IncidentState, limit: int) -> IncidentList:
        """Incidents in a state, newest first."""
        ...

    async def costs(self, hours: int) -> CostList:
        """Costs of the last hours, dearest first."""
        ...

    async def change(self, incident_id: str, change: Change, reason: str, token: str | None) -> None:
        """Acknowledge or resolve, in the name of whom the token belongs to."""
        ...


class Painter(Protocol):
    """Draws. The pictures of all sizes and themes come from one call, since starting to draw is what takes time."""

    async def pareto(self, bars: tuple[Bar, ...], currency: str) -> dict[tuple[Size, Theme], bytes]:
        """The Pareto of cost by cause as SVG. Raises DrawError."""
        ...
