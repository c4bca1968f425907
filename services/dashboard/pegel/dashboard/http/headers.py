"""Headers that every answer carries, that of a defect too, and answers that a browser has already."""

import hashlib
from typing import Final

from fastapi import Request, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
EVERYWHERE: Final = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    # With no-referrer a form would be sent with `Origin: null`, and could not be told from another site's.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
PRIVATE: Final = {"Cache-Control": "private, no-cache", "Vary": "Authorization, Cookie"}
"""For what holds teams and money: kept by the one browser only, and asked for again each time."""


class SecurityHeaders:
    """Plain ASGI, to be put around the whole application: an answer to a defect passes no other middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *EVERYWHERE]
            await send(message)

        await self.app(scope, receive, with_headers if scope["type"] == "http" else send)


def tag_of(content: bytes | str) -> str:
    """A strong entity tag (RFC 9110, 8.8.3), in its quotes."""
    data = content.encode() if isinstance(content, str) else content
    return f'"{hashlib.sha256(data).hexdigest()[:32]}"'


def has(request: Request, tag: str) -> bool:
    """Whether the If-None-Match header (RFC 9110, 13.1.2; compared weakly) names this tag."""
    header = request.headers.get("if-none-match", "")
    return header.strip() == "*" or tag in {part.strip().removeprefix("W/") for part in header.split(",")}


def tagged(request: Request, content: bytes | str, media_type: str, tag: str, headers: dict[str, str]) -> Response:
    """200 with the content, or 304 without it where the asker has it."""
    headers = {**headers, "ETag": tag}
    if has(request, tag):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=media_type, headers=headers)
