"""`pegel audit` where records of the log have expired: it counts on from a daily seal, and finds what was changed."""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from pegel.alerter.ledger.domain.seals import Seal
from pegel.alerter.ledger.domain.sums import Sums
from pegel.cli.audit import audit
from pegel.cli.audit.recount import Cut, recount
from pegel.cli.audit.start import NoSealFits, cut_of, find_start
from pegel.cli.audit.stream import read_windows
from pegel.eventlog.connect import connect
from pegel.eventlog.identity import Identity, open_identity
from pegel.eventlog.memory import MemoryLog
from pegel.eventlog.port import CONTACTS, META, WINDOWS, NewRecord, StreamSpec
from pegel.runtime.settings import Settings, load
from pegel.schemas.contact import AmendmentRecord
from pegel.schemas.detection import BucketRecord, LossRecord
from support.whole import booked_to, bucket, contact, data_mode, put, run_until, tick
from support.windows import Windows, append, cell

pytestmark = pytest.mark.timeout(60)

DAYS = 3
HOURS = DAYS * 24
EVERY_MINUTES = 20
SEALS = ["2026-01-05", "2026-01-06"]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three days of contacts, one every 20 minutes, with copies and amendments of six hours before: all booked."""
    folder = tmp_path_factory.mktemp("original") / "data"
    asyncio.run(book(data_mode(folder, partitions=2)))
    return folder


@pytest.fixture
def booked(original: Path, tmp_path: Path) -> Settings:
    """A copy of it."""
    shutil.copytree(original, tmp_path / "data")
    return data_mode(tmp_path / "data", partitions=2)


async def book(settings: Settings) -> None:
    log = connect(settings)
    await open_identity(log, settings)
    await tick(log, 2, 0)
    for hour in range(HOURS):
        first = hour * 60 // EVERY_MINUTES
        before = max(first - 6 * 60 // EVERY_MINUTES, 0)
        sent = [*range(first, first + 60 // EVERY_MINUTES), before]
        contacts = [contact(n, n * EVERY_MINUTES, topic=("atm", "cards", "loan")[n % 3]) for n in sent]
        changed = {"set": {"topic": "login"}} if hour % 2 else {"void": True}
        amendment = {"amendment_id": f"a{hour}", "event_id": f"c{before + 1}", "source": "desk", "reason": "wrap_up"}
        await put(log, 2, [*contacts, AmendmentRecord.model_validate({**amendment, **changed})])
        await tick(log, 2, (hour + 1) * 60)
    await log.close()
    reached = booked_to(settings)
    await run_until(settings, lambda: reached() >= bucket(HOURS * 60 - 5), seconds=40)


def forget(settings: Settings, stream: str, where: Callable[[int], int]) -> None:
    """Retention: records below the offset that `where` makes of a partition's end are gone."""
    with sqlite3.connect(settings.data_dir / "log" / f"{stream}.sqlite") as connection:
        for partition in range(2 if stream == CONTACTS else 1):
            (end,) = connection.execute(f'SELECT max("offset") FROM p{partition}').fetchone()  # noqa: S608
            connection.execute(f'DELETE FROM p{partition} WHERE "offset" < ?', (where(end),))  # noqa: S608
    connection.close()


def expire(settings: Settings) -> None:
    """Contacts of the first nine hours are gone, and windows of the first ten."""
    forget(settings, CONTACTS, lambda end: end // 8)
    forget(settings, WINDOWS, lambda end: end // 7)


async def said(settings: Settings, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, object], str]:
    """Exit code and document; and the differences in a text."""
    capsys.readouterr()
    code = await asyncio.to_thread(audit, settings, True)
    document = json.loads(capsys.readouterr().out)
    return code, document, "\n".join(document["differences"])


def change(settings: Settings, statement: str) -> int:
    """Rows changed in the database."""
    with sqlite3.connect(settings.data_dir / "pegel.sqlite") as database:
        changed = database.execute(statement).rowcount
    database.close()
    return changed


async def test_from_a_seal_all_agrees_as_it_did_from_the_begin(
    booked: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    code, whole, text = await said(booked, capsys)
    assert (code, text, whole["from_seal"]) == (0, "", None)
    newest = whole["newest_seal"]
    assert isinstance(newest, dict)
    assert newest["day"] == SEALS[-1]
    expire(booked)
    code, document, text = await said(booked, capsys)
    assert (code, text, document["from_seal"]) == (0, "", SEALS[0])
    numbers = ("accepted", "windows", "ledger", "open", "newest_seal")
    assert [document[name] for name in numbers] == [whole[name] for name in numbers]


async def test_the_table_says_from_where(booked: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    expire(booked)
    assert await asyncio.to_thread(audit, booked, False) == 0
    out = capsys.readouterr().out
    assert f"Counted again from the seal of {SEALS[0]}" in out
    assert f"Newest seal: {SEALS[1]}, SHA-256 " in out
    assert "Nothing differs." in out


async def test_when_more_expires_a_later_seal_is_taken(booked: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    forget(booked, CONTACTS, lambda end: end // 2)
    code, document, text = await said(booked, capsys)
    assert (code, text, document["from_seal"]) == (0, "", SEALS[1])


async def test_without_a_seal_that_fits_it_says_why(booked: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    forget(booked, CONTACTS, lambda end: end - 1)
    code, document, text = await said(booked, capsys)
    assert (code, document["from_seal"], document["accepted"]) == (1, None, None)
    assert text.startswith("records of contacts/0, contacts/1 have expired, and no daily seal fits to go on from; ")
    assert f"that of {SEALS[1]} does not: it ends at offset " in text


@pytest.mark.parametrize(
    ("column", "says"),
    [
        ("quantity = quantity + 1, amount_micros = (quantity + 1) * unit_price_micros", "contacts, the seal of"),
        ("amount_micros = amount_micros + 1", "millionths of EUR, the seal of"),
        ("team = 'somebody-else'", "one was changed since it was booked"),
    ],
)
async def test_an_entry_older_than_the_seal_that_was_changed_is_found(
    booked: Settings, capsys: pytest.CaptureFixture[str], column: str, says: str
) -> None:
    expire(booked)
    assert change(booked, f"UPDATE ledger_entries SET {column} WHERE bucket = {bucket(0)}") == 1  # noqa: S608
    code, _, text = await said(booked, capsys)
    assert code == 1
    assert any(line.startswith("ledger entries before the seal: ") and says in line for line in text.splitlines())


async def test_an_entry_that_was_changed_is_found_without_any_seal(
    booked: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    change(booked, f"UPDATE ledger_entries SET team = 'somebody-else' WHERE bucket = {bucket(0)}")  # noqa: S608
    code, _, text = await said(booked, capsys)
    assert (code, text) == (
        1,
        "the ledger's entries: one was changed since it was booked (their digest is not that of its running sum)",
    )


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        (
            "UPDATE seals SET ledger_contacts = ledger_contacts + 1 WHERE day = '2026-01-05'",
            "2026-01-05: it was changed",
        ),
        ("UPDATE seals SET windows_contacts = 1 WHERE day = '2026-01-06'", "seal of 2026-01-06: it was changed"),
        (
            "UPDATE seals SET sha256 = 'x' WHERE day = '2026-01-05'",
            "2026-01-06: the seal before it is gone or was made",
        ),
        ("DELETE FROM seals WHERE day = '2026-01-05'", "2026-01-06: the seal before it is gone or was made anew"),
    ],
)
async def test_a_seal_that_was_changed_is_found(
    booked: Settings, capsys: pytest.CaptureFixture[str], statement: str, says: str
) -> None:
    assert change(booked, statement) == 1
    code, _, text = await said(booked, capsys)
    assert code == 1
    assert says in text


async def test_a_contact_that_vanished_after_the_seal_is_found(
    booked: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    expire(booked)
    with sqlite3.connect(booked.data_dir / "log" / "contacts.sqlite") as stream:
        tick_there = (b'{"kind":"tick","v":1}', '%"c191"%')
        changed = [
            stream.execute(f"UPDATE p{n} SET value = ? WHERE CAST(value AS TEXT) LIKE ?", tick_there)  # noqa: S608
            for n in range(2)
        ]
        assert sum(its.rowcount for its in changed) == 1
    stream.close()
    code, _, text = await said(booked, capsys)
    assert code == 1
    assert "0 contacts accepted, 1 in windows" in text
    assert "contacts, the recount" in text


async def test_losses_and_what_was_passed_over_are_shown(booked: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    log = connect(booked)
    loss = LossRecord(id=str(uuid4()), stream="linked", partition=0, before=5, reason="the disk was replaced")
    await log.append(META, 0, [NewRecord(loss.encode())])
    await log.close()
    code, document, text = await said(booked, capsys)
    assert (code, text) == (0, "")  # an accepted loss is no difference by itself
    assert document["accepted_losses"] == [
        {"stream": "linked", "partition": 0, "before": 5, "reason": "the disk was replaced"}
    ]
    change(
        booked,
        "INSERT INTO quarantine VALUES ('ledger', 'windows', 0, 9, 10, 'unreadable', 'v=9', '2026-01-05 00:00:00.0')",
    )
    code, document, text = await said(booked, capsys)
    assert (code, document["quarantined"]) == (1, 1)
    assert text == "windows/0: ledger could not read the record at offset 9 and passed it over: v=9"


async def test_a_partition_that_does_not_add_up_is_named(booked: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    with sqlite3.connect(booked.data_dir / "pegel.sqlite") as database:
        (text,) = database.execute("SELECT record FROM ledger_cut").fetchone()
        record = json.loads(text)
        record["covered"][1]["totals"]["voided"] += 1
        database.execute("UPDATE ledger_cut SET record = ?", (json.dumps(record),))
    database.close()
    code, _, found = await said(booked, capsys)
    totals = record["covered"][1]["totals"]
    assert code == 1
    where = f"contacts/1 up to offset {record['covered'][1]['offset']}"
    assert f"{where}: {totals['contacts']} contacts, but {totals['copies']} copies + {totals['voided']} voided" in found
    assert f"{where}: the counter says {totals['voided']} voided, the recount {totals['voided'] - 1}" in found


async def test_a_zombie_that_writes_after_the_seal_is_known_by_the_claim_before_it() -> None:
    # epoch 0:                         | zombie's bucket
    # epoch 1:  claim, bucket, (sealed) |                  bucket
    log, old, new = MemoryLog(), Windows(), Windows(epoch=1)
    await log.create([StreamSpec(WINDOWS, 1)])
    await append(log, [new.claim(), *new.bucket([(cell(), 1)])])
    sealed = (await log.bounds(WINDOWS))[0].end
    old.bucket()
    await append(log, old.bucket([(cell(), 100)]))
    records = new.bucket([(cell(), 2)])
    await append(log, records)
    cut = records[-1]
    assert isinstance(cut, BucketRecord)
    at = (await log.bounds(WINDOWS))[0].end - 1
    found = await read_windows(log, at, cut, sealed, {"judge/0": [1, 1, 1]})
    assert (found.contacts, found.told) == (2, 3)


# --- in wall mode identities are forgotten: before the seal a horizon of contacts must be there ---------------------

MADE = datetime(2026, 1, 5, tzinfo=UTC)


async def wall_log(tmp_path: Path) -> tuple[MemoryLog, Identity]:
    """A contact an hour for four days, at once when it occurs."""
    at = MADE
    log = MemoryLog(lambda: int(at.timestamp() * 1000))
    identity = await open_identity(log, load({}, data_dir=tmp_path, partitions=1))
    for hour in range(96):
        at = MADE + timedelta(hours=hour)
        await put(log, 1, [contact(hour, hour * 60)])
    return log, identity


def seal(day: int) -> Seal:
    """At midnight after so many days; contacts came one an hour."""
    as_of = MADE + timedelta(days=day)
    covered = {"partition": 0, "offset": 24 * day, "totals": {"contacts": 24 * day, "copies": 0, "voided": 0}}
    sums = Sums(24 * day)
    return Seal(f"day {day}", int(as_of.timestamp()) // 60, as_of, day, 24 * day, {}, [covered], sums, "")


async def test_a_horizon_must_be_kept_before_the_seal(tmp_path: Path) -> None:
    log, identity = await wall_log(tmp_path)
    seals = [seal(day) for day in (1, 2, 3)]
    assert await find_start(log, identity, 24, seals) is None
    log.trim(CONTACTS, 0, 20)  # 20:00 of the first day: seal 1 has 4 hours before it, seal 2 has 28
    found = await find_start(log, identity, 24, seals)
    assert found is not None
    assert found.day == "day 2"
    log.trim(CONTACTS, 0, 24)  # an identity of an hour ago may be remembered by the hour before
    with pytest.raises(NoSealFits, match=r"that of day 2 does not: contacts/0 is kept since 2026-01-06 00:00, but"):
        await find_start(log, identity, 24, seals[:2])
    with pytest.raises(NoSealFits, match="there is none"):
        await find_start(log, identity, 24, [])


async def test_contacts_before_the_seal_only_tell_what_is_a_copy(tmp_path: Path) -> None:
    log, identity = await wall_log(tmp_path)
    await put(log, 1, [contact(30, 30 * 60), contact(90, 90 * 60)])  # copies: of one before the seal, of one after
    await put(
        log,
        1,
        [
            AmendmentRecord.model_validate(
                {"amendment_id": "a", "event_id": "c40", "source": "desk", "reason": "spam", "void": True}
            )
        ],
    )
    log.trim(CONTACTS, 0, 20)
    made = seal(2)
    end = MADE + timedelta(days=4)
    found = await recount(log, identity, 24 * 7, Cut({0: 99}, int(end.timestamp()) // 60), cut_of(made))
    assert sum(found.counted.values()) == 48 - 1
    assert found.open == 0
    assert found.totals[0] == (50, 2, 1)
    assert [place.bucket for place, contacts in found.counted.items() if contacts < 0] == [
        int((MADE + timedelta(hours=40)).timestamp()) // 60
    ]


async def test_the_recount_forgets_amendments_as_the_counter_does(tmp_path: Path) -> None:
    at = MADE
    log = MemoryLog(lambda: int(at.timestamp() * 1000))
    identity = await open_identity(log, load({}, data_dir=tmp_path, partitions=1))

    def amendment(event: str) -> AmendmentRecord:
        given = {"amendment_id": "a", "event_id": event, "source": "desk", "reason": "spam", "void": True}
        return AmendmentRecord.model_validate(given)

    for hour, event in ((0, "c0"), (4, "c4"), (40, "c40")):
        at = MADE + timedelta(hours=hour)
        await put(log, 1, [contact(hour, hour * 60), amendment(event)])
    # of one horizon the repeated id changes nothing; 40 hours later it is another amendment
    found = await recount(log, identity, 24, Cut({0: 6}, int((MADE + timedelta(days=4)).timestamp()) // 60))
    assert found.totals[0] == (3, 0, 2)
    assert sum(found.counted.values()) == 1
