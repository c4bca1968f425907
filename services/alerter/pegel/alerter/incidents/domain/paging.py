"""Whether an incident pages its owner: a named reason, and a sentence for a person."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

STALE_AFTER: Final = timedelta(minutes=30)
"""Trouble that is read of so much later (after an outage of ours, say) rings nobody."""
STALE: Final = "not_paged: stale"
"""How an incident says so; trouble that turns out to go on pages after all."""
REOPEN_WITHIN: Final = timedelta(hours=1)
"""A segment that rises again so soon is the same incident."""

Event = Literal["opened", "reopened"]
Withheld = Literal["stale", "data_mode"]


@dataclass(frozen=True, slots=True)
class Decision:
    """receivers: who gets the page. withheld: why not everybody does. text: what the incident says about it."""

    event: Event
    withheld: Withheld | None
    receivers: tuple[str, ...]
    text: str


def decide(
    event: Event,
    *,
    at: datetime,
    now: datetime,
    clock: Literal["wall", "data"],
    real: tuple[str, ...],
    local: tuple[str, ...],
) -> Decision:
    """at: when the data say that the spike rose. real: receivers that ring somebody; local: the terminal."""
    if clock == "data":
        return Decision(event, "data_mode", local, "not_paged: data mode, files of the past ring nobody")
    if now - at > STALE_AFTER:
        minutes = int((now - at).total_seconds() // 60)
        return Decision(event, "stale", (), f"{STALE}, it was read of {minutes} minutes later")
    again = ", again within an hour of its end" if event == "reopened" else ""
    return Decision(event, None, (*local, *real), f"paged: the segment rose above its baseline{again}")
