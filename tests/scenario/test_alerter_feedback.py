"""What a team says of a page: kept, told to the judge once, taken back, and compared with what was promised."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from pegel.cli.feedback import give
from pegel.eventlog.memory import MemoryLog
from pegel.eventlog.port import COUNTS, LogUnavailable
from pegel.runtime.auth import Principal, Tokens, hashed
from pegel.runtime.settings import ConfigurationError, Settings
from pegel.schemas.detection import FeedbackRecord
from support.alerters import Clock, Running, alerter, listening, pass_bucket
from support.databases import BOTH, database_url
from support.wait import until
from support.windows import START, Windows, cell


@pytest.fixture
def windows() -> Windows:
    return Windows()


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, false_pages_per_week=2.0)


@pytest.fixture
async def running(settings: Settings, log: MemoryLog, clock: Clock) -> AsyncIterator[Running]:
    async with alerter(settings, log, now=clock) as served:
        yield served


async def sent(log: MemoryLog) -> list[FeedbackRecord]:
    """What stands on counts."""
    bounds = (await log.bounds(COUNTS)).get(0)
    if bounds is None or bounds.end == bounds.begin:
        return []
    reader = log.reader(COUNTS, {0: bounds.begin})
    records = (await reader.fetch()).get(0, ())
    return [FeedbackRecord.decode(record.value) for record in records]


async def paged(running: Running, log: MemoryLog, windows: Windows, clock: Clock, place: str = "ES") -> str:
    """A spike that pages; the incident's id."""
    segment = (place, "atm")
    await pass_bucket(log, windows, clock, counts=[(cell(country=place), 30)], spikes=[windows.spike(segment=segment)])
    await running.applied(windows.now)
    return str((await running.incidents(country=place))[0]["id"])


async def said(running: Running, incident: str, verdict: str, status: int = 200, **fields: str) -> dict[str, Any]:
    answer = await running.client.post(f"/v1/incidents/{incident}/feedback", json={"verdict": verdict, **fields})
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def listed(running: Running) -> dict[str, Any]:
    answer = await running.client.get("/v1/feedback")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_an_answer_is_kept_and_told_to_the_judge(
    running: Running, log: MemoryLog, windows: Windows, clock: Clock
) -> None:
    incident = await paged(running, log, windows, clock)
    answer = await said(running, incident, "not_useful")
    assert (answer["verdict"], answer["given_by"], answer["undone_at"]) == ("not_useful", "cash-withdrawals", None)
    assert datetime.fromisoformat(answer["holds_from"]) == windows.now
    (record,) = await until(lambda: sent(log))
    assert (record.id, record.verdict, record.segment) == (answer["id"], "not_useful", ("ES", "atm"))
    assert record.bucket == int(windows.now.timestamp()) // 60
    assert record.since == windows.now - timedelta(minutes=5)
    assert (await running.incidents())[0]["answer"] == "not_useful"

    async def noted() -> bool:
        return bool((await listed(running))["items"][0]["sent"])

    await until(noted)
    (bar,) = (await listed(running))["bars"]
    assert (bar["segment"], bar["raised"]) == ({"country": "ES", "topic": "atm"}, 0.3)
    assert datetime.fromisoformat(bar["until"]) == windows.now + timedelta(days=56)


async def test_a_page_has_one_answer_and_another_takes_it_back(
    running: Running, log: MemoryLog, windows: Windows, clock: Clock
) -> None:
    incident = await paged(running, log, windows, clock)
    first = await said(running, incident, "not_useful")
    assert await said(running, incident, "not_useful") == first
    clock.at += timedelta(seconds=1)
    other = await said(running, incident, "new_normal", given_by="pricing")
    undone = await said(running, incident, "undo")
    assert (undone["id"], undone["given_by"]) == (other["id"], "pricing")
    assert undone["undone_at"] is not None
    await said(running, incident, "undo", 409)
    records = await until(lambda: _of(log, 4))
    told = [(its.verdict, its.undoes) for its in records]
    assert told == [("not_useful", None), ("undo", first["id"]), ("new_normal", None), ("undo", other["id"])]
    assert len({its.id for its in records}) == 4
    found = await listed(running)
    assert found["bars"] == []
    assert found["items"][0]["id"] == other["id"]
    assert (await running.incidents())[0]["answer"] is None


async def _of(log: MemoryLog, count: int) -> list[FeedbackRecord]:
    found = await sent(log)
    return found if len(found) == count else []


async def test_what_was_promised_is_compared_with_what_was_answered(
    running: Running, log: MemoryLog, windows: Windows, clock: Clock
) -> None:
    # four pages in a week: one of no use, one a new normal, two not answered
    assert (await listed(running))["promise"]["pages_answered_share"] is None
    incidents = [await paged(running, log, windows, clock, place) for place in ("ES", "PT", "FR", "DE")]
    promise = (await listed(running))["promise"]
    assert (promise["pages"], promise["false_pages_per_week_seen"], promise["pages_answered_share"]) == (4, None, 0.0)
    await said(running, incidents[0], "not_useful")
    await said(running, incidents[1], "new_normal")
    promise = (await listed(running))["promise"]
    assert (promise["answered"], promise["not_useful"], promise["weeks"]) == (2, 1, 1.0)
    assert promise["false_pages_per_week_promised"] == 2.0
    assert promise["false_pages_per_week_seen"] == 2.0  # half of those answered, of four a week
    assert promise["pages_answered_share"] == 0.5

    async def measured() -> bool:
        text = (await running.client.get("/metrics")).text
        wanted = ("promised 2.0", "seen 2.0")
        return "pegel_pages_answered_share 0.5" in text and all(
            f"pegel_false_pages_per_week_{its}" in text for its in wanted
        )

    await until(measured, 20)


async def test_pages_that_are_older_than_four_weeks_count_no_more(
    running: Running, log: MemoryLog, windows: Windows, clock: Clock
) -> None:
    incident = await paged(running, log, windows, clock)
    await said(running, incident, "not_useful")
    later = Windows(start=START + timedelta(weeks=5), contacts=windows.contacts, _offset=1000)
    await paged(running, log, later, clock, "PT")
    promise = (await listed(running))["promise"]
    assert (promise["pages"], promise["answered"], promise["weeks"]) == (1, 0, 4.0)


async def test_who_may_say_so_and_what(running: Running, log: MemoryLog, windows: Windows, clock: Clock) -> None:
    incident = await paged(running, log, windows, clock)
    await said(running, "0" * 20, "real", 404)
    await said(running, incident, "useless", 422)
    problem = await said(running, incident, "real", 409, given_by="anna")
    assert problem["detail"] == "given_by is no team of ownership.yaml"
    assert await sent(log) == []


async def test_a_viewer_may_look_and_not_answer(settings: Settings, log: MemoryLog, clock: Clock) -> None:
    tokens = Tokens([(hashed("v"), Principal("board", "viewer"))])
    async with alerter(settings, log, now=clock, tokens=tokens) as running:
        path = f"/v1/incidents/{'0' * 20}/feedback"
        assert (await running.client.post(path, json={"verdict": "real"})).status_code == 401
        running.client.headers["Authorization"] = "Bearer v"
        assert (await running.client.post(path, json={"verdict": "real"})).status_code == 403
        assert (await running.client.get("/v1/feedback")).status_code == 200


async def test_while_the_log_is_away_answers_wait_and_are_sent_in_order(
    running: Running, log: MemoryLog, windows: Windows, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The log takes the first attempt and its answer is lost: what is sent again has the same id.
    append, tries = log.append, []

    async def failing(stream: str, partition: int, records: Any) -> Any:
        if stream == COUNTS:
            tries.append(len(records))
            if len(tries) == 1:
                await append(stream, partition, records)
            if len(tries) < 3:
                raise LogUnavailable("away")
        return await append(stream, partition, records)

    monkeypatch.setattr(log, "append", failing)
    incident = await paged(running, log, windows, clock)
    await said(running, incident, "not_useful")
    await until(lambda: tries)
    await said(running, incident, "undo")
    await until(lambda: len(tries) >= 3, 20)
    records = await sent(log)
    assert [its.verdict for its in records] == ["not_useful", "not_useful", "undo"]
    assert records[0] == records[1]


@pytest.mark.parametrize("kind", BOTH)
async def test_it_is_the_same_on_both_databases(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, log: MemoryLog, windows: Windows, clock: Clock
) -> None:
    from pegel.alerter.database import migrate  # noqa: PLC0415

    url = database_url(request, kind, tmp_path)
    migrate(url)
    async with alerter(Settings(data_dir=tmp_path, database_url=url), log, now=clock) as running:
        incident = await paged(running, log, windows, clock)
        await said(running, incident, "not_useful")
        await paged(running, log, windows, clock, "PT")
        await until(lambda: _of(log, 1))
        found = await listed(running)
        assert [(bar["raised"], bar["segment"]["country"]) for bar in found["bars"]] == [(0.3, "ES")]
        assert (found["promise"]["pages"], found["promise"]["answered"], found["promise"]["not_useful"]) == (2, 1, 1)
        assert found["promise"]["false_pages_per_week_seen"] == 2.0
        await said(running, incident, "real")
        records = await until(lambda: _of(log, 3))
        assert [its.verdict for its in records] == ["not_useful", "undo", "real"]
        found = await listed(running)
        assert (found["bars"], found["promise"]["not_useful"]) == ([], 0)


async def test_the_command_line_says_it_too(
    tmp_path: Path, log: MemoryLog, windows: Windows, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = Tokens([(hashed("r"), Principal("desk", "responder")), (hashed("v"), Principal("board", "viewer"))])
    async with listening(Settings(data_dir=tmp_path), log, now=clock, tokens=tokens) as (running, port):
        running.client.headers["Authorization"] = "Bearer r"
        incident = await paged(running, log, windows, clock)
        url = f"http://127.0.0.1:{port}"

        async def feedback(verdict: str, who: str = "r", to: str = url) -> tuple[int, str, str]:
            settings = Settings(data_dir=tmp_path, alerter_url=to, token=SecretStr(who))
            capsys.readouterr()
            code = await asyncio.to_thread(give, settings, incident, verdict, None)
            return (code, *capsys.readouterr())

        said = "ES, atm: not_useful, said by cash-withdrawals; it"
        code, out, _ = await feedback("not_useful")
        assert (code, out) == (0, f"{said} holds from 2026-03-02T09:01Z on\n")
        code, out, _ = await feedback("undo")
        assert (code, out) == (0, f"{said} is taken back, from 2026-03-02T09:01Z on\n")
        code, _, err = await feedback("undo")
        assert (code, err) == (1, "the incident has no answer that could be undone (409)\n")
        code, _, err = await feedback("real", who="v")
        assert (code, err) == (1, "role responder is needed, the token has viewer (403)\n")
        code, _, err = await feedback("real", to="http://127.0.0.1:1")
        assert code == 1
        assert err.startswith("PEGEL_ALERTER_URL=http://127.0.0.1:1: ")
    with pytest.raises(ConfigurationError, match="--by Anna B: is no id of a team"):
        give(Settings(data_dir=tmp_path), incident, "real", "Anna B")
