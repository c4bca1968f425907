"""The dashboard's page on a fake alerter: what a person sees, and what stands in every answer."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from pegel.dashboard.adapters.painter import ProcessPainter
from pegel.dashboard.domain.costs import Bar
from pegel.dashboard.ports import DrawError
from pegel.runtime.auth import hashed
from pegel.runtime.serve import Service
from pegel.runtime.settings import Settings
from support.dashboards import FakeAlerter, FakePainter, bad_night, dashboard

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
OWN = {"Sec-Fetch-Site": "same-origin"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def alerter() -> FakeAlerter:
    return bad_night()


@pytest.fixture
def painter() -> FakePainter:
    return FakePainter()


@pytest.fixture
def made(alerter: FakeAlerter, painter: FakePainter) -> tuple[Service, httpx.AsyncClient]:
    return dashboard(alerter, painter)


@pytest.fixture
async def browser(made: tuple[Service, httpx.AsyncClient]) -> AsyncIterator[httpx.AsyncClient]:
    async with made[1] as client:
        yield client


def away(alerter: FakeAlerter) -> None:
    alerter.fault = "no connection"


async def test_the_page_shows_the_incident_its_owner_and_its_cost(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for text in ("1 incident open: Cash machines, Spain.", "cash-withdrawals", "€1,204.50", "ES · atm", "02:31 UTC"):
        assert text in answer.text
    assert "paged cash-withdrawals at 02:15" in answer.text
    assert 'action="/incidents/inc-atm-es/acknowledge"' in answer.text
    assert 'action="/incidents/inc-login-de/acknowledge"' not in answer.text
    assert "€25,752.20" in answer.text


async def test_the_fragment_is_sent_again_only_when_something_changed(
    browser: httpx.AsyncClient, alerter: FakeAlerter, made: tuple[Service, httpx.AsyncClient]
) -> None:
    page = (await browser.get("/")).text
    carried = re.search(r"""hx-headers='\{"If-None-Match": "(.*?)"\}'""", page)
    assert carried is not None
    tag = carried[1].replace('\\"', '"').replace("\\u0022", '"')
    same = await browser.get("/fragments/board", headers={"If-None-Match": tag})
    assert (same.status_code, same.text, same.headers["etag"]) == (304, "", tag)
    done = await browser.post("/incidents/inc-atm-es/acknowledge", headers=OWN | FORM, content="period=24h")
    assert done.status_code == 303
    other = await browser.get("/fragments/board", headers={"If-None-Match": tag})
    assert other.status_code == 200
    assert "acknowledged, none waiting" in other.text
    assert other.text.startswith('<div id="board"')


async def test_acknowledge_goes_to_the_alerter_and_back_to_the_page(
    browser: httpx.AsyncClient, alerter: FakeAlerter
) -> None:
    done = await browser.post(
        "/incidents/inc-atm-es/resolve", headers=OWN | FORM, content="period=7d&reason=machines+are+back"
    )
    assert (done.status_code, done.headers["location"]) == (303, "/?period=7d#incident-inc-atm-es")
    assert alerter.changes == [("inc-atm-es", "resolve", "machines are back", None)]


async def test_a_change_that_is_too_late_says_why(browser: httpx.AsyncClient) -> None:
    late = await browser.post("/incidents/inc-fees-pl/resolve", headers=OWN | FORM, content="")
    assert late.status_code == 409
    assert "Not resolved: it is resolved already." in late.text
    unknown = await browser.post("/incidents/nobody/acknowledge", headers=OWN | FORM, content="")
    assert unknown.status_code == 404
    assert "Not acknowledged: there is no such incident." in unknown.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://evil.test"},
        {"Origin": "null"},
        {},
    ],
)
async def test_a_form_of_another_site_changes_nothing(
    browser: httpx.AsyncClient, alerter: FakeAlerter, headers: dict[str, str]
) -> None:
    for path in ("/incidents/inc-atm-es/acknowledge", "/incidents/inc-atm-es/resolve", "/session", "/session/end"):
        answer = await browser.post(path, headers=headers | FORM, content="reason=x&token=t")
        assert answer.status_code == 403, path
        assert "set-cookie" not in answer.headers
    assert alerter.changes == []


async def test_where_the_browser_tells_only_the_origin_ours_is_enough(browser: httpx.AsyncClient) -> None:
    headers = {"Origin": "http://dashboard.test"} | FORM
    assert (await browser.post("/incidents/inc-atm-es/acknowledge", headers=headers, content="")).status_code == 303


async def test_an_alerter_that_is_away_leaves_the_page_with_what_it_said_last(
    browser: httpx.AsyncClient, alerter: FakeAlerter
) -> None:
    await browser.get("/?period=24h")
    away(alerter)
    answer = await browser.get("/?period=7d")  # another period is asked for at once
    assert answer.status_code == 200
    assert "The alerter can't be reached" in answer.text
    assert "Last known: 1 incident open: Cash machines, Spain." in answer.text
    assert 'class="stale"' in answer.text
    ready = await browser.get("/readyz")
    assert ready.json()["dependencies"] == {"alerter": "no connection"}
    assert 'pegel_dependency_up{dependency="alerter"} 0.0' in (await browser.get("/metrics")).text


async def test_an_alerter_that_never_answered(browser: httpx.AsyncClient, alerter: FakeAlerter) -> None:
    away(alerter)
    answer = await browser.get("/")
    assert answer.status_code == 200
    assert "Not known: the alerter has not answered yet." in answer.text
    assert "Feed the first contact" not in answer.text
    click = await browser.post("/incidents/inc-atm-es/acknowledge", headers=OWN | FORM, content="")
    assert click.status_code == 503
    assert "Not acknowledged: the alerter can&#39;t be reached (no connection)." in click.text


async def test_stale_is_marked(browser: httpx.AsyncClient, alerter: FakeAlerter) -> None:
    assert 'class="stale"' not in (await browser.get("/")).text
    alerter.stale = True
    assert 'class="stale"' in (await browser.get("/?period=7d")).text


async def test_before_the_first_contact_the_page_says_how_to_feed_one() -> None:
    _, client = dashboard(FakeAlerter(as_of=None), FakePainter())
    async with client:
        text = (await client.get("/")).text
    assert "curl http://127.0.0.1:8001/v1/contacts" in text
    assert "Nothing has been counted yet." in text


async def test_before_the_first_file_in_data_mode_the_page_says_how_to_feed_one() -> None:
    _, client = dashboard(FakeAlerter(as_of=None), FakePainter(), Settings(clock="data"))
    async with client:
        text = (await client.get("/")).text
    assert "pegel replay FILE --time COLUMN" in text
    assert "curl" not in text


async def test_the_picture_is_kept_by_its_content(browser: httpx.AsyncClient, painter: FakePainter) -> None:
    page = (await browser.get("/")).text
    source = re.search(r'<img id="pareto" src="([^"]+)"', page)
    assert source is not None
    address = source[1].replace("&amp;", "&")
    first = await browser.get(address)
    assert (first.status_code, first.headers["content-type"]) == (200, "image/svg+xml")
    assert "immutable" in first.headers["cache-control"]
    again = await browser.get(address, headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    other = await browser.get("/charts/cost-by-cause.svg?v=" + "0" * 32)  # another replica's
    assert other.status_code == 200
    assert "no-cache" in other.headers["cache-control"]
    assert painter.drawn == 1


async def test_a_picture_that_can_not_be_drawn_leaves_the_table(
    browser: httpx.AsyncClient, painter: FakePainter
) -> None:
    painter.fails = True
    assert (await browser.get("/charts/cost-by-cause.svg")).status_code == 503
    page = (await browser.get("/")).text
    assert "The picture could not be drawn." in page
    assert "<td" in page


async def test_no_picture_of_nothing() -> None:
    _, client = dashboard(FakeAlerter(as_of=None), FakePainter())
    async with client:
        assert (await client.get("/charts/cost-by-cause.svg")).status_code == 404


async def test_every_answer_carries_the_policy(
    browser: httpx.AsyncClient, alerter: FakeAlerter, painter: FakePainter
) -> None:
    answers = [
        await browser.get(path)
        for path in (
            "/",
            "/fragments/board",
            "/charts/cost-by-cause.svg",
            "/static/pegel.css",
            "/static/nothing",
            "/sign-in",
            "/healthz",
            "/readyz",
            "/metrics",
            "/openapi.json",
            "/nothing",
            "/?period=ever",
        )
    ]
    answers.append(await browser.delete("/"))
    answers.append(await browser.post("/session/end"))
    answers.append(await browser.post("/session", content=b"x" * 100_000))

    async def broken(hours: int) -> None:
        raise ZeroDivisionError

    alerter.costs = broken  # type: ignore[assignment,method-assign]
    answers.append(await browser.get("/?period=7d"))
    assert {answer.status_code for answer in answers} == {200, 404, 422, 405, 403, 413, 500, 503}
    for answer in answers:
        assert answer.headers.get_list("content-security-policy") == [POLICY], answer.url
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"


async def test_static_files_are_kept_for_ever_by_their_hash(browser: httpx.AsyncClient) -> None:
    page = (await browser.get("/")).text
    addresses = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page))
    assert len(addresses) == 4
    for address in addresses:
        answer = await browser.get(address)
        assert "immutable" in answer.headers["cache-control"], address
    assert "no-cache" in (await browser.get("/static/pegel.css?v=0000")).headers["cache-control"]


async def test_what_comes_from_outside_is_never_markup(alerter: FakeAlerter, browser: httpx.AsyncClient) -> None:
    nasty = "<script>alert(1)</script>'\"&"
    found = alerter.items[0].model_copy(
        update={"segment": {"country": nasty, "topic": nasty}, "team": nasty, "explanation": nasty, "page": nasty}
    )
    alerter.items = [found]
    text = (await browser.get("/")).text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


class TestTokens:
    """With a tokens file pages are seen by viewers only; a browser keeps its token in a cookie."""

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        tokens = tmp_path / "tokens.json"
        entries = [
            {"name": name, "role": role, "sha256": hashed(f"token-of-{name}")}
            for name, role in (("nora", "responder"), ("vera", "viewer"), ("desk", "source"))
        ]
        tokens.write_text(f'{{"tokens": {entries!r}}}'.replace("'", '"'))
        return Settings(tokens_file=tokens)

    @pytest.fixture
    async def browser(self, alerter: FakeAlerter, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
        _, client = dashboard(alerter, FakePainter(), settings)
        async with client:
            yield client

    async def sign_in(self, browser: httpx.AsyncClient, token: str) -> httpx.Response:
        return await browser.post("/session", headers=OWN | FORM, content=f"token={token}")

    async def test_nothing_is_shown_without_a_token(self, browser: httpx.AsyncClient) -> None:
        for path in ("/", "/fragments/board", "/charts/cost-by-cause.svg"):
            answer = await browser.get(path)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "Spain" not in answer.text
            assert "Sign in" in answer.text
        assert (await browser.get("/readyz")).status_code == 503  # open to probes, and it has not been started

    async def test_signed_in_a_click_carries_the_own_token(
        self, browser: httpx.AsyncClient, alerter: FakeAlerter
    ) -> None:
        alerter.demands = "token-of-nora"
        signed = await self.sign_in(browser, "token-of-nora")
        assert signed.status_code == 303
        cookie = signed.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert "nora" in (await browser.get("/")).text
        done = await browser.post("/incidents/inc-atm-es/acknowledge", headers=OWN | FORM, content="")
        assert done.status_code == 303
        assert alerter.changes[0][3] == "token-of-nora"
        await browser.post("/session/end", headers=OWN)
        assert (await browser.get("/")).status_code == 401

    async def test_a_viewer_sees_no_buttons(self, browser: httpx.AsyncClient) -> None:
        await self.sign_in(browser, "token-of-vera")
        page = await browser.get("/")
        assert page.status_code == 200
        assert "/acknowledge" not in page.text

    @pytest.mark.parametrize(("token", "status"), [("wrong", 401), ("", 401), ("a%22b%0d%0aSet-Cookie:x", 401)])
    async def test_an_unknown_token_gets_no_cookie(self, browser: httpx.AsyncClient, token: str, status: int) -> None:
        answer = await self.sign_in(browser, token)
        assert answer.status_code == status
        assert "set-cookie" not in answer.headers

    async def test_a_source_can_not_look(self, browser: httpx.AsyncClient) -> None:
        answer = await browser.get("/", headers={"Authorization": "Bearer token-of-desk"})
        assert answer.status_code == 403
        assert "Spain" not in answer.text


async def test_an_alerter_that_wants_a_token_gets_the_sign_in_page(
    browser: httpx.AsyncClient, alerter: FakeAlerter
) -> None:
    alerter.demands = "token-of-nora"
    click = await browser.post("/incidents/inc-atm-es/acknowledge", headers=OWN | FORM, content="")
    assert click.status_code == 401
    assert "with a token of your own" in click.text
    await browser.post("/session", headers=OWN | FORM, content="token=token-of-nora")
    click = await browser.post("/incidents/inc-atm-es/acknowledge", headers=OWN | FORM, content="")
    assert click.status_code == 303


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"reason=%00", FORM, 422),
        (b"reason=" + b"x" * 501, FORM, 422),
        (b"reason=%ff", FORM, 400),
        (b"\xff\xfe", FORM, 400),
        (b"&".join(b"a=%d" % n for n in range(100)), FORM, 400),
        (b"{}", {"Content-Type": "application/json"}, 415),
        (b"x" * 20_000, FORM, 413),
    ],
)
async def test_a_form_that_is_none(
    browser: httpx.AsyncClient, content: bytes, headers: dict[str, str], status: int
) -> None:
    answer = await browser.post("/incidents/inc-atm-es/resolve", headers=OWN | headers, content=content)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


class TestDrawing:
    """The real drawing process."""

    BARS = (Bar("Cash machines", "4210.50", "57.00"), Bar("Cards & <more>", "3176.20", "100.00"))

    async def test_the_pareto_is_svg_with_both_series(self) -> None:
        pictures = await ProcessPainter().pareto(self.BARS, "EUR")
        assert set(pictures) == {(s, t) for s in ("wide", "narrow") for t in ("light", "dark")}
        for svg in pictures.values():
            text = svg.decode()
            assert text.startswith("<svg")
            for label in ("Cash machines", "Cards &amp; &lt;more&gt;", "Cost, EUR", "Running share of all, %"):
                assert label in text
            assert "style=" not in text, "the policy would forbid it where the picture is opened by itself"
            assert "<script" not in text
        assert len(set(pictures.values())) == 4

    async def test_a_process_that_fails_is_named(self) -> None:
        with pytest.raises(DrawError, match=r"ended with 1: .*No module named"):
            await ProcessPainter("pegel.dashboard.adapters.nothing").pareto(self.BARS, "EUR")

    async def test_a_process_that_hangs_is_ended(self) -> None:
        with pytest.raises(DrawError, match="not drawn within"):
            await ProcessPainter("pegel.dashboard.adapters.draw", 0.05).pareto(self.BARS, "EUR")
