"""How the streams' topics are kept on a real Kafka, and what is said of topics that are kept otherwise."""

import logging
import secrets
from collections.abc import AsyncIterator, Mapping

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from pegel.eventlog.connect import connect
from pegel.eventlog.identity import STATE_RETENTION_BYTES, open_identity, stream_specs
from pegel.eventlog.kafka.topics import configs
from pegel.eventlog.port import CONTACTS, COUNTS, META, STATE, STREAMS, EventLog, LogError
from pegel.runtime.settings import load

HOUR_MS = 3_600_000
SNAPSHOT_BYTES_MAX = 16_000_000 * 32
"""Of a partition of 16 million identities."""

pytestmark = pytest.mark.kafka


@pytest.fixture
def url(kafka_bootstrap: str) -> str:
    return f"kafka://{kafka_bootstrap}/t{secrets.token_hex(6)}"


@pytest.fixture
async def log(url: str) -> AsyncIterator[EventLog]:
    log = connect(load({"PEGEL_LOG_URL": url}))
    yield log
    await log.close()


@pytest.fixture
async def admin(kafka_bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await client.start()
    yield client
    await client.close()


def topic(url: str, stream: str) -> str:
    return f"{url.rpartition('/')[2]}.{stream}"


async def configured(admin: AIOKafkaAdminClient, url: str, stream: str) -> dict[str, str]:
    """All of a topic's configuration, as the broker has it."""
    (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic(url, stream))])
    ((code, _, _, _, entries),) = answer.resources
    assert code == 0
    return {entry[0]: entry[1] for entry in entries}


async def test_streams_are_made_as_they_must_be_kept(log: EventLog, url: str, admin: AIOKafkaAdminClient) -> None:
    await open_identity(log, load({"PEGEL_LOG_URL": url}))
    found = {stream: await configured(admin, url, stream) for stream in STREAMS}
    for stream, has in found.items():
        assert (has["message.timestamp.type"], has["cleanup.policy"]) == ("LogAppendTime", "delete"), stream
    assert {stream: has["retention.ms"] for stream, has in found.items()} == {
        "meta": "-1",
        "state": "-1",
        "contacts": f"{35 * 24 * HOUR_MS}",
        "rejected": f"{35 * 24 * HOUR_MS}",
        "counts": f"{56 * 24 * HOUR_MS}",
        "windows": f"{56 * 24 * HOUR_MS}",
        "linked": f"{8 * 24 * HOUR_MS}",
    }
    # Kafka lets a segment go when all that is younger is still as much as is to be kept: never less than that stays.
    assert int(found[STATE]["retention.bytes"]) == STATE_RETENTION_BYTES >= 4 * SNAPSHOT_BYTES_MAX
    assert int(found[STATE]["segment.bytes"]) * 8 == STATE_RETENTION_BYTES, "at most an eighth more stays"
    assert found[META]["retention.bytes"] == found[CONTACTS]["retention.bytes"] == "-1"


def test_with_three_replicas_two_have_what_was_acknowledged() -> None:
    for spec in stream_specs(load({})):
        assert [configs(spec, replication)["min.insync.replicas"] for replication in (1, 2, 3)] == ["1", "1", "2"]


async def test_another_retention_than_the_streams_have_is_a_warning(
    log: EventLog, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A topic keeps what it was made with: who sets another retention learns that, and how it is changed."""
    with caplog.at_level(logging.WARNING, "pegel"):
        await open_identity(log, load({"PEGEL_LOG_URL": url}))
        await open_identity(log, load({"PEGEL_LOG_URL": url}))
        assert not caplog.records
        await open_identity(log, load({"PEGEL_LOG_URL": url, "PEGEL_WINDOWS_RETENTION_HOURS": "2000"}))
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2, "counts and windows"
    assert said[0] == (
        f"topic {topic(url, COUNTS)} was made with retention.ms=4838400000, the settings say 7200000000; it stays so"
        f" until: kafka-configs.sh --alter --topic {topic(url, COUNTS)} --add-config retention.ms=7200000000"
    )


@pytest.mark.parametrize(
    ("name", "has"), [("message.timestamp.type", "CreateTime"), ("cleanup.policy", "compact"), ("cleanup.policy", "")]
)
async def test_a_topic_by_which_pegel_would_count_wrongly_stops_the_start(
    log: EventLog, url: str, admin: AIOKafkaAdminClient, name: str, has: str
) -> None:
    """Whoever makes topics with tools of their own makes them with Kafka's defaults."""
    asked: Mapping[str, str] = {name: has} if has else {"cleanup.policy": "compact,delete"}
    await admin.create_topics([NewTopic(topic(url, CONTACTS), 4, 1, topic_configs=dict(asked))])
    with pytest.raises(LogError) as caught:
        await open_identity(log, load({"PEGEL_LOG_URL": url}))
    assert f"topic {topic(url, CONTACTS)} has message.timestamp.type=CreateTime instead of LogAppendTime" in str(
        caught.value
    )
    assert f"kafka-configs.sh --alter --topic {topic(url, CONTACTS)} --add-config {name}=" in str(caught.value)
