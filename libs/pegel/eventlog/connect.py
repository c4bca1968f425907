"""Which log: PEGEL_LOG_URL says. Only what was chosen is imported."""

import re
from pathlib import Path
from urllib.parse import urlsplit

from pegel.eventlog.port import EventLog
from pegel.runtime.settings import ConfigurationError, Settings

FORMS = "give sqlite:///folder, sqlite:////absolute/folder or kafka://host:port,host:port/PREFIX"
PREFIX_DEFAULT = "pegel"
_PREFIX = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


def connect(settings: Settings) -> EventLog:
    """The log of the settings; nothing is reached before it is used. Raises ConfigurationError naming PEGEL_LOG_URL.

    To be called within the event loop that uses the log.
    """
    url = settings.resolved_log_url
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        from pegel.eventlog.sqlite import SqliteLog  # noqa: PLC0415 (only what was chosen is imported)

        return SqliteLog(sqlite_folder(url), settings.ingest_deadline_seconds)
    if scheme == "kafka":
        servers, prefix = kafka_address(url)
        from pegel.eventlog.kafka import KafkaLog, KafkaSecurity  # noqa: PLC0415

        return KafkaLog(
            servers,
            prefix,
            KafkaSecurity.of(settings),
            replication=settings.kafka_replication,
            deadline_seconds=settings.ingest_deadline_seconds,
        )
    raise _fault(url if rest else url[:20], f"its scheme is not known; {FORMS}")


def sqlite_folder(url: str) -> Path:
    """The folder of sqlite:///folder (relative) or sqlite:////folder (absolute). Raises ConfigurationError."""
    host, slash, path = url.removeprefix("sqlite://").partition("/")
    if host or not slash or not path or "?" in path or "#" in path:
        raise _fault(url, f"it names no folder; {FORMS}")
    return Path(path)


def kafka_address(url: str) -> tuple[list[str], str]:
    """Brokers and stream prefix of kafka://host:port,.../PREFIX (none: pegel). Raises ConfigurationError."""
    location, _, prefix = url.removeprefix("kafka://").partition("/")
    if "@" in location:
        raise ConfigurationError(
            ["PEGEL_LOG_URL names a user; give PEGEL_KAFKA_USERNAME and PEGEL_KAFKA_PASSWORD instead"]
        )
    servers = location.split(",")
    for server in servers:
        try:
            parts = urlsplit(f"//{server}")
            sound = bool(parts.hostname) and parts.port is not None
        except ValueError:
            sound = False
        if not sound:
            raise _fault(url, f"{server!r} is not host:port; {FORMS}")
    prefix = prefix or PREFIX_DEFAULT
    if not _PREFIX.fullmatch(prefix):
        raise _fault(url, f"{prefix!r} is not a prefix of streams (letters, digits, '.', '_', '-'); {FORMS}")
    return servers, prefix


def _fault(url: str, what: str) -> ConfigurationError:
    return ConfigurationError([f"PEGEL_LOG_URL={url}: {what}"])
