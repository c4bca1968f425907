"""POST /v1/contacts, /v1/amendments, /v1/ticks: authentication, limits, and what an outcome is as an answer."""

import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from pydantic import ValidationError

from pegel.eventlog.port import LogUnavailable
from pegel.ingest import metrics
from pegel.ingest.domain.reading import TooManyRefusedError, UnreadableError
from pegel.ingest.domain.refusals import Refusal
from pegel.ingest.http.bodies import JSON, NDJSON, RETRY_AFTER, Bodies, form_of
from pegel.ingest.http.documents import items_body, one_body
from pegel.ingest.http.rejected import add_rejected, source_of
from pegel.ingest.pipeline.intake import Delivery, Headers, Intake, Outcome
from pegel.ingest.pipeline.rejections import Rejections
from pegel.runtime.auth import Principal, Tokens
from pegel.runtime.http import ProblemError, authenticate, field_errors, problem_responses, trace_of
from pegel.schemas.accepted import Accepted, PartlyAccepted, RejectedItem, Ticked
from pegel.schemas.contact import Amendment, Contact, Tick, amendment_example, schema_example
from pegel.schemas.rejected import FieldError

Part = TypeVar("Part", Intake, Rejections)
Take = Callable[[Delivery], Awaitable[Outcome]]
PROBLEMS: Final = problem_responses(400, 401, 403, 408, 413, 415, 422, 429, 503)
TOLD_MAX: Final = 100
"""Refusals that are told of a body that is refused for their number."""


@dataclass(slots=True)
class State:
    """What the routes need. intake, rejections: None until the log is open."""

    tokens: Tokens
    wall: bool
    bodies: Bodies
    intake: Intake | None = None
    rejections: Rejections | None = None

    def opened(self) -> Intake:
        return _opened(self.intake)

    def readable(self) -> Rejections:
        return _opened(self.rejections)


def _opened(part: Part | None) -> Part:
    if part is None:
        raise ProblemError(503, "the log is not open yet", headers=RETRY_AFTER)
    return part


class _Direct(APIRoute):
    """A route whose endpoint gets the request and gives the response, with nothing in between.

    FastAPI's solving of parameters and dependencies takes a fifth of the time of a single contact, and there are none.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        return self.endpoint


def add_routes(app: FastAPI, state: State) -> None:
    """Add the routes of /v1."""
    sender = authenticate(state.tokens, "source")
    add_rejected(app, state.tokens, state.readable)
    app.router.route_class = _Direct
    some: dict[int | str, dict[str, Any]] = {207: {"model": PartlyAccepted, "description": "Some were accepted"}}

    @app.post(
        "/v1/contacts",
        status_code=202,
        response_model=Accepted,
        responses=some | PROBLEMS,
        openapi_extra=items_body(Contact, schema_example()),
        tags=["contacts"],
        operation_id="post_contacts",
    )
    async def post_contacts(request: Request) -> Response:
        """Take one contact, an array of contacts, or NDJSON. 202 means that the log has them durably.

        A contact that comes again (same source and event_id) is accepted and counted once, so what was answered by 503,
        or not at all, is safely sent again.
        """
        return await _items(state, request, await sender(request), state.opened().contacts)

    @app.post(
        "/v1/amendments",
        status_code=202,
        response_model=Accepted,
        responses=some | PROBLEMS,
        openapi_extra=items_body(Amendment, amendment_example()),
        tags=["contacts"],
        operation_id="post_amendments",
    )
    async def post_amendments(request: Request) -> Response:
        """Take what became known of contacts later: one amendment, an array, or NDJSON."""
        return await _items(state, request, await sender(request), state.opened().amendments)

    @app.post(
        "/v1/ticks",
        status_code=202,
        response_model=Ticked,
        responses=PROBLEMS | problem_responses(409),
        openapi_extra=one_body(Tick),
        tags=["time"],
        operation_id="post_ticks",
    )
    async def post_ticks(request: Request) -> Response:
        """Let time pass up to `at`. Only on a log in data mode (PEGEL_CLOCK=data), whose time moves by this alone."""
        await sender(request)
        intake = state.opened()
        if state.wall:
            raise ProblemError(409, "the log is in wall mode (PEGEL_CLOCK=wall): its time passes by itself")
        form_of(request, JSON)
        body = await state.bodies.read(request)
        try:
            at = Tick.model_validate_json(body).at
            return _json(202, Ticked(partitions=await intake.tick(at, _headers(request))))
        except ValidationError as error:
            raise _invalid(error) from None
        except LogUnavailable as error:
            raise _unavailable(error) from None
        finally:
            state.bodies.done(body)

    app.router.routes.sort(
        key=lambda route: getattr(route, "path", "") != "/v1/contacts"
    )  # the busy one is tried first


async def _items(state: State, request: Request, principal: Principal, take: Take) -> Response:
    begun = time.perf_counter()
    form = form_of(request, JSON, NDJSON)
    source = source_of(principal) if state.tokens.needed else None
    body = await state.bodies.read(request)
    try:
        return _answer(await take(Delivery(body, form, source, datetime.now(UTC), _headers(request))))
    except UnreadableError as error:
        raise ProblemError(400, f"the body is not JSON: {error}") from None
    except TooManyRefusedError as error:
        raise ProblemError(422, str(error), errors=_named(error.refused[:TOLD_MAX])) from None
    except LogUnavailable as error:
        raise _unavailable(error) from None
    finally:
        state.bodies.done(body)
        metrics.REQUEST_SECONDS.observe(time.perf_counter() - begun)


def _answer(outcome: Outcome) -> Response:
    """202 if all were accepted, 422 if none, else 207."""
    if not outcome.refused:
        return _json(202, Accepted(accepted=outcome.accepted))
    if outcome.accepted:
        items = tuple(RejectedItem(index=each.index, errors=each.named("", "item")) for each in outcome.refused)
        return _json(207, PartlyAccepted(accepted=outcome.accepted, rejected=len(items), items=items))
    raise ProblemError(422, errors=_named(outcome.refused, single=outcome.single))


def _named(refused: Sequence[Refusal], *, single: bool = False) -> tuple[FieldError, ...]:
    """The faults with paths within the body: country, or [3].country where there are several items."""
    return tuple(error for each in refused for error in each.named("" if single else f"[{each.index}]", "body"))


def _json(status: int, answer: Accepted | PartlyAccepted | Ticked) -> Response:
    return Response(answer.__pydantic_serializer__.to_json(answer), status, media_type=JSON)


def _headers(request: Request) -> Headers:
    """What the records carry of the request: its trace context, where it has a valid one."""
    traceparent = request.headers.get("traceparent")
    if traceparent and trace_of(value := traceparent.encode("latin-1")):
        return (("traceparent", value),)
    return ()


def _invalid(error: ValidationError) -> ProblemError:
    details = error.errors(include_url=False, include_input=False)
    if any(detail["type"] == "json_invalid" for detail in details):
        return ProblemError(400, "the body is not JSON")
    return ProblemError(
        422,
        errors=tuple(
            each if each.field else each.model_copy(update={"field": "body"}) for each in field_errors(details)
        ),
    )


def _unavailable(error: LogUnavailable) -> ProblemError:
    return ProblemError(503, f"the log does not take records at the moment: {error}", headers=RETRY_AFTER)
