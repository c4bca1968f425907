"""The dashboard's port to the alerter: the fake of the tests and the client over HTTP answer alike."""

from collections.abc import AsyncIterator

import httpx
import pytest

from pegel.dashboard.adapters.alerter import HttpAlerter
from pegel.dashboard.ports import Alerter, RefusedError, UnreachableError
from support.dashboards import FakeAlerter, bad_night, fake_api


@pytest.fixture
def fake() -> FakeAlerter:
    return bad_night()


@pytest.fixture(params=["fake", "http"])
async def alerter(request: pytest.FixtureRequest, fake: FakeAlerter) -> AsyncIterator[Alerter]:
    if request.param == "fake":
        yield fake
        return
    client = HttpAlerter("http://alerter.test", None, httpx.ASGITransport(app=fake_api(fake)))
    yield client
    await client.close()


async def test_incidents_of_a_state(alerter: Alerter) -> None:
    for _ in range(2):  # the second answer may come from what the client remembers
        found = await alerter.incidents("open", 10)
        assert [incident.id for incident in found.items] == ["inc-atm-es"]
        assert found.as_of is not None


async def test_costs_of_a_period(alerter: Alerter) -> None:
    found = await alerter.costs(24)
    assert found.total.amount == "25752.20"
    assert (found.until - found.since).total_seconds() == 24 * 3600


async def test_a_change_is_seen_by_the_next_question(alerter: Alerter, fake: FakeAlerter) -> None:
    assert (await alerter.incidents("acknowledged", 10)).items[0].id == "inc-login-de"
    await alerter.change("inc-atm-es", "acknowledge", "on it", "token-of-nora")
    assert len((await alerter.incidents("acknowledged", 10)).items) == 2
    assert fake.changes == [("inc-atm-es", "acknowledge", "on it", "token-of-nora")]


@pytest.mark.parametrize(
    ("incident_id", "status", "says"), [("inc-fees-pl", 409, "resolved already"), ("nobody", 404, "no such incident")]
)
async def test_no_is_said_with_its_reason(alerter: Alerter, incident_id: str, status: int, says: str) -> None:
    with pytest.raises(RefusedError, match=says) as refused:
        await alerter.change(incident_id, "resolve", "by hand", None)
    assert refused.value.status == status


async def test_a_change_without_the_token_it_needs(alerter: Alerter, fake: FakeAlerter) -> None:
    fake.demands = "token-of-nora"
    with pytest.raises(RefusedError) as refused:
        await alerter.change("inc-atm-es", "resolve", "by hand", None)
    assert refused.value.status == 401


async def test_away(alerter: Alerter, fake: FakeAlerter) -> None:
    fake.fault = "the database is away"
    with pytest.raises(UnreachableError):
        await alerter.incidents("open", 10)
    with pytest.raises(UnreachableError):
        await alerter.costs(24)
