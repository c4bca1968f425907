"""The alerter is killed with -9 in the middle of its work, again and again: everything is booked and told once."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from pegel.eventlog.connect import connect
from pegel.eventlog.identity import open_identity
from pegel.runtime.settings import Settings, load
from pegel.schemas.detection import SpikeState
from support.wait import until_sync
from support.windows import START, Windows, append, cell

BUCKETS = 3000
CELLS = [cell(country=country, topic=topic) for country in ("ES", "PT", "DE") for topic in ("atm", "login", "loan")]


@contextmanager
def serving(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """An alerter of its own, killed at the end of the block."""
    environment = {
        **os.environ,
        "PEGEL_DATA_DIR": str(settings.data_dir),
        "PEGEL_CLOCK": "data",
        "PEGEL_ALERTER_PORT": "0",
    }
    command = [sys.executable, "-m", "pegel", "serve", "alerter"]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def asked(settings: Settings, query: str) -> list[tuple[Any, ...]]:
    """Rows of the database; none while it is being made."""
    engine = create_engine(settings.resolved_database_url)
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]
    except OperationalError:
        return []
    finally:
        engine.dispose()


def booked_to(settings: Settings) -> int:
    """The ledger's position."""
    rows = asked(settings, "SELECT next_offset FROM positions WHERE consumer = 'ledger'")
    return int(rows[0][0]) if rows else 0


@pytest.mark.timeout(180)
async def test_kill_9_in_the_middle_of_booking(tmp_path: Path) -> None:
    settings = load({}, data_dir=tmp_path, clock="data")
    log, windows = connect(settings), Windows(start=START - timedelta(days=30))
    await open_identity(log, settings)
    spikes = 0
    for start in range(0, BUCKETS, 500):
        records = []
        for number in range(start, start + 500):
            its = []
            if number % 100 in (10, 20):
                state: SpikeState = "opened" if number % 100 == 10 else "resolved"
                segment = ("ES", f"t{number // 100}")
                its, spikes = [windows.spike(state, segment=segment, spike_id=f"s{number // 100}")], spikes + 1
            records += windows.bucket([(cell, 1 + number % 3) for cell in CELLS], spikes=its)
        await append(log, records)
    end = (await log.bounds("windows"))[0].end
    await log.close()

    for part in (0.05, 0.3, 0.5, 0.8):
        with serving(settings) as child:
            until_sync(lambda part=part: booked_to(settings) > part * end, 40)  # type: ignore[misc]
        assert child.returncode == -9
    with serving(settings):
        until_sync(lambda: booked_to(settings) == end, 40)
        until_sync(lambda: asked(settings, "SELECT min(next_offset) FROM positions") == [(end,)], 40)

    ((entries, contacts, micros),) = asked(
        settings, "SELECT count(*), sum(quantity), sum(amount_micros) FROM ledger_entries"
    )
    assert (entries, contacts) == (BUCKETS * len(CELLS), windows.contacts)
    assert asked(settings, "SELECT sum(contacts), sum(amount_micros) FROM cost_hours") == [(contacts, micros)]
    assert asked(settings, "SELECT count(*), count(DISTINCT incident_id) FROM transitions") == [(spikes, spikes // 2)]
    assert asked(settings, "SELECT count(*) FROM outbox") == [(spikes,)]
