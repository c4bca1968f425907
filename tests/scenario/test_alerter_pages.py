"""Pages leave the alerter: signed, once, again when they must, and without one receiver in the way of another."""

import io
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from pegel.alerter.paging.adapters.console import ConsoleNotifier
from pegel.alerter.paging.adapters.webhook import WebhookNotifier
from pegel.eventlog.memory import MemoryLog
from pegel.runtime.settings import Settings
from support.alerters import Clock, alerter, pass_bucket
from support.wait import until
from support.webhooks import SECRET, Answer, Receiver, receiver
from support.windows import START, Windows, cell


@pytest.fixture
def windows() -> Windows:
    return Windows()


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


@pytest.fixture
async def hooked() -> AsyncIterator[Receiver]:
    async with receiver() as receives:
        yield receives


@pytest.fixture(autouse=True)
def signed_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """The receiver's library refuses what was signed more than five minutes ago; the story's clock is another."""
    monkeypatch.setattr("standardwebhooks.webhooks.timedelta", lambda **_: timedelta(days=36_500))


async def test_a_page_is_a_line_on_the_terminal_and_one_signed_call(
    settings: Settings, log: MemoryLog, windows: Windows, clock: Clock, hooked: Receiver
) -> None:
    terminal = io.StringIO()
    to = [ConsoleNotifier(terminal), WebhookNotifier(hooked.url, SECRET)]
    async with alerter(settings, log, now=clock, receivers=[*to]):
        spike = windows.spike(onset_minutes=1)
        await pass_bucket(log, windows, clock, counts=[(cell(), 30)], spikes=[spike])
        await until(lambda: len(hooked.calls) == 1)
        await pass_bucket(log, windows, clock, spikes=[windows.spike("resolved", spike_id=spike.spike_id)])
        await until(lambda: len(hooked.calls) == 2 and terminal.getvalue().count("\n") == 2)
    opened, resolved = hooked.calls
    assert [call["type"] for call in (opened, resolved)] == ["incident.opened", "incident.resolved"]
    assert opened["data"]["cost"] == {"amount": "202.50", "currency": "EUR"}
    first, last = terminal.getvalue().splitlines()
    assert first == opened["data"]["text"]
    assert first.startswith("PAGE cash-withdrawals: Cash machines, ES: 30 contacts in 15 min, 3 expected; 202.50 EUR")
    assert last.startswith("END cash-withdrawals: Cash machines, ES: over after ")


async def test_a_receiver_that_is_away_gets_the_page_later_and_delays_nobody(
    settings: Settings, log: MemoryLog, windows: Windows, clock: Clock, hooked: Receiver
) -> None:
    hooked.answers.extend([Answer(503, {"Retry-After": "120"}), Answer(500)])
    async with alerter(settings, log, now=clock, receivers=[WebhookNotifier(hooked.url, SECRET)]) as running:
        await pass_bucket(log, windows, clock, spikes=[windows.spike()])
        await until(lambda: running.memory.taken and len(hooked.ids) == 1)

        async def noted(text: str) -> None:
            """The incident says so of its page: until then the story's clock stands still."""

            async def said() -> bool:
                return str((await running.incidents())[0]["page"]).endswith(text)

            await until(said)

        await noted("; memory: sent; webhook: pending (answered 503)")
        clock.at += timedelta(seconds=119)  # Retry-After is honoured
        await pass_bucket(log, windows, Clock(clock.at))
        await running.applied(windows.now)
        assert len(hooked.ids) == 1
        clock.at += timedelta(seconds=62)  # 120 s, and up to half of it so that not all return together
        await noted("webhook: pending (answered 500)")
        clock.at += timedelta(seconds=10)
        await noted("webhook: sent")
        await until(lambda: running.service.probe.dependencies["webhook"] is None)
    assert len(hooked.calls) == 1
    assert hooked.ids == [hooked.ids[0]] * 3  # the same webhook-id at each attempt
    assert len(running.memory.taken) == 1


async def test_a_page_that_is_refused_is_shown_and_not_repeated(
    settings: Settings, log: MemoryLog, windows: Windows, clock: Clock, hooked: Receiver
) -> None:
    hooked.answers.append(Answer(401))
    async with alerter(settings, log, now=clock, receivers=[WebhookNotifier(hooked.url, SECRET)]) as running:
        await pass_bucket(log, windows, clock, spikes=[windows.spike()])
        await until(lambda: running.service.probe.dependencies.get("webhook") == "answered 401")
        (incident,) = await running.incidents()
        assert incident["page"].endswith("webhook: refused (answered 401)")
        text = (await running.client.get("/metrics")).text
        assert 'pegel_alerter_pages_total{outcome="refused",receiver="webhook"}' in text
        clock.at += timedelta(hours=2)
        # the next page of another incident is tried all the same
        await pass_bucket(log, windows, clock, spikes=[windows.spike(segment=("PT", "atm"))])
        await until(lambda: len(hooked.calls) == 1)
    assert len(hooked.ids) == 2


async def test_no_end_is_told_before_its_beginning(
    settings: Settings, log: MemoryLog, windows: Windows, clock: Clock, hooked: Receiver
) -> None:
    hooked.answers.append(Answer(503))
    async with alerter(settings, log, now=clock, receivers=[WebhookNotifier(hooked.url, SECRET)]) as running:
        spike = windows.spike()
        await pass_bucket(log, windows, clock, spikes=[spike])
        await until(lambda: running.service.probe.dependencies.get("webhook") == "answered 503")
        await pass_bucket(log, windows, Clock(START), spikes=[windows.spike("resolved", spike_id=spike.spike_id)])
        await running.applied(windows.now)
        clock.at += timedelta(seconds=10)
        await until(lambda: len(hooked.calls) == 2)
    assert [call["type"] for call in hooked.calls] == ["incident.opened", "incident.resolved"]


async def test_a_page_that_was_not_settled_goes_out_after_a_restart(
    settings: Settings, log: MemoryLog, windows: Windows, clock: Clock, hooked: Receiver
) -> None:
    hooked.answers.append(Answer(503))
    async with alerter(settings, log, now=clock, receivers=[WebhookNotifier(hooked.url, SECRET)]) as running:
        await pass_bucket(log, windows, clock, spikes=[windows.spike()])
        await until(lambda: running.service.probe.dependencies.get("webhook") == "answered 503")
    clock.at += timedelta(seconds=10)
    async with alerter(settings, log, now=clock, receivers=[WebhookNotifier(hooked.url, SECRET)]):
        await until(lambda: len(hooked.calls) == 1)
    assert len(hooked.ids) == 2
    assert len(set(hooked.ids)) == 1


async def test_data_mode_shows_pages_on_the_terminal_and_calls_nobody(
    tmp_path: Path, log: MemoryLog, windows: Windows, clock: Clock, hooked: Receiver
) -> None:
    terminal = io.StringIO()
    to = [ConsoleNotifier(terminal), WebhookNotifier(hooked.url, SECRET)]
    async with alerter(Settings(data_dir=tmp_path, clock="data"), log, now=clock, receivers=[*to]) as running:
        spike = windows.spike()
        await pass_bucket(log, windows, clock, spikes=[spike])
        await pass_bucket(log, windows, clock, spikes=[windows.spike("resolved", spike_id=spike.spike_id)])
        await running.applied(windows.now)
        await until(lambda: terminal.getvalue().count("\n") == 2)

        async def noted() -> bool:
            text = (await running.incidents())[0]["page"]
            return str(text) == "not_paged: data mode, files of the past ring nobody; terminal: sent"

        await until(noted)
    assert hooked.ids == []
