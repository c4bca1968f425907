"""A source asks what was rejected of it: at once by ingest, or later by the counter behind the log."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pegel.eventlog.memory import MemoryLog
from pegel.eventlog.port import REJECTED, NewRecord
from pegel.ingest.pipeline import rejections
from pegel.runtime.auth import hashed
from pegel.schemas.base import LogRecord, Origin
from pegel.schemas.detection import ClaimRecord
from pegel.schemas.rejected import FieldError, RejectedReason, RejectedRecord
from support.ingests import RunningIngest, contact, running
from support.wait import until


class Clock:
    """Append times, in milliseconds since 1970."""

    def __init__(self) -> None:
        self.ms = 1_767_600_000_000

    def __call__(self) -> int:
        return self.ms

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.ms / 1000, UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def ingest(tmp_path: Path, clock: Clock) -> AsyncIterator[RunningIngest]:
    async with running(tmp_path, MemoryLog(clock)) as started:
        yield started


async def ask(ingest: RunningIngest, bearer: str | None = None, **query: str | int) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    answer = await ingest.client.get("/v1/rejected", params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def ids(ingest: RunningIngest, bearer: str | None = None, **query: str | int) -> list[str]:
    return [item["event_id"] for item in (await ask(ingest, bearer, **query))["items"]]


def behind(
    event_id: str, offset: int, *, epoch: int = 0, reason: RejectedReason = "conflict", source: str = "desk"
) -> RejectedRecord:
    """What a counter writes of a record at an offset of partition 2."""
    origin = Origin(producer="counter/2", epoch=epoch, partition=2, offset=offset, place=0)
    why = FieldError(field="event_id", reason="counted before with other values; changes are made by amendments")
    return RejectedRecord(
        reason=reason, what="contact", source=source, event_id=event_id, errors=(why,), partition=2, offset=offset,
        origin=origin,
    )  # fmt: skip


def claim(epoch: int) -> ClaimRecord:
    return ClaimRecord(producer="counter/2", owner="test", epoch=epoch)


async def append(ingest: RunningIngest, *records: LogRecord) -> None:
    await ingest.log.append(REJECTED, 0, [NewRecord(record.encode()) for record in records])


async def test_what_was_refused_at_once_and_what_was_rejected_later_stand_together(
    ingest: RunningIngest, clock: Clock
) -> None:
    told = (await ingest.client.post("/v1/contacts", json=contact(event_id="bad", country="XX"))).json()["errors"]
    said = clock.now
    clock.ms += 60_000
    await append(ingest, claim(0), behind("twice", 7))
    found = await ask(ingest)
    assert found == {
        "items": [
            {
                "time": clock.now.isoformat().replace("+00:00", "Z"),
                "reason": "conflict",
                "what": "contact",
                "source": "desk",
                "event_id": "twice",
                "errors": [
                    {"field": "event_id", "reason": "counted before with other values; changes are made by amendments"}
                ],
                "partition": 2,
                "offset": 7,
            },
            {
                "time": said.isoformat().replace("+00:00", "Z"),
                "reason": "invalid",
                "what": "contact",
                "source": "local",
                "event_id": "bad",
                "errors": told,
            },
        ],
        "next": 3,
    }


async def test_nothing_that_tells_of_a_customer_is_shown(ingest: RunningIngest) -> None:
    named = contact(customer="12345", case="case-4711", reference="r-77", country="XX", note="Mrs Miller called")
    assert (await ingest.client.post("/v1/contacts", json=named)).status_code == 422
    text = json.dumps(await ask(ingest))
    assert '"country"' in text
    for secret in ("12345", "case-4711", "r-77", "Miller", "XX"):
        assert secret not in text


async def test_filters(ingest: RunningIngest, clock: Clock) -> None:
    await append(ingest, behind("a", 1), behind("b", 2, reason="unknown_contact"))
    clock.ms += 3_600_000
    await append(ingest, behind("c", 3, source="bot"), behind("d", 4))
    assert await ids(ingest) == ["d", "c", "b", "a"]
    assert await ids(ingest, reason="unknown_contact") == ["b"]
    assert await ids(ingest, source="desk") == ["d", "b", "a"]
    assert await ids(ingest, since=clock.now.isoformat()) == ["d", "c"]
    assert await ids(ingest, since=(clock.now + timedelta(seconds=1)).isoformat()) == []
    assert await ids(ingest, limit=1, source="bot") == ["c"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"reason": "dull"}, "reason"),
        ({"since": "2026-01-01"}, "since"),
        ({"since": "1767600000"}, "since"),
        ({"cursor": -1}, "cursor"),
        ({"before": "x"}, "before"),
        ({"source": "Desk ES"}, "source"),
    ],
)
async def test_what_cannot_be_asked(ingest: RunningIngest, query: dict[str, Any], field: str) -> None:
    answer = await ingest.client.get("/v1/rejected", params=query)
    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, [field])


async def test_a_sender_follows_and_misses_nothing(ingest: RunningIngest) -> None:
    assert await ask(ingest) == {"items": [], "next": 0}
    await append(ingest, *(behind(f"e{number}", number) for number in range(25)))
    seen, cursor = [], 0
    while page := (found := await ask(ingest, cursor=cursor, limit=10))["items"]:
        seen += [item["event_id"] for item in page]
        cursor = found["next"]
    assert seen == [f"e{number}" for number in range(25)]
    assert cursor == 25
    await append(ingest, behind("late", 25))
    assert await ids(ingest, cursor=cursor) == ["late"]
    assert await ids(ingest, cursor=1_000_000) == []
    assert await ids(ingest, cursor=3, before=5) == ["e3", "e4"]
    assert await ids(ingest, cursor=5, before=3) == []


async def test_older_ones_are_reached_page_by_page(ingest: RunningIngest) -> None:
    await append(ingest, *(behind(f"e{number}", number) for number in range(25)))
    seen: list[str] = []
    found = await ask(ingest, limit=10)
    while True:
        seen += [item["event_id"] for item in found["items"]]
        if "older" not in found:
            break
        found = await ask(ingest, limit=10, before=found["older"])
    assert seen == [f"e{number}" for number in reversed(range(25))]


async def test_a_question_looks_at_a_bounded_number_of_records(
    ingest: RunningIngest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rejections, "LOOKED_AT_MAX", 100)
    monkeypatch.setattr(rejections, "LOOK_BACK", 10)
    monkeypatch.setattr(rejections, "FETCH_RECORDS", 30)
    await append(ingest, behind("first", 0, source="bot"), *(behind(f"e{number}", number) for number in range(1, 250)))
    before = await ingest.metric("pegel_ingest_rejected_looked_at_total")
    found = await ask(ingest, source="bot")
    assert (found["items"], found["next"], found["older"]) == ([], 250, 150)
    assert await ingest.metric("pegel_ingest_rejected_looked_at_total") == before + 100
    # It goes on where the answer says.
    found = await ask(ingest, source="bot", before=found["older"])
    found = await ask(ingest, source="bot", before=found["older"])
    assert [item["event_id"] for item in found["items"]] == ["first"]
    assert "older" not in found
    # So it does with a cursor.
    before = await ingest.metric("pegel_ingest_rejected_looked_at_total")
    found = await ask(ingest, source="nobody", cursor=50)
    assert (found["items"], found["next"]) == ([], 150)
    assert await ingest.metric("pegel_ingest_rejected_looked_at_total") == before + 110


async def test_a_zombie_and_copies_are_not_shown(ingest: RunningIngest) -> None:
    await append(
        ingest,
        claim(3),
        behind("a", 1, epoch=3),
        claim(8),
        behind("zombie", 2, epoch=3),
        behind("b", 2, epoch=8),
        behind("b", 2, epoch=8),
        behind("zombie", 9, epoch=3),
        behind("c", 3, epoch=8),
    )
    assert await ids(ingest) == ["c", "b", "a"]
    assert await ids(ingest, cursor=0) == ["a", "b", "c"]
    assert await ids(ingest, cursor=5) == ["c"]  # the first b stands at 4


async def test_a_zombie_is_known_by_its_epoch_where_the_claim_was_not_read(
    ingest: RunningIngest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rejections, "LOOKED_AT_MAX", 3)
    # claim 3 | claim 8 || zombie at 99 | what its overtaker wrote, at lower offsets | another zombie
    await append(ingest, claim(3), claim(8), behind("zombie", 99, epoch=3), behind("b", 2, epoch=8))
    await append(ingest, behind("zombie", 100, epoch=3))
    assert await ids(ingest) == ["b"]


async def test_records_that_nobody_here_can_read_are_passed_over(ingest: RunningIngest) -> None:
    await append(ingest, behind("a", 1))
    later = [b"{", b'{"kind":"rejected","v":2}', b'{"kind":"claim","v":1}', b'{"kind":"other"}', b""]
    await ingest.log.append(REJECTED, 0, [NewRecord(value) for value in later])
    await append(ingest, behind("b", 2))
    assert await ids(ingest) == ["b", "a"]


async def test_a_token_sees_its_own_source_and_who_runs_pegel_sees_all(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    entries = [("desk", "source", "one"), ("eyes", "viewer", "two"), ("Desk ES", "source", "three"),
               ("operator", "admin", "four")]  # fmt: skip
    tokens.write_text(
        json.dumps({"tokens": [{"name": name, "role": role, "sha256": hashed(token)} for name, role, token in entries]})
    )
    async with running(tmp_path, tokens_file=tokens) as ingest:

        async def status(bearer: str | None, **query: str) -> int:
            headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
            return (await ingest.client.get("/v1/rejected", params=query, headers=headers)).status_code

        await append(ingest, behind("mine", 1), behind("theirs", 2, source="bot"))
        refused = contact(event_id="bad", country="XX")
        await ingest.client.post("/v1/contacts", json=refused, headers={"Authorization": "Bearer one"})
        assert await ids(ingest, bearer="one") == ["bad", "mine"]
        assert await ids(ingest, bearer="one", source="desk") == ["bad", "mine"]
        assert await status("one", source="bot") == 403
        assert await ids(ingest, bearer="four") == ["bad", "theirs", "mine"]
        assert await ids(ingest, bearer="four", source="bot") == ["theirs"]
        assert [await status(bearer) for bearer in (None, "nobody", "two", "three")] == [401, 401, 403, 403]


class HungLog(MemoryLog):
    """Its end is known, but reading brings nothing until it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.let = asyncio.Event()
        self.asked = 0

    async def bounds(self, stream: str) -> Any:
        if stream == REJECTED:
            self.asked += 1
            await self.let.wait()
        return await super().bounds(stream)


async def test_with_the_log_away_it_says_so_in_time(tmp_path: Path) -> None:
    log = HungLog()
    async with running(tmp_path, log, ingest_deadline_seconds=0.2) as ingest:
        log.unavailable = "the broker is away"
        log.let.set()
        away = await ingest.client.get("/v1/rejected")
        log.unavailable = None
        log.let.clear()
        hung = await ingest.client.get("/v1/rejected")
        for answer in (away, hung):
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "within 0.2 s" in hung.json()["detail"]
        log.let.set()
        assert await ask(ingest) == {"items": [], "next": 0}


async def test_only_so_many_may_wait_for_their_turn(tmp_path: Path) -> None:
    log = HungLog()
    async with running(tmp_path, log) as ingest:
        asking = [asyncio.create_task(ingest.client.get("/v1/rejected")) for _ in range(20)]
        await until(lambda: sum(task.done() for task in asking) == 4)
        assert log.asked == 1
        log.let.set()
        statuses = [answer.status_code for answer in await asyncio.gather(*asking)]
        assert sorted(statuses) == [200] * 16 + [429] * 4
