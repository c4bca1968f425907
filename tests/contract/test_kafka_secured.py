"""TLS and SASL against a real broker that demands both."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pegel.eventlog.connect import connect
from pegel.eventlog.port import CONTACTS, LogUnavailable, NewRecord, StreamSpec
from pegel.runtime.settings import load
from support import servers
from support.wait import until, until_sync

LIBRARIES = servers.ROOT / ".cache/kafka/libs/*"
LOG4J = servers.KAFKA.parent / "log4j2.yaml"
PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=SASL_SSL://127.0.0.1:{port},PLAINTEXT://127.0.0.1:{inside},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=SASL_SSL://127.0.0.1:{port},PLAINTEXT://127.0.0.1:{inside}
controller.listener.names=CONTROLLER
listener.security.protocol.map=SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
ssl.keystore.type=PKCS12
ssl.keystore.location={folder}/broker.p12
ssl.keystore.password=for-a-test
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
log.dirs={folder}/log
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
"""


@dataclass(frozen=True)
class SecuredBroker:
    port: int
    ca_file: Path

    def settings(self, **others: str) -> dict[str, str]:
        return {
            "PEGEL_LOG_URL": f"kafka://127.0.0.1:{self.port}/secured",
            "PEGEL_KAFKA_SECURITY": "sasl_ssl",
            "PEGEL_KAFKA_CA_FILE": str(self.ca_file),
            "PEGEL_KAFKA_USERNAME": "pegel",
            "PEGEL_KAFKA_PASSWORD": "right",
            "PEGEL_INGEST_DEADLINE_SECONDS": "10",
            **others,
        }


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    servers.command("java", "Java 17", "openjdk-17-jre-headless")
    subprocess.run([servers.KAFKA, "fetch"], check=True)
    folder, port = tmp_path_factory.mktemp("secured"), servers.free_port(3)
    properties = folder / "server.properties"
    properties.write_text(PROPERTIES.format(port=port, inside=port + 1, controller=port + 2, folder=folder))
    store = ["-alias", "broker", "-keystore", str(folder / "broker.p12"), "-storepass", "for-a-test"]
    names = ["-ext", "san=ip:127.0.0.1", "-ext", "bc:c=ca:true"]
    key = ["-keyalg", "EC", "-dname", "CN=broker", "-validity", "2", "-storetype", "PKCS12"]
    subprocess.run(["keytool", "-genkeypair", *key, *names, *store], check=True, capture_output=True)
    certificate = ["-exportcert", "-rfc", "-file", str(folder / "ca.pem")]
    subprocess.run(["keytool", *certificate, *store], check=True, capture_output=True)
    user = "SCRAM-SHA-512=[name=pegel,password=right]"
    java = ["java", "-Xmx256m", "-cp", str(LIBRARIES)]
    form = ["format", "-t", "AAAAAAAAQACAAAAAAAAAAA", "-c", str(properties), "--add-scram", user]
    subprocess.run([*java, "kafka.tools.StorageTool", *form], check=True, capture_output=True)
    log = folder / "broker.log"
    run: list[str | Path] = [java[0], f"-Dlog4j2.configurationFile=file:{LOG4J}", *java[1:], "kafka.Kafka", properties]
    with servers.process(run, log) as child:

        def started() -> bool:
            assert child.poll() is None, log.read_text()[-2000:]
            return "Kafka Server started" in log.read_text()

        until_sync(started, servers.START_SECONDS)
        yield SecuredBroker(port, folder / "ca.pem")


@pytest.mark.kafka
async def test_producer_reader_and_member_get_in(broker: SecuredBroker) -> None:
    log = connect(load(broker.settings()))
    assert await log.create([StreamSpec(CONTACTS, 1)]) == [CONTACTS]
    await log.append(CONTACTS, 0, [NewRecord(b"sealed")])
    reader, member = log.reader(CONTACTS, {0: 0}), log.member(CONTACTS, "group")

    async def read() -> list[bytes]:
        return [record.value for record in (await reader.fetch(wait_seconds=0.2)).get(0, ())]

    async def joined() -> bool:
        await member.fetch(wait_seconds=0.2)
        return member.assigned == {0}

    assert await until(read) == [b"sealed"]
    await until(joined, 30)
    await log.close()


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"PEGEL_KAFKA_PASSWORD": "guessed"}, "SaslAuthenticationFailed"),
        ({"PEGEL_KAFKA_CA_FILE": ""}, "CERTIFICATE_VERIFY_FAILED"),
        ({"PEGEL_KAFKA_SECURITY": "sasl_plaintext"}, ""),
    ],
)
async def test_nobody_else_does_and_is_told_why(
    broker: SecuredBroker, wrong: dict[str, str], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = broker.settings(PEGEL_INGEST_DEADLINE_SECONDS="4", **wrong)
    log = connect(load({name: value for name, value in settings.items() if value}))
    with pytest.raises(LogUnavailable, match=f"Kafka at 127.0.0.1:{broker.port} .*{why}") as caught:
        await log.partitions(CONTACTS)
    await log.close()
    assert "guessed" not in str(caught.value) + caplog.text
