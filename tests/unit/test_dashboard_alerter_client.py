"""The HTTP client of the alerter's API where the answer is not as it should be."""

import asyncio

import httpx
import pytest

from pegel.dashboard.adapters import alerter as module
from pegel.dashboard.adapters.alerter import HttpAlerter
from pegel.dashboard.ports import RefusedError, UnreachableError


def client(handler: httpx.MockTransport, token: str | None = None) -> HttpAlerter:
    return HttpAlerter("http://alerter.test", token, handler)


async def test_reads_carry_our_token_and_changes_only_the_callers() -> None:
    seen = list[str | None]()

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("authorization"))
        return httpx.Response(200, json={"items": [], "as_of": None, "stale": False})

    alerter = client(httpx.MockTransport(answer), "ours")
    await alerter.incidents("open", 1)
    await alerter.change("i", "resolve", "by hand", None)
    await alerter.change("i", "resolve", "by hand", "theirs")
    assert seen == ["Bearer ours", None, "Bearer theirs"]


async def test_not_changed_is_not_sent_again() -> None:
    asked = list[str | None]()

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("if-none-match"))
        if asked[-1]:
            return httpx.Response(304, headers={"ETag": '"a"'})
        return httpx.Response(200, json={"items": [], "as_of": None, "stale": False}, headers={"ETag": '"a"'})

    alerter = client(httpx.MockTransport(answer))
    assert await alerter.incidents("open", 1) == await alerter.incidents("open", 1)
    assert asked == [None, '"a"']


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (httpx.Response(500), "it answers 500"),
        (httpx.Response(302, headers={"Location": "http://elsewhere/"}), "it answers 302"),
        (httpx.Response(304), "it answers 304"),
        (httpx.Response(200, text="<html>"), "can't be understood"),
        (httpx.Response(200, json={"items": [{}], "as_of": None, "stale": False}), "can't be understood .*items"),
        (httpx.Response(200, json={"items": [], "as_of": None, "stale": False, "new": 1}), "can't be understood .*new"),
    ],
)
async def test_what_can_not_be_understood_is_away(answer: httpx.Response, says: str) -> None:
    with pytest.raises(UnreachableError, match=says):
        await client(httpx.MockTransport(lambda _: answer)).incidents("open", 1)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_read_names_the_setting(status: int) -> None:
    with pytest.raises(RefusedError, match="PEGEL_TOKEN"):
        await client(httpx.MockTransport(lambda _: httpx.Response(status))).incidents("open", 1)


async def test_an_alerter_that_hangs_is_away_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS_MAX", 0.05)

    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(UnreachableError, match=r"no answer within 0\.05 s"):
        await client(httpx.MockTransport(never)).incidents("open", 1)


@pytest.mark.parametrize(
    ("error", "says"),
    [(httpx.ConnectError("refused"), "no connection"), (httpx.ReadError("reset"), "the connection broke off")],
)
async def test_no_connection(error: Exception, says: str) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(UnreachableError, match=says):
        await client(httpx.MockTransport(fail)).costs(24)


async def test_an_id_can_not_lead_elsewhere() -> None:
    paths = list[bytes]()

    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.raw_path)
        return httpx.Response(200)

    await client(httpx.MockTransport(answer)).change("../costs?x", "resolve", "by hand", None)
    assert paths == [b"/v1/incidents/..%2Fcosts%3Fx/resolve"]
