"""Sends contacts and ticks to ingest, again and again while it is away: every contact has an id, so nothing doubles."""

import asyncio
import contextlib
import http.client
import random
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Self
from urllib.parse import urlsplit

import orjson

from pegel.runtime.settings import ConfigurationError, Settings

CONTACTS: Final = "/v1/contacts"
TICKS: Final = "/v1/ticks"
BACK_OFF_SECONDS: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0)
TIMEOUT_SECONDS: Final = 10.0
RETRY_AFTER_SECONDS_MAX: Final = 30.0


class IngestAwayError(Exception):
    """Ingest did not take records for too long; the text says where and why."""


@dataclass(slots=True)
class Answer:
    """What became of a batch. refused: reasons ('country: ...') of the items that were rejected."""

    accepted: int
    refused: list[str] = field(default_factory=list)
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    retry_after: str
    content: bytes


class IngestClient:
    """Ingest, as the command line speaks to it.

    patience_seconds: how long a request is tried again before IngestAwayError.
    on_away: called once with the reason when a request has to be tried again, and with None when it went through.
    The connections are http.client's, in threads: a quarter of the time that httpx's asynchronous client takes.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        patience_seconds: float = float("inf"),
        on_away: Callable[[str | None], None] = lambda _: None,
    ) -> None:
        self.url = settings.resolved_ingest_url.rstrip("/")
        parts = urlsplit(self.url)
        try:
            port, sound = parts.port, parts.scheme in {"http", "https"} and bool(parts.hostname)
        except ValueError:
            port, sound = None, False
        if not sound or parts.hostname is None:
            raise ConfigurationError([f"PEGEL_INGEST_URL={self.url}: give http://host:port or https://host:port"])
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        # Contacts and ticks have a connection each, so that the one need not wait for the other.
        self._connections = {path: kind(parts.hostname, port, timeout=TIMEOUT_SECONDS) for path in (CONTACTS, TICKS)}
        self._path = parts.path
        self._headers = {"Content-Type": "application/json"}
        if settings.token is not None:
            self._headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
        self._patience_seconds, self._on_away = patience_seconds, on_away

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self._connections.values():
            connection.close()

    async def contacts(self, contacts: Sequence[dict[str, Any]]) -> Answer:
        """Returns once every contact is durable or rejected. Raises IngestAwayError, ConfigurationError (token)."""
        answer = await self._post(CONTACTS, orjson.dumps(contacts))
        body = orjson.loads(answer.content)
        if answer.status == 202:
            return Answer(int(body["accepted"]))
        if answer.status == 207:
            refused = [_reason(error) for item in body["items"] for error in item["errors"]]
            return Answer(int(body["accepted"]), refused, len(body["items"]))
        if answer.status == 422:  # none was accepted; the fields begin with the item's index
            return Answer(0, [_reason(error) for error in body.get("errors", ())], len(contacts))
        raise IngestAwayError(f"ingest at {self.url} answered {answer.status}: {_detail(answer)}")

    async def tick(self, at: datetime) -> None:
        """Let time pass up to `at` (data mode). Raises as `contacts` does."""
        answer = await self._post(TICKS, orjson.dumps({"at": at}))
        if answer.status != 202:
            raise IngestAwayError(f"ingest at {self.url} answered {answer.status} to a tick: {_detail(answer)}")

    async def _post(self, path: str, body: bytes) -> _Reply:
        deadline = time.monotonic() + self._patience_seconds
        tried = 0
        while True:
            wait: float | None = None
            try:
                reply = await self._request(path, body)
            except (OSError, http.client.HTTPException) as error:
                why = str(error) or type(error).__name__
            else:
                if reply.status in {401, 403}:
                    raise ConfigurationError(
                        [f"PEGEL_TOKEN: ingest at {self.url} answered {reply.status}: {_detail(reply)}"]
                    )
                if reply.status != 429 and reply.status < 500:
                    if tried:
                        self._on_away(None)
                    return reply
                why = f"{reply.status} {_detail(reply)}"
                if reply.retry_after.isdigit():
                    wait = min(float(reply.retry_after), RETRY_AFTER_SECONDS_MAX)
            if tried == 0:
                self._on_away(why)
            if wait is None:
                wait = BACK_OFF_SECONDS[min(tried, len(BACK_OFF_SECONDS) - 1)] * random.uniform(0.8, 1.2)  # noqa: S311
            tried += 1
            if time.monotonic() + wait > deadline:
                raise IngestAwayError(f"ingest at {self.url} took nothing for {self._patience_seconds:.0f} s: {why}")
            await asyncio.sleep(wait)

    async def _request(self, path: str, body: bytes) -> _Reply:
        connection = self._connections[path]
        try:
            return await asyncio.to_thread(self._blocking, connection, path, body)
        except asyncio.CancelledError:
            if connection.sock is not None:  # wakes the thread, which would wait for the answer otherwise
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)
            raise

    def _blocking(self, connection: http.client.HTTPConnection, path: str, body: bytes) -> _Reply:
        for fresh in (connection.sock is None, True):
            try:
                connection.request("POST", self._path + path, body, self._headers)
                answer = connection.getresponse()
                return _Reply(answer.status, answer.headers.get("Retry-After", ""), answer.read())
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if fresh or isinstance(error, TimeoutError):
                    raise
                # A connection that was kept may have been closed at the other end meanwhile: one more, on a new one.
        raise AssertionError("the second turn returns or raises")


def _reason(error: dict[str, str]) -> str:
    path = error["field"]
    while path.startswith("["):  # an index says nothing once answers of many batches are added up
        path = path.partition("]")[2].lstrip(".")
    return f"{path or 'contact'}: {error['reason']}"


def _detail(reply: _Reply) -> str:
    try:
        problem = orjson.loads(reply.content)
        return str(problem.get("detail") or problem.get("title"))
    except (ValueError, AttributeError):
        return http.client.responses.get(reply.status, "")
