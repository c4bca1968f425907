"""Routes of feedback: what a page was, and what came of it."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Final
from uuid import uuid4

from fastapi import APIRouter, Depends, Query, Request, Response

from pegel.alerter.database import Database, positions
from pegel.alerter.feedback.pipeline import store
from pegel.alerter.http.answers import READ, Answers, IncidentId, tagged
from pegel.alerter.ownership.domain import UNATTRIBUTED
from pegel.alerter.ownership.ports import OwnerRules
from pegel.runtime.auth import Tokens
from pegel.runtime.http import ProblemError, authenticate, problem_responses
from pegel.runtime.settings import Settings
from pegel.schemas.feedback import Feedback, FeedbackList, FeedbackRequest, RaisedBar

CHANGES: Final = problem_responses(400, 401, 403, 404, 409, 413, 422, 503)


def add_feedback_routes(
    router: APIRouter,
    *,
    settings: Settings,
    tokens: Tokens,
    database: Database,
    owners: OwnerRules,
    now: Callable[[], datetime],
) -> None:
    """now: the wall clock."""
    answers = Answers(settings)
    viewer, responder = Depends(authenticate(tokens, "viewer")), Depends(authenticate(tokens, "responder"))

    @router.post("/incidents/{incident_id}/feedback", responses=CHANGES, dependencies=[responder], tags=["feedback"])
    def give(incident_id: IncidentId, request: FeedbackRequest) -> Feedback:
        """What the incident's newest page was. Another answer takes the first back; `undo` takes back without one."""
        team = request.given_by
        if team is not None and team != UNATTRIBUTED and not owners.team(team).cost_centre:
            raise ProblemError(409, "given_by is no team of ownership.yaml")
        asked = store.Asked(team, settings.bucket_seconds, lambda: str(uuid4()), now())
        with database.write() as connection:
            try:
                if request.verdict == "undo":
                    return _told(store.undo(connection, incident_id, asked), settings)
                return _told(store.give(connection, incident_id, request.verdict, asked), settings)
            except store.UnknownIncident:
                raise ProblemError(404, "no incident has this id") from None
            except store.NothingToUndo:
                raise ProblemError(409, "the incident has no answer that could be undone") from None

    @router.get("/feedback", response_model=FeedbackList, responses=READ, dependencies=[viewer], tags=["feedback"])
    def feedback(request: Request, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Response:
        """The newest answers, the bars that they raise, and false pages a week as promised and as seen."""
        with database.read() as connection:
            position = positions.load(connection, store.CONSUMER)
            as_of = position.as_of if position else None
            answer = FeedbackList(
                items=tuple(_told(its, settings) for its in store.newest(connection, limit)),
                bars=tuple(
                    RaisedBar(segment=_named(bar.segment, settings), raised=bar.raised, until=bar.until)
                    for bar in store.bars(connection, as_of or now())
                ),
                promise=store.promise_of(connection, settings.false_pages_per_week),
                as_of=as_of,
                stale=answers.stale(as_of, now()),
            )
        return tagged(request, answer)


def _named(segment: tuple[str, ...], settings: Settings) -> dict[str, str]:
    return dict(zip(settings.segment_dimensions, segment, strict=True))


def _told(answer: store.Answer, settings: Settings) -> Feedback:
    return Feedback(
        id=answer.id,
        incident_id=answer.incident_id,
        segment=_named(answer.segment, settings),
        verdict=answer.verdict,
        given_by=answer.given_by,
        given_at=answer.given_at,
        holds_from=answer.holds_from,
        undone_at=answer.undone_at,
        sent=answer.sent,
    )
