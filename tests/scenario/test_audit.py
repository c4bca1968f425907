"""`pegel audit`: what the three sources must say, and that what was tampered with is named."""

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest

from pegel.cli.audit import audit
from pegel.runtime.settings import ConfigurationError, Settings
from pegel.schemas.contact import AmendmentRecord
from support.whole import booked_to, bucket, contact, data_mode, feed, run_until

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
async def booked(tmp_path: Path) -> Settings:
    """200 contacts over two hours, some copies, two amendments, one contact still open: all booked."""
    settings = data_mode(tmp_path / "data", partitions=2)
    records: list[object] = [contact(n, n * 0.6, topic=("atm", "cards", "loan")[n % 3]) for n in range(200)]
    records += [contact(n, n * 0.6, topic=("atm", "cards", "loan")[n % 3]) for n in range(0, 200, 7)]
    for number, change in (("m1", {"set": {"topic": "login"}}), ("m2", {"void": True})):
        event = "c10" if number == "m1" else "c20"
        records.append(
            AmendmentRecord.model_validate(
                {"amendment_id": number, "event_id": event, "source": "desk", "reason": "wrap_up", **change}
            )
        )
    records.append(contact(500, 131))
    await feed(settings, records, minutes=130.5)  # type: ignore[arg-type]
    reached = booked_to(settings)
    await run_until(settings, lambda: reached() >= bucket(130))
    return settings


def said(settings: Settings, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, object]]:
    capsys.readouterr()
    code = audit(settings, True)
    return code, json.loads(capsys.readouterr().out)


async def in_thread(settings: Settings, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, object]]:
    """The audit has an event loop of its own."""
    return await asyncio.to_thread(said, settings, capsys)


def differences(document: dict[str, object]) -> list[str]:
    found = document["differences"]
    assert isinstance(found, list)
    return found


async def test_all_three_agree(booked: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    code, document = await in_thread(booked, capsys)
    assert (code, differences(document)) == (0, [])
    assert document["accepted"] == document["windows"] == document["ledger"] == 199  # 200 and one voided
    assert document["open"] == 1


async def test_the_table_for_people(booked: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert await asyncio.to_thread(audit, booked, False) == 0
    out = capsys.readouterr().out
    assert "Nothing differs." in out
    assert "199" in out


async def test_a_removed_window_is_named(booked: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    with sqlite3.connect(booked.data_dir / "log" / "windows.sqlite") as stream:
        rowid, value = next(
            row
            for row in records(stream, "p0")
            if b'"window"' in row[1] and json.loads(row[1])["additions"]["contacts"]
        )
        # In its place stands what readers pass over, so that offsets stay dense.
        stream.execute("UPDATE p0 SET value = ? WHERE rowid = ?", (b'{"kind":"claim","v":1}', rowid))
    lost = json.loads(value)
    code, document = await in_thread(booked, capsys)
    assert code == 1
    text = "\n".join(differences(document))
    origin = lost["origin"]
    assert f"judge/0:{origin['offset']}.{origin['place']}#0" in text
    assert "has no window addition behind it" in text
    assert document["accepted"] == document["ledger"] == 199
    assert document["windows"] == 199 - sum(lost["additions"]["contacts"])


def records(stream: sqlite3.Connection, table: str) -> list[tuple[int, bytes]]:
    """The records of a partition of the embedded log, with their row ids."""
    return stream.execute(f"SELECT rowid, value FROM {table}").fetchall()  # noqa: S608


def database_of(settings: Settings) -> sqlite3.Connection:
    return sqlite3.connect(settings.data_dir / "pegel.sqlite")


async def test_a_doubled_ledger_row_is_named(booked: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    with database_of(booked) as database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(ledger_entries)")]
        others = ", ".join(name for name in columns if name != "id")
        database.execute(
            # the columns are the table's own
            f"INSERT INTO ledger_entries (id, {others}) SELECT id || '-again', {others} FROM ledger_entries LIMIT 1"  # noqa: S608
        )
    code, document = await in_thread(booked, capsys)
    assert code == 1
    assert any("-again" in line and "no window addition" in line for line in differences(document))
    assert document["ledger"] != document["windows"]


async def test_an_edited_amount_is_named(booked: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    with database_of(booked) as database:
        (entry,) = database.execute("SELECT id FROM ledger_entries LIMIT 1").fetchone()
        database.execute("UPDATE ledger_entries SET amount_micros = amount_micros + 1 WHERE id = ?", (entry,))
    code, document = await in_thread(booked, capsys)
    assert code == 1
    assert any(entry in line and "unit price" in line for line in differences(document))


async def test_an_edited_quantity_and_a_missing_row_are_named(
    booked: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with database_of(booked) as database:
        (first,), (second,) = database.execute("SELECT id FROM ledger_entries LIMIT 2").fetchall()
        database.execute("UPDATE ledger_entries SET quantity = quantity + 1 WHERE id = ?", (first,))
        database.execute("DELETE FROM ledger_entries WHERE id = ?", (second,))
    code, document = await in_thread(booked, capsys)
    assert code == 1
    assert any(first in line and "its window" in line for line in differences(document))
    assert any(second in line and "is not in the ledger" in line for line in differences(document))


async def test_a_contact_that_vanished_from_the_log_is_named(
    booked: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with sqlite3.connect(booked.data_dir / "log" / "contacts.sqlite") as stream:
        rowid, table = next((row[0], t) for t in ("p0", "p1") for row in records(stream, t) if b'"c11"' in row[1])
        stream.execute(f"UPDATE {table} SET value = ? WHERE rowid = ?", (b'{"kind":"tick","v":1}', rowid))  # noqa: S608
    code, document = await in_thread(booked, capsys)
    assert code == 1
    assert any("contacts accepted" in line and "in windows" in line for line in differences(document))


async def test_nothing_booked_yet_is_no_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = data_mode(tmp_path / "data")
    await feed(settings, [contact(1, 1)], minutes=2)
    code, document = await in_thread(settings, capsys)
    assert code == 0
    assert (document["accepted"], document["windows"], document["ledger"], document["open"]) == (0, 0, 0, 1)


async def test_the_database_of_another_log_is_refused(
    booked: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = data_mode(tmp_path / "other")
    await feed(other, [contact(1, 1)], minutes=2)
    mixed = other.model_copy(
        update={"database_url": None, "log_url": other.resolved_log_url, "data_dir": booked.data_dir}
    )
    with pytest.raises(ConfigurationError, match="belongs to log"):
        await in_thread(mixed, capsys)
