"""How topics are made, and what topics that someone else made, or made with other settings, have instead."""

import logging
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from pegel.eventlog.kafka.cluster import Cluster
from pegel.eventlog.port import LogError, StreamSpec

HOUR_MS: Final = 3_600_000
CHECKED: Final = ("message.timestamp.type", "cleanup.policy", "retention.ms", "retention.bytes")
NEEDED: Final = ("message.timestamp.type", "cleanup.policy")
"""Without these Pegel counts wrongly: time would be the senders' clocks', or records would vanish from the middle."""

log = logging.getLogger(__name__)


class Difference(NamedTuple):
    """A topic has another configuration than it would be made with now."""

    topic: str
    name: str
    has: str
    wanted: str

    @property
    def change(self) -> str:
        """The command that mends it."""
        return f"kafka-configs.sh --alter --topic {self.topic} --add-config {self.name}={self.wanted}"


def topic(cluster: Cluster, spec: StreamSpec, replication: int) -> NewTopic:
    """The topic of a stream, as it is made."""
    return NewTopic(cluster.topic(spec.name), spec.partitions, replication, topic_configs=configs(spec, replication))


def configs(spec: StreamSpec, replication: int) -> dict[str, str]:
    """The configuration of a stream's topic. Sizes and times are of a partition."""
    found = {
        "message.timestamp.type": "LogAppendTime",
        "cleanup.policy": "delete",
        "retention.ms": "-1" if spec.retention_hours is None else str(int(spec.retention_hours * HOUR_MS)),
        "retention.bytes": "-1" if spec.retention_bytes is None else str(spec.retention_bytes),
        # A quorum of replicas has what was acknowledged, and one broker may be away.
        "min.insync.replicas": "2" if replication >= 3 else "1",
    }
    if spec.retention_hours is not None:
        # Kafka forgets whole closed segments: none may be open for long, or records stay that should be gone.
        found["segment.ms"] = str(max(HOUR_MS, int(spec.retention_hours * HOUR_MS / 16)))
    if spec.retention_bytes is not None:
        found["segment.bytes"] = str(min(1 << 30, max(1 << 20, spec.retention_bytes // 8)))
    return found


async def check(cluster: Cluster, admin: AIOKafkaAdminClient, specs: Sequence[StreamSpec]) -> None:
    """Look at topics that were there: another retention is logged, what would count wrongly raises LogError."""
    topics = {cluster.topic(spec.name): configs(spec, 1) for spec in specs}
    found = await _differences(admin, topics)
    if wrong := [difference for difference in found if difference.name in NEEDED]:
        said = "; ".join(f"topic {at.topic} has {at.name}={at.has} instead of {at.wanted}: {at.change}" for at in wrong)
        raise LogError(f"{cluster.text}: {said}")
    for at in found:
        log.warning(
            "topic %s was made with %s=%s, the settings say %s; it stays so until: %s",
            *(at.topic, at.name, at.has, at.wanted, at.change),
        )


async def _differences(admin: AIOKafkaAdminClient, topics: Mapping[str, Mapping[str, str]]) -> list[Difference]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, dict.fromkeys(CHECKED)) for name in topics]
    differences = []
    for answer in await admin.describe_configs(resources):
        for code, message, _, name, entries in answer.resources:
            if code:  # most likely not authorized to ask, which harms nothing
                log.warning("how topic %s is kept can't be looked at: %s", name, message or f"error {code}")
                continue
            for entry in entries:
                setting, has = entry[0], entry[1]
                wanted = topics[name].get(setting)
                if setting in CHECKED and wanted is not None and has is not None and has != wanted:
                    differences.append(Difference(name, setting, has, wanted))
    return differences
