"""How the command line speaks to an ingest that is busy, away, or says no."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pegel.cli.ingest import IngestAwayError, IngestClient
from pegel.runtime.settings import ConfigurationError, load
from support import runs

CONTACTS = [{"event_id": "1"}, {"event_id": "2"}]
Answer = tuple[int, dict[str, str], dict[str, Any]]
BEARER = "of-a-source"
ACCEPTED: Answer = (202, {}, {"accepted": 2})


class Server:
    """Gives the answers of a script in turn, the last one for ever; None: closes the connection without a word."""

    def __init__(self) -> None:
        self.script: list[Answer | None] = []
        self.seen: list[tuple[str, str | None, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.seen.append((self.path, self.headers.get("Authorization"), json.loads(body)))
                answer = outer.script.pop(0) if len(outer.script) > 1 else outer.script[0]
                if answer is None:
                    self.close_connection = True
                    return
                status, headers, value = answer
                self.send_response(status)
                content = json.dumps(value).encode()
                for name, text in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, text)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                """Silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def client(server: Server, **over: Any) -> IngestClient:
    return IngestClient(load({}, ingest_url=server.url), **over)


async def test_what_was_busy_or_cut_is_sent_again_unchanged(server: Server) -> None:
    said: list[str | None] = []
    problem = {"title": "Not available", "status": 503, "detail": "the log is full"}
    server.script = [(503, {"Retry-After": "0"}, problem), (429, {}, problem), None, (500, {}, {}), ACCEPTED]
    async with client(server, on_away=said.append) as ingest:
        answer = await ingest.contacts(CONTACTS)
    assert (answer.accepted, answer.rejected) == (2, 0)
    assert [body for _, _, body in server.seen] == [CONTACTS] * len(server.seen)
    assert len(server.seen) >= 5
    assert said == ["503 the log is full", None]  # said once, and once that it is over


async def test_a_kept_connection_that_was_closed_meanwhile_is_no_fault(server: Server) -> None:
    said: list[str | None] = []
    server.script = [ACCEPTED, None, ACCEPTED]
    async with client(server, on_away=said.append) as ingest:
        await ingest.contacts(CONTACTS)
        await ingest.contacts(CONTACTS)
    assert said == []


async def test_patience_ends_with_a_sentence(server: Server) -> None:
    server.script = [(503, {}, {"detail": "the log is full"})]
    async with client(server, patience_seconds=0.4) as ingest:
        with pytest.raises(IngestAwayError, match=f"ingest at {server.url} took nothing for 0 s: 503 the log is full"):
            await ingest.contacts(CONTACTS)
    assert len(server.seen) >= 2


async def test_nobody_listens() -> None:
    (port,) = runs.free_ports(1)
    async with IngestClient(load({}, ingest_port=port), patience_seconds=0.3) as ingest:
        with pytest.raises(IngestAwayError, match="refused"):
            await ingest.tick(datetime.now(UTC))


async def test_rejected_items_are_counted_by_field_and_reason(server: Server) -> None:
    error = {"field": "country", "reason": "not a country"}
    server.script = [
        (207, {}, {"accepted": 1, "rejected": 1, "items": [{"index": 1, "errors": [error, error]}]}),
        (
            422,
            {},
            {"status": 422, "errors": [{"field": "[0].country", "reason": "x"}, {"field": "[1]", "reason": "y"}]},
        ),
    ]
    async with client(server) as ingest:
        mixed, none = await ingest.contacts(CONTACTS), await ingest.contacts(CONTACTS)
    assert (mixed.accepted, mixed.rejected, mixed.refused) == (1, 1, ["country: not a country"] * 2)
    assert (none.accepted, none.rejected, none.refused) == (0, 2, ["country: x", "contact: y"])


@pytest.mark.parametrize("status", [401, 403])
async def test_a_token_that_is_not_taken_is_a_fault_of_the_configuration(server: Server, status: int) -> None:
    server.script = [(status, {}, {"detail": "role source is needed"})]
    async with IngestClient(load({}, ingest_url=server.url, token=BEARER)) as ingest:
        with pytest.raises(ConfigurationError, match=f"PEGEL_TOKEN: .* answered {status}: role source is needed"):
            await ingest.contacts(CONTACTS)
    assert server.seen[0][1] == f"Bearer {BEARER}"


async def test_an_answer_that_trying_again_does_not_change(server: Server) -> None:
    server.script = [(409, {}, {"detail": "the log is in wall mode"})]
    async with client(server) as ingest:
        with pytest.raises(IngestAwayError, match="answered 409 to a tick: the log is in wall mode"):
            await ingest.tick(datetime.now(UTC))


@pytest.mark.parametrize("url", ["ftp://h:1", "127.0.0.1:8001", "http://", "http://h:port", "http://h:99999"])
def test_an_address_that_is_none_is_named(url: str) -> None:
    with pytest.raises(ConfigurationError, match="PEGEL_INGEST_URL="):
        IngestClient(load({}, ingest_url=url))
