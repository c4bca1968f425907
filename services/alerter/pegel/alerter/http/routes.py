"""The routes of /v1. Handlers are plain functions: they block on the database, so FastAPI runs them in threads."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from pydantic import AwareDatetime, BeforeValidator

from pegel.alerter.database import Database, DatabaseUnavailable
from pegel.alerter.http.answers import READ, Answers, IncidentId, tagged
from pegel.alerter.http.feedback import add_feedback_routes
from pegel.alerter.incidents.domain.life import NotPossible
from pegel.alerter.incidents.pipeline import store
from pegel.alerter.ownership.ports import OwnerRules
from pegel.runtime.auth import Principal, Tokens
from pegel.runtime.http import ProblemError, authenticate, problem_response, problem_responses
from pegel.runtime.probes import Probe
from pegel.runtime.settings import Settings
from pegel.schemas.incident import Incident, IncidentList, IncidentState, TransitionRequest
from pegel.schemas.ledger import CostList
from pegel.schemas.rejected import FieldError, Problem

RETRY_SECONDS: Final = 5
VALUE_PATTERN: Final = r"^[^\x00-\x1f\x7f]{1,80}$"
HOURS_MAX: Final = 24 * 400
Value = Annotated[str, Query(pattern=VALUE_PATTERN)]


def _written_out(value: object) -> object:
    """pydantic would take a bare number for seconds since 1970."""
    if isinstance(value, str) and not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]", value):
        raise ValueError("give a time with a zone: 2026-01-31T09:00:00+01:00")
    return value


Moment = Annotated[AwareDatetime | None, BeforeValidator(_written_out), Query()]


def add_routes(
    app: FastAPI,
    *,
    settings: Settings,
    tokens: Tokens,
    database: Database,
    owners: OwnerRules,
    probe: Probe,
    now: Callable[[], datetime],
) -> None:
    """now: the wall clock."""
    answers = Answers(settings)
    viewer, responder = Depends(authenticate(tokens, "viewer")), Depends(authenticate(tokens, "responder"))
    router = APIRouter(prefix="/v1", tags=["incidents"])

    @app.exception_handler(DatabaseUnavailable)
    async def on_unavailable(_: Request, error: Exception) -> Response:
        probe.dependency("database", str(error))
        problem = Problem(title="Not available at the moment", status=503, detail="the database does not answer")
        return problem_response(problem, {"Retry-After": str(RETRY_SECONDS)})

    def asked_dimensions(request: Request) -> dict[str, str]:
        return _dimensions(request, settings.segment_dimensions)

    @router.get(
        "/incidents",
        response_model=IncidentList,
        responses=READ,
        dependencies=[viewer],
        openapi_extra={"parameters": [_parameter(name) for name in settings.segment_dimensions]},
    )
    def list_incidents(
        request: Request,
        dimensions: Annotated[dict[str, str], Depends(asked_dimensions)],
        state: IncidentState | None = None,
        team: Value | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Response:
        """The newest incidents of which all that is asked holds; a segment dimension is asked by its name."""
        with database.read() as connection:
            found = store.find(connection, limit=limit, dimensions=dimensions, state=state, team=team)
            answer = answers.incidents(connection, found, now())
        return tagged(request, answer)

    @router.get(
        "/incidents/{incident_id}",
        response_model=Incident,
        responses={**READ, **problem_responses(404)},
        dependencies=[viewer],
    )
    def get_incident(request: Request, incident_id: IncidentId) -> Response:
        """One incident."""
        with database.read() as connection:
            answer = answers.incident(connection, _get(lambda: store.get(connection, incident_id)), now())
        return tagged(request, answer)

    def change(incident_id: str, event: Literal["acknowledge", "resolve"], reason: str, actor: str) -> Incident:
        with database.write() as connection:
            incident = _get(lambda: store.get(connection, incident_id, for_update=True))
            at = now()
            try:
                changed = store.change(
                    connection,
                    incident,
                    event,
                    at=at,
                    actor=actor,
                    reason=reason,
                    owners=owners,
                    dimensions=settings.segment_dimensions,
                    now=at,
                )
            except NotPossible as error:
                raise ProblemError(409, str(error)) from None
            return answers.incident(connection, changed, at)

    changes = problem_responses(400, 401, 403, 404, 409, 413, 422, 503)

    @router.post("/incidents/{incident_id}/acknowledge", responses=changes)
    def acknowledge(
        incident_id: IncidentId, request: TransitionRequest, principal: Annotated[Principal, responder]
    ) -> Incident:
        """Somebody deals with it."""
        return change(incident_id, "acknowledge", request.reason, principal.name)

    @router.post("/incidents/{incident_id}/resolve", responses=changes)
    def resolve(
        incident_id: IncidentId, request: TransitionRequest, principal: Annotated[Principal, responder]
    ) -> Incident:
        """It is over, or was none: whoever was paged is told."""
        return change(incident_id, "resolve", request.reason, principal.name)

    @router.get("/costs", response_model=CostList, responses=READ, dependencies=[viewer], tags=["ledger"])
    def costs(
        request: Request,
        hours: Annotated[int, Query(ge=1, le=HOURS_MAX)] = 24,
        since: Moment = None,
        until: Moment = None,
    ) -> Response:
        """Cost by cause, dearest first: the last `hours` up to the last bucket booked, or since to until.

        Both ends are widened to full hours (UTC); the answer says which.
        """
        with database.read() as connection:
            answer = answers.costs(connection, since, until, hours, now())
        return tagged(request, answer)

    add_feedback_routes(router, settings=settings, tokens=tokens, database=database, owners=owners, now=now)
    app.include_router(router)


def _get(find: Callable[[], store.Found]) -> store.Found:
    try:
        return find()
    except store.UnknownIncident:
        raise ProblemError(404, "no incident has this id") from None


def _parameter(dimension: str) -> dict[str, Any]:
    return {
        "name": dimension,
        "in": "query",
        "required": False,
        "schema": {"type": "string", "pattern": VALUE_PATTERN},
        "description": f"value of the segment dimension {dimension}; * asks for roll-ups over it",
    }


def _dimensions(request: Request, known: tuple[str, ...]) -> dict[str, str]:
    """The segment dimensions asked for. A parameter that is not known would be a filter that does not filter: 422."""
    asked: dict[str, str] = {}
    errors = []
    for name, value in request.query_params.multi_items():
        if name in known and name not in asked and re.fullmatch(VALUE_PATTERN, value):
            asked[name] = value
        elif name in known:
            errors.append(FieldError(field=name, reason="give one value of 1 to 80 characters"))
        elif name not in ("state", "team", "limit"):
            errors.append(
                FieldError(field=name[:200], reason=f"is none of {', '.join((*known, 'state', 'team', 'limit'))}")
            )
    if errors:
        raise ProblemError(422, errors=tuple(errors))
    return asked
