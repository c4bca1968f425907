"""A source sends contacts: what it is answered, and what then stands on the log."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from pegel.detector.counter.domain.counting import In, PartitionCounter
from pegel.eventlog.keys import contact_key, partition_of
from pegel.eventlog.memory import MemoryLog
from pegel.eventlog.port import CONTACTS, Appended, LogUnavailable, NewRecord
from pegel.ingest.http import routes
from pegel.runtime.auth import hashed
from pegel.schemas.contact import AmendmentRecord, Contact, ContactRecord, amendment_example
from pegel.schemas.rejected import Problem
from support.detecting import rules
from support.ingests import JSON, NDJSON, RunningIngest, SlowLog, contact, made, running
from support.wait import until

PROBLEM = "application/problem+json"


@pytest.fixture
async def ingest(tmp_path: Path) -> AsyncIterator[RunningIngest]:
    async with running(tmp_path) as started:
        yield started


async def post(ingest: RunningIngest, body: Any, headers: dict[str, str] | None = None) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await ingest.client.post("/v1/contacts", content=content, headers=JSON | (headers or {}))


def problem(answer: httpx.Response, status: int) -> Problem:
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM), answer.text
    return Problem.model_validate_json(answer.content)


async def test_one_contact_is_on_the_log_when_it_is_answered(ingest: RunningIngest) -> None:
    sent = contact(customer="12345")
    answer = await post(ingest, sent)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1})
    (record,) = await ingest.contacts()
    read = ContactRecord.decode(record.value)
    assert (read.event_id, read.source, read.occurred_at.isoformat()) == (
        sent["event_id"],
        "local",
        sent["occurred_at"],
    )
    assert b"12345" not in record.value
    assert record.key == contact_key("local", sent["event_id"])


async def test_copies_meet_in_one_partition_whatever_they_say(ingest: RunningIngest) -> None:
    for number in range(20):
        await post(
            ingest, [contact(event_id=f"e{number}"), contact(event_id=f"e{number}", topic="cards", country="PT")]
        )
    records = await ingest.contacts()
    assert len(records) == 40
    assert {record.partition for record in records} == {0, 1, 2, 3}
    for record in records:
        assert record.key is not None
        assert record.partition == partition_of(record.key, 4)


async def test_a_mixed_array_says_which_items_were_refused(ingest: RunningIngest) -> None:
    answer = await post(ingest, [contact(), contact(country="XX"), contact(), 7])
    assert (answer.status_code, answer.headers["content-type"]) == (207, "application/json")
    body = answer.json()
    assert (body["accepted"], body["rejected"]) == (2, 2)
    assert [(item["index"], item["errors"][0]["field"]) for item in body["items"]] == [(1, "country"), (3, "item")]
    assert len(await ingest.contacts()) == 2
    assert [record.errors[0].field for record in await ingest.rejected()] == ["country", "item"]


async def test_ndjson_is_taken_line_by_line(ingest: RunningIngest) -> None:
    lines = [json.dumps(contact()) for _ in range(3)]
    answer = await post(ingest, "\n".join(lines).encode(), NDJSON)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 3})
    answer = await post(ingest, "\n".join([lines[0], "{", ""]).encode(), NDJSON)
    assert (answer.status_code, answer.json()["items"][0]["index"]) == (207, 1)
    assert [record.reason for record in await ingest.rejected()] == ["unreadable"]


async def test_an_array_of_nothing_good_is_a_problem_that_names_each(ingest: RunningIngest) -> None:
    found = problem(await post(ingest, [contact(country="XX"), contact(topic=None)]), 422)
    assert [error.field for error in found.errors] == ["[0].country", "[1].topic"]
    assert not await ingest.contacts()


BAD: dict[str, dict[str, Any]] = {
    "no time": {"occurred_at": None},
    "naive time": {"occurred_at": "2026-01-01T10:00:00"},
    "ahead": {"occurred_at": (datetime.now(UTC) + timedelta(days=1)).isoformat()},
    "old": {"occurred_at": (datetime.now(UTC) - timedelta(days=36)).isoformat()},
    "unknown country": {"country": "XX"},
    "unknown channel": {"channel": "pigeon"},
    "unknown field": {"colour": "red"},
    "no slug": {"topic": "a\nb"},
    "no id": {"event_id": None},
    "an employee": {"agent_id": "007"},
}


@pytest.mark.parametrize("over", BAD.values(), ids=BAD)
async def test_bad_input_is_a_problem_that_names_the_field(ingest: RunningIngest, over: dict[str, Any]) -> None:
    found = problem(await post(ingest, contact(**over)), 422)
    (name, value) = next(iter(over.items()))
    assert [error.field for error in found.errors] == [name]
    assert value is None or value not in found.errors[0].reason
    assert not await ingest.contacts()
    (rejected,) = await ingest.rejected()
    assert (rejected.reason, rejected.what, [error.field for error in rejected.errors]) == (
        "invalid",
        "contact",
        [name],
    )


UNREADABLE = {"cut": b"{", "invalid UTF-8": b'{"topic":"\xff"}', "10,000 deep": b"[" * 10_000 + b"]" * 10_000}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
async def test_what_is_not_json_is_a_400_and_kept_as_unreadable(ingest: RunningIngest, body: bytes) -> None:
    assert "not JSON" in (problem(await post(ingest, body), 400).detail or "")
    (rejected,) = await ingest.rejected()
    assert (rejected.reason, rejected.item) == ("unreadable", None)
    assert await ingest.metric('pegel_ingest_contacts_rejected_total{reason="unreadable"}') >= 1


async def test_what_can_be_no_contact(ingest: RunningIngest) -> None:
    problem(await post(ingest, b""), 400)
    problem(await post(ingest, b" \n"), 400)
    problem(await post(ingest, 7), 422)
    problem(await post(ingest, "a contact"), 422)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/xml"},
        {"Content-Type": ""},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Encoding": "gzip"},
    ],
)
async def test_another_content_type(ingest: RunningIngest, headers: dict[str, str]) -> None:
    problem(await post(ingest, contact(), headers), 415)


async def test_a_content_type_may_say_utf_8(ingest: RunningIngest) -> None:
    assert (await post(ingest, contact(), {"Content-Type": 'Application/JSON; charset="UTF-8"'})).status_code == 202


async def test_records_carry_the_trace_of_their_request(ingest: RunningIngest) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    await post(ingest, contact(), {"traceparent": trace})
    await post(ingest, contact(), {"traceparent": "nonsense"})
    headers = sorted(record.headers for record in await ingest.contacts())
    assert headers == [(), (("traceparent", trace.encode()),)]


async def test_tokens_name_the_source(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    entries = [("desk-es", "source", "one"), ("eyes", "viewer", "two"), ("Desk ES", "source", "three")]
    tokens.write_text(
        json.dumps({"tokens": [{"name": name, "role": role, "sha256": hashed(token)} for name, role, token in entries]})
    )
    async with running(tmp_path, tokens_file=tokens) as ingest:
        for headers in ({}, {"Authorization": "Bearer nobody"}, {"Authorization": "Basic one"}):
            answer = await post(ingest, contact(), headers)
            problem(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
        problem(await post(ingest, contact(), {"Authorization": "Bearer two"}), 403)
        problem(await post(ingest, contact(), {"Authorization": "Bearer three"}), 403)
        desk = {"Authorization": "Bearer one"}
        assert (await post(ingest, contact(), desk)).status_code == 202
        assert (await post(ingest, contact(source="desk-es"), desk)).status_code == 202
        refused = problem(await post(ingest, contact(source="desk-pt"), desk), 422)
        assert [error.field for error in refused.errors] == ["source"]
        assert {ContactRecord.decode(record.value).source for record in await ingest.contacts()} == {"desk-es"}
        assert [record.source for record in await ingest.rejected()] == ["desk-es"]
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await ingest.client.get(path)).status_code == 200


async def test_without_tokens_a_contact_may_name_its_source(ingest: RunningIngest) -> None:
    await post(ingest, [contact(source="desk-es"), contact()])
    assert sorted(ContactRecord.decode(record.value).source for record in await ingest.contacts()) == [
        "desk-es",
        "local",
    ]


async def test_an_amendment_goes_where_its_contact_went(ingest: RunningIngest) -> None:
    event_id = amendment_example()["event_id"]
    await post(ingest, contact(event_id=event_id))
    answer = await ingest.client.post("/v1/amendments", json=amendment_example())
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1})
    first, second = await ingest.contacts()
    assert (first.partition, first.key) == (second.partition, second.key)
    assert AmendmentRecord.decode(second.value).reason == "wrap_up"
    found = problem(await ingest.client.post("/v1/amendments", json=amendment_example() | {"void": True}), 422)
    assert found.errors[0].field == "body"
    assert [record.what for record in await ingest.rejected()] == ["amendment"]


@pytest.mark.parametrize("name", ["source", "event_id"])
async def test_identity_is_never_amended(ingest: RunningIngest, name: str) -> None:
    amendment = amendment_example() | {"set": {"topic": "cards", name: "another"}}
    found = problem(await ingest.client.post("/v1/amendments", json=amendment), 422)
    assert [error.field for error in found.errors] == [f"set.{name}"]
    assert "identity" in found.errors[0].reason
    assert not await ingest.contacts()
    (rejected,) = await ingest.rejected()
    assert (rejected.what, rejected.event_id) == ("amendment", amendment["event_id"])


async def test_an_amendment_may_set_every_other_field(ingest: RunningIngest) -> None:
    said: dict[str, Any] = {
        "occurred_at": datetime.now(UTC).isoformat(), "country": "PT", "topic": "cards", "channel": "chat",
        "handler": "partner", "site": "lisbon", "subtopic": "lost", "customer": "1", "account": "2",
        "customer_segment": "business", "nature": "emotional", "demand": "failure", "complaint": True, "case": "3",
        "reference": "r-1", "outcome": "abandoned", "waited_seconds": 1, "handled_seconds": 2, "resolved": False,
        "satisfaction": {"scale": "csat", "value": 4}, "language": "pt", "attributes": {"region": "north"},
    }  # fmt: skip
    assert said.keys() == Contact.model_fields.keys() - {"event_id", "source"}
    answer = await ingest.client.post("/v1/amendments", json=amendment_example() | {"set": said})
    assert answer.status_code == 202, answer.text
    (record,) = await ingest.contacts()
    written = AmendmentRecord.decode(record.value).set
    assert written is not None
    assert written.model_dump(exclude_none=True).keys() == said.keys()


async def test_in_wall_mode_time_passes_by_itself(tmp_path: Path) -> None:
    async with running(tmp_path, tick_seconds=0.02) as ingest:
        ticks = await until(lambda: _ticks(ingest, 12))
        assert {partition for partition, _ in ticks} == {0, 1, 2, 3}
        assert {tick.at for _, tick in ticks} == {None}
        found = problem(await ingest.client.post("/v1/ticks", json={"at": "2013-01-01T00:00:00Z"}), 409)
        assert "PEGEL_CLOCK" in (found.detail or "")


async def _ticks(ingest: RunningIngest, number: int) -> Any:
    ticks = await ingest.ticks()
    return ticks if len(ticks) >= number else None


async def test_in_data_mode_time_passes_by_ticks_alone(tmp_path: Path) -> None:
    async with running(tmp_path, clock="data", tick_seconds=0.02) as ingest:
        assert (await post(ingest, contact(occurred_at="2013-01-01T10:00:00Z"))).status_code == 202
        answer = await ingest.client.post("/v1/ticks", json={"at": "2013-01-01T11:00:00+01:00"})
        assert (answer.status_code, answer.json()) == (202, {"partitions": 4})
        assert [(partition, tick.at) for partition, tick in await ingest.ticks()] == [
            (partition, datetime(2013, 1, 1, 10, tzinfo=UTC)) for partition in range(4)
        ]
        for body, status in (
            (b"{", 400),
            (b"", 400),
            (b"{}", 422),
            (b'{"at":"2013-01-01T10:00:00"}', 422),
            (b"7", 422),
        ):
            problem(await ingest.client.post("/v1/ticks", content=body, headers=JSON), status)
        problem(await ingest.client.post("/v1/ticks", content=b"{}", headers=NDJSON), 415)


async def test_nothing_is_answered_before_the_log_has_it(tmp_path: Path) -> None:
    log = SlowLog()
    async with running(tmp_path, log) as ingest:
        sent = [contact() for _ in range(10)]
        request = asyncio.create_task(post(ingest, sent))
        await until(lambda: ingest.metric("pegel_ingest_bodies_bytes"))
        assert not request.done()
        log.let.set()
        assert (await request).status_code == 202
        assert await ingest.metric("pegel_ingest_bodies_bytes") == 0


async def test_while_the_log_is_away_senders_are_told_to_come_again(ingest: RunningIngest) -> None:
    ingest.log.unavailable = "the broker is away"
    before = await ingest.metric('pegel_ingest_append_failures_total{stream="contacts"}')
    answer = await post(ingest, [contact(), contact(country="XX")])
    assert "the broker is away" in (problem(answer, 503).detail or "")
    assert int(answer.headers["retry-after"]) > 0
    assert await ingest.metric('pegel_dependency_up{dependency="log"}') == 0
    assert await ingest.metric('pegel_ingest_append_failures_total{stream="contacts"}') == before + 1
    ready = await ingest.client.get("/readyz")
    assert (ready.status_code, ready.json()["dependencies"]) == (200, {"log": "the broker is away"})
    # What is the sender's fault stays a 4xx.
    problem(await post(ingest, contact(country="XX")), 422)
    ingest.log.unavailable = None
    assert (await post(ingest, [contact() for _ in range(100)])).status_code == 202
    assert await ingest.metric('pegel_dependency_up{dependency="log"}') == 1


class ForgetfulLog(MemoryLog):
    """Takes contacts, and its acknowledgement is lost, so many times."""

    lost = 0

    async def append(self, stream: str, partition: int, records: Sequence[NewRecord]) -> Sequence[Appended]:
        placed = await super().append(stream, partition, records)
        if self.lost and stream == CONTACTS and any(record.key is not None for record in records):
            self.lost -= 1
            raise LogUnavailable("the broker went away")
        return placed


async def test_who_sends_again_what_was_not_acknowledged_makes_no_second_contact(tmp_path: Path) -> None:
    log = ForgetfulLog()
    async with running(tmp_path, log, partitions=1) as ingest:
        log.lost = 2
        sent = [contact() for _ in range(10)]
        answers = [(await post(ingest, sent)).status_code for _ in range(4)]
        assert answers == [503, 503, 202, 202]
        counter = PartitionCounter(0, 0, rules())
        counter.apply([In(each.offset, each.time_ms, each.key, each.value) for each in await ingest.contacts()])
        assert counter.read == (40, 30)  # contacts read, and those that are copies


async def test_a_log_that_is_away_is_said_once_and_tried_again(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with running(tmp_path, tick_seconds=0.01) as ingest:
            ingest.log.unavailable = "the broker is away"
            failures = 'pegel_ingest_append_failures_total{stream="contacts"}'
            before = await ingest.metric(failures)
            await until(lambda: _more(ingest, failures, before + 5))
            ingest.log.unavailable = None
            await until(lambda: ingest.probe.dependencies["log"] is None)
    assert [each["event"] for each in logs if each["event"].startswith("log_")] == ["log_unavailable", "log_available"]


async def _more(ingest: RunningIngest, line: str, value: float) -> bool:
    return await ingest.metric(line) >= value


async def test_too_old_and_too_far_ahead_name_the_setting(tmp_path: Path) -> None:
    async with running(tmp_path, ahead_seconds_max=60, age_days_max=1) as ingest:
        for days, setting in ((1, "PEGEL_AHEAD_SECONDS_MAX=60"), (-2, "PEGEL_AGE_DAYS_MAX=1")):
            moment = (datetime.now(UTC) + timedelta(days=days)).isoformat()
            assert setting in problem(await post(ingest, contact(occurred_at=moment)), 422).errors[0].reason


@pytest.mark.parametrize("off_seconds", [-90, 90])
async def test_a_clock_that_is_off_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, off_seconds: int
) -> None:
    class Shifted(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(seconds=off_seconds)

    made_at_ms = 1_767_600_000_000
    now = datetime.now(UTC)
    sent = [
        contact(event_id=f"e{seconds}", customer="12345", occurred_at=(now + timedelta(seconds=seconds)).isoformat())
        for seconds in (-600, 0, 120)
    ]
    async with running(tmp_path, MemoryLog(lambda: made_at_ms), tick_seconds=0.02) as ingest:
        assert (await post(ingest, sent)).json() == {"accepted": 3}
        monkeypatch.setattr(routes, "datetime", Shifted)
        assert (await post(ingest, sent)).json() == {"accepted": 3}
        await until(lambda: _ticks(ingest, 8))
        # What both wrote is the same to the byte, pseudonyms too, and all time is the log's.
        written = Counter((record.key, record.value) for record in await ingest.contacts())
        assert list(written.values()) == [2, 2, 2]
        assert {record.time_ms for record in await ingest.records(CONTACTS)} == {made_at_ms}
        assert {tick.at for _, tick in await ingest.ticks()} == {None}


@pytest.mark.parametrize("clock", ["wall", "data"])
async def test_the_log_is_noticed_when_it_is_back_though_nobody_sends(tmp_path: Path, clock: str) -> None:
    async with running(tmp_path, clock=clock, tick_seconds=0.02) as ingest:
        ingest.log.unavailable = "the broker is away"
        problem(await post(ingest, contact()), 503)
        assert ingest.probe.dependencies["log"] == "the broker is away"
        ingest.log.unavailable = None
        await until(lambda: ingest.probe.dependencies["log"] is None)


async def test_before_the_log_is_open_senders_are_told_to_come_again(tmp_path: Path) -> None:
    service = made(tmp_path, MemoryLog(), {})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=service.app), base_url="http://ingest") as client:
        answer = await client.post("/v1/contacts", json=contact())
        problem(answer, 503)
        assert answer.headers["retry-after"]
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/healthz")).status_code == 200


async def test_accepted_and_rejected_are_counted(ingest: RunningIngest) -> None:
    accepted = await ingest.metric("pegel_ingest_contacts_accepted_total")
    refused = await ingest.metric('pegel_ingest_contacts_rejected_total{reason="unknown_field"}')
    await post(ingest, [contact(), contact(), contact(colour="red")])
    assert await ingest.metric("pegel_ingest_contacts_accepted_total") == accepted + 2
    assert await ingest.metric('pegel_ingest_contacts_rejected_total{reason="unknown_field"}') == refused + 1


async def test_a_large_batch_is_whole(ingest: RunningIngest) -> None:
    batch = [contact() for _ in range(5000)]
    assert len(json.dumps(batch)) > 512 * 1024
    assert (await post(ingest, batch)).json() == {"accepted": 5000}
    keys = {record.key for record in await ingest.contacts()}
    assert keys == {contact_key("local", each["event_id"]) for each in batch}
