"""`make run`: weeks of a simulated bank are learnt, its cash machines in Spain fail, and their team is paged."""

import http.client
import json
from pathlib import Path

import pytest

from support import runs
from support.wait import until_sync


def incidents(here: runs.Place) -> list[dict[str, object]]:
    """The open incidents of cash machines in Spain."""
    connection = http.client.HTTPConnection("127.0.0.1", here.ports["alerter"], timeout=5)
    try:
        connection.request("GET", "/v1/incidents?country=ES&topic=atm&state=open")
        found: list[dict[str, object]] = json.loads(connection.getresponse().read())["items"]
        return found
    finally:
        connection.close()


@pytest.mark.server  # it needs none, but a minute, which `make test` does not have
@pytest.mark.timeout(150)
def test_failing_cash_machines_page_their_team(tmp_path: Path) -> None:
    # As `make run` does it, but for buckets of 3 seconds, so that nobody has to wait for whole minutes:
    # start .. ready .. history written .. learnt | 15 s | failing, more each second | page
    with (
        runs.place(tmp_path) as here,
        runs.running(here, over={"PEGEL_BUCKET_SECONDS": "3", "PEGEL_DELAY_SECONDS": "1"}) as run,
    ):
        run.ready()
        until_sync(lambda: "alerter   | PAGE cash-withdrawals: " in run.output, 110)
        (incident,) = until_sync(lambda: incidents(here), 5)
        assert incident["team"] == "cash-withdrawals"
        story = run.output
        assert story.index("ready after") < story.index("weeks of history written") < story.index("history learnt")
        assert story.index("history learnt") < story.index("begin to fail") < story.index("PAGE cash-withdrawals")
    assert not (here.folder / "data" / "log").exists()  # the demonstration's data are its own
    assert (here.folder / "data" / "demo" / "log").exists()
