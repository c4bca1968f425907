"""What an incident cost: put together here, because incidents and the ledger don't know one another."""

from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal

from pegel.alerter.incidents.pipeline.store import Found
from pegel.alerter.ledger.ports import Ledger
from pegel.schemas.base import MICRO
from pegel.schemas.incident import Money


def excess_micros(amount_micros: int, observed: int, expected: float) -> int:
    """The part of an amount that the contacts beyond the expected ones cost, in whole millionths."""
    if observed <= 0 or expected >= observed:
        return 0
    share = (observed - Decimal(expected)) / observed
    return int((amount_micros * share).to_integral_value(ROUND_HALF_EVEN))


def incident_micros(ledger: Ledger, incident: Found) -> int:
    """What was booked for the incident's segment during its spikes, as far as it is excess."""
    total = 0
    for spike in incident.spikes:
        amount = ledger.amount_micros(incident.segment, spike.onset, spike.at)
        total += excess_micros(amount, spike.observed_since_onset, spike.expected_since_onset)
    return total


def rounded(amount_micros: int, currency: str) -> Money:
    """For what is an estimate anyway: two decimals, half to even."""
    amount = (Decimal(amount_micros) / MICRO).quantize(Decimal("0.01"), ROUND_HALF_EVEN)
    return Money(amount=str(amount), currency=currency)


def exact(amount_micros: int, currency: str) -> Money:
    """As many decimals as the amount needs, at least two."""
    whole, rest = divmod(abs(amount_micros), MICRO)
    decimals = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return Money(amount=f"{'-' if amount_micros < 0 else ''}{whole}.{decimals}", currency=currency)


def booked_as_of(ledger: Ledger) -> datetime | None:
    """End of the last bucket booked."""
    cut = ledger.cut()
    return cut.record.as_of if cut else None
