"""How brokers are spoken to: TLS and SASL, from the settings."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pegel.runtime.settings import ConfigurationError, Settings


@dataclass(frozen=True, slots=True)
class KafkaSecurity:
    """protocol as Kafka names it (PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL). The password is not shown."""

    protocol: str = "PLAINTEXT"
    mechanism: str = "PLAIN"
    username: str | None = None
    password: str | None = None
    context: ssl.SSLContext | None = None

    def __repr__(self) -> str:
        return f"KafkaSecurity({self.protocol}, {self.mechanism}, {self.username})"

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Raises ConfigurationError with all that is missing or can't be read."""
        protocol = settings.kafka_security.upper()
        faults: list[str] = []
        sasl = protocol.startswith("SASL")
        if sasl:
            faults += [
                f"PEGEL_{name} is missing, which PEGEL_KAFKA_SECURITY={settings.kafka_security} needs"
                for name, value in (
                    ("KAFKA_USERNAME", settings.kafka_username),
                    ("KAFKA_PASSWORD", settings.kafka_password),
                )
                if value is None
            ]
        context = _context(settings, faults) if protocol.endswith("SSL") else None
        if faults:
            raise ConfigurationError(faults)
        password = settings.kafka_password.get_secret_value() if sasl and settings.kafka_password else None
        return cls(
            protocol, settings.kafka_sasl_mechanism if sasl else "PLAIN",
            settings.kafka_username if sasl else None, password, context,
        )  # fmt: skip

    @property
    def options(self) -> dict[str, object]:
        """As every client of aiokafka takes them."""
        return {
            "security_protocol": self.protocol,
            "ssl_context": self.context,
            "sasl_mechanism": self.mechanism,
            "sasl_plain_username": self.username,
            "sasl_plain_password": self.password,
        }


def _context(settings: Settings, faults: list[str]) -> ssl.SSLContext | None:
    """Trusts the CA file, or the system's where there is none; a certificate of our own where it is given."""
    try:
        context = ssl.create_default_context(cafile=_file("KAFKA_CA_FILE", settings.kafka_ca_file, faults))
        certificate = _file("KAFKA_CERT_FILE", settings.kafka_cert_file, faults)
        key = _file("KAFKA_KEY_FILE", settings.kafka_key_file, faults)
        if certificate:
            context.load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError) as error:
        names = "PEGEL_KAFKA_CA_FILE, PEGEL_KAFKA_CERT_FILE, PEGEL_KAFKA_KEY_FILE"
        faults.append(f"{names}: certificate or key can't be used: {error}")
        return None
    return context


def _file(name: str, path: Path | None, faults: list[str]) -> str | None:
    if path is None:
        return None
    if not path.is_file():
        faults.append(f"PEGEL_{name}={path} is not a file")
        return None
    return str(path)
