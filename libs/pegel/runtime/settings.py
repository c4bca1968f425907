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

from pegel.runtime.horizons import WINDOWS_RETENTION_HOURS_MIN, horizon_faults
from pegel.runtime.zones import zone_faults

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
    pseudonym_rotation_days: Annotated[float, Field(gt=0)] = Field(
        default=90,
        description="days; then pseudonyms are made by another key, which is made of this one",
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
    contacts_retention_hours: Annotated[float, Field(gt=0)] = Field(
        default=35 * 24, description="hours that contacts and what was rejected of them are kept on the log"
    )
    windows_retention_hours: Annotated[float, Field(gt=0)] = Field(
        default=WINDOWS_RETENTION_HOURS_MIN,
        description="hours that counts and windows are kept on the log; 8 weeks or more",
    )

    # Ingest
    body_bytes_max: Annotated[int, Field(ge=1024)] = 5 * 1024 * 1024
    ingest_deadline_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    ingest_bytes_max: Annotated[int, Field(ge=1024)] = Field(
        default=32 * 1024 * 1024, description="bytes of all bodies in work; above it 429; memory takes 8 times as much"
    )
    ingest_requests_max: Annotated[int, Field(ge=1)] = Field(
        default=1000, description="requests with a body in work; above it 429"
    )
    ahead_seconds_max: Annotated[int, Field(ge=0)] = 300
    age_days_max: Annotated[int, Field(ge=1)] = Field(
        default=35, description="days; a contact that occurred longer ago is rejected (wall clock)"
    )
    tick_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0

    # Detector
    dedup_horizon_hours: Annotated[float, Field(gt=0)] = Field(
        default=7 * 24, description="hours in which a copy of a contact is known as one, and an amendment finds it"
    )
    max_segments: Annotated[int, Field(ge=1)] = 20_000
    model: str = Field(default="pegel", description="the model that pages until another is promoted: `pegel promote`")
    challengers: str = Field(
        default="", description="models that run silently beside it: pegel, river.anomaly.GaussianScorer, ..."
    )
    false_pages_per_week: Annotated[float, Field(gt=0, le=1000)] = Field(
        default=1.0, description="pages a week, of the whole installation, that chance alone may bring"
    )
    zones: str = Field(
        default="",
        description="local time of countries, where it isn't that of most people: BR=America/Manaus,US=America/Chicago",
    )

    holidays: Literal["auto", "none"] = Field(
        default="auto", description="auto: public holidays by the country of a segment are days of their own kind"
    )

    # Alerter
    webhook_url: str | None = Field(
        default=None, description="where pages go, by Standard Webhooks; none: terminal only"
    )
    webhook_secret: SecretStr | None = Field(default=None, description="whsec_... to sign pages with")
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "EUR"

    # What may go wrong, and for how long
    snapshot_seconds: Annotated[float, Field(gt=0)] = Field(
        default=300.0, description="seconds; the detector saves its state at least this often under load"
    )
    outage_hours_max: Annotated[float, Field(ge=0)] = Field(
        default=72.0, description="hours that the detector may be away and still find all it has to read"
    )
    unreadable_max: Annotated[int, Field(ge=0)] = Field(
        default=100, description="records; more unreadable ones in a partition since the start stop the service"
    )
    stuck_seconds: Annotated[float, Field(gt=0)] = Field(
        default=120.0, description="seconds; a service that has work and gets nowhere for this long ends itself"
    )

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
    def challenger_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(part.strip() for part in self.challengers.split(",") if part.strip()))

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
        faults += [f"{PREFIX}ZONES={fault}" for fault in zone_faults(self.zones)]
        faults += horizon_faults(self)
        if faults:
            raise ValueError("\n".join(faults))
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
    values.update(overrides)
    settings, wrong = _validated(values)
    faults += wrong.values()
    if alone := wrong.keys() - {""}:
        # A value that is wrong by itself hides what is wrong between the others: they are looked at without it.
        _, between = _validated({name: value for name, value in values.items() if name not in alone})
        hidden = between.get("", "").splitlines()
        faults += [line for line in hidden if not any(f"{PREFIX}{name.upper()}=" in line for name in alone)]
    if settings is None or faults:
        raise ConfigurationError([line for fault in faults for line in fault.splitlines()])
    return settings


def _validated(values: Mapping[str, object]) -> tuple[Settings | None, dict[str, str]]:
    """The settings, or what is wrong: a line by setting; under "" is what is wrong between them, in lines."""
    try:
        return Settings.model_validate(values), {}
    except ValidationError as error:
        faults = {}
        for fault in error.errors(include_url=False):
            name = str(fault["loc"][0]) if fault["loc"] else ""
            field = Settings.model_fields.get(name)
            secret = field is None or "Secret" in str(field.annotation)
            shown = "" if secret else f"={str(values.get(name, ''))[:100]}"
            faults[name] = (
                f"{PREFIX}{name.upper()}{shown}: {fault['msg']}" if name else fault["msg"].removeprefix("Value error, ")
            )
        return None, faults
