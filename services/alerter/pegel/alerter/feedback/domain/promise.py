"""False pages a week: what was promised, and what was seen, judged on the pages that were answered."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from pegel.schemas.feedback import Promise, Verdict

WINDOW: Final = timedelta(weeks=4)
WEEK: Final = timedelta(weeks=1)


def weeks_of(as_of: datetime, first: datetime | None) -> float:
    """For how long pages are looked at. first: when contacts were first charged.

    A week at least: what happened on an installation's first day says little of a week.
    """
    length = WINDOW if first is None else min(WINDOW, as_of - first)
    return max(WEEK, length) / WEEK


def promise(promised: float, pages: Sequence[Verdict | None], weeks: float) -> Promise:
    """pages: what was said of each of the last `weeks`; None: nothing.

    A page is false when it was not useful; a new normal did rise. Pages that nobody answered are taken to be like those
    that were answered: how many were stands beside it.
    """
    answered = [verdict for verdict in pages if verdict is not None]
    false = answered.count("not_useful")
    return Promise(
        false_pages_per_week_promised=promised,
        false_pages_per_week_seen=false / len(answered) * len(pages) / weeks if answered else None,
        pages_answered_share=len(answered) / len(pages) if pages else None,
        pages=len(pages),
        answered=len(answered),
        not_useful=false,
        weeks=round(weeks, 3),
    )
