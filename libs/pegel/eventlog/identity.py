"""What was chosen when the log was made: its streams, and the first record of `meta`, which can't be changed."""

import contextlib
import json
from dataclasses import dataclass
from uuid import uuid4

from pydantic import ValidationError

from pegel.eventlog.port import (
    CONTACTS,
    COUNTS,
    LINKED,
    META,
    REJECTED,
    STATE,
    WINDOWS,
    EventLog,
    LogError,
    LogUnavailable,
    NewRecord,
    StreamSpec,
)
from pegel.runtime.horizons import LINKED_RETENTION_HOURS
from pegel.runtime.settings import ConfigurationError, Settings
from pegel.schemas.detection import LossRecord, MetaRecord

STATE_RETENTION_BYTES = 2 * 1024 * 1024 * 1024
"""Of a partition: four snapshots of 16 million identities, at 32 bytes each."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The log's own choices, and when it was made (append time of its first record, milliseconds since 1970)."""

    meta: MetaRecord
    made_at_ms: int


def stream_specs(settings: Settings) -> list[StreamSpec]:
    """All streams, with partitions and retention."""
    contacts, windows = settings.contacts_retention_hours, settings.windows_retention_hours
    return [
        StreamSpec(META, 1),
        StreamSpec(CONTACTS, settings.partitions, contacts),
        StreamSpec(REJECTED, 1, contacts),
        StreamSpec(COUNTS, 1, windows),
        StreamSpec(WINDOWS, 1, windows),
        StreamSpec(STATE, settings.partitions + 1, None, STATE_RETENTION_BYTES),
        StreamSpec(LINKED, 1, LINKED_RETENTION_HOURS),
    ]


async def open_identity(log: EventLog, settings: Settings) -> Identity:
    """The log's identity, made of the settings if it has none yet, and its missing streams. For services.

    Several may start at once: the first record wins. Raises ConfigurationError with a line for each choice in which the
    settings differ from the log, for streams with other partitions, and for a log of a newer version; LogUnavailable.
    """
    await log.create([StreamSpec(META, 1)])
    identity = await _first(log)
    if identity is None:
        mine = MetaRecord(
            log_id=str(uuid4()),
            clock=settings.clock,
            bucket_seconds=settings.bucket_seconds,
            delay_seconds=settings.delay_seconds,
            partitions=settings.partitions,
            dimensions=settings.segment_dimensions,
        )
        await log.append(META, 0, [NewRecord(mine.encode())])
        identity = await _first(log)
        if identity is None:
            raise LogUnavailable("stream meta does not show the record that was just appended to it")
    if faults := differences(identity.meta, settings):
        raise ConfigurationError(faults)
    await log.create(stream_specs(settings))
    await _check_partitions(log, settings)
    return identity


async def read_identity(log: EventLog) -> Identity:
    """The log's identity, for commands beside the services: they take from it what services take from the settings.

    Raises ConfigurationError where no log was made yet, or by a newer version; LogUnavailable.
    """
    identity = await _first(log) if await log.partitions(META) else None
    if identity is None:
        raise ConfigurationError(["no log was made here yet (PEGEL_LOG_URL, PEGEL_DATA_DIR): start the services first"])
    return identity


def differences(meta: MetaRecord, settings: Settings) -> list[str]:
    """A line for each choice that differs between log and settings, and at the end one with the ways out."""
    dimensions = ",".join(meta.dimensions)
    choices = [
        ("CLOCK", meta.clock, settings.clock),
        ("BUCKET_SECONDS", meta.bucket_seconds, settings.bucket_seconds),
        ("DELAY_SECONDS", meta.delay_seconds, settings.delay_seconds),
        ("PARTITIONS", meta.partitions, settings.partitions),
        ("DIMENSIONS", dimensions, ",".join(settings.segment_dimensions)),
    ]
    unlike = [(f"PEGEL_{name}", made, wanted) for name, made, wanted in choices if made != wanted]
    if not unlike:
        return []
    where = settings.resolved_log_url
    other = (
        "another prefix in PEGEL_LOG_URL"
        if where.startswith("kafka:")
        else "another PEGEL_LOG_URL"
        if settings.log_url
        else "another PEGEL_DATA_DIR"
    )
    back = " ".join(f"{name}={made}" for name, made, _ in unlike)
    return [
        *(f"{name}={wanted}, but the log {where} was made with {made}" for name, made, wanted in unlike),
        f"go on with this log by {back}, or make another by {other}",
    ]


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss that was accepted, and when (append time, milliseconds since 1970)."""

    record: LossRecord
    time_ms: int


async def losses(log: EventLog) -> list[Loss]:
    """What was accepted as lost, oldest first. Raises LogUnavailable."""
    found = []
    end = (await log.bounds(META))[0].end
    reader = log.reader(META, {0: min(1, end)})  # behind the identity
    try:
        while reader.positions()[0] < end:
            for record in (await reader.fetch()).get(0, ()):
                with contextlib.suppress(ValidationError, ValueError):  # another kind, or one of a newer version
                    found.append(Loss(LossRecord.decode(record.value), record.time_ms))
    finally:
        await reader.close()
    return found


async def accepted_losses(log: EventLog) -> dict[tuple[str, int], int]:
    """By stream and partition: the offset below which all is accepted as lost. Raises LogUnavailable.

    A reader whose position lies below the partition's begin goes on from there if that is accepted, and stops if not.
    """
    found: dict[tuple[str, int], int] = {}
    for loss in await losses(log):
        place = (loss.record.stream, loss.record.partition)
        found[place] = max(found.get(place, 0), loss.record.before)
    return found


def loss_to_accept(stream: str, partition: int, position: int, begin: int) -> str:
    """What a reader says that stops because its position is gone, with the way out."""
    return (
        f"stream {stream}, partition {partition}: offset {position} is to be read, but the log begins at {begin}:"
        f" {begin - position} records are gone. Restore them, or accept the loss:"
        f" pegel log accept-loss {stream} --partition {partition} --reason ..."
    )


async def _first(log: EventLog) -> Identity | None:
    begin, end = (await log.bounds(META))[0]
    if begin == end:
        return None
    if begin > 0:
        raise LogError("the first record of stream meta is gone; it must be kept for ever")
    reader = log.reader(META, {0: 0})
    try:
        records = (await reader.fetch(max_records=1, wait_seconds=5)).get(0)
    finally:
        await reader.close()
    if not records:
        raise LogUnavailable("the first record of stream meta can't be read")
    try:
        return Identity(MetaRecord.decode(records[0].value), records[0].time_ms)
    except ValidationError as error:
        if newer := _newer(records[0].value):
            raise ConfigurationError(
                [
                    f"the log was made by a newer version of Pegel: its first record is of version {newer}, this reads"
                    f" {MetaRecord.model_fields['v'].default}: run that version, or name another log in PEGEL_LOG_URL"
                ]
            ) from None
        fault = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise LogError(
            f"the first record of stream meta is not one this version reads: {where}: {fault['msg']}"
        ) from None


def _newer(value: bytes) -> int | None:
    """The version of a record of meta, if it is newer than what this version writes."""
    with contextlib.suppress(ValueError, AttributeError):
        said = json.loads(value)
        if said.get("kind") == "meta" and isinstance(said.get("v"), int) and said["v"] > 1:
            return int(said["v"])
    return None


async def _check_partitions(log: EventLog, settings: Settings) -> None:
    """Partitions that were added later would part contacts from their copies, and have no state.

    Raises ConfigurationError with a line for each stream that has others than it was made with, and the way out.
    """
    faults = []
    for spec in stream_specs(settings):  # the settings are as the log says: `differences` has looked
        found = await log.partitions(spec.name)
        if found != spec.partitions:
            faults.append(f"stream {spec.name} has {found} partitions, but the log was made with {spec.partitions}")
    if faults:
        raise ConfigurationError([*faults, f"partitions can't be taken away again: {_another(settings)}"])


def _another(settings: Settings) -> str:
    """The way out of a log that can't be gone on with."""
    if settings.resolved_log_url.startswith("kafka:"):
        return (
            "make another log by another prefix in PEGEL_LOG_URL (and the PEGEL_PARTITIONS that are wanted), with an"
            " empty database, and replay into it what is to be counted"
        )
    where = "PEGEL_LOG_URL" if settings.log_url else "PEGEL_DATA_DIR"
    return f"make another log by another {where}, with an empty database, and replay into it what is to be counted"
