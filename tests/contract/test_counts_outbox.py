"""Records on their way to counts, on SQLite and PostgreSQL: in order, as often as must be, and each under one id."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from pegel.alerter.database import Database, counts_outbox, migrate
from pegel.alerter.database.tables import incidents, spikes
from pegel.alerter.feedback.pipeline import store
from pegel.alerter.feedback.pipeline.sending import CountsSender
from pegel.eventlog.memory import MemoryLog
from pegel.eventlog.port import COUNTS, NewRecord, StreamSpec
from pegel.runtime.probes import Probe
from pegel.schemas.detection import FeedbackRecord
from pegel.schemas.feedback import Verdict
from support.databases import BOTH, database_url

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
INCIDENT = "1" * 20


@pytest.fixture(params=BOTH)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = database_url(request, request.param, tmp_path)
    migrate(url)
    made = Database(url)
    yield made
    made.close()


def record(number: int) -> FeedbackRecord:
    name = str(UUID(int=number))
    return FeedbackRecord(id=name, verdict="real", bucket=number, segment=("ES", "atm"), given_by="cash")


def written(database: Database, *numbers: int) -> None:
    with database.write() as connection:
        for number in numbers:
            counts_outbox.write(connection, record(number), NOW)


def unsent(database: Database, limit: int = 100) -> list[int]:
    with database.read() as connection:
        return [FeedbackRecord.decode(each.value).bucket for each in counts_outbox.unsent(connection, limit)]


def an_incident(database: Database) -> None:
    with database.write() as connection:
        connection.execute(
            insert(incidents).values(
                id=INCIDENT, state="open", segment='["ES","atm"]', team="cash", ownership_version="o", onset=NOW,
                opened_at=NOW, updated_at=NOW, page="paged",
            )
        )  # fmt: skip
        connection.execute(
            insert(spikes).values(
                id="ES/atm@x", incident_id=INCIDENT, state="opened", at=NOW, onset=NOW, opened_at=NOW,
                window_seconds=900, observed=9, expected=1.0, observed_since_onset=9, expected_since_onset=1.0,
                score=1.0, model="m", explanation="e", origin="o",
            )
        )  # fmt: skip


def asked(ids: Iterator[int], minutes: int = 0) -> store.Asked:
    return store.Asked("cash", 60, lambda: str(UUID(int=next(ids))), NOW + timedelta(minutes=minutes))


async def on_counts(log: MemoryLog) -> list[int]:
    reader = log.reader(COUNTS, {0: 0})
    return [FeedbackRecord.decode(each.value).bucket for each in (await reader.fetch(wait_seconds=0)).get(0, ())]


async def made_log() -> MemoryLog:
    log = MemoryLog()
    await log.create([StreamSpec(COUNTS, 1)])
    return log


def sender(log: MemoryLog, database: Database) -> CountsSender:
    return CountsSender(log, database, probe=Probe("test"), now=lambda: NOW)


async def test_they_are_sent_in_order_and_once(database: Database) -> None:
    written(database, 1, 2)
    written(database, 3)
    log = await made_log()
    assert await sender(log, database).send_next()
    assert not await sender(log, database).send_next()
    assert await on_counts(log) == [1, 2, 3]
    written(database, 4)
    assert unsent(database) == [4]
    assert await sender(log, database).send_next()
    assert await on_counts(log) == [1, 2, 3, 4]


async def test_what_was_sent_and_not_noted_is_sent_again_before_what_came_since(database: Database) -> None:
    # first:  reads 1, 2, sends them, dies | then 3 is written | second: sends 1, 2, 3
    written(database, 1, 2)
    log = await made_log()
    with database.read() as connection:
        first = counts_outbox.unsent(connection, 100)
    await log.append(COUNTS, 0, [NewRecord(each.value) for each in first])
    written(database, 3)
    assert await sender(log, database).send_next()
    assert await on_counts(log) == [1, 2, 1, 2, 3]
    assert unsent(database) == []


def test_what_is_not_committed_is_not_sent(database: Database) -> None:
    def fail() -> None:
        with database.write() as connection:
            counts_outbox.write(connection, record(1), NOW)
            raise RuntimeError("rolled back")

    with pytest.raises(RuntimeError, match="rolled back"):
        fail()
    assert unsent(database) == []


def test_a_record_stands_there_once(database: Database) -> None:
    written(database, 1)
    with pytest.raises(IntegrityError):
        written(database, 1)


def test_a_limit_takes_the_oldest(database: Database) -> None:
    written(database, 5, 4, 3)
    assert unsent(database, 2) == [5, 4]


def test_several_who_answer_at_once_leave_one_answer_that_stands(database: Database) -> None:
    an_incident(database)
    ids, faults = iter(range(1, 1000)), []

    def answer(verdict: Verdict) -> None:
        try:
            with database.write() as connection:
                store.give(connection, INCIDENT, verdict, asked(ids))
        except BaseException as error:  # noqa: BLE001
            faults.append(error)

    verdicts: list[Verdict] = ["real", "not_useful", "new_normal", "real", "not_useful", "new_normal"]
    threads = [threading.Thread(target=answer, args=(verdict,)) for verdict in verdicts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    with database.read() as connection:
        answers = store.newest(connection, 100)
        records = [FeedbackRecord.decode(each.value) for each in counts_outbox.unsent(connection, 100)]
    standing = [its for its in answers if its.undone_at is None]
    assert len(standing) == 1
    undone = {its.undoes for its in records if its.verdict == "undo"}
    assert undone == {its.id for its in answers} - {standing[0].id}
    assert len({its.id for its in records}) == len(records) == 2 * len(answers) - 1


def test_an_answer_is_taken_back_once(database: Database) -> None:
    an_incident(database)
    ids = iter(range(1, 100))
    with database.write() as connection:
        given = store.give(connection, INCIDENT, "not_useful", asked(ids))
        assert store.of_incidents(connection, [INCIDENT]) == {INCIDENT: "not_useful"}
        assert [(bar.raised, bar.until) for bar in store.bars(connection, NOW)] == [(0.3, NOW + timedelta(days=56))]
        assert store.bars(connection, NOW + timedelta(days=56)) == []
    with database.write() as connection:
        undone = store.undo(connection, INCIDENT, asked(ids, 5))
        assert (undone.id, undone.undone_at, undone.sent) == (given.id, NOW + timedelta(minutes=5), False)
        assert store.bars(connection, NOW) == []
        with pytest.raises(store.NothingToUndo):
            store.undo(connection, INCIDENT, asked(ids))
    with database.write() as connection, pytest.raises(store.UnknownIncident):
        store.give(connection, "2" * 20, "real", asked(ids))
