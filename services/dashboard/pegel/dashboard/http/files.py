"""Static files: five small ones, read once. Their addresses carry a hash, so that browsers may keep them for ever."""

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request, Response

from pegel.dashboard.http.headers import tagged
from pegel.runtime.http import ProblemError, problem_responses

TYPES: Final = {
    "pegel.css": "text/css",
    "pegel.js": "text/javascript",
    "pegel.svg": "image/svg+xml",
    "htmx.min.js": "text/javascript",
    "htmx.LICENSE.txt": "text/plain",
}
FOR_EVER: Final = "public, max-age=31536000, immutable"
AGAIN: Final = "public, no-cache"


@dataclass(frozen=True)
class StaticFile:
    content: bytes
    media_type: str
    sha256: str


def read_static() -> dict[str, StaticFile]:
    """Every static file by its name."""
    folder = resources.files("pegel.dashboard.http") / "static"
    files = {}
    for name, media_type in TYPES.items():
        content = (folder / name).read_bytes()
        files[name] = StaticFile(content, media_type, hashlib.sha256(content).hexdigest())
    return files


def static_routes(files: dict[str, StaticFile]) -> APIRouter:
    router = APIRouter(tags=["static"])

    @router.get(
        "/static/{name}",
        response_class=Response,
        responses={
            200: {"description": "The file", "content": {media_type: {} for media_type in set(TYPES.values())}},
            304: {"description": "As you have it"},
            **problem_responses(404),
        },
    )
    async def static(
        request: Request,
        name: Annotated[str, Path(max_length=64, examples=["pegel.css"])],
        v: Annotated[str, Query(max_length=64, description="beginning of the content's hash")] = "",
    ) -> Response:
        """Style sheet, script, picture."""
        file = files.get(name)
        if file is None:
            raise ProblemError(404)
        kept = FOR_EVER if v and file.sha256.startswith(v) else AGAIN
        return tagged(request, file.content, file.media_type, f'"{file.sha256[:32]}"', {"Cache-Control": kept})

    return router
