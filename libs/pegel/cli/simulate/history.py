"""The bank's past, for the judge to learn from: weeks of counts on the stream `counts`, once in a log's life."""

from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

import numpy as np

from pegel.cli.simulate.world import SEGMENTS, STEP_SECONDS, WEEK_SECONDS, World
from pegel.eventlog.identity import Identity
from pegel.eventlog.port import COUNTS, EventLog, NewRecord
from pegel.schemas.detection import HistoryEndRecord, HistoryRecord

PART_STEPS: Final = WEEK_SECONDS // STEP_SECONDS // 2
"""Half a week of 180 segments is about 370 KB; a record has at most 512 KiB."""
END_MARK: Final = HistoryEndRecord.model_fields["kind"].default


async def has_history(log: EventLog) -> bool:
    """Whether the log has a whole history already."""
    mark = f'{{"kind":"{END_MARK}"'.encode()
    bounds = (await log.bounds(COUNTS))[0]
    reader = log.reader(COUNTS, {0: bounds.begin})
    try:
        while reader.positions()[0] < bounds.end:
            for records in (await reader.fetch(max_records=1000)).values():
                if any(record.value.startswith(mark) for record in records):
                    return True
    finally:
        await reader.close()
    return False


def records(world: World, identity: Identity, weeks: int) -> list[bytes]:
    """The history's records: parts of half a week, and the end. The last step ends before the log was made."""
    name = str(uuid4())
    end = identity.made_at_ms // 1000 // STEP_SECONDS * STEP_SECONDS
    starts = np.arange(end - weeks * WEEK_SECONDS, end, STEP_SECONDS)
    parts = [
        HistoryRecord(
            id=name,
            part=number,
            start=datetime.fromtimestamp(int(chunk[0]), UTC),
            step_seconds=STEP_SECONDS,
            segments=SEGMENTS,
            counts=tuple(tuple(row) for row in world.counts(chunk).T.tolist()),
        ).encode()
        for number, chunk in enumerate(np.split(starts, range(PART_STEPS, len(starts), PART_STEPS)))
    ]
    return [*parts, HistoryEndRecord(id=name, parts=len(parts)).encode()]


async def write(log: EventLog, encoded: list[bytes]) -> None:
    """Append a history to the stream counts, a record at a time."""
    for value in encoded:
        await log.append(COUNTS, 0, [NewRecord(value)])
