"""The order of contacts and ticks, and the pace."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from pegel.cli.ingest import Answer, IngestAwayError, IngestClient
from pegel.cli.replay.contacts import Contacts
from pegel.cli.replay.plan import make_plan
from pegel.cli.replay.sending import Mode, Sent, closing_time, due_seconds, limits, send
from pegel.cli.replay.speed import Speed, parse
from pegel.cli.replay.times import instants
from pegel.runtime.settings import ConfigurationError, Settings
from pegel.schemas.detection import MetaRecord

META = MetaRecord(
    log_id="00000000-0000-4000-8000-000000000000",
    clock="data",
    bucket_seconds=300,
    delay_seconds=10,
    partitions=4,
    dimensions=("country", "topic"),
)


class FakeIngest(IngestClient):
    """Writes down what it is sent. refuses: topics it rejects; away_after: calls until it is away."""

    def __init__(self, refuses: frozenset[str] = frozenset(), away_after: int = 1000) -> None:
        super().__init__(Settings())
        self.story: list[str] = []
        self.sent: list[dict[str, Any]] = []
        self._refuses, self._left = refuses, away_after

    async def contacts(self, contacts: Sequence[dict[str, Any]]) -> Answer:
        await asyncio.sleep(0)  # a tick that is on its way meanwhile arrives first, as it mostly does
        self._count()
        self.story.append(f"{len(contacts)} contacts")
        self.sent.extend(contacts)
        refused = [f"topic: {contact['topic']}" for contact in contacts if contact["topic"] in self._refuses]
        return Answer(len(contacts) - len(refused), refused, len(refused))

    async def tick(self, at: datetime) -> None:
        self._count()
        self.story.append(f"tick {at:%d %H:%M:%S}")

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise IngestAwayError("away")


def file(*times: str, topics: Sequence[str] = ()) -> Contacts:
    topics = topics or ["atm"] * len(times)
    table = pl.DataFrame({"ts": [f"2013-01-{time}Z" for time in times], "topic": topics})
    plan = make_plan(table.columns, time_column="ts", fixed=("country=ES", "channel=phone"))
    return Contacts(table, plan, instants(table["ts"], None))


async def replay(contacts: Contacts, ingest: FakeIngest, mode: Mode = "data", speed: Speed | None = None) -> Sent:
    sent = Sent()
    await send(contacts, ingest, META, mode, speed or Speed(), sent, lambda: None)
    return sent


async def test_data_mode_ticks_before_between_and_after() -> None:
    # 1 Jan 10:02   10:04        20:00       2 Jan 01:00
    # tick first, the batch, tick of its last row ...; the last bucket is 01:00 to 01:05, and the delay 10 s
    ingest = FakeIngest()
    sent = await replay(file("01T10:02:00", "01T10:04:00", "01T20:00:00", "02T01:00:00"), ingest)
    assert ingest.story == [
        "tick 01 10:02:00", "2 contacts", "tick 01 10:04:00", "2 contacts", "tick 02 01:00:00", "tick 02 01:05:10",
    ]  # fmt: skip
    assert (sent.accepted, sent.rejected) == (4, 0)


async def test_wall_mode_sends_no_tick() -> None:
    for mode in ("late", "shift"):
        ingest = FakeIngest()
        await replay(file("01T10:02:00", "01T10:04:00"), ingest, mode)
        assert ingest.story == ["2 contacts"]
    assert datetime.fromisoformat(ingest.sent[0]["occurred_at"]).year > 2013


async def test_rejections_are_counted_by_reason() -> None:
    ingest = FakeIngest(refuses=frozenset({"spam"}))
    sent = await replay(file("01T10:02:00", "01T10:04:00", "01T10:05:00", topics=["spam", "atm", "spam"]), ingest)
    assert (sent.accepted, sent.rejected) == (1, 2)
    assert sent.reasons == Counter({"topic: spam": 2})


async def test_how_far_it_came_is_known_when_ingest_goes_away() -> None:
    sent = Sent()
    with pytest.raises(IngestAwayError):
        await send(
            file("01T10:00:00", "01T20:00:00"), FakeIngest(away_after=3), META, "data", Speed(), sent, lambda: None
        )
    assert sent.rows == 1


def test_speeds() -> None:
    assert parse(None) == Speed()
    assert parse("3000/s") == Speed(contacts_a_second=3000)
    assert parse(" 0.5/S ") == Speed(contacts_a_second=0.5)
    assert parse("60x") == Speed(factor=60)


@pytest.mark.parametrize("text", ["", "fast", "0x", "-3/s", "3000", "60 x", "1e9x", "nan/s"])
def test_a_speed_that_is_none_is_named(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--speed"):
        parse(text)


def test_a_paced_batch_is_a_tenth_of_a_second() -> None:
    assert limits(Speed()) == (500, 6 * 3600)
    assert limits(Speed(contacts_a_second=3000)) == (300, 6 * 3600)
    assert limits(Speed(contacts_a_second=2)) == (1, 6 * 3600)
    assert limits(Speed(factor=60)) == (500, 6)


def test_when_a_batch_is_due() -> None:
    first, last = datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 1, 1, 1, tzinfo=UTC)
    assert due_seconds(Speed(), 900, first, last) == 0
    assert due_seconds(Speed(contacts_a_second=300), 900, first, last) == 3
    assert due_seconds(Speed(factor=60), 900, first, last) == 60


def test_the_last_bucket_closes() -> None:
    assert closing_time(datetime(2013, 1, 1, 0, 4, 59, 999_999, tzinfo=UTC), META) == datetime(
        2013, 1, 1, 0, 5, 10, tzinfo=UTC
    )
    assert closing_time(datetime(2013, 1, 1, 0, 5, tzinfo=UTC), META) == datetime(2013, 1, 1, 0, 10, 10, tzinfo=UTC)
