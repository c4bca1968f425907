"""What teams say of their pages, and what was promised and seen of false ones, over HTTP."""

from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, Field

from pegel.schemas.base import Slug, Versioned

Verdict = Literal["real", "not_useful", "new_normal"]

BAR_STEP: Final = 0.3
"""By so many powers of ten of false pages a `not_useful` raises its line's bar: it must be twice as rare to page."""
BAR_MOST: Final = 1.0
"""However many say so: what is ten times as rare as promised always pages."""
BAR_DAYS: Final = 56
"""For so long; who still thinks so when it pages again says so again."""


def bar_raised(answers: int) -> float:
    """By how much so many answers of `not_useful` that hold raise a line's bar, in powers of ten."""
    return min(BAR_MOST, round(BAR_STEP * answers, 6))


BARS: Final = tuple(bar_raised(answers) for answers in range(1, 5))
"""All that a bar can be raised by."""


class FeedbackRequest(Versioned):
    """What a page was: `real`, `not_useful`, `new_normal`; `undo` takes the incident's last answer back.

    given_by: the id of a team; default: the incident's owner.
    """

    verdict: Verdict | Literal["undo"]
    given_by: Slug | None = None


class Feedback(Versioned):
    """An answer. holds_from: the end of what was judged then. sent: the log has it, and that it was undone if it was;

    the judge comes to it.
    """

    id: str
    incident_id: str
    segment: dict[str, str]
    verdict: Verdict
    given_by: str
    given_at: AwareDatetime
    holds_from: AwareDatetime
    undone_at: AwareDatetime | None
    sent: bool


class RaisedBar(Versioned):
    """A line that must be so many powers of ten rarer than promised to page; until: when that is lowered next."""

    segment: dict[str, str]
    raised: Annotated[float, Field(gt=0)]
    until: AwareDatetime


class Promise(Versioned):
    """False pages a week: promised, and seen in the last `weeks`. Both are of the whole installation.

    seen: pages a week, times the share of `not_useful` among those answered; null while none was answered.
    answered_share: null while there was no page.
    """

    false_pages_per_week_promised: float
    false_pages_per_week_seen: float | None
    pages_answered_share: Annotated[float, Field(ge=0, le=1)] | None
    pages: Annotated[int, Field(ge=0)]
    answered: Annotated[int, Field(ge=0)]
    not_useful: Annotated[int, Field(ge=0)]
    weeks: float


class FeedbackList(Versioned):
    """GET /v1/feedback: answers, newest first; bars that are raised; the promise."""

    items: tuple[Feedback, ...]
    bars: tuple[RaisedBar, ...]
    promise: Promise
    as_of: AwareDatetime | None
    stale: bool
