"""`pegel log` and `pegel log accept-loss`: what an operator sees of a log, and says when a part of it is gone."""

import asyncio
import io
import json
import secrets
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pegel.alerter.database import Database, migrate, positions
from pegel.alerter.database.positions import Position
from pegel.eventlog.identity import accepted_losses, open_identity
from pegel.eventlog.port import CONTACTS, COUNTS, STATE, WINDOWS, EventLog, NewRecord
from pegel.eventlog.snapshots import Claim
from pegel.runtime.settings import load
from support import runs
from support.eventlogs import KafkaWorld, SqliteWorld, World

REASON = "the broker's disk died"
AWAY = "postgresql+psycopg://pegel:secret@127.0.0.1:1/pegel"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[runs.Place]:
    with runs.place(tmp_path) as place:
        yield place


@pytest.fixture
def pegel(here: runs.Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> runs.InProcess:
    return runs.InProcess(here, monkeypatch, capsys)


@pytest.fixture
def world(here: runs.Place) -> SqliteWorld:
    """The log that the commands of `here` find."""
    return SqliteWorld(here.folder / "data" / "log")


def with_log(world: World, work: Callable[[EventLog], Awaitable[Any]]) -> Any:
    """Do something with the log, as a process that closes it at its end."""

    async def whole() -> Any:
        log = world.open()
        try:
            return await work(log)
        finally:
            await log.close()

    return asyncio.run(whole())


async def contacts_of(log: EventLog, partition: int, count: int) -> None:
    await log.append(CONTACTS, partition, [NewRecord(b"{}")] * count)


def told(pegel: runs.InProcess, code: int = 0, over: dict[str, str] | None = None) -> dict[str, Any]:
    """What `pegel log --json` says."""
    done = pegel("log", "--json", over=over)
    assert done.returncode == code, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def by(found: list[dict[str, Any]], *names: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {tuple(item[name] for name in names): item for item in found}


async def worked_with(log: EventLog) -> str:
    """A log after some hours: counter/1 was taken over once, and its first owner has not understood that yet."""
    log_id = (await open_identity(log, load({}))).meta.log_id
    await contacts_of(log, 1, 40)
    first = Claim(log, 1, "counter/1", log_id)
    await first.take([COUNTS], "detector-a")  # state/1: 0
    await first.save(b"x" * 600_000, "counter/1", 10, {})  # 1, 2 and the manifest 3
    await first.save(b"x" * 600_000, "counter/1", 20, {})  # 4, 5, 6
    second = Claim(log, 1, "counter/1", log_id)
    await second.take([COUNTS], "detector-b")  # 7
    manifest = await second.save(b"y" * 1_500, "counter/2", 30, {})  # 8, 9
    void = manifest.model_copy(update={"epoch": first.epoch, "position": 35})
    await log.append(STATE, 1, [NewRecord(void.encode()), NewRecord(b"\xff")])
    judge = Claim(log, 4, "judge/0", log_id)
    await judge.take([WINDOWS], "detector-a")
    return log_id


def booked(url: str, log_id: str, next_offset: int) -> None:
    """The database of an alerter whose incidents have come to next_offset, and whose ledger has not begun."""
    migrate(url)
    database = Database(url)
    with database.write() as connection:
        positions.start(connection, "incidents", log_id)
        at = Position(next_offset, {}, 5, datetime(2026, 1, 2, 3, 4, tzinfo=UTC))
        positions.move(connection, "incidents", log_id, 0, at)
    database.close()


def test_it_shows_who_reads_and_writes_and_how_far(here: runs.Place, world: World, pegel: runs.InProcess) -> None:
    log_id = with_log(world, worked_with)
    booked(load(here.env()).resolved_database_url, log_id, 1)
    found = told(pegel)
    assert found["log"] | {"made_at": ""} == {
        "url": f"sqlite:///{here.folder}/data/log",
        "log_id": log_id,
        "made_at": "",
        "clock": "wall",
        "bucket_seconds": 60,
        "delay_seconds": 10,
        "partitions": 4,
        "dimensions": ["country", "topic"],
    }
    streams = by(found["streams"], "stream", "partition")
    assert len(streams) == 4 + 5 + 5
    assert (streams[CONTACTS, 1]["begin"], streams[CONTACTS, 1]["end"]) == (0, 40)
    assert streams[CONTACTS, 0]["newest_at"] is None
    assert found["log"]["made_at"] <= streams[CONTACTS, 1]["newest_at"] <= found["as_of"]

    readers = by(found["readers"], "reader")
    assert {reader: (at["position"], at["lag"], at["known_from"]) for (reader,), at in readers.items()} == {
        "counter/0": (None, 0, None),
        "counter/1": (30, 10, "snapshot"),
        "counter/2": (None, 0, None),
        "counter/3": (None, 0, None),
        "judge/0": (None, 2, None),  # the claims of both counters stand on counts
        "incidents": (1, 0, "database"),
        "ledger": (None, 1, None),
    }
    assert readers["incidents",]["as_of"] == "2026-01-02T03:04:00.000+00:00"

    writers = by(found["writers"], "producer")
    assert {writer: (at["epoch"], at["owner"]) for (writer,), at in writers.items()} == {
        "counter/1": (7, "detector-b"),
        "judge/0": (0, "detector-a"),
    }
    (saved,) = found["snapshots"]
    assert saved.pop("saved_at") <= found["as_of"]
    assert 0 <= saved.pop("age_seconds") < 60
    assert saved == {
        "producer": "counter/1",
        "offset": 9,
        "size_bytes": 1_500,
        "position": 30,
        "version": "counter/2",
    }
    assert (found["accepted_losses"], found["database_fault"], found["faults"]) == ([], None, [])


def test_the_tables_fit_a_hundred_columns(here: runs.Place, world: World, pegel: runs.InProcess) -> None:
    """`pegel log` and `pegel log show` are the same."""
    log_id = with_log(world, worked_with)
    booked(load(here.env()).resolved_database_url, log_id, 1)
    alone, shown = pegel("log"), pegel("log", "show")
    assert (alone.returncode, alone.stderr) == (0, "")
    assert shown.stdout.split("ago")[0][:300] == alone.stdout.split("ago")[0][:300]
    lines = alone.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    (counter,) = [line.split() for line in lines if line.startswith("counter/1  contacts")]
    assert counter[:4] == ["counter/1", "contacts/1", "30", "10"]
    assert counter[-1] == "snapshot"
    (writer,) = [line.split() for line in lines if line.startswith("counter/1") and line.endswith("detector-b")]
    assert writer[1] == "7"
    (saved,) = [line for line in lines if line.startswith("counter/1") and line.endswith("counter/2")]
    assert "1.5 kB" in saved


def test_it_does_without_a_database(world: World, pegel: runs.InProcess, here: runs.Place) -> None:
    """Away, or not made yet: the rest is shown, and nothing is made."""
    with_log(world, worked_with)
    done = pegel("log", over={"PEGEL_DATABASE_URL": AWAY})
    assert done.returncode == 0
    assert "incidents  windows/0   not known" in done.stdout
    assert "The alerter's positions are not known: postgresql+psycopg://pegel:***@127.0.0.1:1/pegel: " in done.stdout
    assert "secret" not in done.stdout
    assert "there is no database yet" in told(pegel)["database_fault"]
    assert not (here.folder / "data" / "pegel.sqlite").exists()


def test_a_log_that_was_not_made_yet_is_exit_code_2(pegel: runs.InProcess) -> None:
    done = pegel("log")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no log was made here yet" in done.stderr


def test_a_foreign_database_and_a_foreign_snapshot_are_named(
    here: runs.Place, world: World, pegel: runs.InProcess
) -> None:
    with_log(world, worked_with)
    other = "00000000-0000-4000-8000-000000000000"

    async def foreign(log: EventLog) -> None:
        claim = Claim(log, 2, "counter/2", other)
        await claim.take([], "detector-x")
        await claim.save(b"", "counter/1", 0, {})

    with_log(world, foreign)
    booked(load(here.env()).resolved_database_url, other, 1)
    snapshot, database = told(pegel, 1)["faults"]
    assert snapshot == f"the snapshot of counter/2 is of log {other}: streams of two logs are mixed"
    assert f"position of incidents is of log {other}" in database


def test_a_reader_that_is_ahead_of_the_log_is_named(here: runs.Place, world: World, pegel: runs.InProcess) -> None:
    """An older log was restored below the alerter's feet."""
    booked(load(here.env()).resolved_database_url, with_log(world, worked_with), 77)
    (fault,) = told(pegel, 1)["faults"]
    assert fault.startswith("incidents: offset 77 is to be read, but stream windows, partition 0, ends at 1")


# contacts/1: 40 records, of which counter/1 has read 30; 36 are gone:
#   0 ............ 30 ..... 36 .. 40
#   read            | lost  | begin


def test_what_is_gone_is_accepted_once(here: runs.Place, world: World, pegel: runs.InProcess) -> None:
    with_log(world, worked_with)
    asyncio.run(world.forget(CONTACTS, 1, 36))
    (fault,) = told(pegel, 1)["faults"]
    assert fault == (
        "counter/1: stream contacts, partition 1: offset 30 is to be read, but the log begins at 36: 6 records are"
        " gone. Restore them, or accept the loss: pegel log accept-loss contacts --partition 1 --reason ..."
    )

    unsaid = pegel("log", "accept-loss", "contacts", "--reason", REASON)
    assert unsaid.returncode == 2, "nobody is there who could be asked"
    assert (
        "contacts/1: all below 36 is gone\n  counter/1 has read on to 30 (by the snapshot): it loses 6 records"
        in unsaid.stdout
    )
    assert "contacts/0: nothing is gone" in unsaid.stdout
    assert "add --yes" in unsaid.stderr
    assert with_log(world, accepted_losses) == {}

    said = pegel("log", "accept-loss", "contacts", "--reason", REASON, "--by", "platform-on-call", "--yes")
    assert said.returncode == 0
    assert with_log(world, accepted_losses) == {(CONTACTS, 1): 36}
    found = told(pegel)
    assert found["faults"] == []
    (loss,) = found["accepted_losses"]
    assert {name: loss[name] for name in ("stream", "partition", "before", "reason", "accepted_by")} == {
        "stream": CONTACTS,
        "partition": 1,
        "before": 36,
        "reason": REASON,
        "accepted_by": "platform-on-call",
    }
    assert loss["accepted_at"] <= found["as_of"]
    assert REASON in pegel("log").stdout

    again = pegel("log", "accept-loss", "contacts", "--reason", "another", "--yes")
    assert again.returncode == 0
    assert "contacts/1: that all below 36 is gone was accepted before" in again.stdout
    assert told(pegel)["accepted_losses"] == [loss]

    asyncio.run(world.forget(CONTACTS, 1, 38))  # more is gone since: that must be said again
    assert "begins at 38" in told(pegel, 1)["faults"][0]


def test_one_partition_is_accepted_alone(world: World, pegel: runs.InProcess) -> None:
    async def filled(log: EventLog) -> None:
        await open_identity(log, load({}))
        for partition in range(4):
            await contacts_of(log, partition, 10)

    with_log(world, filled)
    for partition in range(4):
        asyncio.run(world.forget(CONTACTS, partition, 5 + partition))
    done = pegel("log", "accept-loss", "contacts", "--partition", "2", "--reason", REASON, "--yes")
    assert done.returncode == 0
    assert "counter/2 has not begun: it loses 7 records" in done.stdout
    assert with_log(world, accepted_losses) == {(CONTACTS, 2): 7}
    assert pegel("log", "accept-loss", "contacts", "--reason", REASON, "--yes").returncode == 0
    assert with_log(world, accepted_losses) == {(CONTACTS, number): 5 + number for number in range(4)}
    assert len(told(pegel)["accepted_losses"]) == 4, "the second time without the one that was accepted"


@pytest.mark.parametrize(("answer", "code"), [("n\n", 1), ("y\n", 0)])
def test_a_person_is_asked(
    world: World, pegel: runs.InProcess, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    with_log(world, worked_with)
    asyncio.run(world.forget(CONTACTS, 1, 36))
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    done = pegel("log", "accept-loss", "contacts", "--reason", REASON)
    assert "Accept that these are lost?" in done.stdout
    assert done.returncode == code
    assert with_log(world, accepted_losses) == ({} if code else {(CONTACTS, 1): 36})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("contacts",), "--reason"),
        (("meta", "--reason", "x"), "meta"),
        (("contacts", "--partition", "9", "--reason", "x"), "--partition 9: stream contacts has 4"),
        (("contacts", "--reason", "x" * 501, "--yes"), "--reason: String should have at most 500 characters"),
        (("contacts", "--reason", "x", "--by", "two words", "--yes"), "--by: "),
    ],
)
def test_what_cannot_be_accepted_changes_nothing(
    world: World, pegel: runs.InProcess, arguments: tuple[str, ...], said: str
) -> None:
    with_log(world, worked_with)
    asyncio.run(world.forget(CONTACTS, 1, 36))
    done = pegel("log", "accept-loss", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert with_log(world, accepted_losses) == {}


@pytest.mark.kafka
@pytest.mark.postgres
def test_on_real_servers(kafka_bootstrap: str, postgres_url: str, pegel: runs.InProcess) -> None:
    world = KafkaWorld(kafka_bootstrap, f"t{secrets.token_hex(6)}")
    over = {"PEGEL_LOG_URL": world.url, "PEGEL_DATABASE_URL": postgres_url}
    log_id = with_log(world, worked_with)
    assert (
        "no such" in told(pegel, over=over)["database_fault"]
        or "does not exist" in told(pegel, over=over)["database_fault"]
    )
    booked(postgres_url, log_id, 1)
    found = told(pegel, over=over)
    readers = by(found["readers"], "reader")
    assert (readers["counter/1",]["position"], readers["counter/1",]["lag"]) == (30, 10)
    assert readers["incidents",]["position"] == 1
    assert by(found["writers"], "producer")["counter/1",]["epoch"] == 7
    assert [saved["offset"] for saved in found["snapshots"]] == [9]
    newest = by(found["streams"], "stream", "partition")[CONTACTS, 1]["newest_at"]
    assert found["log"]["made_at"] <= newest

    asyncio.run(world.forget(CONTACTS, 1, 36))
    assert "begins at 36" in told(pegel, 1, over)["faults"][0]
    done = pegel("log", "accept-loss", "contacts", "--reason", REASON, "--yes", over=over)
    assert done.returncode == 0
    assert told(pegel, over=over)["faults"] == []
    assert with_log(world, accepted_losses) == {(CONTACTS, 1): 36}
