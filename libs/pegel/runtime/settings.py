"""All settings of Pegel, in one place. Each is the environment variable PEGEL_ and its name in capitals.

An unknown PEGEL_ variable, or an invalid value, stops the start; all faults are listed at once (`load`).
"""

import difflib
import os
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Port = Annotated[int, Field(ge=0, le=65_535)]
PREFIX = "PEGEL_"


class ConfigurationError(Exception):
    """The configuration is wrong; `faults` has a line each, naming the setting and its value. Exit code 2."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class Settings(BaseSettings):
    """What can be set. The defaults run everything on one machine, on loopback, with nothing but Python."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", secrets_dir=None)

    # Where things are
    data_dir: Path = Field(default=Path("data"), description="folder of the embedded log, the database and made keys")
    log_url: str | None = Field(
        default=None, description="sqlite:///folder or kafka://host:port,host:port/PREFIX; default: DATA_DIR/log"
    )
    database_url: SecretStr | None = Field(
        default=None, description="postgresql+psycopg://... or sqlite:///file; default: DATA_DIR/pegel.sqlite"
    )
    config_dir: Path | None = Field(
        default=None, description="folder of ownership.yaml and prices.yaml; default: examples"
    )

    # Where services listen and find one another
    host: str = Field(default="127.0.0.1", description="address to listen on; other than loopback only with tokens")
    dashboard_port: Port = 8000
    ingest_port: Port = 8001
    detector_port: Port = 8002
    alerter_port: Port = 8003
    alerter_url: str | None = Field(default=None, description="where the dashboard finds the alerter")
    ingest_url: str | None = Field(default=None, description="where replay and the simulator find ingest")

    # Authentication. A tokens file is JSON; `pegel token` prints its entries (pegel.runtime.auth)
    tokens_file: Path | None = Field(default=None, description="hashed bearer tokens; made with `pegel token`")
    token: SecretStr | None = Field(
        default=None, description="bearer token that the command line and the dashboard send"
    )
    pseudonym_key_file: Path | None = Field(
        default=None, description="key that makes pseudonyms of customers and cases"
    )

    # What is chosen when a log is made, and can't be changed afterwards
    clock: Literal["wall", "data"] = "wall"
    bucket_seconds: Annotated[int, Field(ge=1, le=3600)] = 60
    delay_seconds: Annotated[int, Field(ge=0, le=600)] = 10
    partitions: Annotated[int, Field(ge=1, le=256)] = 4
    dimensions: str = Field(default="country,topic", description="segment dimensions; attributes.NAME is possible")

    # Kafka
    kafka_security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = "plaintext"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_username: str | None = None
    kafka_password: SecretStr | None = None
    kafka_ca_file: Path | None = None
    kafka_cert_file: Path | None = None
    kafka_key_file: Path | None = None
    kafka_replication: Annotated[int, Field(ge=1, le=10)] = 1
    contacts_retention_hours: Annotated[float, Field(gt=0)] = 35 * 24
    windows_retention_hours: Annotated[float, Field(gt=0)] = 8 * 7 * 24

    # Ingest
    body_bytes_max: Annotated[int, Field(ge=1024)] = 5 * 1024 * 1024
    ingest_deadline_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    ahead_seconds_max: Annotated[int, Field(ge=0)] = 300
    age_days_max: Annotated[int, Field(ge=1)] = 35
    tick_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0

    # Detector
    dedup_horizon_hours: Annotated[float, Field(gt=0)] = 7 * 24
    max_segments: Annotated[int, Field(ge=1)] = 20_000
    model: str = Field(default="negative_binomial", description="the model that pages")

    # Alerter
    webhook_url: str | None = Field(
        default=None, description="where pages go, by Standard Webhooks; none: terminal only"
    )
    webhook_secret: SecretStr | None = Field(default=None, description="whsec_... to sign pages with")
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "EUR"

    # Operation
    log_format: Literal["auto", "json", "text"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    drain_seconds: Annotated[float, Field(ge=0, le=20)] = Field(
        default=2.0, description="between /readyz turning 503 and the last new request"
    )

    @property
    def resolved_log_url(self) -> str:
        return self.log_url or f"sqlite:///{self.data_dir / 'log'}"

    @property
    def resolved_database_url(self) -> str:
        return (
            self.database_url.get_secret_value() if self.database_url else f"sqlite:///{self.data_dir / 'pegel.sqlite'}"
        )

    @property
    def resolved_alerter_url(self) -> str:
        return self.alerter_url or f"http://127.0.0.1:{self.alerter_port}"

    @property
    def resolved_ingest_url(self) -> str:
        return self.ingest_url or f"http://127.0.0.1:{self.ingest_port}"

    @property
    def segment_dimensions(self) -> tuple[str, ...]:
        return tuple(part.strip() for part in self.dimensions.split(",") if part.strip())

    @property
    def loopback(self) -> bool:
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @model_validator(mode="after")
    def _relations(self) -> Self:
        faults = []
        if not self.loopback and self.tokens_file is None:
            faults.append(f"{PREFIX}HOST={self.host} is not loopback, so {PREFIX}TOKENS_FILE is needed")
        if self.webhook_url and self.webhook_secret is None:
            faults.append(f"{PREFIX}WEBHOOK_URL is set, so {PREFIX}WEBHOOK_SECRET is needed")
        if self.tick_seconds > self.bucket_seconds / 2:
            # A bucket must see time pass at least twice; ticks follow it (architecture, Time).
            object.__setattr__(self, "tick_seconds", self.bucket_seconds / 2)
        if not self.segment_dimensions:
            faults.append(f"{PREFIX}DIMENSIONS={self.dimensions!r} names no dimension")
        if faults:
            raise ValueError("; ".join(faults))
        return self


def load(environment: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    """Settings from the environment (default: os.environ). Raises ConfigurationError with every fault in a line."""
    env = os.environ if environment is None else environment
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    faults = []
    for name in sorted(env):
        if name.upper().startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, 1, 0.0)
            faults.append(f"{name} is not a setting of Pegel; the nearest is {near[0]}")
    values: dict[str, object] = {
        name: env[PREFIX + name.upper()] for name in Settings.model_fields if PREFIX + name.upper() in env
    }
    try:
        settings = Settings.model_validate({**values, **overrides})
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            if fault["loc"]:
                name = str(fault["loc"][0])
                secret = (
                    "Secret" in str(Settings.model_fields[name].annotation) if name in Settings.model_fields else True
                )
                shown = "" if secret else f"={str(values.get(name, ''))[:100]}"
                faults.append(f"{PREFIX}{name.upper()}{shown}: {fault['msg']}")
            else:
                faults.append(fault["msg"].removeprefix("Value error, "))
        raise ConfigurationError(faults) from None
    if faults:
        raise ConfigurationError(faults)
    return settings
