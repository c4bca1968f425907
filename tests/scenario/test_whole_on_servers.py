"""Contacts go all the way on a real Kafka and a real PostgreSQL: counted, judged, charged, and the audit agrees."""

import asyncio
import json
from pathlib import Path

import pytest

from pegel.alerter.database import migrate
from pegel.cli.audit import audit
from support.whole import booked_to, bucket, contact, data_mode, feed, run_until

pytestmark = [pytest.mark.server, pytest.mark.kafka, pytest.mark.postgres, pytest.mark.timeout(120)]


async def test_contacts_are_charged_once_across_restarts(
    kafka_bootstrap: str, postgres_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = data_mode(
        tmp_path, partitions=3, log_url=f"kafka://{kafka_bootstrap}/{tmp_path.name}", database_url=postgres_url
    )
    migrate(settings.resolved_database_url)
    contacts = [contact(n, n * 0.4, topic=("atm", "cards", "loan")[n % 3]) for n in range(300)]
    await feed(settings, [*contacts, *contacts[::5]], minutes=60.5)
    reached = booked_to(settings)
    await run_until(settings, lambda: reached() >= bucket(60), seconds=60)
    await feed(settings, contacts[::7], minutes=130.5)  # more copies; both services start again
    await run_until(settings, lambda: reached() >= bucket(130), seconds=60)
    capsys.readouterr()
    assert await asyncio.to_thread(audit, settings, True) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["accepted"], said["windows"], said["ledger"], said["open"]) == (300, 300, 300, 0)
    assert said["differences"] == []
