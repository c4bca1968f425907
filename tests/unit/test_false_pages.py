"""False pages a week: promised, and seen, judged on the pages that were answered."""

from datetime import UTC, datetime, timedelta

import pytest

from pegel.alerter.feedback.domain.promise import promise, weeks_of
from pegel.schemas.feedback import Verdict

NOW = datetime(2026, 3, 30, tzinfo=UTC)
REAL, FALSE, NEW = "real", "not_useful", "new_normal"


@pytest.mark.parametrize(
    ("pages", "weeks", "seen", "share"),
    [
        ((), 4.0, None, None),
        ((None, None), 4.0, None, 0.0),
        ((FALSE,) * 4, 4.0, 1.0, 1.0),
        ((REAL,) * 4, 4.0, 0.0, 1.0),
        ((FALSE, NEW, REAL, REAL), 2.0, 0.5, 1.0),
        ((FALSE, REAL, None, None, None, None, None, None), 2.0, 2.0, 0.25),
    ],
)
def test_those_that_nobody_answered_are_taken_to_be_like_those_that_were(
    pages: tuple[Verdict | None, ...], weeks: float, seen: float | None, share: float | None
) -> None:
    found = promise(3.0, pages, weeks)
    assert (found.false_pages_per_week_seen, found.pages_answered_share) == (seen, share)
    assert (found.false_pages_per_week_promised, found.pages) == (3.0, len(pages))


@pytest.mark.parametrize(("age_days", "weeks"), [(None, 4.0), (0.1, 1.0), (7, 1.0), (10.5, 1.5), (28, 4.0), (400, 4.0)])
def test_it_looks_at_four_weeks_or_what_there_is_of_them(age_days: float | None, weeks: float) -> None:
    first = None if age_days is None else NOW - timedelta(days=age_days)
    assert weeks_of(NOW, first) == pytest.approx(weeks)
