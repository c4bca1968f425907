"""`pegel promote`: another model pages from a bucket on, by a record on the stream counts."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

import msgspec
from pydantic import ValidationError

from pegel.cli.log import opened
from pegel.detector.judge.domain.challengers import PEGEL
from pegel.eventlog.identity import read_identity
from pegel.eventlog.port import COUNTS, WINDOWS, EventLog, NewRecord
from pegel.runtime.settings import ConfigurationError, Settings
from pegel.schemas.detection import PromotionRecord

LOOKED_AT: Final = 2_000
"""Records of windows, the newest, in which a challenger must have given a score."""


class _Said(msgspec.Struct):
    """What is read of a record of windows, which may be large."""

    kind: str
    model: str = ""
    to: int | None = None


_said = msgspec.json.Decoder(_Said)


@dataclass(slots=True)
class Lately:
    """What the newest records of windows say. pages: the model that pages, with its version; to: end of what is judged.

    challengers: those that gave a score, by name, with their version.
    """

    pages: str | None = None
    to: int | None = None
    challengers: dict[str, str] = field(default_factory=dict)


def promote(settings: Settings, model: str, since: str | None, *, unheard: bool = False) -> int:
    """0 once it is written. since: a time with its zone, or None for the next bucket; unheard: a model may be promoted

    that has given no score lately. Raises ConfigurationError.
    """
    at = None if since is None else _time(since)
    return asyncio.run(_promote(settings, model, at, unheard=unheard))


async def _promote(settings: Settings, model: str, at: datetime | None, *, unheard: bool) -> int:
    async with opened(settings) as log:
        identity = await read_identity(log)
        seconds = identity.meta.bucket_seconds
        lately = await _look(log)
        _check(model, lately, unheard=unheard)
        bucket = lately.to or 0 if at is None else -(-int(at.timestamp()) // seconds)
        try:
            record = PromotionRecord(id=str(uuid4()), model=model, bucket=bucket)
        except ValidationError as error:
            raise ConfigurationError([f"{model}: {error.errors(include_url=False)[0]['msg']}"]) from None
        await log.append(COUNTS, 0, [NewRecord(record.encode())])
    begin = datetime.fromtimestamp(max(bucket, lately.to or 0) * seconds, UTC)
    when = f"the bucket that begins at {begin:%Y-%m-%d %H:%M:%S} UTC" if lately.to else "the first bucket"
    print(f"{model} pages from {when} on, or from the next that is judged; before it {lately.pages or 'nothing'} does")
    print("windows say which model pages; a promotion that the judge refuses stands in its log as promotion_refused")
    return 0


def _check(model: str, lately: Lately, *, unheard: bool) -> None:
    """Raises ConfigurationError for a model that would hardly page."""
    if lately.pages is not None and lately.pages.rpartition("/")[0] == model:
        raise ConfigurationError([f"{model} pages already"])
    if model != PEGEL and model not in lately.challengers and not unheard:
        heard = ", ".join(sorted(lately.challengers.values())) or "none"
        raise ConfigurationError(
            [
                f"{model} has given no score lately, so it would page nothing (challengers that have: {heard}). Name "
                "it in PEGEL_CHALLENGERS of the detector and wait until it has an opinion, or add --unheard"
            ]
        )


async def _look(log: EventLog) -> Lately:
    lately, bounds = Lately(), (await log.bounds(WINDOWS))[0]
    reader = log.reader(WINDOWS, {0: max(bounds.begin, bounds.end - LOOKED_AT)})
    try:
        while reader.positions()[0] < bounds.end:
            for record in (await reader.fetch(max_records=1000)).get(0, ()):
                said = _said.decode(record.value)
                if said.kind == "window":
                    lately.pages = said.model
                elif said.kind == "challenger":
                    lately.challengers[said.model.rpartition("/")[0]] = said.model
                elif said.kind == "bucket":
                    lately.to = said.to
    finally:
        await reader.close()
    return lately


def _time(text: str) -> datetime:
    """Raises ConfigurationError."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError([f"--from {text}: {error}"]) from None
    if at.tzinfo is None or at.timestamp() < 0:
        raise ConfigurationError([f"--from {text}: give it with its zone, as in 2026-03-02T09:00:00Z"])
    return at
