"""What people deal with: incidents, over HTTP."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from pegel.schemas.base import Currency, Versioned
from pegel.schemas.feedback import Verdict

IncidentState = Literal["open", "acknowledged", "resolved"]


class Money(Versioned):
    """An amount for a person: a decimal string, so that no reader makes a float of it by accident."""

    amount: Annotated[str, Field(pattern=r"^-?[0-9]+\.[0-9]{2,6}$")]
    currency: Currency


class Transition(Versioned):
    """A change of state: who, when, why."""

    at: AwareDatetime
    from_state: IncidentState | None
    to_state: IncidentState
    actor: str
    reason: str


class Incident(Versioned):
    """An incident and how things stand. segment: the dimensions by name. cost: of the excess contacts so far.

    observed, expected: contacts since the onset. observed_window, expected_window: in the most telling window of
    window_seconds. page: why its owner was paged, or why not. answer: what a team said last of its pages.
    """

    id: str
    state: IncidentState
    segment: dict[str, str]
    team: str
    onset: AwareDatetime
    opened_at: AwareDatetime
    updated_at: AwareDatetime
    resolved_at: AwareDatetime | None
    observed: int
    expected: float
    window_seconds: int
    observed_window: int
    expected_window: float
    score: float
    cost: Money
    explanation: str
    page: str
    spikes: tuple[str, ...]
    transitions: tuple[Transition, ...]
    as_of: AwareDatetime
    stale: bool
    answer: Verdict | None = None


class IncidentList(Versioned):
    """GET /v1/incidents, newest first."""

    items: tuple[Incident, ...]
    as_of: AwareDatetime | None
    stale: bool


class TransitionRequest(Versioned):
    """Acknowledge or resolve: the reason in a word or a line."""

    reason: Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$")] = "by hand"
