"""The life of an incident: one table. A pair that is not in it is refused."""

from hashlib import blake2b
from typing import Final, Literal

from pegel.schemas.incident import IncidentState

Event = Literal["open", "acknowledge", "resolve", "reopen"]

LIFE: Final[dict[tuple[IncidentState | None, Event], IncidentState]] = {
    (None, "open"): "open",
    ("open", "acknowledge"): "acknowledged",
    ("open", "resolve"): "resolved",
    ("acknowledged", "resolve"): "resolved",
    ("resolved", "reopen"): "open",
}


class NotPossible(Exception):  # noqa: N818
    """The table has no such pair."""

    def __init__(self, state: IncidentState | None, event: Event) -> None:
        possible = sorted(known for (before, known) in LIFE if before == state)
        super().__init__(f"an incident that is {state or 'new'} can't {event}, only {' or '.join(possible)}")
        self.state, self.event = state, event


def after(state: IncidentState | None, event: Event) -> IncidentState:
    """The state that follows. Raises NotPossible."""
    try:
        return LIFE[state, event]
    except KeyError:
        raise NotPossible(state, event) from None


def incident_id(spike_id: str) -> str:
    """The id of the incident that a spike opens: the same whenever and wherever it is made."""
    return blake2b(spike_id.encode(), digest_size=10).hexdigest()
