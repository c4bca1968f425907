"""Stories of the alerter: windows go in, incidents, pages and charges come out."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from pegel.eventlog.memory import MemoryLog
from pegel.runtime.auth import Principal, Tokens, hashed
from pegel.runtime.settings import Settings
from support.alerters import Clock, Running, alerter, pass_bucket
from support.wait import until
from support.windows import START, Windows, cell


@pytest.fixture
def windows() -> Windows:
    return Windows()


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


@pytest.fixture
async def running(settings: Settings, log: MemoryLog, clock: Clock) -> AsyncIterator[Running]:
    async with alerter(settings, log, now=clock) as served:
        yield served


async def test_rising_contacts_page_the_owner_and_are_charged(
    running: Running, log: MemoryLog, windows: Windows, clock: Clock
) -> None:
    # minute 0: 10 contacts; minute 1: 30, and the spike since minute 1 opens
    await pass_bucket(log, windows, clock, counts=[(cell(), 10)])
    await pass_bucket(
        log, windows, clock, counts=[(cell(), 30)], spikes=[windows.spike(onset_minutes=1, observed=30, expected=3.0)]
    )
    await running.applied(windows.now)

    (incident,) = await running.incidents(country="ES", topic="atm")
    assert incident["state"] == "open"
    assert incident["segment"] == {"country": "ES", "topic": "atm"}
    assert incident["team"] == "cash-withdrawals"
    assert (incident["observed"], incident["expected"]) == (30, 3.0)
    # 30 phone calls at 7.50 in the minute of the spike; 27 of 30 are too many
    assert incident["cost"] == {"amount": "202.50", "currency": "EUR"}
    assert incident["explanation"] == "30 contacts where 3 are normal at this hour."
    assert datetime.fromisoformat(incident["as_of"]) == windows.now
    assert incident["stale"] is False

    page_id, page, cost = (await until(lambda: running.memory.taken))[0]
    assert (page.kind, page.team, page.title) == ("opened", "cash-withdrawals", "Cash machines, ES")
    assert page_id == f"{incident['id']}.1"
    assert cost is not None
    assert cost.amount == "202.50"

    async def sent() -> bool:
        return str((await running.incidents())[0]["page"]) == "paged: the segment rose above its baseline; memory: sent"

    await until(sent)
    costs = await running.costs()
    assert costs["contacts"] == 40
    assert costs["total"] == {"amount": "300.00", "currency": "EUR"}
    assert [(row["team"], row["topic"], row["share"]) for row in costs["rows"]] == [("cash-withdrawals", "atm", 1.0)]


async def test_an_incident_ends_with_its_spike(
    running: Running, log: MemoryLog, windows: Windows, clock: Clock
) -> None:
    # minute 1: opens; minute 2: grows; minute 3: over
    spike = windows.spike(onset_minutes=1)
    await pass_bucket(log, windows, clock, spikes=[spike])
    await pass_bucket(log, windows, clock, spikes=[windows.spike("updated", observed=70, spike_id=spike.spike_id)])
    await running.applied(windows.now)
    (incident,) = await running.incidents()
    assert (incident["state"], incident["observed"]) == ("open", 70)

    await pass_bucket(log, windows, clock, spikes=[windows.spike("resolved", spike_id=spike.spike_id)])
    await running.applied(windows.now)
    (incident,) = await running.incidents()
    assert incident["state"] == "resolved"
    assert datetime.fromisoformat(incident["resolved_at"]) == windows.now
    assert [(its["to_state"], its["actor"], its["reason"]) for its in incident["transitions"]] == [
        ("open", "pegel", "above_baseline"),
        ("resolved", "pegel", "back_to_normal"),
    ]
    await until(lambda: len(running.memory.taken) == 2)
    assert [page.kind for _, page, _ in running.memory.taken] == ["opened", "resolved"]


@pytest.mark.parametrize(("minutes", "incidents"), [(50, 1), (70, 2)])
async def test_what_rises_again_within_an_hour_is_the_same_incident(
    running: Running, log: MemoryLog, windows: Windows, clock: Clock, minutes: int, incidents: int
) -> None:
    first = windows.spike()
    await pass_bucket(log, windows, clock, spikes=[first])
    await pass_bucket(log, windows, clock, spikes=[windows.spike("resolved", spike_id=first.spike_id)])
    await running.applied(windows.now)
    for _ in range(minutes - 1):
        await pass_bucket(log, windows, clock)
    await pass_bucket(log, windows, clock, spikes=[windows.spike()])
    await running.applied(windows.now)

    found = await running.incidents()
    assert len(found) == incidents
    assert found[0]["state"] == "open"
    assert found[0]["resolved_at"] is None
    await until(lambda: len(running.memory.taken) == 3)
    assert [page.kind for _, page, _ in running.memory.taken] == [
        "opened",
        "resolved",
        "reopened" if incidents == 1 else "opened",
    ]
    if incidents == 1:
        assert found[0]["transitions"][-1]["reason"] == "risen_again"
        assert len(found[0]["spikes"]) == 2


async def test_a_second_spike_of_a_segment_joins_its_open_incident(
    running: Running, log: MemoryLog, windows: Windows, clock: Clock
) -> None:
    one, other = windows.spike(spike_id="one"), windows.spike(spike_id="other")
    await pass_bucket(log, windows, clock, spikes=[one])
    await pass_bucket(log, windows, clock, spikes=[other])
    await pass_bucket(log, windows, clock, spikes=[windows.spike("resolved", spike_id="one")])
    await running.applied(windows.now)
    (incident,) = await running.incidents()
    assert (incident["state"], set(incident["spikes"])) == ("open", {"one", "other"})
    await pass_bucket(log, windows, clock, spikes=[windows.spike("resolved", spike_id="other")])
    await running.applied(windows.now)
    assert [its["state"] for its in await running.incidents()] == ["resolved"]
    await until(lambda: len(running.memory.taken) == 2)


async def test_a_person_acknowledges_and_resolves(
    settings: Settings, log: MemoryLog, windows: Windows, clock: Clock
) -> None:
    tokens = Tokens(
        [
            (hashed("v"), Principal("wall-board", "viewer")),
            (hashed("r"), Principal("nora", "responder")),
            (hashed("s"), Principal("desk", "source")),
        ]
    )
    async with alerter(settings, log, now=clock, tokens=tokens) as running:
        await pass_bucket(log, windows, clock, spikes=[windows.spike()])
        running.client.headers["authorization"] = "Bearer v"
        await running.applied(windows.now)
        (incident,) = await running.incidents()
        path = f"/v1/incidents/{incident['id']}"

        for token, status in (("", 401), ("x", 401), ("s", 403), ("v", 403)):
            answer = await running.client.post(
                f"{path}/acknowledge", json={}, headers={"authorization": f"Bearer {token}"}
            )
            assert answer.status_code == status
            assert answer.headers["content-type"] == "application/problem+json"

        running.client.headers["authorization"] = "Bearer r"
        answer = await running.client.post(f"{path}/acknowledge", json={"reason": "looking into it"})
        assert (answer.status_code, answer.json()["state"]) == (200, "acknowledged")
        last = answer.json()["transitions"][-1]
        assert (last["actor"], last["reason"], last["from_state"]) == ("nora", "looking into it", "open")

        answer = await running.client.post(f"{path}/acknowledge", json={})
        assert (answer.status_code, answer.json()["detail"]) == (
            409,
            "an incident that is acknowledged can't acknowledge, only resolve",
        )
        answer = await running.client.post(f"{path}/resolve", json={"reason": "switched over"})
        assert (answer.status_code, answer.json()["state"]) == (200, "resolved")
        assert (await running.client.post(f"{path}/resolve", json={})).status_code == 409
        assert (await running.client.post(f"/v1/incidents/{'0' * 20}/resolve", json={})).status_code == 404

        # Who was paged is told, and the spike's own end changes nothing more.
        await until(lambda: [page.kind for _, page, _ in running.memory.taken] == ["opened", "resolved"])
        assert running.memory.taken[-1][1].reason == "switched over"
        await pass_bucket(log, windows, clock, spikes=[windows.spike("resolved", spike_id=incident["spikes"][0])])
        await running.applied(windows.now)
        assert len((await running.incidents())[0]["transitions"]) == 3


async def test_incidents_are_found_by_what_they_are(
    running: Running, log: MemoryLog, windows: Windows, clock: Clock
) -> None:
    segments = [("ES", "atm"), ("ES", "login"), ("PT", "atm")]
    for segment in segments:
        await pass_bucket(log, windows, clock, spikes=[windows.spike(segment=segment)])
    await running.applied(windows.now)

    async def found(**query: str) -> list[tuple[str, str]]:
        return [(its["segment"]["country"], its["segment"]["topic"]) for its in await running.incidents(**query)]

    assert await found() == segments[::-1]
    assert await found(country="ES") == [("ES", "login"), ("ES", "atm")]
    assert await found(country="ES", topic="atm") == [("ES", "atm")]
    assert await found(team="cash-withdrawals") == [("PT", "atm"), ("ES", "atm")]
    assert await found(state="open", limit="1") == [("PT", "atm")]
    assert await found(state="resolved") == []
    assert await found(country="DE") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("contry=ES", "contry"),
        ("state=closed", "state"),
        ("limit=0", "limit"),
        ("country=", "country"),
        ("country=A&country=B", "country"),
    ],
)
async def test_a_filter_that_would_not_filter_is_refused(running: Running, query: str, field: str) -> None:
    answer = await running.client.get(f"/v1/incidents?{query}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_an_answer_that_did_not_change_is_not_sent_again(
    running: Running, log: MemoryLog, windows: Windows, clock: Clock
) -> None:
    await pass_bucket(log, windows, clock, counts=[(cell(), 2)], spikes=[windows.spike()])
    await running.applied(windows.now)
    await until(lambda: running.memory.taken)
    (incident,) = await running.incidents()
    for path in ("/v1/incidents", f"/v1/incidents/{incident['id']}", "/v1/costs"):

        async def asked(path: str = path) -> bool:  # the page's delivery may just be noted
            first = await running.client.get(path)
            again = await running.client.get(path, headers={"If-None-Match": f'"other", {first.headers["etag"]}'})
            return again.status_code == 304 and not again.content and again.headers["etag"] == first.headers["etag"]

        await until(asked)
    tag = (await running.client.get("/v1/costs")).headers["etag"]
    await pass_bucket(log, windows, clock, counts=[(cell(), 2)])
    await running.applied(windows.now)
    answer = await running.client.get("/v1/costs", headers={"If-None-Match": tag})
    assert (answer.status_code, answer.json()["contacts"]) == (200, 4)


async def test_an_answer_says_when_it_is_stale(
    running: Running, log: MemoryLog, windows: Windows, clock: Clock
) -> None:
    for path in ("/v1/incidents", "/v1/costs"):
        empty = (await running.client.get(path)).json()
        assert (empty["as_of"], empty["stale"]) == (None, False)
    await pass_bucket(log, windows, clock)
    await running.applied(windows.now)
    # older than two buckets and a minute: 180 s
    for seconds, stale in ((180, False), (181, True)):
        clock.at = windows.now + timedelta(seconds=seconds)
        for path in ("/v1/incidents", "/v1/costs"):
            assert (await running.client.get(path)).json()["stale"] is stale


async def test_trouble_read_of_late_rings_nobody(
    running: Running, log: MemoryLog, windows: Windows, clock: Clock
) -> None:
    records = windows.bucket(spikes=[windows.spike()])
    clock.at = windows.now + timedelta(minutes=31)
    await pass_bucket(log, windows, clock, records=records)
    await running.applied(windows.now)
    (incident,) = await running.incidents()
    assert incident["page"] == "not_paged: stale, it was read of 31 minutes later"
    assert running.memory.attempts == []

    # ... but when it turns out to go on, its owner is paged, once
    spike_id = incident["spikes"][0]
    for _ in range(3):
        await pass_bucket(log, windows, clock, spikes=[windows.spike("updated", observed=99, spike_id=spike_id)])
    await running.applied(windows.now)
    await until(lambda: running.memory.taken)
    assert [(page.kind, page.observed) for _, page, _ in running.memory.taken] == [("opened", 99)]
    assert (await running.incidents())[0]["page"].startswith("paged: ")


async def test_costs_are_by_cause_and_period(running: Running, log: MemoryLog, windows: Windows, clock: Clock) -> None:
    # 09:00 cash machines, an unknown topic on the phone, a fax nobody has a price for; 09:01 a late one of 09:00
    await pass_bucket(
        log,
        windows,
        clock,
        counts=[(cell(), 4), (cell(topic="moon"), 2), (cell(topic="login", channel="other"), 5)],
    )
    await pass_bucket(log, windows, clock, counts=[(cell(topic="login"), 1)], late=[(1, cell(), 1)])
    await running.applied(windows.now)
    costs = await running.costs(hours="24")
    assert [(row["team"], row["topic"], row["contacts"], row["unpriced_contacts"]) for row in costs["rows"]] == [
        ("cash-withdrawals", "atm", 5, 0),
        ("unattributed", "moon", 2, 0),
        ("digital-identity", "login", 6, 5),
    ]
    assert [row["cost"]["amount"] for row in costs["rows"]] == ["37.50", "15.00", "7.50"]
    assert sum(row["share"] for row in costs["rows"]) == pytest.approx(1.0)
    assert costs["total"]["amount"] == "60.00"

    hour = {"since": "2026-03-02T10:00:00+01:00", "until": "2026-03-02T11:00:00+01:00"}  # 09:00 to 10:00 UTC
    assert (await running.costs(**hour))["contacts"] == 13
    before = {"since": "2026-03-02T08:00:00Z", "until": "2026-03-02T09:00:00Z"}
    assert (await running.costs(**before))["rows"] == []
    backwards = {"since": "2026-03-02T10:00:00Z", "until": "2026-03-02T09:00:00Z"}
    assert (await running.costs(**backwards))["rows"] == []


async def test_data_mode_rings_nobody(tmp_path: Path, log: MemoryLog, windows: Windows, clock: Clock) -> None:
    async with alerter(Settings(data_dir=tmp_path, clock="data"), log, now=clock) as running:
        await pass_bucket(log, windows, clock, spikes=[windows.spike()])
        clock.at = windows.now + timedelta(days=4000)
        await running.applied(windows.now)
        answer = (await running.client.get("/v1/incidents")).json()
        assert answer["stale"] is False
        (incident,) = answer["items"]
        assert incident["page"] == "not_paged: data mode, files of the past ring nobody"
        assert running.memory.attempts == []


async def test_metrics_show_what_is_going_on(running: Running, log: MemoryLog, windows: Windows, clock: Clock) -> None:
    await pass_bucket(log, windows, clock, counts=[(cell(channel="other"), 3)], spikes=[windows.spike()])
    await running.applied(windows.now)
    await until(lambda: running.memory.taken)
    text = (await running.client.get("/metrics")).text
    for line in (
        'pegel_alerter_lag_records{consumer="incidents"} 0.0',
        'pegel_alerter_in_charge{consumer="ledger"} 1.0',
        'pegel_alerter_ledger_entries_total{status="unpriced"}',
        "pegel_alerter_unpriced_contacts_total",
        'pegel_alerter_incidents_open{state="open"}',
        'pegel_alerter_outbox_pages{receiver="memory"}',
    ):
        assert line in text
    for secret in ("cash-withdrawals", "atm", "EUR"):
        assert secret not in text
