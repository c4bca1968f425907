"""The outbox on SQLite and PostgreSQL: one sender a page at a time, in order, and only who holds the lease notes."""

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update

from pegel.alerter.database import Database, migrate, outbox, positions
from pegel.alerter.database.outbox import Due
from pegel.alerter.database.tables import incidents
from pegel.alerter.database.tables import outbox as table
from pegel.alerter.paging import pipeline
from pegel.alerter.paging.adapters.memory import MemoryNotifier
from pegel.alerter.paging.pipeline import Sender
from pegel.alerter.paging.ports import Failed, Outcome, Sent
from pegel.runtime.probes import Probe
from pegel.schemas.incident import Money
from pegel.schemas.page import Page
from support.databases import BOTH, database_url
from support.pages import page
from support.wait import until

ONE, OTHER = "1" * 20, "2" * 20
LEASE = timedelta(seconds=25)


def utc_now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(params=BOTH)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = database_url(request, request.param, tmp_path)
    migrate(url)
    made = Database(url)
    with made.write() as connection:
        for number in (ONE, OTHER):
            connection.execute(
                insert(incidents).values(
                    id=number, state="open", segment="[]", team="t", ownership_version="o", onset=utc_now(),
                    opened_at=utc_now(), updated_at=utc_now(), page="paged",
                )
            )  # fmt: skip
    yield made
    made.close()


def written(database: Database, incident: str, number: int, kind: str = "opened", receiver: str = "memory") -> None:
    with database.write() as connection:
        outbox.write(connection, f"{incident}.{number}", page(incident_id=incident, kind=kind), [receiver], utc_now())


def claimed(database: Database, *, ahead: timedelta = timedelta(), lease: timedelta = LEASE) -> Due | None:
    with database.write() as connection:
        return outbox.claim(connection, "memory", utc_now() + ahead, lease)


def settled(database: Database, due: Due, state: outbox.PageState, said: str) -> bool:
    with database.write() as connection:
        return outbox.settle(connection, due, state, said, utc_now())


def rows(database: Database) -> list[tuple[str, str, int, str | None]]:
    with database.read() as connection:
        found = connection.execute(select(table).order_by(table.c.id))
        return [(row.page_id, row.state, row.attempts, row.said) for row in found]


def test_one_sender_at_a_time_and_in_order(database: Database) -> None:
    for number, kind in ((1, "opened"), (2, "resolved")):
        written(database, ONE, number, kind)
    written(database, OTHER, 1)
    first, second = claimed(database), claimed(database)
    assert first is not None
    assert second is not None
    assert (first.page_id, second.page_id) == (f"{ONE}.1", f"{OTHER}.1")  # the end of ONE waits for its beginning
    assert claimed(database) is None
    assert settled(database, first, "sent", "taken")
    third = claimed(database)
    assert third is not None
    assert third.page_id == f"{ONE}.2"


def test_who_lost_the_lease_notes_nothing(database: Database) -> None:
    # first:   claim ................... settle: refused, it is another's
    # second:            claim  settle
    written(database, ONE, 1)
    first = claimed(database)
    second = claimed(database, ahead=LEASE)
    assert first is not None
    assert second is not None
    assert (first.attempt, second.attempt) == (1, 2)
    assert not settled(database, first, "sent", "the first one's")
    assert rows(database) == [(f"{ONE}.1", "pending", 2, None)]
    assert settled(database, second, "refused", "the second one's")
    assert not settled(database, first, "pending", "the first one's")
    assert rows(database) == [(f"{ONE}.1", "refused", 2, "the second one's")]


def test_two_that_claim_at_once_get_one_page(database: Database) -> None:
    written(database, ONE, 1)
    found: list[Due | None] = []
    threads = [threading.Thread(target=lambda: found.append(claimed(database))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [due.attempt for due in found if due is not None] == [1]
    assert len(found) == 6


def test_no_page_is_due_while_the_alerter_catches_up(database: Database) -> None:
    written(database, ONE, 1)
    with database.write() as connection:
        positions.start(connection, "incidents", "log")
        positions.set_catching_up(connection, "incidents", True)
    with database.read() as connection:
        assert not outbox.any_due(connection, "memory", utc_now() + LEASE)
    assert claimed(database) is None
    with database.write() as connection:
        positions.set_catching_up(connection, "incidents", False)
    assert claimed(database) is not None


def test_what_is_over_and_untold_is_withheld_with_its_end(database: Database) -> None:
    # ONE: opened (told), resolved, opened again, resolved. OTHER: opened, resolved, nothing of it told
    written(database, ONE, 1)
    due = claimed(database)
    assert due is not None
    settled(database, due, "sent", "taken")
    for number, kind in ((2, "resolved"), (3, "reopened"), (4, "resolved")):
        written(database, ONE, number, kind)
    for number, kind in ((1, "opened"), (2, "resolved")):
        written(database, OTHER, number, kind)
    with database.write() as connection:
        assert outbox.withhold_what_is_over(connection, "stale") == []  # both are open still
        connection.execute(update(incidents).values(state="resolved"))
        assert outbox.withhold_what_is_over(connection, "stale") == [OTHER]
        assert (outbox.told(connection, ONE), outbox.told(connection, OTHER)) == (True, False)
    assert [(page_id, state) for page_id, state, *_ in rows(database)] == [
        (f"{ONE}.1", "sent"),
        (f"{ONE}.2", "pending"),
        (f"{ONE}.3", "pending"),
        (f"{ONE}.4", "pending"),
        (f"{OTHER}.1", "withheld"),
        (f"{OTHER}.2", "withheld"),
    ]


# --- senders ------------------------------------------------------------------------------------------------------


def sender(database: Database, notifier: MemoryNotifier, cost: float = 0.0) -> Sender:
    """cost: seconds that the look for the cost takes."""

    def slow(_: str) -> Money | None:
        time.sleep(cost)
        return Money(amount="1.00", currency="EUR")

    return Sender(notifier, database, cost=slow, probe=Probe("test"), now=utc_now, jitter=lambda: 0.0)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases of a second, attempts of half of it."""
    monkeypatch.setattr(pipeline, "LEASE", timedelta(seconds=1))
    monkeypatch.setattr(pipeline, "ATTEMPT_SECONDS", 0.5)


@pytest.mark.usefixtures("short")
async def test_a_sender_that_stalls_before_it_sends_starts_nothing(database: Database) -> None:
    written(database, ONE, 1)
    stalled, other = MemoryNotifier(), MemoryNotifier()
    # claim, 0.6 s of stall, and the lease has 0.4 s to run: less than an attempt may take
    assert await sender(database, stalled, cost=0.6).send_next()
    assert stalled.attempts == []
    assert rows(database) == [(f"{ONE}.1", "pending", 1, None)]
    taker = sender(database, other)
    await until(taker.send_next)
    assert other.attempts == [f"{ONE}.1"]
    assert rows(database) == [(f"{ONE}.1", "sent", 2, "taken")]


class Stalling(MemoryNotifier):
    """Its process stands still after it has sent, past its lease; meanwhile another process sends."""

    def __init__(self, meanwhile: Sender) -> None:
        super().__init__()
        self.meanwhile = meanwhile

    async def send(self, page_id: str, page: Page, cost: Money | None, now: datetime) -> Outcome:
        self.attempts.append(page_id)
        time.sleep(1.1)  # noqa: ASYNC251 (nothing runs in a process that is stopped)
        thread = threading.Thread(target=lambda: asyncio.run(self.meanwhile.send_next()))
        thread.start()
        thread.join()
        return Sent("taken by the first")


@pytest.mark.usefixtures("short")
async def test_a_sender_that_stalls_after_it_sent_overwrites_nothing(database: Database) -> None:
    written(database, ONE, 1)
    later = MemoryNotifier()
    later.answers.append(Failed("not now"))
    stalled = Stalling(sender(database, later))
    assert await sender(database, stalled).send_next()
    # sent twice under one id, which is what at least once means; what stands is the later owner's word
    assert (stalled.attempts, later.attempts) == ([f"{ONE}.1"], [f"{ONE}.1"])
    assert rows(database) == [(f"{ONE}.1", "pending", 2, "not now")]


class Silent(MemoryNotifier):
    """Takes the call and never answers."""

    async def send(self, page_id: str, page: Page, cost: Money | None, now: datetime) -> Outcome:
        self.attempts.append(page_id)
        await asyncio.Event().wait()
        raise AssertionError


@pytest.mark.usefixtures("short")
async def test_an_attempt_ends_before_its_lease(database: Database) -> None:
    written(database, ONE, 1)
    assert await sender(database, Silent()).send_next()
    assert rows(database) == [(f"{ONE}.1", "pending", 1, "no answer within 0.5 s")]


def test_a_lease_outlasts_an_attempt_and_the_wait_for_the_cost() -> None:
    assert pipeline.ATTEMPT_SECONDS + pipeline.COST_WAIT.total_seconds() < pipeline.LEASE.total_seconds() < 30


@pytest.mark.postgres
async def test_on_postgresql_leases_run_by_its_clock(postgres_url: str) -> None:
    migrate(postgres_url)
    database = Database(postgres_url)
    try:
        with database.write() as connection:
            connection.execute(
                insert(incidents).values(
                    id=ONE, state="open", segment="[]", team="t", ownership_version="o", onset=utc_now(),
                    opened_at=utc_now(), updated_at=utc_now(), page="paged",
                )
            )  # fmt: skip
        hour = timedelta(hours=1)
        with database.write() as connection:  # by an alerter whose clock is an hour ahead
            outbox.write(connection, f"{ONE}.1", page(incident_id=ONE), ["memory"], utc_now() + hour)
        holder, ahead = MemoryNotifier(), MemoryNotifier()
        claims = sender(database, holder)
        due = await database.call(claims._claim)
        assert due is not None
        fast = Sender(
            ahead,
            database,
            cost=lambda _: None,
            probe=Probe("test"),
            now=lambda: utc_now() + hour,
            jitter=lambda: 0.0,
        )
        assert not await fast.send_next()
        assert ahead.attempts == []
    finally:
        database.close()
