"""Bodies that are too large, on a real connection: the answer comes early, and memory stays bounded."""

import asyncio
import contextlib
import json
from pathlib import Path

import httpx
import pytest

from pegel.ingest.http import bodies
from support.ingests import JSON, contact, listening, running
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


async def test_all_bodies_together_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies.Bodies.__init__, "__defaults__", (1000,))
    async with running(tmp_path) as ingest:
        large = json.dumps([contact(), contact(), contact(), contact(), contact(), contact(), contact()]).encode()
        assert len(large) > 1000
        answer = await ingest.client.post("/v1/contacts", content=large, headers=JSON)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        for _ in range(20):  # what was counted is given back, also by the request that was refused
            assert (await ingest.client.post("/v1/contacts", json=contact())).status_code == 202
        assert await ingest.metric("pegel_ingest_bodies_bytes") == 0


async def test_a_sender_that_hangs_up_leaves_nothing_behind(tmp_path: Path) -> None:
    async with listening(tmp_path) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /v1/contacts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
        writer.write(b"Content-Length: 1000\r\n\r\n" + b"[" * 500)

        async def held() -> bool:
            return "pegel_ingest_bodies_bytes 500.0" in (await client.get("/metrics")).text

        async def given_back() -> bool:
            return "pegel_ingest_bodies_bytes 0.0" in (await client.get("/metrics")).text

        await until(held)
        writer.close()
        await until(given_back)
