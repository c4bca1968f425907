"""Reading a request's body: of a known type, within limits of one body and of all that are being worked on."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from fastapi import Request

from pegel.ingest import metrics
from pegel.ingest.domain.reading import Form
from pegel.runtime.http import ProblemError

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
FORMS: Final[dict[str, Form]] = {JSON: "json", NDJSON: "ndjson"}
BODY_SECONDS_MAX: Final = 30.0
"""What is still not here by then makes room for others: it counts although nothing can be done with it."""
CLOSE: Final = {"Connection": "close"}
NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})
RETRY_AFTER: Final = {"Retry-After": "1"}


def form_of(request: Request, *known: str) -> Form:
    """How the body is written. Raises ProblemError 415."""
    said = request.headers.get("content-type", "")
    kind, _, parameters = said.partition(";")
    kind, parameters = kind.strip().lower(), parameters.replace(" ", "").replace('"', "").lower()
    if kind not in known or parameters not in {"", "charset=utf-8"}:
        raise ProblemError(415, f"send {' or '.join(known)} in UTF-8")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ProblemError(415, "send the body as it is, without a Content-Encoding")
    return FORMS[kind]


@dataclass(slots=True)
class _Place:
    """What a body that is being read counts for."""

    held_bytes: int


class Bodies:
    """The bodies that are being worked on: how many, and in bytes. Who comes when there are too many gets 429.

    A body counts from its headers on, by the length they say, so that the answer comes before any of it is read.
    """

    def __init__(self, bytes_max: int, requests_max: int, seconds_max: float = BODY_SECONDS_MAX) -> None:
        self._bytes_max, self._requests_max, self._seconds_max = bytes_max, requests_max, seconds_max
        self._bytes, self._requests = 0, 0
        metrics.BODIES_BYTES.set_function(lambda: self._bytes)
        metrics.BODIES.set_function(lambda: self._requests)

    async def read(self, request: Request) -> bytes:
        """The whole body, which counts until it is given to `done`.

        Raises ProblemError: 400 if it is empty, 408 if it does not come, 413 if it is too large (from the stream), 429
        if there are too many.
        """
        place = self._admit(request)
        try:
            async with asyncio.timeout(self._seconds_max):
                return await self._whole(request, place)
        except TimeoutError:
            self._less(place.held_bytes)
            detail = f"the body did not come within {self._seconds_max:g} s"
            raise ProblemError(408, detail, headers=CLOSE) from None
        except BaseException:
            self._less(place.held_bytes)
            raise

    def done(self, body: bytes) -> None:
        """The body is worked on no more."""
        self._less(len(body))

    def _admit(self, request: Request) -> _Place:
        said = request.headers.get("content-length", "")
        held_bytes = int(said) if said.isdigit() else 0
        if self._requests and (self._requests >= self._requests_max or self._bytes + held_bytes > self._bytes_max):
            # The connection stays where its end is known: what comes of the body is thrown away as it comes.
            raise self._busy(NO_HEADERS if said else CLOSE)
        self._requests += 1
        self._bytes += held_bytes
        return _Place(held_bytes)

    async def _whole(self, request: Request, place: _Place) -> bytes:
        chunks, read_bytes = [], 0
        async for chunk in request.stream():
            if chunk:
                chunks.append(chunk)
                read_bytes += len(chunk)
                if read_bytes > place.held_bytes:  # nobody said how long it is
                    self._bytes += read_bytes - place.held_bytes
                    place.held_bytes = read_bytes
                    if self._requests > 1 and self._bytes > self._bytes_max:
                        raise self._busy(CLOSE)
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        if not body or body.isspace():
            raise ProblemError(400, "the body is empty")
        self._bytes -= place.held_bytes - read_bytes
        return body

    def _less(self, size: int) -> None:
        self._requests -= 1
        self._bytes -= size

    def _busy(self, headers: Mapping[str, str]) -> ProblemError:
        metrics.TURNED_AWAY.inc()
        detail = (
            f"{self._requests} requests with {self._bytes} bytes are being worked on, of at most {self._requests_max} "
            f"with {self._bytes_max}; send this one again"
        )
        return ProblemError(429, detail, headers={**RETRY_AFTER, **headers})
