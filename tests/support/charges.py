"""Charges for tests."""

from datetime import timedelta

from pegel.alerter.ledger.domain.charges import Charge, Status
from support.windows import START


def charge(
    number: int = 0,
    *,
    minutes: int = 0,
    segment: tuple[str, str] = ("ES", "atm"),
    team: str = "cash-withdrawals",
    quantity: int = 2,
    price: int = 7_500_000,
    status: Status = "priced",
) -> Charge:
    at = START + timedelta(minutes=minutes)
    return Charge(
        id=f"judge/0:{minutes + 1}.0#{number}",
        origin=f"judge/0:{minutes + 1}.0",
        at=at,
        bucket=int(at.timestamp()) // 60,
        segment=segment,
        cell={"country": segment[0], "topic": segment[1], "channel": "phone"},
        team=team,
        debit=f"team:{team}:run-rate",
        credit="service:contact-centre",
        quantity=quantity,
        unit_price_micros=price,
        amount_micros=quantity * price,
        currency="EUR",
        status=status,
        price_version="p1",
        ownership_version="o1",
    )
