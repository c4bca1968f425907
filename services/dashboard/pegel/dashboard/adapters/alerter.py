"""The alerter's API by HTTP (httpx): conditional requests, one time limit for the whole answer, no redirects."""

import asyncio
import ssl
import time
from typing import Final, TypeVar
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from pegel.dashboard import metrics
from pegel.dashboard.ports import Change, RefusedError, UnreachableError
from pegel.schemas.base import Versioned
from pegel.schemas.incident import IncidentList, IncidentState, TransitionRequest
from pegel.schemas.ledger import CostList
from pegel.schemas.rejected import Problem

ANSWER_SECONDS_MAX: Final = 2.5
"""Shorter than the page's own 5 s, so that a page can always say that the alerter hangs."""

CHANGE_SECONDS_MAX: Final = 8.0
"""A change may wait for a database; giving up early would leave the person not knowing whether it was made."""

KEEP_SECONDS: Final = 2.0
"""Idle connections are let go before uvicorn closes them after 5 s: a request must not meet the closing."""

Answer = TypeVar("Answer", bound=Versioned)


class HttpAlerter:
    """Implements the port Alerter. token: sent with reads; a change carries the token of who makes it, and no other."""

    def __init__(self, url: str, token: str | None, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._client = httpx.AsyncClient(
            base_url=url,
            timeout=httpx.Timeout(ANSWER_SECONDS_MAX),
            limits=httpx.Limits(keepalive_expiry=KEEP_SECONDS),
            verify=ssl.create_default_context(),  # SSL_CERT_FILE names a bank's own authority
            trust_env=False,  # the alerter is a neighbour: no proxy of the environment stands between
            transport=transport,
        )
        self._token = token
        self._answers: dict[str, tuple[str, Versioned]] = {}  # at most one a path asked for, of which there are few

    async def close(self) -> None:
        await self._client.aclose()

    async def incidents(self, state: IncidentState, limit: int) -> IncidentList:
        return await self._get(f"/v1/incidents?state={state}&limit={limit}", IncidentList)

    async def costs(self, hours: int) -> CostList:
        return await self._get(f"/v1/costs?hours={hours}", CostList)

    async def change(self, incident_id: str, change: Change, reason: str, token: str | None) -> None:
        path = f"/v1/incidents/{quote(incident_id, safe='')}/{change}"
        headers = {"Content-Type": "application/json", **_bearer(token)}
        body = TransitionRequest(reason=reason).model_dump_json()
        answer = await self._send(
            self._client.build_request("POST", path, content=body, headers=headers), CHANGE_SECONDS_MAX
        )
        if not answer.is_success:
            raise RefusedError(answer.status_code, _detail(answer))

    async def _get(self, path: str, model: type[Answer]) -> Answer:
        headers = _bearer(self._token)
        tag, last = self._answers.get(path, ("", None))
        if tag:
            headers["If-None-Match"] = tag
        answer = await self._send(self._client.build_request("GET", path, headers=headers), ANSWER_SECONDS_MAX)
        if answer.status_code == 304 and isinstance(last, model):
            return last
        if answer.status_code in {401, 403}:
            raise RefusedError(answer.status_code, "the alerter does not take this token: look at PEGEL_TOKEN")
        if answer.status_code != 200:
            raise UnreachableError(f"it answers {answer.status_code}")
        try:
            found = model.model_validate_json(answer.content)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise UnreachableError(f"its answer can't be understood ({model.__name__}: {where})") from error
        if "etag" in answer.headers:
            self._answers[path] = (answer.headers["etag"], found)
        return found

    async def _send(self, request: httpx.Request, seconds_max: float) -> httpx.Response:
        started, outcome = time.monotonic(), "failed"
        try:
            async with asyncio.timeout(seconds_max):
                answer = await self._client.send(request)
            outcome = f"{answer.status_code // 100}xx"
        except (httpx.TimeoutException, TimeoutError) as error:
            raise UnreachableError(f"no answer within {seconds_max:g} s") from error
        except httpx.HTTPError as error:
            what = "no connection" if isinstance(error, httpx.ConnectError) else "the connection broke off"
            raise UnreachableError(what) from error
        finally:
            metrics.ALERTER_SECONDS.labels(outcome).observe(time.monotonic() - started)
        return answer


def _bearer(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def _detail(answer: httpx.Response) -> str:
    """The reason in the problem document; the bare status where there is none."""
    try:
        problem = Problem.model_validate_json(answer.content)
    except ValidationError:
        return f"the alerter answered {answer.status_code}"
    return problem.detail or problem.title
