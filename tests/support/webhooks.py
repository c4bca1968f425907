"""A receiver of webhooks behind a port of loopback: it checks signatures as Standard Webhooks asks, and says no."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 (the example of the specification)


@dataclass(frozen=True)
class Answer:
    """What the receiver answers to one call."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Receiver:
    """answers: to the next calls, in order; then 200. calls: bodies of calls with a good signature; told: by id."""

    url: str = ""
    answers: deque[Answer] = field(default_factory=deque)
    calls: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    told: dict[str, dict[str, Any]] = field(default_factory=dict)
    silent: bool = False
    """It takes the call and never answers."""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.ids.append(headers.get("webhook-id", ""))
            if self.silent:
                await reader.read()
                return
            answer = self.answers.popleft() if self.answers else Answer()
            if answer.status == 200:
                Webhook(SECRET).verify(body, headers)  # raises, and so answers nothing, when it is not signed well
                self.calls.append(json.loads(body))
                self.told.setdefault(headers["webhook-id"], self.calls[-1])
            lines = [f"HTTP/1.1 {answer.status} x", "Content-Length: 0", "Connection: close"]
            lines += [f"{name}: {value}" for name, value in answer.headers.items()]
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
            await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """Listens until the block ends."""
    receives = Receiver()
    server = await asyncio.start_server(receives.handle, "127.0.0.1", 0)
    receives.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/pages"
    try:
        yield receives
    finally:
        server.close()
        await server.wait_closed()
