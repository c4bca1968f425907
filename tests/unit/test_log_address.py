"""PEGEL_LOG_URL and what it chooses; keys and partitions, which stay for ever; aiokafka's loggers."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from pegel.eventlog.connect import connect, kafka_address, sqlite_folder
from pegel.eventlog.kafka.quiet import Quiet
from pegel.eventlog.kafka.security import KafkaSecurity
from pegel.eventlog.keys import contact_key, partition_of
from pegel.eventlog.sqlite import SqliteLog
from pegel.runtime.settings import ConfigurationError, load


def test_a_folder() -> None:
    assert sqlite_folder("sqlite:///data/log") == Path("data/log")
    assert sqlite_folder("sqlite:////var/lib/pegel") == Path("/var/lib/pegel")


def test_brokers_and_a_prefix() -> None:
    assert kafka_address("kafka://a:9092,[::1]:9093/prod.pegel-1") == (["a:9092", "[::1]:9093"], "prod.pegel-1")


async def test_the_default_is_in_the_data_folder(tmp_path: Path) -> None:
    log = connect(load({"PEGEL_DATA_DIR": str(tmp_path)}))
    assert isinstance(log, SqliteLog)
    assert log.folder == tmp_path / "log"
    await log.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgres://a/b", "its scheme is not known"),
        ("data/log", "its scheme is not known"),
        ("sqlite://log", "it names no folder"),
        ("sqlite:///", "it names no folder"),
        ("kafka://broker/p", "'broker' is not host:port"),
        ("kafka://a:1,b:high/p", "'b:high' is not host:port"),
        ("kafka://a:1/p/q", "'p/q' is not a prefix"),
    ],
)
def test_a_url_that_is_none_is_shown_with_the_forms_there_are(url: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        connect(load({"PEGEL_LOG_URL": url}))
    (fault,) = caught.value.faults
    assert fault.startswith(f"PEGEL_LOG_URL={url}: {said}")
    assert "sqlite:///folder" in fault
    assert "kafka://host:port" in fault


def test_a_password_in_the_url_is_not_repeated() -> None:
    with pytest.raises(ConfigurationError, match="PEGEL_KAFKA_PASSWORD") as caught:
        connect(load({"PEGEL_LOG_URL": "kafka://me:secret@a:1/p"}))
    assert "secret" not in str(caught.value)


def test_only_the_chosen_log_is_imported(tmp_path: Path) -> None:
    program = (
        "import sys; from pegel.eventlog.connect import connect; from pegel.runtime.settings import load\n"
        f"connect(load({{'PEGEL_DATA_DIR': {str(tmp_path)!r}}})); assert 'aiokafka' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_tls_and_sasl_come_from_the_settings() -> None:
    settings = {"PEGEL_KAFKA_SECURITY": "sasl_ssl", "PEGEL_KAFKA_USERNAME": "me", "PEGEL_KAFKA_PASSWORD": "secret"}
    security = KafkaSecurity.of(load(settings))
    assert security.options["security_protocol"] == "SASL_SSL"
    assert security.options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (security.username, security.password) == ("me", "secret")
    assert security.context is not None
    assert "secret" not in repr(security)


def test_all_that_tls_and_sasl_lack_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "ca.pem"
    with pytest.raises(ConfigurationError) as caught:
        KafkaSecurity.of(load({"PEGEL_KAFKA_SECURITY": "sasl_ssl", "PEGEL_KAFKA_CA_FILE": str(missing)}))
    assert [fault.split(" ")[0] for fault in caught.value.faults] == [
        "PEGEL_KAFKA_USERNAME",
        "PEGEL_KAFKA_PASSWORD",
        f"PEGEL_KAFKA_CA_FILE={missing}",
    ]


def test_a_certificate_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(ConfigurationError, match="PEGEL_KAFKA_CA_FILE"):
        KafkaSecurity.of(load({"PEGEL_KAFKA_SECURITY": "ssl", "PEGEL_KAFKA_CA_FILE": str(tmp_path / "ca.pem")}))


def test_keys_and_partitions_stay_as_they_are() -> None:
    """Another key would part a contact from its copies, and yesterday's records from today's."""
    key = contact_key("desk", "c-1")
    assert key.hex() == "bd7233e8c887ea72e8e7da9c22703f61"
    assert [partition_of(key, partitions) for partitions in (1, 4, 12, 256)] == [0, 2, 2, 118]
    assert contact_key("a", "bc") != contact_key("ab", "c")


def test_contacts_spread_over_partitions() -> None:
    counts = [0] * 4
    for number in range(4000):
        counts[partition_of(contact_key("desk", str(number)), 4)] += 1
    assert min(counts) > 900


def test_a_message_repeated_is_let_through_once_and_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("pegel.eventlog.kafka.quiet.time.monotonic", lambda: now)
    logger = logging.getLogger("test.quiet")
    quiet = Quiet()
    logger.addFilter(quiet)
    try:
        for number in range(5000):
            logger.error("can't connect to %s", number)
        logger.error("something else")
        now = 111.0
        logger.error("can't connect to %s", "b")
    finally:
        logger.removeFilter(quiet)
    assert caplog.messages == [
        "can't connect to 0",
        "something else",
        "can't connect to b (and 4999 more like this)",
    ]
