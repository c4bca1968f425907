"""Records nobody can read, snapshots that are broken; contacts that come again, late, early, or by a wrong clock."""

import json
import random
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from pegel.eventlog.port import CONTACTS, COUNTS, REJECTED, STATE, WINDOWS, NewRecord, Record
from support import stages
from support.faults import MARKS, often
from support.faults_cluster import BUCKET_SECONDS, Cluster, Process
from support.launcher import kind_of
from support.wait import until

pytestmark = [*MARKS, pytest.mark.timeout(600)]
PARTITIONS = 2
POISON = [b"this is no JSON", b"\xff\xfe\x00", b'{"v":1}', b'{"kind":"surprise","v":1}']
UNKNOWN_VERSION = {
    CONTACTS: b'{"kind":"contact","v":9,"source":"desk","event_id":"x"}',
    COUNTS: b'{"kind":"counts","v":9}',
}


# --- snapshots ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", often(["other hash", "other bytes", "no manifest"], ["other hash"]))
async def test_the_newest_snapshot_is_broken(faulted: Cluster, how: str) -> None:
    await faulted.start_all()
    async with faulted.load as load:
        await faulted.booked_on(1)
        await until(lambda: all_have_snapshots(faulted), 60)
        for name in ("counter", "judge"):
            for process in faulted.running(name):
                assert await process.stop() == 0
        good = {partition: await break_newest(faulted, partition, how) for partition in range(PARTITIONS + 1)}

        await faulted.start_all("counter", "judge")
        await faulted.paged(0)
        await faulted.check()
        for process in (*faulted.running("counter"), *faulted.running("judge")):
            taken = [line for line in lines(process) if line["event"] == "partition_taken"]
            state = [line["partition"] if line["part"] == "counter" else PARTITIONS for line in taken]
            assert [line["snapshot"] for line in taken] == [good[partition] for partition in state]
            if how != "no manifest":
                assert [line["event"] for line in lines(process)].count("snapshot_corrupt") == len(taken)
        load.resume()
        await faulted.check()
        await faulted.stop_all()


async def all_have_snapshots(faulted: Cluster) -> bool:
    state = await stages.read(faulted.log, STATE)
    return all(any(kind_of(record.value) == "manifest" for record in records) for records in state.values())


async def break_newest(faulted: Cluster, partition: int, how: str) -> int:
    """Append a broken snapshot after all others; the offset of the newest good manifest."""
    records = (await stages.read(faulted.log, STATE))[partition]
    newest = next(record for record in reversed(records) if kind_of(record.value) == "manifest")
    manifest = json.loads(newest.value)
    chunk = next(record for record in records if record.offset == manifest["chunks"][0]["offset"])
    manifest["previous_manifest"] = newest.offset
    if how == "other hash":
        manifest["chunks"][0]["sha256"] = "0" * 64
    else:
        torn = bytes(reversed(chunk.value))
        (at,) = await faulted.log.append(STATE, partition, [NewRecord(torn, None, renamed(chunk, newest.offset))])
        manifest["chunks"][0]["offset"] = at.offset
    if how != "no manifest":
        await faulted.log.append(STATE, partition, [NewRecord(json.dumps(manifest).encode())])
    return newest.offset


def renamed(chunk: Record, previous: int) -> tuple[tuple[str, bytes], ...]:
    """The chunk's headers, but for the manifest before it."""
    return (
        *(header for header in chunk.headers if header[0] != "previous_manifest"),
        ("previous_manifest", str(previous).encode()),
    )


def lines(process: Process) -> list[dict[str, Any]]:
    """What a service logged."""
    return [json.loads(line) for line in process.said.splitlines() if line.startswith("{")]


# --- records that can't be read ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [CONTACTS, COUNTS])
async def test_poison_and_an_unknown_version_are_quarantined_and_the_partition_goes_on(
    faulted: Cluster, stream: str
) -> None:
    poison = [*POISON, UNKNOWN_VERSION[stream]]
    await faulted.start_all()
    async with faulted.load as load:
        await faulted.booked_on(1)
        placed = await faulted.log.append(stream, 0, [NewRecord(value) for value in poison])
        await faulted.check()
        quarantined = await unreadable(faulted, stream)
        assert sorted(quarantined) == [place.offset for place in placed]
        assert "version 9" in quarantined[placed[-1].offset]
        load.resume()
        await faulted.paged(0)
        # It is read again by those who come after, and told once.
        for name in ("counter", "judge"):
            (old,) = faulted.running(name)
            await old.kill()
            await faulted.start(name)
        await faulted.check()
        assert await unreadable(faulted, stream) == quarantined
        await faulted.stop_all()


async def unreadable(faulted: Cluster, stream: str) -> dict[int, str]:
    """Offsets of partition 0 of a stream that are quarantined on `rejected`, with the reason."""
    producer = "counter/0" if stream == CONTACTS else "judge/0"
    outputs = stages.accepted((await stages.read(faulted.log, REJECTED))[0]).get(producer, ())
    said = [output.content for output in outputs if output.content["reason"] == "unreadable"]
    return {one["offset"]: one["errors"][0]["reason"] for one in said}


@pytest.mark.parametrize(("stream", "name"), [(CONTACTS, "counter"), (COUNTS, "judge")])
async def test_over_the_limit_of_unreadable_records_the_service_stops_and_says_why(
    faulted: Cluster, stream: str, name: str
) -> None:
    low = {"PEGEL_UNREADABLE_MAX": "3"}
    others = [each for each in ("ingest", "counter", "judge", "alerter") if each != name]
    stopping = await faulted.start(name, over=low)
    await faulted.start_all(*others)
    async with faulted.load:
        await faulted.booked_on(1)
        await faulted.log.append(stream, 0, [NewRecord(b"poison %d" % number) for number in range(4)])
        assert await stopping.end(60) == 1
        assert "PEGEL_UNREADABLE_MAX=3" in stopping.said
        await faulted.start(name)
        await faulted.check()
        assert len(await unreadable(faulted, stream)) == 4
        await faulted.stop_all()


async def test_poison_on_windows_is_passed_over_and_noted(faulted: Cluster) -> None:
    await faulted.start_all()
    async with faulted.load as load:
        await faulted.booked_on(1)
        poison = [NewRecord(value) for value in (*POISON, b'{"kind":"window","v":9}')]
        placed = await faulted.log.append(WINDOWS, 0, poison)
        await faulted.check(passed_over=2 * len(poison))
        noted = faulted.asked("SELECT record_offset, reason FROM quarantine WHERE consumer = 'ledger' ORDER BY 1")
        assert [row[0] for row in noted] == [place.offset for place in placed]
        assert "v=9" in noted[-1][1]
        load.resume()
        await faulted.paged(0)
        await faulted.check(passed_over=2 * len(poison))
        await faulted.stop_all()


# --- contacts that come otherwise than they should ---------------------------------------------------------------


async def test_duplicates_disorder_and_lateness_of_minutes_and_days(faulted: Cluster) -> None:
    chance = random.Random(4)
    await faulted.start_all()
    async with faulted.load as load:
        await faulted.booked_on(1)
        apart = [load.contact(ago=ago) for ago in (0, 1, 5, 60, 120, 600, 3600, 86_400, 2 * 86_400) for _ in range(20)]
        for _ in range(3):
            chance.shuffle(apart)
            for start in range(0, len(apart), 30):
                await load.send(apart[start : start + 30])
        await faulted.check()
        load.resume()
        await faulted.paged(0)
        await faulted.check()
        ((booked,),) = faulted.asked("SELECT sum(quantity) FROM ledger_entries")
        assert booked == await known(faulted)
        await faulted.stop_all()


async def known(faulted: Cluster) -> int:
    """Contacts by source and event_id that the log has, less those that were voided: nothing else is charged."""
    there: Counter[tuple[str, str]] = Counter()
    told: set[str] = set()
    for records in (await stages.read(faulted.log, CONTACTS)).values():
        for record in records:
            said = json.loads(record.value)
            if said["kind"] == "contact":
                there.setdefault((said["source"], said["event_id"]), 1)
            elif said["kind"] == "amendment" and said["amendment_id"] not in told:
                told.add(said["amendment_id"])
                if said.get("void") and (said["source"], said["event_id"]) in there:
                    there[said["source"], said["event_id"]] = 0
    return sum(there.values())


async def test_contacts_dated_in_the_future(faulted: Cluster) -> None:
    await faulted.start_all()
    async with faulted.load as load:
        await faulted.booked_on(1)
        soon, later = [load.contact(ago=-6) for _ in range(20)], [load.contact(ago=-240) for _ in range(30)]
        await load.send([*soon, *later])
        load.newest = datetime.now(UTC)
        (ingest,) = faulted.running("ingest")
        async with httpx.AsyncClient(trust_env=False) as client:
            refused = await client.post(f"{ingest.url}/v1/contacts", json=load.contact(ago=-3600))
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["field"] == "occurred_at"
        load.newest = datetime.now(UTC)
        await faulted.booked_on(5)
        await faulted.paged(0)
        await faulted.check(still_open=len(later))
        await faulted.stop_all()


@pytest.mark.parametrize("seconds", often([90, -90], [90]))
async def test_a_clock_is_off_on_one_ingest(faulted: Cluster, seconds: int) -> None:
    await faulted.start_all()
    off = await faulted.start("ingest", "--clock-off", str(seconds))
    async with faulted.load as load:
        await faulted.booked_on(2)
        assert await faulted.clock_of(off) == pytest.approx(datetime.now(UTC).timestamp() + seconds, abs=20)
        await faulted.paged(0)
        await faulted.check()
        assert load.statuses.keys() == {202}
        # Nothing moved but that process's own idea of time: the newest bucket is of now.
        assert await faulted.booked_to() * BUCKET_SECONDS < datetime.now(UTC).timestamp() + BUCKET_SECONDS
        await faulted.stop_all()
