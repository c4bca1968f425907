"""The real servers that other tests stand on start, answer and stop, each by what it is asked for."""

import json
import urllib.request
from pathlib import Path

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from playwright.async_api import Page

from support import servers
from support.servers import PostgresServer
from support.wait import until_sync


async def test_kafka_keeps_what_it_acknowledges(kafka_bootstrap: str) -> None:
    topic = "servers.kept"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap, enable_idempotence=True) as producer:
        sent = await producer.send_and_wait(topic, b"one", partition=0)
    async with AIOKafkaConsumer(bootstrap_servers=kafka_bootstrap, auto_offset_reset="none") as consumer:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek(partition, sent.offset)
        assert (await consumer.getone()).value == b"one"


def test_each_database_is_empty_and_gone_afterwards(postgres_server: PostgresServer) -> None:
    with postgres_server.database() as name:
        url = postgres_server.url(name).replace("+psycopg", "")
        with psycopg.connect(url) as connection:
            found = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        assert found == (0,)
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url)


def test_alertmanager_lists_its_alerts(alertmanager_url: str) -> None:
    with urllib.request.urlopen(f"{alertmanager_url}/api/v2/alerts") as answer:  # noqa: S310
        assert json.load(answer) == []


def test_prometheus_scrapes_what_it_is_told(promtool: Path) -> None:
    assert promtool.name == "promtool"
    with servers.prometheus(["127.0.0.1:9"]) as url:

        def down() -> bool:
            with urllib.request.urlopen(f"{url}/api/v1/query?query=up") as answer:  # noqa: S310
                found = json.load(answer)["data"]["result"]
            return bool(found and found[0]["value"][1] == "0")

        until_sync(down, 20)


async def test_chromium_runs_scripts(browser_page: Page) -> None:
    await browser_page.set_content("<p id=p></p><script>document.getElementById('p').textContent = 6 * 7</script>")
    assert await browser_page.inner_text("#p") == "42"
