"""`pegel log accept-loss`: says what is gone of a stream and who had not read it, and notes that it is accepted."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from typing import Final
from uuid import uuid4

from pydantic import ValidationError

from pegel.cli.log import opened
from pegel.cli.log_facts import Facts, gather
from pegel.eventlog.port import META, NewRecord
from pegel.runtime.settings import ConfigurationError, Settings
from pegel.schemas.detection import LossRecord

DECLINED: Final = 1


def accept_loss(
    settings: Settings,
    stream: str,
    partition: int | None,
    reason: str,
    *,
    accepted_by: str | None = None,
    confirmed: Callable[[], bool | None],
) -> int:
    """Accept what is gone of a stream, or of one of its partitions; what was accepted already is left as it is.

    confirmed: asked once what would be lost was said; None when nobody can be asked. Returns 0, 1 when it was declined,
    2 when nobody could be asked. Raises ConfigurationError.
    """
    return asyncio.run(_accept(settings, stream, partition, reason, accepted_by, confirmed))


async def _accept(
    settings: Settings,
    stream: str,
    partition: int | None,
    reason: str,
    accepted_by: str | None,
    confirmed: Callable[[], bool | None],
) -> int:
    async with opened(settings) as log:
        facts = await gather(log, settings)
        numbers = [part.partition for part in facts.partitions if part.stream == stream]
        if partition is not None and partition not in numbers:
            raise ConfigurationError([f"--partition {partition}: stream {stream} has {len(numbers)}, from 0 on"])
        gone = []
        for number in numbers if partition is None else [partition]:
            begin, _ = facts.bounds(stream, number)
            if begin == 0:
                print(f"{stream}/{number}: nothing is gone")
            elif facts.accepted(stream, number) >= begin:
                print(f"{stream}/{number}: that all below {begin:,} is gone was accepted before")
            else:
                gone.append((number, begin))
                print(f"{stream}/{number}: all below {begin:,} is gone")
                for line in _readers(facts, stream, number, begin):
                    print(f"  {line}")
        if not gone:
            return 0
        records = [NewRecord(_record(stream, *place, reason, accepted_by).encode()) for place in gone]
        if not (answer := confirmed()):
            print("nothing was changed" + ("" if answer is False else ": add --yes to accept this"), file=sys.stderr)
            return DECLINED if answer is False else 2
        await log.append(META, 0, records)
    print("accepted: services that stopped for it go on when they are started again; every audit shows it")
    return 0


def _record(stream: str, partition: int, before: int, reason: str, accepted_by: str | None) -> LossRecord:
    try:
        return LossRecord.model_validate(
            {
                "id": str(uuid4()),
                "stream": stream,
                "partition": partition,
                "before": before,
                "reason": reason,
                "accepted_by": accepted_by,
            }
        )
    except ValidationError as error:
        options = {"reason": "--reason", "accepted_by": "--by"}
        faults = error.errors(include_url=False)
        raise ConfigurationError(
            [f"{options.get(str(fault['loc'][0]), fault['loc'][0])}: {fault['msg']}" for fault in faults]
        ) from None


def _readers(facts: Facts, stream: str, partition: int, begin: int) -> Iterator[str]:
    """What each reader of the partition loses, as far as it is known."""
    for reader in facts.readers:
        if (reader.stream, reader.partition) != (stream, partition):
            continue
        position = reader.reads_from
        if position is None:
            yield f"{reader.reader}: how far it has read is not known ({facts.database.fault})"
        elif position >= begin:
            yield f"{reader.reader} has read on to {position:,} (by the {reader.known_from}): it loses nothing"
        else:
            where = f"has read on to {position:,} (by the {reader.known_from})" if reader.begun else "has not begun"
            yield f"{reader.reader} {where}: it loses {begin - position:,} records"
