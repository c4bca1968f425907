"""The port to who is paged: terminal, webhook and the fake take pages alike; and what is the webhook's own."""

import io
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
import pytest

from pegel.alerter.paging.adapters.console import ConsoleNotifier
from pegel.alerter.paging.adapters.memory import MemoryNotifier
from pegel.alerter.paging.adapters.webhook import WebhookNotifier, retry_after_seconds
from pegel.alerter.paging.ports import Failed, Notifier, Refused, Sent
from pegel.runtime.settings import ConfigurationError
from pegel.schemas.base import SLUG_PATTERN
from pegel.schemas.incident import Money
from support.pages import page
from support.webhooks import SECRET, Answer, Receiver, receiver

COST = Money(amount="29.70", currency="EUR")


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Case:
    """A notifier, how many pages arrived, and how to make it fail for a while."""

    notifier: Notifier
    arrived: Callable[[], int]
    fail: Callable[[], None]
    mend: Callable[[], None]


@pytest.fixture
async def hooked() -> AsyncIterator[Receiver]:
    async with receiver() as receives:
        yield receives


@pytest.fixture(params=["memory", "terminal", "webhook"])
async def case(request: pytest.FixtureRequest) -> AsyncIterator[Case]:
    if request.param == "memory":
        memory = MemoryNotifier()
        yield Case(
            memory, lambda: len(memory.taken), lambda: memory.answers.append(Failed("away")), memory.answers.clear
        )
    elif request.param == "terminal":
        stream = Terminal()
        console = ConsoleNotifier(stream)
        yield Case(
            console, lambda: stream.getvalue().count("\n"), lambda: stream.hang_up(True), lambda: stream.hang_up(False)
        )
    else:
        async with receiver() as receives:
            webhook = WebhookNotifier(receives.url, SECRET)
            yield Case(
                webhook,
                lambda: len(receives.calls),
                lambda: receives.answers.append(Answer(503)),
                receives.answers.clear,
            )
            await webhook.close()


class Terminal(io.StringIO):
    """A stream that can hang up."""

    gone = False

    def hang_up(self, gone: bool) -> None:
        self.gone = gone

    def write(self, text: str) -> int:
        if self.gone:
            raise BrokenPipeError("hung up")
        return super().write(text)


async def test_a_page_arrives(case: Case) -> None:
    assert isinstance(await case.notifier.send("i.1", page(), COST, now()), Sent)
    assert case.arrived() == 1


@pytest.mark.parametrize("kind", ["opened", "reopened", "resolved"])
async def test_every_kind_of_page_arrives_with_and_without_cost(case: Case, kind: str) -> None:
    assert isinstance(await case.notifier.send("i.1", page(kind=kind), COST, now()), Sent)
    assert isinstance(await case.notifier.send("i.2", page(kind=kind), None, now()), Sent)
    assert case.arrived() == 2


async def test_what_fails_says_why_and_can_be_repeated(case: Case) -> None:
    case.fail()
    outcome = await case.notifier.send("i.1", page(), COST, now())
    assert isinstance(outcome, Failed)
    assert outcome.said
    assert case.arrived() == 0
    case.mend()
    assert isinstance(await case.notifier.send("i.1", page(), COST, now()), Sent)
    assert case.arrived() == 1


def test_receivers_have_short_names(case: Case) -> None:
    assert re.fullmatch(SLUG_PATTERN, case.notifier.receiver)


async def test_the_call_is_signed_and_says_it_all(hooked: Receiver) -> None:
    webhook = WebhookNotifier(hooked.url, SECRET)
    await webhook.send("abc.1", page(), COST, now())
    await webhook.close()
    (call,) = hooked.calls  # the receiver keeps only calls whose signature holds
    assert hooked.ids == ["abc.1"]
    assert call["type"] == "incident.opened"
    assert call["data"]["team"] == "cash-withdrawals"
    assert call["data"]["segment"] == {"country": "ES", "topic": "atm"}
    assert call["data"]["cost"] == {"amount": "29.70", "currency": "EUR"}
    assert call["data"]["text"].startswith("PAGE cash-withdrawals: Cash machines, ES: 31 contacts in 15 min")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
async def test_a_page_that_is_refused_is_not_repeated(hooked: Receiver, status: int) -> None:
    hooked.answers.append(Answer(status))
    webhook = WebhookNotifier(hooked.url, SECRET)
    assert await webhook.send("i.1", page(), COST, now()) == Refused(f"answered {status}")
    await webhook.close()


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
async def test_retry_after_is_passed_on(hooked: Receiver, status: int) -> None:
    hooked.answers.append(Answer(status, {"Retry-After": "17"}))
    webhook = WebhookNotifier(hooked.url, SECRET)
    assert await webhook.send("i.1", page(), COST, now()) == Failed(f"answered {status}", 17.0)
    await webhook.close()


async def test_redirects_are_not_followed(hooked: Receiver) -> None:
    async with receiver() as elsewhere:
        hooked.answers.append(Answer(307, {"Location": elsewhere.url}))
        webhook = WebhookNotifier(hooked.url, SECRET)
        outcome = await webhook.send("i.1", page(), COST, now())
        await webhook.close()
        assert isinstance(outcome, Refused)
        assert "redirects are not followed" in outcome.said
        assert elsewhere.ids == []


async def test_nobody_there() -> None:
    webhook = WebhookNotifier("http://127.0.0.1:1/", SECRET)
    assert await webhook.send("i.1", page(), COST, now()) == Failed("no answer (ConnectError)")
    await webhook.close()


async def test_a_receiver_that_never_answers(hooked: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pegel.alerter.paging.adapters.webhook.TIMEOUT", httpx.Timeout(0.2))
    hooked.silent = True
    webhook = WebhookNotifier(hooked.url, SECRET)
    assert await webhook.send("i.1", page(), COST, now()) == Failed("no answer (ReadTimeout)")
    await webhook.close()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("Mon, 02 Mar 2026 09:01:00 GMT", 60.0),
        ("Mon, 02 Mar 2026 08:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(value, datetime(2026, 3, 2, 9, tzinfo=UTC)) == seconds


@pytest.mark.parametrize(
    ("url", "secret", "names"),
    [
        ("ftp://example.org/", SECRET, "PEGEL_WEBHOOK_URL"),
        ("nonsense", SECRET, "PEGEL_WEBHOOK_URL"),
        ("http://[::1", SECRET, "PEGEL_WEBHOOK_URL"),
        ("https://example.org/", "whsec_", "PEGEL_WEBHOOK_SECRET"),
        ("https://example.org/", "whsec_x", "PEGEL_WEBHOOK_SECRET"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_but_not_shown(url: str, secret: str, names: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        WebhookNotifier(url, secret)
    (fault,) = error.value.faults
    assert names in fault
    assert SECRET not in fault
    assert url not in fault


async def test_control_characters_do_not_reach_the_terminal() -> None:
    stream = io.StringIO()
    await ConsoleNotifier(stream).send("i.1", page(explanation="a\x1b[2Jb\nc\u202e"), COST, now())
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()
    assert "\u202e" not in stream.getvalue()
