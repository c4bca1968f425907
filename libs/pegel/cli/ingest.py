"""Sends contacts and ticks to ingest, again and again while it is away: every contact has an id, so nothing doubles."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Self

import httpx
import orjson

from pegel.runtime.settings import ConfigurationError, Settings

BACK_OFF_SECONDS: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0)
TIMEOUT_SECONDS: Final = 15.0


class IngestAwayError(Exception):
    """Ingest did not take records for too long; the text says where and why."""


@dataclass(slots=True)
class Answer:
    """What became of a batch. refused: reasons ('country: ...') of the items that were rejected."""

    accepted: int
    refused: list[str] = field(default_factory=list)
    rejected: int = 0


class IngestClient:
    """One connection to ingest. patience_seconds: how long a request is tried again before IngestAwayError.

    on_away: called once with the reason when a request has to be tried again, and with None when it went through.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        patience_seconds: float = float("inf"),
        on_away: Callable[[str | None], None] = lambda _: None,
    ) -> None:
        self.url = settings.resolved_ingest_url.rstrip("/")
        headers = {"Content-Type": "application/json"}
        if settings.token is not None:
            headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
        self._client = httpx.AsyncClient(base_url=self.url, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False)
        self._patience_seconds, self._on_away = patience_seconds, on_away

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def contacts(self, contacts: Sequence[dict[str, Any]]) -> Answer:
        """Returns once every contact is durable or rejected. Raises IngestAwayError, ConfigurationError (token)."""
        answer = await self._post("/v1/contacts", orjson.dumps(contacts))
        body = orjson.loads(answer.content)
        if answer.status_code == 202:
            return Answer(int(body["accepted"]))
        if answer.status_code == 207:
            refused = [_reason(error) for item in body["items"] for error in item["errors"]]
            return Answer(int(body["accepted"]), refused, len(body["items"]))
        if answer.status_code == 422:  # none was accepted; the fields begin with the item's index
            return Answer(0, [_reason(error) for error in body.get("errors", ())], len(contacts))
        raise IngestAwayError(f"ingest at {self.url} answered {answer.status_code}: {_detail(answer)}")

    async def tick(self, at: datetime) -> None:
        """Let time pass up to `at` (data mode). Raises as `contacts` does."""
        answer = await self._post("/v1/ticks", orjson.dumps({"at": at}))
        if answer.status_code != 202:
            raise IngestAwayError(f"ingest at {self.url} answered {answer.status_code} to a tick: {_detail(answer)}")

    async def _post(self, path: str, body: bytes) -> httpx.Response:
        deadline = time.monotonic() + self._patience_seconds
        tried = 0
        while True:
            wait: float | None = None
            try:
                answer = await self._client.post(path, content=body)
            except httpx.TransportError as error:
                why = str(error) or type(error).__name__
            else:
                if answer.status_code in {401, 403}:
                    raise ConfigurationError(
                        [f"PEGEL_TOKEN: ingest at {self.url} answered {answer.status_code}: {_detail(answer)}"]
                    )
                if answer.status_code != 429 and answer.status_code < 500:
                    if tried:
                        self._on_away(None)
                    return answer
                why = f"{answer.status_code} {_detail(answer)}"
                wait = _retry_after(answer)
            if tried == 0:
                self._on_away(why)
            if wait is None:
                wait = BACK_OFF_SECONDS[min(tried, len(BACK_OFF_SECONDS) - 1)] * random.uniform(0.8, 1.2)  # noqa: S311
            tried += 1
            if time.monotonic() + wait > deadline:
                raise IngestAwayError(f"ingest at {self.url} took nothing for {self._patience_seconds:.0f} s: {why}")
            await asyncio.sleep(wait)


def _retry_after(answer: httpx.Response) -> float | None:
    text = answer.headers.get("retry-after", "")
    return min(float(text), 30.0) if text.isdigit() else None


def _reason(error: dict[str, str]) -> str:
    path = error["field"]
    while path.startswith("["):  # an index says nothing once answers of many batches are added up
        path = path.partition("]")[2].lstrip(".")
    return f"{path or 'contact'}: {error['reason']}"


def _detail(answer: httpx.Response) -> str:
    try:
        problem = orjson.loads(answer.content)
        return str(problem.get("detail") or problem.get("title"))
    except (ValueError, AttributeError):
        return answer.reason_phrase
