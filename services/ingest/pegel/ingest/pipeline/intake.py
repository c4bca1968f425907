"""The way of a body: read, checked, made pseudonymous, appended, acknowledged; what is refused goes to `rejected`."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pegel.eventlog.keys import contact_key, partition_of
from pegel.eventlog.port import CONTACTS, REJECTED, LogUnavailable, NewRecord
from pegel.ingest import metrics
from pegel.ingest.domain import reading, refusals
from pegel.ingest.domain.pseudonyms import Pseudonymise
from pegel.ingest.domain.reading import (
    AMENDMENT,
    CONTACT,
    REFUSED_MAX,
    Batch,
    Form,
    Kind,
    T,
    TooManyRefusedError,
    UnreadableError,
)
from pegel.ingest.domain.records import amendment_record, contact_record
from pegel.ingest.domain.refusals import Refusal
from pegel.ingest.domain.rules import LOCAL, Rules
from pegel.ingest.pipeline.appends import Appends
from pegel.schemas.contact import Amendment, Contact, TickRecord

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came in one request. source: of the token, None without tokens. headers: what the records carry on of it."""

    body: bytes
    form: Form
    source: str | None
    now: datetime
    headers: Headers = ()


_ACCEPTED: Final = {"contact": metrics.ACCEPTED, "amendment": metrics.AMENDMENTS_ACCEPTED}
_REJECTED: Final = {"contact": metrics.REJECTED, "amendment": metrics.AMENDMENTS_REJECTED}
LARGE_BYTES: Final = 256 * 1024
"""Bodies above this are read in a thread, so that others are answered in between."""
LARGE_AT_ONCE: Final = 2
"""More at a time would be read no sooner, and take memory for what they are read into."""
MANY_REFUSED: Final = 200
"""So are more refusals than this written."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a body's items."""

    single: bool
    accepted: int
    refused: list[Refusal]


class Intake:
    """Takes bodies once the log is open. rules: those of the moment, for a source."""

    def __init__(
        self, appends: Appends, pseudonymise: Pseudonymise, rules: Callable[[datetime, str | None], Rules]
    ) -> None:
        self._appends, self._pseudonymise, self._rules = appends, pseudonymise, rules
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)

    async def contacts(self, delivery: Delivery) -> Outcome:
        """Raises UnreadableError, TooManyRefusedError, LogUnavailable (a part may be in the log)."""
        return await self._take(CONTACT, delivery)

    async def amendments(self, delivery: Delivery) -> Outcome:
        """As contacts; an amendment goes where its contact went."""
        return await self._take(AMENDMENT, delivery)

    async def tick(self, at: datetime | None, headers: Headers = ()) -> int:
        """Append a tick to every partition; how many there are."""
        record = [NewRecord(TickRecord(at=at).encode(), None, headers)]
        await self._appends.append(CONTACTS, dict.fromkeys(range(self._appends.partitions), record))
        metrics.TICKS.inc(self._appends.partitions)
        return self._appends.partitions

    async def _take(self, kind: Kind[T], delivery: Delivery) -> Outcome:
        try:
            if len(delivery.body) > LARGE_BYTES:
                async with self._large:
                    batch, groups = await asyncio.to_thread(self._prepare, kind, delivery)
            else:
                batch, groups = self._prepare(kind, delivery)
        except UnreadableError as error:
            await self._reject(kind, delivery, [refusals.unreadable(0, str(error))])
            raise
        except TooManyRefusedError as error:
            await self._reject(kind, delivery, error.refused)
            raise
        if groups:
            await self._appends.append(CONTACTS, groups)
        accepted = sum(map(len, groups.values()))
        _ACCEPTED[kind.what].inc(accepted)
        if batch.refused:
            await self._reject(kind, delivery, batch.refused)
        return Outcome(batch.single, accepted, batch.refused)

    def _prepare(self, kind: Kind[T], delivery: Delivery) -> tuple[Batch, dict[int, list[NewRecord]]]:
        """The refusals in order, and the records by partition."""
        rules = self._rules(delivery.now, delivery.source)
        partitions, pseudonymise, headers = self._appends.partitions, self._pseudonymise, delivery.headers
        groups: defaultdict[int, list[NewRecord]] = defaultdict(list)
        late: list[Refusal] = []

        def take(index: int, item: Contact | Amendment) -> None:
            if refusal := rules.refuse(index, item):
                late.append(refusal)
                return
            source = rules.source_of(item)
            key = contact_key(source, item.event_id)
            if isinstance(item, Contact):
                value = contact_record(item, source, pseudonymise)
            else:
                value = amendment_record(item, source, pseudonymise, delivery.now)
            groups[partition_of(key, partitions)].append(NewRecord(value, key, headers))

        batch = reading.read(kind, delivery.body, delivery.form, take)
        if late:
            batch.refused.extend(late)
            batch.refused.sort(key=lambda refusal: refusal.index)
            if len(batch.refused) > REFUSED_MAX:
                raise TooManyRefusedError(batch.refused[:REFUSED_MAX])
        return batch, groups

    async def _reject(self, kind: Kind[T], delivery: Delivery, refused: Sequence[Refusal]) -> None:
        """Keep refusals for those who run Pegel.

        When the log is away the answer stays what it is, the sender's fault; `Appends` counts and says the failure.
        """
        if len(refused) > MANY_REFUSED:
            records = await asyncio.to_thread(_rejected, kind, delivery, refused)
        else:
            records = _rejected(kind, delivery, refused)
        with contextlib.suppress(LogUnavailable):
            await self._appends.append(REJECTED, {0: records})


def _rejected(kind: Kind[T], delivery: Delivery, refused: Sequence[Refusal]) -> list[NewRecord]:
    for refusal in refused:
        _REJECTED[kind.what].labels(refusal.reason).inc()
    return [
        NewRecord(
            refusals.rejected_record(kind.what, delivery.source or each.item.get("source") or LOCAL, each),
            None,
            delivery.headers,
        )
        for each in refused
    ]
