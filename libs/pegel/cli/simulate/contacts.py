"""What a simulated contact looks like, beside its country and topic."""

import uuid
from datetime import datetime
from typing import Any, Final

import numpy as np

CHANNELS: Final = {
    "phone": 0.46, "chat": 0.14, "app": 0.12, "email": 0.08, "web": 0.07, "bot": 0.06, "messenger": 0.04,
    "branch": 0.03,
}  # fmt: skip
DIGITAL: Final = {
    "app": 0.40, "chat": 0.25, "phone": 0.15, "bot": 0.10, "web": 0.06, "email": 0.04,
}  # fmt: skip
FAILING: Final = {"phone": 0.72, "app": 0.14, "chat": 0.09, "messenger": 0.05}
OF_TOPIC: Final = {"app": DIGITAL, "login": DIGITAL, "invest": DIGITAL}

SELF_SERVICE: Final = frozenset({"app", "web", "bot"})
PARTNER_SHARE: Final = {
    "ES": 0.6, "PT": 0.5, "GB": 0.3, "PL": 0.4, "DE": 0.2, "TR": 0.2, "US": 0.5, "MX": 0.7, "BR": 0.6, "AR": 0.5,
    "CL": 0.5, "CO": 0.7,
}  # fmt: skip
LANGUAGES: Final = {"PT": "pt", "GB": "en", "PL": "pl", "DE": "de", "TR": "tr", "US": "en", "BR": "pt"}
FAILURE_SHARE: Final = {
    "atm": 0.85, "login": 0.8, "app": 0.75, "payments": 0.7, "transfer": 0.5, "cards": 0.5, "fees": 0.6,
    "statement": 0.4, "fraud": 0.3, "account": 0.3,
}  # fmt: skip
"""Share of contacts that need not have been."""
HANDLED_MEDIAN_SECONDS: Final = {"phone": 320, "chat": 540, "email": 420, "messenger": 480, "branch": 700}
CUSTOMERS_A_COUNTRY: Final = 40_000
REGIONS: Final = ("madrid", "cataluna", "andalucia", "valencia", "galicia", "pais-vasco", "castilla-y-leon", "aragon")


class Contacts:
    """Draws contacts. What it draws is as random as the generator; ids are unique across restarts."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator

    def usual(self, country: str, topic: str, at: datetime) -> dict[str, Any]:
        """One contact of an ordinary day, as ingest takes it."""
        channel = self._choice(OF_TOPIC.get(topic, CHANNELS))
        demand = "failure" if self._happens(FAILURE_SHARE.get(topic, 0.25)) else "value"
        return self._contact(country, topic, at, channel, demand)

    def no_cash(self, at: datetime) -> dict[str, Any]:
        """One contact of a customer in Spain whom a cash machine gave nothing."""
        contact = self._contact("ES", "atm", at, self._choice(FAILING), "failure")
        contact["subtopic"] = "no-cash-dispensed" if self._happens(0.85) else "card-retained"
        contact["nature"] = "emotional" if self._happens(0.4) else "transactional"
        contact["attributes"] = {"region": REGIONS[int(self._generator.integers(len(REGIONS)))]}
        return contact

    def _contact(self, country: str, topic: str, at: datetime, channel: str, demand: str) -> dict[str, Any]:
        if channel in SELF_SERVICE:
            handler = "self_service"
        else:
            handler = "partner" if self._happens(PARTNER_SHARE[country]) else "in_house"
        customer = f"{country.lower()}-{self._generator.integers(CUSTOMERS_A_COUNTRY):06d}"
        contact: dict[str, Any] = {
            "event_id": str(uuid.uuid4()),
            "occurred_at": at.isoformat(),
            "country": country,
            "topic": topic,
            "channel": channel,
            "handler": handler,
            "customer": customer,
            "customer_segment": "business" if self._happens(0.09) else "consumer",
            "demand": demand,
            "language": LANGUAGES.get(country, "es"),
        }
        if self._happens(0.03):
            contact["complaint"] = True
        if channel in HANDLED_MEDIAN_SECONDS:
            waited = int(self._generator.exponential(70 if channel in {"phone", "chat"} else 0))
            abandoned = channel == "phone" and waited > 240
            contact["outcome"] = "abandoned" if abandoned else "answered"
            contact["waited_seconds"] = waited
            if not abandoned:
                seconds = HANDLED_MEDIAN_SECONDS[channel] * self._generator.lognormal(0.0, 0.6)
                contact["handled_seconds"] = min(int(seconds), 7200)
        return contact

    def _happens(self, share: float) -> bool:
        return bool(self._generator.random() < share)

    def _choice(self, shares: dict[str, float]) -> str:
        return str(self._generator.choice(list(shares), p=np.array(list(shares.values())) / sum(shares.values())))
