"""Bodies that are too large, on a real connection: the answer comes early, and memory stays bounded."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from pegel.ingest.http import bodies
from support.ingests import JSON, RunningIngest, SlowLog, contact, listening, running
from support.wait import until

MIB = 1 << 20


async def _answer(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)


async def test_a_body_that_says_it_is_too_large_is_answered_at_once(tmp_path: Path) -> None:
    async with listening(tmp_path) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /v1/contacts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
        writer.write(b"Content-Length: %d\r\n\r\n" % (6 * MIB))
        head = await _answer(reader)  # not a byte of the body was sent
        assert head.startswith(b"HTTP/1.1 413 ")
        assert b"application/problem+json" in head
        writer.close()


async def test_a_body_that_streams_past_the_limit_ends_in_a_413(tmp_path: Path) -> None:
    async with listening(tmp_path, body_bytes_max=MIB) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /v1/contacts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
        writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
        answer = asyncio.create_task(_answer(reader))
        with contextlib.suppress(ConnectionError):
            for _ in range(64):
                if answer.done():
                    break
                writer.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
                await writer.drain()
                await asyncio.sleep(0)
        head = await answer
        assert head.startswith(b"HTTP/1.1 413 ")
        assert b"connection: close" in head.lower()
        writer.close()


async def test_the_largest_body_is_taken(tmp_path: Path) -> None:
    batch = json.dumps([contact(reference="x" * 100) for _ in range(18_000)]).encode()
    assert 4 * MIB < len(batch) <= 5 * MIB
    async with listening(tmp_path) as port, httpx.AsyncClient() as client:
        answer = await client.post(f"http://127.0.0.1:{port}/v1/contacts", content=batch, headers=JSON, timeout=20)
        assert (answer.status_code, answer.json()) == (202, {"accepted": 18_000})


async def test_a_body_of_nothing_but_faults_is_refused_whole(tmp_path: Path) -> None:
    async with running(tmp_path) as ingest:
        good = json.dumps(contact()).encode()
        answer = await ingest.client.post("/v1/contacts", content=b"[" + good + b",1" * MIB + b"]", headers=JSON)
        assert answer.status_code == 422
        assert "items are refused" in answer.json()["detail"]
        assert len(answer.json()["errors"]) == 100
        assert not await ingest.contacts()

        too_old = [contact(occurred_at="2013-01-01T00:00:00Z") for _ in range(6000)]
        answer = await ingest.client.post("/v1/contacts", json=too_old)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "[0].occurred_at")


@asynccontextmanager
async def asked(
    port: int, head: bytes, body: bytes = b""
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """POST /v1/contacts with these headers, on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /v1/contacts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
    writer.write(head + b"\r\n\r\n" + body)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_while_too_many_bytes_are_in_work_no_more_are_read(tmp_path: Path) -> None:
    log = SlowLog()
    large = json.dumps([contact() for _ in range(40)]).encode()
    async with (
        listening(tmp_path, log, ingest_bytes_max=8000) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=JSON) as client,
    ):
        assert 4000 < len(large) < 8000
        first = asyncio.create_task(client.post("/v1/contacts", content=large))
        await until(lambda: metric(client, f"pegel_ingest_bodies_bytes {len(large)}.0"))

        async with asked(port, b"Content-Length: 5000") as (reader, writer):  # not a byte of it is sent
            head = await _answer(reader)
            assert head.startswith(b"HTTP/1.1 429 ")
            assert b"retry-after: 1\r\n" in head.lower()
            assert b"application/problem+json" in head
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]))
            writer.write(b" " * 5000)  # what comes of it is thrown away, and the connection is of use again
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await _answer(reader)).startswith(b"HTTP/1.1 200 ")

        chunk = b"2000\r\n" + b" " * 0x2000 + b"\r\n"  # nobody says how much is to come
        async with asked(port, b"Transfer-Encoding: chunked", chunk) as (reader, _):
            head = await _answer(reader)
            assert head.startswith(b"HTTP/1.1 429 ")
            assert b"connection: close" in head.lower()

        log.let.set()
        assert (await first).status_code == 202
        assert await metric(client, "pegel_ingest_bodies_bytes 0.0")
        assert await metric(client, "pegel_ingest_bodies 0.0")
        too_large = json.dumps([contact() for _ in range(80)]).encode()
        assert len(too_large) > 8000
        assert (
            await client.post("/v1/contacts", content=too_large)
        ).status_code == 202  # one at a time is always taken


async def test_while_too_many_requests_are_in_work_no_more_are_taken(tmp_path: Path) -> None:
    log = SlowLog()
    async with running(tmp_path, log, ingest_requests_max=3) as ingest:
        before = await ingest.metric("pegel_ingest_turned_away_total")
        posts = [asyncio.create_task(ingest.client.post("/v1/contacts", json=contact())) for _ in range(3)]
        await until(lambda: _is(ingest, "pegel_ingest_bodies", 3))
        answer = await ingest.client.post("/v1/contacts", json=contact())
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        assert "of at most 3" in answer.json()["detail"]
        assert await ingest.metric("pegel_ingest_turned_away_total") == before + 1
        log.let.set()
        assert {answer.status_code for answer in await asyncio.gather(*posts)} == {202}
        for _ in range(20):
            assert (await ingest.client.post("/v1/contacts", json=contact())).status_code == 202
        assert await ingest.metric("pegel_ingest_bodies") == 0


async def _is(ingest: RunningIngest, line: str, value: float) -> bool:
    return await ingest.metric(line) == value


async def metric(client: httpx.AsyncClient, line: str) -> bool:
    return line in (await client.get("/metrics")).text.splitlines()


async def test_a_length_that_is_a_lie_is_given_back_too(tmp_path: Path) -> None:
    async with running(tmp_path) as ingest:  # no server in between that would notice
        body = json.dumps(contact()).encode()
        for said in ("100000", "1"):
            answer = await ingest.client.post("/v1/contacts", content=body, headers={**JSON, "Content-Length": said})
            assert answer.status_code == 202
            assert await ingest.metric("pegel_ingest_bodies_bytes") == 0


async def test_a_body_that_does_not_come_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies.Bodies.__init__, "__defaults__", (0.2,))
    async with listening(tmp_path) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        async with asked(port, b"Content-Length: 1000", b"[" * 500) as (reader, _):
            head = await _answer(reader)
            assert head.startswith(b"HTTP/1.1 408 ")
            assert b"connection: close" in head.lower()
        assert await metric(client, "pegel_ingest_bodies_bytes 0.0")


async def test_a_sender_that_hangs_up_leaves_nothing_behind(tmp_path: Path) -> None:
    async with listening(tmp_path) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        async with asked(port, b"Content-Length: 1000", b"[" * 500):
            await until(lambda: metric(client, "pegel_ingest_bodies_bytes 1000.0"))  # as it said, not as much as came
        await until(lambda: metric(client, "pegel_ingest_bodies_bytes 0.0"))
