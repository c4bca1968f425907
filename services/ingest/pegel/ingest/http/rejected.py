"""GET /v1/rejected: what was rejected of a source, for those who sent it."""

import re
from collections.abc import Callable
from typing import Annotated, Final

from fastapi import Depends, FastAPI, Query
from pydantic import AwareDatetime, BeforeValidator, WithJsonSchema

from pegel.eventlog.port import LogUnavailable
from pegel.ingest.http.bodies import RETRY_AFTER
from pegel.ingest.pipeline.rejections import BusyError, Question, Rejections
from pegel.runtime.auth import Principal, Tokens
from pegel.runtime.http import ProblemError, authenticate, problem_responses
from pegel.schemas.base import SLUG_PATTERN, Slug
from pegel.schemas.contact import RFC_3339_PATTERN
from pegel.schemas.rejected import RejectedPage, RejectedReason

OFFSET_MAX: Final = 2**63 - 1
SLUG: Final = re.compile(SLUG_PATTERN)


def source_of(principal: Principal) -> str:
    """The source that a token is for. Raises ProblemError 403 if it can be none."""
    if not SLUG.match(principal.name):
        raise ProblemError(403, "the token's name is no slug, so no source: lower-case letters, digits, - and _")
    return principal.name


def _written_out(value: object) -> object:
    """pydantic would take a bare number for seconds since 1970."""
    if isinstance(value, str) and not re.match(RFC_3339_PATTERN, value):
        raise ValueError("give a time with a zone: 2026-01-31T09:00:00+01:00")
    return value


Moment = Annotated[
    AwareDatetime, BeforeValidator(_written_out), WithJsonSchema({"type": "string", "format": "date-time"})
]
Offset = Annotated[int, Query(ge=0, le=OFFSET_MAX)]


def add_rejected(app: FastAPI, tokens: Tokens, opened: Callable[[], Rejections]) -> None:
    """Add the route. opened: raises ProblemError until the log is open."""

    @app.get(
        "/v1/rejected",
        response_model=RejectedPage,
        response_model_exclude_none=True,
        responses=problem_responses(401, 403, 422, 429, 503),
        tags=["contacts"],
        operation_id="get_rejected",
    )
    async def get_rejected(
        principal: Annotated[Principal, Depends(authenticate(tokens, "source"))],
        source: Annotated[Slug | None, Query(description="whose; a token of a source sees only its own")] = None,
        reason: RejectedReason | None = None,
        since: Annotated[Moment | None, Query(description="rejected then or later")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: Annotated[Offset | None, Query(description="`next` of an earlier answer: what came after it")] = None,
        before: Annotated[Offset | None, Query(description="`older` of an earlier answer: what came before it")] = None,
    ) -> RejectedPage:
        """What was rejected: refused at once, or accepted and rejected behind the log (conflict, unknown_contact).

        The newest first. To follow, give `next` of each answer as `cursor` of the next question: then the oldest first.
        A question looks at no more than 20,000 records, so an answer may be short although there is more.
        """
        if principal.role != "admin":
            own = source_of(principal)
            if source not in {None, own}:
                raise ProblemError(403, "the token is for another source")
            source = own
        question = Question(limit, source, reason, since, cursor, before)
        try:
            return await opened().page(question)
        except BusyError:
            raise ProblemError(429, "too many ask for what was rejected", headers=RETRY_AFTER) from None
        except LogUnavailable as error:
            raise ProblemError(503, f"the log can't be read at the moment: {error}", headers=RETRY_AFTER) from None
