"""The HTTP side that all services share: probes, metrics, problem details (RFC 9457), authentication, body limit."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pegel.runtime import logs, metrics
from pegel.runtime.auth import Principal, Role, Tokens
from pegel.runtime.probes import Probe
from pegel.schemas.rejected import FieldError, Problem

PROBLEM_JSON: Final = "application/problem+json"
TITLES: Final = {
    400: "The request can't be read",
    401: "A token is needed",
    403: "The token does not allow this",
    404: "There is no such thing",
    405: "This method is not allowed here",
    406: "None of the accepted types is spoken here",
    408: "The body did not come in time",
    409: "Not possible in this state",
    411: "The length is missing",
    413: "The body is too large",
    415: "This content type is not understood",
    422: "Not valid",
    429: "Too many requests",
    500: "A defect of Pegel",
    503: "Not available at the moment",
}
log = logs.get(__name__)


class ProblemError(Exception):
    """Raised anywhere below a route to answer with problem details."""

    def __init__(
        self,
        status: int,
        detail: str | None = None,
        errors: tuple[FieldError, ...] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail or TITLES.get(status, str(status)))
        self.problem = Problem(title=TITLES.get(status, "Error"), status=status, detail=detail, errors=errors)
        self.headers = headers


def problem_response(problem: Problem, headers: dict[str, str] | None = None) -> JSONResponse:
    """An answer of content type application/problem+json."""
    return JSONResponse(
        problem.model_dump(mode="json", exclude_none=True), problem.status, headers=headers, media_type=PROBLEM_JSON
    )


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses=`: these statuses are answered with problem details."""
    content = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": TITLES.get(status, "Error"), "content": content} for status in statuses}


def field_errors(errors: list[ErrorDetails] | list[Any], prefix: str = "") -> tuple[FieldError, ...]:
    """pydantic's errors as ours: the field's path and the reason, never the value."""
    found = []
    for error in errors:
        path = ""
        for part in error["loc"]:
            path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
        reason = str(error["msg"]).removeprefix("Value error, ")
        found.append(FieldError(field=f"{prefix}{path}"[:200], reason=reason[:300]))
    return tuple(found)


def make_app(
    name: str,
    probe: Probe,
    *,
    title: str,
    description: str,
    body_bytes_max: int,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None,
) -> FastAPI:
    """A FastAPI application with /healthz, /readyz, /metrics, and problem details for every error."""
    app = FastAPI(
        title=title,
        description=description,
        version=version(),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    metrics.BUILD.info({"version": version()})

    def probe_route(answer: Callable[[], tuple[int, dict[str, object]]]) -> Callable[[], Awaitable[JSONResponse]]:
        async def route() -> JSONResponse:
            status, body = answer()
            return JSONResponse(body, status, headers={"Cache-Control": "no-store"})

        return route

    not_now: dict[int | str, dict[str, Any]] = {503: {"description": "Not now", "content": {"application/json": {}}}}
    app.add_api_route(
        "/healthz",
        probe_route(probe.health),
        methods=["GET"],
        responses=not_now,
        tags=["operation"],
        operation_id="health",
    )
    app.add_api_route(
        "/readyz",
        probe_route(probe.readiness),
        methods=["GET"],
        responses=not_now,
        tags=["operation"],
        operation_id="ready",
    )

    @app.get("/metrics", tags=["operation"], response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics_route() -> Response:
        """Prometheus's text format."""
        probe.health()
        probe.readiness()
        body, content_type = metrics.exposition()
        return Response(body, media_type=content_type)

    @app.exception_handler(ProblemError)
    async def on_problem(_: Request, error: ProblemError) -> Response:
        return problem_response(error.problem, error.headers)

    @app.exception_handler(HTTPException)
    async def on_http(_: Request, error: HTTPException) -> Response:
        problem = Problem(
            title=TITLES.get(error.status_code, "Error"), status=error.status_code, detail=str(error.detail)
        )
        return problem_response(problem, dict(error.headers) if error.headers else None)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(_: Request, error: RequestValidationError) -> Response:
        # loc begins with where the value stood (query, path, body), which is no field's name.
        cut = [{**e, "loc": e["loc"][1:] if len(e["loc"]) > 1 else e["loc"]} for e in error.errors()]
        problem = Problem(title=TITLES[422], status=422, errors=field_errors(cut))
        return problem_response(problem)

    @app.exception_handler(Exception)
    async def on_defect(_: Request, error: Exception) -> Response:
        metrics.PROBLEMS.labels(name).inc()
        log.error("request_failed", error=type(error).__name__, exc_info=error)
        return problem_response(Problem(title=TITLES[500], status=500))

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            document.setdefault("components", {}).setdefault("schemas", {}).update(_problem_schemas())
            for path in document["paths"].values():
                for operation in path.values():
                    unprocessable = operation.get("responses", {}).get("422")
                    if unprocessable and "application/json" in unprocessable.get("content", {}):
                        operation["responses"]["422"] = problem_responses(422)[422]
            for name_unused in ("HTTPValidationError", "ValidationError"):
                document["components"]["schemas"].pop(name_unused, None)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    app.add_middleware(_Edge, service=name, body_bytes_max=body_bytes_max)
    return app


def _problem_schemas() -> dict[str, Any]:
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
    definitions: dict[str, Any] = schema.pop("$defs", {})
    return {**definitions, "Problem": schema}


def authenticate(tokens: Tokens, needed: Role) -> Callable[[Request], Awaitable[Principal]]:
    """A dependency: the principal, or 401 / 403. A coroutine, since others are run in a thread, which costs 50 us."""

    async def dependency(request: Request) -> Principal:
        principal = tokens.principal(request.headers.get("authorization"))
        if principal is None:
            raise ProblemError(401, headers={"WWW-Authenticate": "Bearer"})
        if not principal.may(needed):
            raise ProblemError(403, f"role {needed} is needed, the token has {principal.role}")
        return principal

    return dependency


def version() -> str:
    """The distribution's version."""
    from importlib.metadata import version as installed  # noqa: PLC0415  (costs 20 ms that `pegel --help` has no use for)

    return installed("pegel")


class _Edge:
    """What happens to every request before and after: trace id, body limit, count. Plain ASGI, on the hot path."""

    def __init__(self, app: ASGIApp, service: str, body_bytes_max: int) -> None:
        self.app, self.service, self.body_bytes_max = app, service, body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        length, trace_id = None, None
        for key, value in scope["headers"]:
            if key == b"content-length":
                length = int(value) if value.isdigit() else None
            elif key == b"traceparent":
                trace_id = trace_of(value)
        if trace_id:
            structlog.contextvars.bind_contextvars(trace_id=trace_id)
        status = 500

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        read = 0

        async def limited() -> Message:
            nonlocal read
            message = await receive()
            if message["type"] == "http.request":
                read += len(message.get("body", b""))
                if read > self.body_bytes_max:
                    raise ProblemError(413, f"at most {self.body_bytes_max} bytes", headers={"Connection": "close"})
            return message

        try:
            if length is not None and length > self.body_bytes_max:
                problem = Problem(title=TITLES[413], status=413, detail=f"at most {self.body_bytes_max} bytes")
                answer = problem_response(problem, {"Connection": "close"})
                await answer(scope, receive, counted)
            else:
                await self.app(scope, limited, counted)
        finally:
            metrics.HTTP_REQUESTS.labels(self.service, _method(scope["method"]), f"{status // 100}xx").inc()
            if trace_id:
                structlog.contextvars.unbind_contextvars("trace_id")


def _method(method: str) -> str:
    return method if method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} else "other"


def trace_of(traceparent: bytes) -> str | None:
    """The trace id of a traceparent header (W3C Trace Context: version-traceid-parentid-flags); None if it is none."""
    parts = traceparent.split(b"-")
    if len(parts) >= 4 and len(parts[1]) == 32 and len(parts[2]) == 16:
        try:
            return parts[1].decode() if int(parts[1], 16) else None
        except ValueError:
            return None
    return None
