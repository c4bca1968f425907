"""The simulated bank: its size, its rhythm, its noise, and contacts that ingest would take."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from pegel.cli.history import has_history, write
from pegel.cli.ingest import IngestClient
from pegel.cli.simulate.contacts import Contacts
from pegel.cli.simulate.failure import Failure
from pegel.cli.simulate.history import records
from pegel.cli.simulate.live import Live
from pegel.cli.simulate.world import CONTACTS_A_WEEK, COUNTRIES, SEGMENTS, STEP_SECONDS, TOPICS, WEEK_SECONDS, World
from pegel.eventlog.identity import Identity
from pegel.eventlog.memory import MemoryLog
from pegel.eventlog.port import COUNTS, StreamSpec
from pegel.runtime.settings import Settings
from pegel.schemas.contact import Contact
from pegel.schemas.detection import HistoryEndRecord, HistoryRecord, MetaRecord

MONDAY = int(datetime(2026, 11, 16, tzinfo=UTC).timestamp())
WEEK = np.arange(MONDAY, MONDAY + WEEK_SECONDS, STEP_SECONDS)


def local(country: str, hour: int, day: int = 17) -> int:
    """Seconds since 1970 of a local hour of November 2026; the 17th is a Tuesday."""
    return int(datetime(2026, 11, day, hour, tzinfo=ZoneInfo(COUNTRIES[country][0])).timestamp())


def expected(country: str, topic: str, start: int) -> float:
    return float(World().expected(np.array([start]))[0, SEGMENTS.index((country, topic))])


def test_a_week_has_about_100_000_contacts() -> None:
    assert World().expected(WEEK).sum() == pytest.approx(CONTACTS_A_WEEK, rel=0.01)
    for seed in (1, 2):
        assert World(seed).counts(WEEK).sum() == pytest.approx(CONTACTS_A_WEEK, rel=0.08)
    assert len(SEGMENTS) == len(COUNTRIES) * len(TOPICS) == 180


@pytest.mark.parametrize("country", COUNTRIES)
def test_the_day_is_the_country_s_own(country: str) -> None:
    noon, night = expected(country, "account", local(country, 11)), expected(country, "account", local(country, 3))
    assert noon > 20 * night
    assert expected(country, "account", local(country, 11, day=22)) < noon / 3  # Sunday


def test_the_rhythm_follows_the_clocks_when_they_change() -> None:
    # Madrid leaves summer time on 25 October 2026; nine in the morning stays nine in the morning.
    zone = ZoneInfo("Europe/Madrid")
    before, after = (int(datetime(2026, 10, day, 9, tzinfo=zone).timestamp()) for day in (20, 27))
    assert after - before == WEEK_SECONDS + 3600
    assert expected("ES", "cards", before) == pytest.approx(expected("ES", "cards", after))


def test_the_same_bank_says_the_same_whoever_asks() -> None:
    starts = WEEK[:288]
    assert (World(3).counts(starts) == World(3).counts(starts)).all()
    assert (World(3).counts(starts)[100:120] == World(3).counts(starts[100:120])).all()  # a part of it alone
    assert (World(3).counts(starts) != World(4).counts(starts)).any()


def test_counts_are_over_dispersed() -> None:
    world = World()
    hours = world.counts(WEEK).reshape(-1, 12, 180).sum(axis=1)
    means = world.expected(WEEK).reshape(-1, 12, 180).sum(axis=1)
    busiest = means.sum(axis=0).argsort()[-20:]
    ratio = ((hours - means) ** 2)[:, busiest].sum() / means[:, busiest].sum()
    assert 1.2 < ratio < 4  # 1 would be Poisson


def test_the_failure_grows_within_a_minute_and_ends() -> None:
    failure = Failure(25)
    assert failure.rate(0) == 0
    assert failure.rate(60) * 60 == failure.rate(1200) * 60 == 25
    assert 0 < failure.rate(failure.over_seconds - 30) < failure.rate(1200)
    assert failure.rate(failure.over_seconds) == failure.rate(failure.over_seconds + 99) == 0


def drawn(live: Live, since: float, minutes: int) -> list[dict[str, object]]:
    return [contact for second in range(minutes * 60) for contact in live.between(since + second, since + second + 1)]


def test_live_contacts_come_at_the_world_s_rate_and_are_valid() -> None:
    live = Live(World(), IngestClient(Settings()), lambda _: None)
    since = local("ES", 12)
    contacts = drawn(live, since, 30)
    starts = np.arange(since, since + 1800, STEP_SECONDS)
    assert len(contacts) == pytest.approx(World().rates(starts).sum(), rel=0.25)
    for contact in contacts:
        Contact.model_validate_json(json.dumps(contact))
    assert len({contact["event_id"] for contact in contacts}) == len(contacts)


def test_cash_machines_fail_at_any_hour_until_they_work_again() -> None:
    said: list[str] = []
    live = Live(World(), IngestClient(Settings()), said.append)
    since = local("ES", 3)
    live.fail(Failure(3), since)
    failing = Counter((contact["country"], contact["topic"]) for contact in drawn(live, since, 4))
    assert 40 < failing["ES", "atm"] < 110
    assert failing.most_common(1)[0][0] == ("ES", "atm")
    drawn(live, since + 240, 2)
    assert said == ["the cash machines in Spain work again"]
    assert Counter(contact["topic"] for contact in drawn(live, since + 360, 3))["atm"] < 10


def test_what_a_failing_machine_makes_of_a_contact() -> None:
    contact = Contacts(np.random.default_rng(1)).no_cash(datetime(2026, 11, 22, tzinfo=UTC))
    assert (contact["country"], contact["topic"], contact["demand"]) == ("ES", "atm", "failure")
    Contact.model_validate_json(json.dumps(contact))


async def test_the_history_ends_before_the_log_and_is_written_once() -> None:
    made_at = datetime(2026, 11, 22, 4, 3, 7, tzinfo=UTC)
    meta = MetaRecord(
        log_id="00000000-0000-4000-8000-000000000000",
        clock="wall",
        bucket_seconds=60,
        delay_seconds=10,
        partitions=1,
        dimensions=("country", "topic"),
    )
    encoded = records(World(), Identity(meta, int(made_at.timestamp() * 1000)), weeks=1)
    parts = [HistoryRecord.decode(value) for value in encoded[:-1]]
    end = HistoryEndRecord.decode(encoded[-1])
    assert (end.parts, {part.id for part in parts}) == (len(parts), {end.id})
    assert max(map(len, encoded)) <= 512 * 1024
    steps = [len(part.counts[0]) for part in parts]
    assert sum(steps) == WEEK_SECONDS // STEP_SECONDS
    ends = [part.start + timedelta(seconds=STEP_SECONDS * count) for part, count in zip(parts, steps, strict=True)]
    assert ends[:-1] == [part.start for part in parts[1:]]  # no gap between parts
    assert made_at - timedelta(seconds=STEP_SECONDS) < ends[-1] <= made_at

    log = MemoryLog()
    await log.create([StreamSpec(COUNTS, 1)])
    await write(log, encoded[:-1])
    assert not await has_history(log)  # a simulator that was killed in the middle begins again
    await write(log, encoded[-1:])
    assert await has_history(log)
