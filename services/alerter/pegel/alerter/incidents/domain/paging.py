"""Whether an incident pages its owner: a named reason, and a sentence for a person."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from typing import Final, Literal, Protocol

from pegel.schemas.base import MICRO

STALE_AFTER: Final = timedelta(minutes=30)
"""Who is further behind the log's end (after an outage of ours, say) rings nobody before it has caught up."""
STALE: Final = "not_paged: stale"
"""How an incident says so; trouble that is still there when the log's end is reached pages after all."""
FLOOR: Final = "not_paged: floor"
"""How an incident says that its excess is below its team's floor; it pages once it is not."""
LEDGER_BEHIND: Final = timedelta(minutes=5)
"""A ledger that is further behind stops no page: then the floor in money does not count."""
REOPEN_WITHIN: Final = timedelta(hours=1)
"""A segment that rises again so soon is the same incident."""

Event = Literal["opened", "reopened"]
Withheld = Literal["stale", "data_mode", "floor"]


class Floored(Protocol):
    """From when on a team is paged (ownership.domain.Floor); 0 is none."""

    @property
    def contacts(self) -> int: ...

    @property
    def money_micros(self) -> int: ...


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


def held(decision: Decision) -> Decision:
    """Of a team with a floor: the excess is compared with it first (`below`). What is stale is so nevertheless."""
    return decision if decision.withheld == "stale" else Decision(decision.event, "floor", (), FLOOR)


def below(floor: Floored, contacts: float, money_micros: int | None, currency: str) -> str | None:
    """Why an excess pages nobody; None: it is not below the floor. money_micros: None while it is not known."""
    if contacts < floor.contacts:
        return f"{FLOOR}, {max(int(contacts), 0)} contacts more than usual, its team is paged from {floor.contacts} on"
    if money_micros is not None and money_micros < floor.money_micros:
        said, wanted = (
            (Decimal(micros) / MICRO).quantize(Decimal("0.01"), ROUND_DOWN)
            for micros in (money_micros, floor.money_micros)
        )
        return f"{FLOOR}, excess cost {said} {currency} so far, its team is paged from {wanted} {currency} on"
    return None


def known_cost(money_micros: int, booked_to: datetime, as_of: datetime) -> int | None:
    """The excess cost as it is booked; None where the ledger is so far behind that it does not count."""
    return money_micros if as_of - booked_to <= LEDGER_BEHIND else None


def _minutes(length: timedelta) -> str:
    return f"{max(int(length.total_seconds() // 60), 0)} minutes"
