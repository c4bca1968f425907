"""A page: what an incident's owner is told, by every receiver; and how a webhook gets it."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from pegel.schemas.base import Versioned
from pegel.schemas.incident import Money

PageKind = Literal["opened", "reopened", "resolved"]
PageEvent = Literal["incident.opened", "incident.reopened", "incident.resolved"]


class Page(Versioned):
    """What is told about an incident. segment: dimensions by name; title: the same in words ('Cash machines, ES').

    observed, expected: contacts in the most telling window, which is window_seconds long; the others since the onset.
    at: when the data say so; reason: of the change of state; explanation: why the segment is above its baseline.
    """

    kind: PageKind
    incident_id: str
    team: str
    team_name: str
    segment: dict[str, str]
    title: str
    onset: AwareDatetime
    at: AwareDatetime
    window_seconds: Annotated[int, Field(gt=0)]
    observed: int
    expected: float
    observed_since_onset: int
    expected_since_onset: float
    score: float
    explanation: str
    reason: str


class PageData(Page):
    """A page with what it cost so far (null: not booked yet), and in one line."""

    cost: Money | None
    text: str


class PageCall(Versioned):
    """The body of a signed call by Standard Webhooks 1.0. timestamp: the page's `at`."""

    type: PageEvent
    timestamp: AwareDatetime
    data: PageData
