"""Reading a request's body: of a known type, within limits of one body and of all that are being worked on."""

from typing import Final

from fastapi import Request

from pegel.ingest import metrics
from pegel.ingest.domain.reading import Form
from pegel.runtime.http import ProblemError

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
FORMS: Final[dict[str, Form]] = {JSON: "json", NDJSON: "ndjson"}
IN_FLIGHT_BYTES_MAX: Final = 64 * 1024 * 1024
"""All bodies that are being worked on; one takes about four times its size in memory at its worst moment."""
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


class Bodies:
    """The bodies that are being worked on, in bytes."""

    def __init__(self, bytes_max: int = IN_FLIGHT_BYTES_MAX) -> None:
        self._bytes_max, self._bytes = bytes_max, 0
        metrics.BODIES_BYTES.set_function(lambda: self._bytes)

    async def read(self, request: Request) -> bytes:
        """The whole body, which counts until it is given to `done`.

        Raises ProblemError: 400 if it is empty, 413 if it is too large (from the stream), 503 if all are.
        """
        held, chunks = 0, []
        try:
            async for chunk in request.stream():
                if chunk:
                    held += len(chunk)
                    self._count(len(chunk))
                    chunks.append(chunk)
        except BaseException:
            self._count(-held)
            raise
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        if not body or body.isspace():
            self._count(-held)
            raise ProblemError(400, "the body is empty")
        return body

    def done(self, body: bytes) -> None:
        """The body is worked on no more."""
        self._count(-len(body))

    def _count(self, size: int) -> None:
        self._bytes += size
        if size > 0 and self._bytes > self._bytes_max:
            detail = f"{self._bytes_max} bytes of bodies are being worked on; send this one again"
            raise ProblemError(503, detail, headers={**RETRY_AFTER, "Connection": "close"})
