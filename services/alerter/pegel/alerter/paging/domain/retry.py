"""When a page is tried again."""

from datetime import timedelta
from typing import Final

FIRST_SECONDS: Final = 2.0
LONGEST_SECONDS: Final = 300.0
GIVE_UP_AFTER: Final = timedelta(hours=24)


def wait_seconds(attempts: int, asked_seconds: float | None, jitter: float) -> float:
    """How long to wait after this many failed attempts: twice as long each time, at most five minutes.

    asked_seconds: what the receiver asked for (Retry-After), which is honoured up to an hour. jitter: 0 to 1; up to
    half of the wait is added, so that alerters that failed together don't return together.
    """
    grown = min(FIRST_SECONDS * 2.0 ** (max(attempts, 1) - 1), LONGEST_SECONDS)
    return max(grown, min(asked_seconds or 0.0, 3600.0)) * (1 + jitter / 2)
