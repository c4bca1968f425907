"""The alerter was away: far behind the log's end it pages nothing; what is still up when it has caught up pages."""

import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from pegel.alerter.database import migrate
from pegel.alerter.incidents.pipeline.rising import Rising
from pegel.alerter.paging.pipeline import Sender
from pegel.alerter.paging.ports import Failed
from pegel.eventlog.identity import open_identity
from pegel.eventlog.memory import MemoryLog
from pegel.runtime.settings import Settings
from pegel.schemas.detection import SpikeRecord
from support.alerters import Clock, Running, alerter, pass_bucket
from support.databases import BOTH, database_url
from support.wait import until
from support.windows import START, Windows, append

A, B, C, D = ("ES", "atm"), ("ES", "login"), ("PT", "atm"), ("PT", "cards")


class Story:
    """Buckets of a minute pass; spikes are named by their segment."""

    def __init__(self) -> None:
        self.log, self.windows, self.clock = MemoryLog(), Windows(), Clock(START)
        self.minute = 0
        self._opened: dict[tuple[str, str], datetime] = {}

    async def until(
        self,
        minute: int,
        then: Mapping[int, Sequence[tuple[str, tuple[str, str]]]] | None = None,
        running: Running | None = None,
    ) -> None:
        """Buckets up to a minute. then: at which minute which spikes open or are over. running: who keeps step."""
        while self.minute < minute:
            if running is not None and self.minute % 20 == 0 and self.minute:
                await running.applied(self.windows.now)
            self.minute += 1
            spikes = [self._spike(state, segment) for state, segment in (then or {}).get(self.minute, ())]
            await pass_bucket(self.log, self.windows, self.clock, spikes=spikes)

    def _spike(self, state: str, segment: tuple[str, str]) -> SpikeRecord:
        since = 0
        if state == "opened":
            self._opened[segment] = self.windows.now + timedelta(minutes=1)
        else:
            since = round((self.windows.now + timedelta(minutes=1) - self._opened[segment]).total_seconds() / 60)
        spike_id = f"{'/'.join(segment)}@{int(self._opened[segment].timestamp())}"
        return self.windows.spike(
            "opened" if state == "opened" else "resolved", segment=segment, since_minutes=since, spike_id=spike_id
        )

    def opened_at(self, segment: tuple[str, str]) -> datetime:
        return self._opened[segment]


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture(params=BOTH)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    url = database_url(request, request.param, tmp_path)
    migrate(url)
    return Settings(data_dir=tmp_path, database_url=SecretStr(url))


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


async def pages(running: Running) -> dict[tuple[str, str], str]:
    """What each incident says of its page, by segment."""
    return {
        (its["segment"]["country"], its["segment"]["topic"]): its["page"].split(";")[0]
        for its in await running.incidents()
    }


def told(running: Running) -> list[tuple[str, tuple[str, ...]]]:
    return [(page.kind, tuple(page.segment.values())) for _, page, _ in running.memory.taken]


async def quiet(running: Running, story: Story) -> None:
    """All is applied, and no page is on its way."""
    await running.applied(story.windows.now)

    async def none_waits() -> bool:
        return all("pending" not in its["page"] for its in await running.incidents())

    await until(none_waits)


async def test_after_hours_only_what_is_still_up_pages_and_once(settings: Settings, story: Story) -> None:
    # minute   5        30      60       115   130   145  148   150: the alerter is back
    # A              opened ---------- over 130
    # B                      opened ----------------------------- still up
    # C                                  opened - over 145
    # D                                                  opened -- still up
    async with alerter(settings, story.log, now=story.clock) as running:
        await story.until(5)
        await running.applied(story.windows.now)
    await story.until(
        150,
        {
            30: [("opened", A)],
            60: [("opened", B)],
            115: [("opened", C)],
            130: [("resolved", A)],
            145: [("resolved", C)],
            148: [("opened", D)],
        },
    )
    async with alerter(settings, story.log, now=story.clock) as running:
        await until(lambda: len(told(running)) == 2, 20)
        await quiet(running, story)
        assert told(running) == [("opened", B), ("opened", D)]
        by_segment = {tuple(page.segment.values()): page for _, page, _ in running.memory.taken}
        # its true onset, as the record of its opening said
        assert by_segment[B].onset == story.opened_at(B) - timedelta(minutes=5)
        said = await pages(running)
        assert said[A].startswith("not_paged: stale, it was read of 120 minutes later")
        assert said[C].startswith("not_paged: stale, it was read of 35 minutes later")
        assert said[B].startswith("paged: the segment is above its baseline")
        # from now on all is as ever: the end of what was paged is told, what rises pages
        await story.until(152, {151: [("resolved", B)], 152: [("opened", A)]})
        await until(lambda: len(told(running)) == 4)
        assert sorted(told(running)[2:]) == [("reopened", A), ("resolved", B)]
    async with alerter(settings, story.log, now=story.clock) as running:
        await quiet(running, story)
        assert told(running) == []


async def test_half_an_hour_behind_pages_as_ever(on_sqlite: Settings, story: Story) -> None:
    await open_identity(story.log, on_sqlite)
    await story.until(30, {2: [("opened", A)], 10: [("resolved", A)], 12: [("opened", B)]})
    async with alerter(on_sqlite, story.log, now=story.clock) as running:
        await until(lambda: len(told(running)) == 3)
        assert sorted(told(running)) == [("opened", A), ("opened", B), ("resolved", A)]


async def test_what_was_paged_before_the_outage_is_not_paged_again_and_its_end_is_told(
    settings: Settings, story: Story
) -> None:
    async with alerter(settings, story.log, now=story.clock) as running:
        await story.until(5, {3: [("opened", A)], 4: [("opened", B)]})
        await until(lambda: len(told(running)) == 2)
        await quiet(running, story)
    await story.until(200, {120: [("resolved", A)]})
    async with alerter(settings, story.log, now=story.clock) as running:
        await until(lambda: told(running))
        await quiet(running, story)
        assert told(running) == [("resolved", A)]
        assert {page.split(":")[0] for page in (await pages(running)).values()} == {"paged"}


class Crash(BaseException):
    """The process is gone."""


async def test_a_crash_while_catching_up_is_not_taken_for_having_caught_up(
    on_sqlite: Settings, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pegel.alerter.windows.consumer.BUCKETS_MAX", 10)
    await open_identity(story.log, on_sqlite)
    await story.until(150, {30: [("opened", A)], 135: [("opened", C)], 145: [("resolved", C)]})
    original = Rising.__call__

    def crashing(self: Any, connection: Any, buckets: Any, *more: Any) -> None:
        original(self, connection, buckets, *more)
        if buckets[-1].end.as_of == START + timedelta(minutes=140):  # 10 minutes behind, C has opened
            raise Crash

    monkeypatch.setattr(Rising, "__call__", crashing)
    async with alerter(on_sqlite, story.log, now=story.clock, ready=False) as running:
        await until(running.task.done, 20)
        assert isinstance(running.task.exception(), Crash)
        assert told(running) == []
    monkeypatch.setattr(Rising, "__call__", original)
    async with alerter(on_sqlite, story.log, now=story.clock) as running:
        await until(lambda: told(running))
        await quiet(running, story)
        assert told(running) == [("opened", A)]
        assert (await pages(running))[C].startswith("not_paged: stale")


async def test_last_nights_backup_restored(on_sqlite: Settings, story: Story, tmp_path: Path) -> None:
    database, backup = tmp_path / "pegel.sqlite", tmp_path / "backup.sqlite"
    async with alerter(on_sqlite, story.log, now=story.clock) as running:
        await story.until(5, {3: [("opened", A)]})
        await until(lambda: told(running) == [("opened", A)])
        await quiet(running, story)
    shutil.copy(database, backup)  # in the night: A is up and paged
    async with alerter(on_sqlite, story.log, now=story.clock) as running:
        await story.until(
            400,
            {30: [("opened", B)], 60: [("resolved", B)], 90: [("resolved", A)], 395: [("opened", D)]},
            running,
        )
        await until(lambda: len(told(running)) == 4)
        await quiet(running, story)
        before = {page_id: page for page_id, page, _ in running.memory.taken}
    shutil.copy(backup, database)
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"pegel.sqlite{suffix}").unlink(missing_ok=True)
    async with alerter(on_sqlite, story.log, now=story.clock) as running:
        await until(lambda: len(told(running)) == 2)
        await quiet(running, story)
        # the windows since are read again: B is over and rings nobody, D is up and pages once more under the same id
        assert sorted(told(running)) == [("opened", D), ("resolved", A)]
        assert {page_id: page.kind for page_id, page, _ in running.memory.taken}.items() <= {
            page_id: page.kind for page_id, page in before.items()
        }.items()
        assert (await pages(running))[B].startswith("not_paged: stale")


async def test_a_page_that_waited_when_the_outage_began_is_not_sent_when_it_is_over(
    on_sqlite: Settings, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: object) -> None:
        """The process ended before it sent anything."""

    run = Sender.run
    monkeypatch.setattr(Sender, "run", nothing)
    async with alerter(on_sqlite, story.log, now=story.clock) as running:
        await story.until(5, {3: [("opened", A)], 4: [("opened", B)]})
        await running.applied(story.windows.now)
    monkeypatch.setattr(Sender, "run", run)
    await story.until(200, {100: [("resolved", A)]})
    async with alerter(on_sqlite, story.log, now=story.clock) as running:
        await until(lambda: told(running))
        await quiet(running, story)
        assert told(running) == [("opened", B)]
        said = await pages(running)
        assert said[A] == "not_paged: stale, it was over before it could be sent"


async def test_a_page_that_failed_before_the_outage_goes_out_when_it_has_caught_up(
    on_sqlite: Settings, story: Story
) -> None:
    async with alerter(on_sqlite, story.log, now=story.clock) as running:
        running.memory.answers.append(Failed("down"))
        await story.until(5, {3: [("opened", A)]})
        await until(lambda: len(running.memory.attempts) == 1)
        await running.applied(story.windows.now)
    await story.until(200)
    async with alerter(on_sqlite, story.log, now=story.clock) as running:
        await until(lambda: told(running) == [("opened", A)])


async def test_a_judge_that_is_late_makes_the_alerter_no_less_careful(on_sqlite: Settings, story: Story) -> None:
    # The judge was away for two hours and writes what it missed at once: the log's end is now, its buckets are old.
    now = START + timedelta(minutes=120)
    story.log.clock_ms = lambda: int(now.timestamp() * 1000)
    clock = Clock(now)
    spike = story.windows.spike(segment=A)
    over = story.windows.spike(segment=B)
    async with alerter(on_sqlite, story.log, now=clock) as running:

        async def judged(count: int, **bucket: Any) -> None:
            for _ in range(count):
                await append(story.log, story.windows.bucket(**bucket))
            await running.applied(story.windows.now)

        await judged(1, spikes=[spike, over])
        await judged(80)
        await judged(1, spikes=[story.windows.spike("resolved", segment=B, spike_id=over.spike_id)])
        assert told(running) == []
        assert (await pages(running))[A].startswith("not_paged: stale, it was read of 119 minutes later")
        await judged(10)
        await until(lambda: told(running) == [("opened", A)])
        await quiet(running, story)
        assert (await pages(running))[B].startswith("not_paged: stale")


async def test_data_mode_knows_no_lateness(tmp_path: Path, story: Story) -> None:
    settings = Settings(data_dir=tmp_path, clock="data")
    await open_identity(story.log, settings)
    await story.until(100, {3: [("opened", A)], 50: [("resolved", A)]})
    async with alerter(settings, story.log, now=story.clock) as running:
        await quiet(running, story)
        assert (await pages(running))[A] == "not_paged: data mode, files of the past ring nobody"
