"""The routes: the page, its fragment, its picture, and the clicks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request, Response
from pydantic import ValidationError
from starlette.responses import HTMLResponse, RedirectResponse

from pegel.dashboard import metrics
from pegel.dashboard.domain.board import Board, Period, board_of
from pegel.dashboard.domain.costs import costs_of
from pegel.dashboard.http.access import FORM, TOKEN, Access, Caller, SignInError, form_of, keep_token, own_form
from pegel.dashboard.http.headers import PRIVATE, tag_of, tagged
from pegel.dashboard.http.views import Views
from pegel.dashboard.pipeline.charts import Charts, key_of
from pegel.dashboard.pipeline.reader import Reader
from pegel.dashboard.ports import Alerter, Change, DrawError, RefusedError, Size, Theme, UnreachableError
from pegel.runtime.http import ProblemError, field_errors, problem_responses
from pegel.schemas.incident import TransitionRequest

HTML: Final[dict[str, Any]] = {"text/html": {"schema": {"type": "string"}}}
DID_NOT: Final = {"acknowledge": "Not acknowledged", "resolve": "Not resolved"}
IncidentId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.:-]{1,128}$", max_length=128)]


def pages(*statuses: int, also: dict[int | str, dict[str, Any]] | None = None) -> dict[int | str, dict[str, Any]]:
    """For `responses=`: these statuses are answered with a page; `also` adds problem details to them or beside them."""
    found: dict[int | str, dict[str, Any]] = {
        status: {"description": "A page", "content": dict(HTML)} for status in statuses
    }
    for status, response in (also or {}).items():
        content = {**found.get(status, {}).get("content", {}), **response.get("content", {})}
        found[status] = {**response, "content": content} if content else response
    return found


SEEN_ALREADY: Final[dict[int | str, dict[str, Any]]] = {304: {"description": "As you have it"}}
SEE_OTHER: Final[dict[int | str, dict[str, Any]]] = {303: {"description": "Done; the page has it"}}


def form_body(**fields: dict[str, Any]) -> dict[str, Any]:
    """For `openapi_extra=`: a form with these fields."""
    schema = {"type": "object", "properties": fields, "additionalProperties": {"type": "string"}}
    return {"requestBody": {"required": True, "content": {FORM: {"schema": schema}}}}


@dataclass(frozen=True)
class Parts:
    """What the routes are made of."""

    reader: Reader
    charts: Charts
    alerter: Alerter
    access: Access
    views: Views
    names: Mapping[str, str]
    now: Callable[[], datetime]

    async def board(self, period: Period) -> tuple[Board, str | None]:
        """The board, and the key of its picture."""
        board = board_of(await self.reader.known(period), period, self.names, self.now())
        chart = self.charts.shown(period, board.costs) if board.costs and board.costs.drawn else None
        return board, chart


def page_routes(parts: Parts) -> APIRouter:
    router = APIRouter(tags=["pages"])
    viewer = Annotated[Caller, Depends(parts.access.viewer)]

    @router.get(
        "/", response_class=HTMLResponse, responses=pages(200, 401, 403, also=SEEN_ALREADY), operation_id="page"
    )
    async def page(request: Request, caller: viewer, period: Period = "24h") -> Response:
        """How things stand: the open incidents and the cost by cause."""
        board, chart = await parts.board(period)
        rendered = parts.views.page(board, chart, caller)
        return tagged(request, rendered.html, "text/html", rendered.tag, PRIVATE)

    @router.get(
        "/fragments/board",
        response_class=HTMLResponse,
        responses=pages(200, 401, 403, also=SEEN_ALREADY),
        operation_id="board",
    )
    async def fragment(request: Request, caller: viewer, period: Period = "24h") -> Response:
        """The changing part of the page, asked again every 5 s."""
        board, chart = await parts.board(period)
        rendered = parts.views.board(board, chart, caller)
        return tagged(request, rendered.html, "text/html", rendered.tag, PRIVATE)

    @router.get(
        "/charts/cost-by-cause.svg",
        response_class=Response,
        responses={
            200: {"description": "The picture", "content": {"image/svg+xml": {}}},
            **SEEN_ALREADY,
            **pages(401, 403),
            **problem_responses(404, 503),
        },
        operation_id="cost_by_cause",
        dependencies=[Depends(parts.access.viewer)],
    )
    async def cost_by_cause(
        request: Request,
        *,
        period: Period = "24h",
        size: Size = "wide",
        theme: Theme = "light",
        v: Annotated[str, Query(pattern="^([0-9a-f]{32})?$", max_length=32, description="hash of the numbers")] = "",
    ) -> Response:
        """A Pareto: cost by cause, dearest first, and the running share."""
        known = await parts.reader.known(period)
        costs = costs_of(known.costs, parts.now()) if known.costs else None
        if costs is None or not costs.drawn:
            raise ProblemError(404, "there is no cost to draw yet")
        try:
            svg = await parts.charts.picture(v or key_of(costs), costs, size, theme)
        except KeyError:  # drawn by another replica, or long ago: these are the numbers of now
            svg, v = await _drawn(parts.charts, key_of(costs), costs, size, theme), ""
        except DrawError as error:
            raise ProblemError(503, "the picture can't be drawn; the table has its numbers") from error
        kept = {"Cache-Control": "private, max-age=86400, immutable", "Vary": PRIVATE["Vary"]} if v else PRIVATE
        return tagged(request, svg, "image/svg+xml", tag_of(svg), kept)

    def change_route(change: Change) -> None:
        @router.post(
            f"/incidents/{{incident_id}}/{change}",
            response_class=Response,  # without a body
            status_code=303,
            responses={
                **SEE_OTHER,
                **pages(401, 403, 404, 409, 503, also=problem_responses(403)),
                **problem_responses(400, 413, 415, 422),
            },
            openapi_extra=form_body(
                reason={"type": "string", "maxLength": 500, "pattern": r"^[^\x00-\x1f\x7f]*$"},
                period={"type": "string", "enum": ["24h", "7d"]},
            ),
            dependencies=[Depends(own_form)],
            operation_id=change,
        )
        async def route(request: Request, incident_id: IncidentId, caller: viewer) -> Response:
            form = await form_of(request)
            period: Period = "7d" if form.get("period") == "7d" else "24h"
            reason = form.get("reason", "").strip()
            try:
                asked = TransitionRequest(reason=reason) if reason else TransitionRequest()
            except ValidationError as error:
                raise ProblemError(422, errors=field_errors(error.errors())) from None
            return await _change(parts, caller, incident_id, change, reason=asked.reason, period=period)

        route.__doc__ = f"The button: {change}. Passed on to the alerter with the caller's own token."

    change_route("acknowledge")
    change_route("resolve")
    return router


async def _drawn(charts: Charts, key: str, costs: Any, size: Size, theme: Theme) -> bytes:
    try:
        return await charts.picture(key, costs, size, theme)
    except DrawError as error:
        raise ProblemError(503, "the picture can't be drawn; the table has its numbers") from error


async def _change(
    parts: Parts, caller: Caller, incident_id: str, change: Change, *, reason: str, period: Period
) -> Response:
    """Ask the alerter for it; back to the page, or the page with what went wrong."""
    try:
        await parts.alerter.change(incident_id, change, reason, caller.token)
    except RefusedError as error:
        metrics.CHANGES.labels("refused").inc()
        if error.status == 401:
            raise SignInError(401, "The alerter takes a change only with a token of your own.") from None
        status, why = (error.status if error.status in {403, 404, 409} else 503), error.detail
    except UnreachableError as error:
        metrics.CHANGES.labels("unreachable").inc()
        status, why = 503, f"the alerter can't be reached ({error})"
    else:
        metrics.CHANGES.labels("done").inc()
        parts.reader.forget()
        return RedirectResponse(f"/?period={period}#incident-{incident_id}", 303)
    parts.reader.forget()
    board, chart = await parts.board(period)
    rendered = parts.views.page(board, chart, caller, f"{DID_NOT[change]}: {why}.")
    return HTMLResponse(rendered.html, status, headers={"Cache-Control": "no-store"})


def sign_in_routes(app: FastAPI, parts: Parts) -> APIRouter:
    """The form that puts a token into a cookie; and what a page answers to somebody without one."""
    router = APIRouter(tags=["access"])

    @app.exception_handler(SignInError)
    async def on_sign_in(_: Request, error: SignInError) -> Response:
        headers = {"Cache-Control": "no-store"} | ({"WWW-Authenticate": "Bearer"} if error.status == 401 else {})
        return HTMLResponse(parts.views.sign_in(error.detail, signed_in=False), error.status, headers)

    @router.get("/sign-in", response_class=HTMLResponse, responses=pages(200), operation_id="sign_in_form")
    async def sign_in_form() -> Response:
        """A form for a token."""
        return HTMLResponse(parts.views.sign_in(None, signed_in=False), headers={"Cache-Control": "no-store"})

    # Not beside the form's own path: FastAPI's answer to another method would name one of the two only.
    @router.post(
        "/session",
        response_class=Response,
        status_code=303,
        responses={**SEE_OTHER, **pages(401), **problem_responses(400, 403, 413, 415)},
        openapi_extra=form_body(token={"type": "string", "maxLength": 512}),
        dependencies=[Depends(own_form)],
        operation_id="sign_in",
    )
    async def sign_in(request: Request) -> Response:
        """Keep the token in a cookie."""
        token = (await form_of(request)).get("token", "").strip()
        if not TOKEN.fullmatch(token) or (parts.access.tokens.needed and parts.access.known(token) is None):
            raise SignInError(401, "This token is not known.")
        answer = RedirectResponse("/", 303)
        keep_token(request, answer, token)
        return answer

    @router.post(
        "/session/end",
        response_class=Response,
        status_code=303,
        responses={**SEE_OTHER, **problem_responses(403)},
        dependencies=[Depends(own_form)],
        operation_id="sign_out",
    )
    async def sign_out(request: Request) -> Response:
        """Take the cookie away."""
        answer = RedirectResponse("/", 303)
        keep_token(request, answer, None)
        return answer

    return router
