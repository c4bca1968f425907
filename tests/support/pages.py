"""Pages for tests."""

from datetime import timedelta

from pegel.schemas.page import Page
from support.windows import START


def page(**over: object) -> Page:
    """Cash machines in Spain fail, but for what is given."""
    values: dict[str, object] = {
        "kind": "opened",
        "incident_id": "0123456789abcdef0123",
        "team": "cash-withdrawals",
        "team_name": "Cash withdrawals",
        "segment": {"country": "ES", "topic": "atm"},
        "title": "Cash machines, ES",
        "onset": START,
        "at": START + timedelta(minutes=15),
        "window_seconds": 900,
        "observed": 31,
        "expected": 4.04,
        "observed_since_onset": 31,
        "expected_since_onset": 4.04,
        "score": 7.2,
        "explanation": "31 contacts where 4 are normal at this hour.",
        "reason": "above_baseline",
        **over,
    }
    return Page.model_validate(values)
