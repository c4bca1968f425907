"""Whether an incident pages its owner: a named reason, and a sentence for a person."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

STALE_AFTER: Final = timedelta(minutes=30)
"""Who is further behind the log's end (after an outage of ours, say) rings nobody before it has caught up."""
STALE: Final = "not_paged: stale"
"""How an incident says so; trouble that is still there when the log's end is reached pages after all."""
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


def catches_up(before: bool, behind: timedelta) -> bool:
    """Whether what is read now is read while catching up. before: what was read before it was; behind: the log's end.

    Who was far behind is so until it reaches the end, so that trouble which ends on the way rings nobody.
    """
    return before or behind > STALE_AFTER


def caught_up(behind: timedelta, *, reached: bool) -> bool:
    """Whether the log's end is reached. reached: nothing more is there to be read."""
    return reached and behind <= STALE_AFTER


def decide(
    event: Event,
    *,
    catching_up: bool,
    behind: timedelta,
    clock: Literal["wall", "data"],
    real: tuple[str, ...],
    local: tuple[str, ...],
) -> Decision:
    """behind: how far the log's end is ahead of what is read. real: who rings somebody; local: the terminal."""
    if clock == "data":
        return Decision(event, "data_mode", local, "not_paged: data mode, files of the past ring nobody")
    if catching_up:
        return Decision(event, "stale", (), f"{STALE}, it was read of {_minutes(behind)} later")
    again = ", again within an hour of its end" if event == "reopened" else ""
    return Decision(event, None, (*local, *real), f"paged: the segment rose above its baseline{again}")


def decide_late(event: Event, *, late: timedelta, real: tuple[str, ...], local: tuple[str, ...]) -> Decision:
    """Trouble that was withheld as stale and is still there at the log's end. late: since it rose."""
    text = f"paged: the segment is above its baseline; it was read of late, {_minutes(late)} after it rose"
    return Decision(event, None, (*local, *real), text)


def _minutes(length: timedelta) -> str:
    return f"{max(int(length.total_seconds() // 60), 0)} minutes"
