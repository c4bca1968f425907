"""The log on Apache Kafka."""

from pegel.eventlog.kafka.log import KafkaLog
from pegel.eventlog.kafka.security import KafkaSecurity

__all__ = ["KafkaLog", "KafkaSecurity"]
