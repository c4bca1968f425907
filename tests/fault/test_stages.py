"""The checker of the runs under faults: it finds nothing in an undisturbed run, and each thing that is wrong."""

import json
from pathlib import Path

import pytest

from pegel.alerter.database import Database
from pegel.eventlog.connect import connect
from pegel.eventlog.identity import open_identity
from pegel.eventlog.port import CONTACTS, COUNTS, REJECTED, WINDOWS, Record
from pegel.runtime.settings import Settings
from support import stages
from support.whole import booked_to, bucket, contact, data_mode, feed, run_until


@pytest.fixture
async def ran(tmp_path: Path) -> Settings:
    """Detector and alerter have counted, judged and booked 60 contacts, five of which came again with another topic."""
    settings = data_mode(tmp_path, partitions=2)
    contacts = [contact(n, n * 0.5, topic=("atm", "cards")[n % 2]) for n in range(60)]
    conflicts = [contact(n, n * 0.5, topic="loan") for n in range(5)]
    await feed(settings, [*contacts, *conflicts], minutes=40.5)
    reached = booked_to(settings)
    await run_until(settings, lambda: reached() >= bucket(40))
    return settings


async def test_an_undisturbed_run_differs_nowhere(ran: Settings, tmp_path: Path) -> None:
    log = connect(ran)
    identity = await open_identity(log, ran)
    assert await stages.differences_of_log(log, identity, ran) == []
    streams = {stream: await stages.read(log, stream) for stream in (CONTACTS, COUNTS, REJECTED, WINDOWS)}
    await log.close()
    assert sum(map(len, stages.accepted(streams[REJECTED][0]).values())) == 5
    assert stages.lost({("desk", f"c{n}") for n in range(60)}, streams[CONTACTS]) == []
    assert stages.lost({("desk", "c60")}, streams[CONTACTS]) == [
        "1 acknowledged contacts are not in the log, ('desk', 'c60') is the first"
    ]
    database = Database(ran.resolved_database_url)
    found = stages.effects_in(database)
    database.close()
    assert len(found.rows["ledger_entries"]) > 10
    expected = stages.effects_of(streams[WINDOWS][0], identity, ran, tmp_path)
    assert stages.differences_of_effects(expected, found) == []


async def test_an_entry_that_is_changed_missing_or_twice_is_named(ran: Settings, tmp_path: Path) -> None:
    log = connect(ran)
    identity = await open_identity(log, ran)
    windows = (await stages.read(log, WINDOWS))[0]
    await log.close()
    good = stages.effects_of(windows, identity, ran, tmp_path)
    rows = good.rows["ledger_entries"]
    changed = json.dumps({**json.loads(rows[0]), "quantity": 999}, sort_keys=True)
    for wrong, told in (([changed, *rows[1:]], 2), (rows[1:], 1), ([rows[0], *rows], 1)):
        found = stages.Effects({**good.rows, "ledger_entries": wrong})
        differences = stages.differences_of_effects(good, found)
        assert [line.split(":")[0] for line in differences] == ["ledger_entries"] * told


async def test_an_output_that_is_changed_missing_or_too_many_is_named(ran: Settings) -> None:
    log = connect(ran)
    counts = (await stages.read(log, COUNTS))[0]
    await log.close()
    good = stages.accepted(counts)
    outputs = [at for at, record in enumerate(counts) if b'"kind":"counts"' in record.value]
    last = counts[outputs[-1]]
    origin = json.loads(last.value)["origin"]

    def told(records: list[Record], *, whole: bool = True) -> list[str]:
        return stages.differences(COUNTS, good, stages.accepted(records), whole=whole)

    assert told(counts) == []
    (missing,) = told(counts[: outputs[-1]])
    assert "1 outputs are missing" in missing
    assert told(counts[: outputs[-1]], whole=False) == []
    miscounted = last._replace(value=last.value.replace(b'"counted":', b'"counted":1'))
    (differs,) = told([*counts[: outputs[-1]], miscounted, *counts[outputs[-1] + 1 :]])
    assert "totals=" in differs
    again = last._replace(value=last.value.replace(b'"place":%d' % origin["place"], b'"place":77'))
    (more,) = told([*counts, again])
    assert "1 outputs too many" in more
    assert told([*counts, last]) == [], "readers drop what they have seen"


async def test_what_a_zombie_writes_after_another_has_claimed_is_not_taken(ran: Settings) -> None:
    log = connect(ran)
    counts = (await stages.read(log, COUNTS))[0]
    await log.close()
    good = stages.accepted(counts)
    zombie = json.loads(next(r.value for r in reversed(counts) if b'"kind":"counts"' in r.value))
    zombie["origin"]["place"] = 5
    claim = {"kind": "claim", "v": 1, "producer": zombie["origin"]["producer"], "owner": "other", "epoch": 1_000}
    after = [replace_value(counts[-1], claim), replace_value(counts[-1], zombie)]
    assert stages.differences(COUNTS, good, stages.accepted([*counts, *after]), whole=True) == []
    assert stages.differences(COUNTS, good, stages.accepted([*counts, after[1]]), whole=True) != []


def replace_value(record: Record, content: object) -> Record:
    return record._replace(value=json.dumps(content, separators=(",", ":")).encode())
