"""A history on the stream `counts`: the past that the judge learns from before its first live day."""

import http.client
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from pegel.detector.judge.domain.lines import SMALL_MAX
from pegel.detector.judge.domain.segments import values_bytes
from pegel.eventlog.port import COUNTS, EventLog, NewRecord
from pegel.schemas.detection import HistoryEndRecord, HistoryRecord, Segment

STEP_SECONDS: Final = 300
"""A history is learnt in steps of 5 minutes, whatever the log's bucket."""
SEGMENTS_MAX: Final = 250
"""In a record: the judge keeps a history's parts until its end, and each segment of a part costs it as much as a
hundred counts; so a part has many more counts than that."""
NAMES_BYTES: Final = 128 * 1024
COUNTS_BYTES: Final = 320 * 1024
"""Together with what else is in a record, less than the 512 KiB that one may have."""
END_MARK: Final = f'{{"kind":"{HistoryEndRecord.model_fields["kind"].default}"'.encode()
LEARNT: Final = re.compile(r"^pegel_judge_history_steps ([0-9.e+]+)$", re.MULTILINE)


def encoded(start: int, step_seconds: int, segments: Sequence[Segment], counts: NDArray[Any]) -> list[bytes]:
    """The records of a history, the end last. counts: contacts, shape (steps, segments); start: seconds since 1970."""
    name = str(uuid4())
    parts = [
        HistoryRecord(
            id=name,
            part=number,
            start=datetime.fromtimestamp(start + rows.start * step_seconds, UTC),
            step_seconds=step_seconds,
            segments=tuple(segments[columns]),
            counts=tuple(tuple(row) for row in np.minimum(counts[rows, columns], SMALL_MAX).T.tolist()),
        ).encode()
        for number, (rows, columns) in enumerate(parts_of(segments, counts))
    ]
    return [*parts, HistoryEndRecord(id=name, parts=len(parts)).encode()]


def parts_of(segments: Sequence[Segment], counts: NDArray[Any]) -> Iterator[tuple[slice, slice]]:
    """The steps and segments of each record."""
    for columns in _columns(segments):
        for rows in _rows(counts[:, columns]):
            yield rows, columns


def _columns(segments: Sequence[Segment]) -> Iterator[slice]:
    """Neighbouring segments that go into one record."""
    begin, size = 0, 0
    for place, segment in enumerate(segments):
        its = values_bytes(segment) + 2
        if place - begin == SEGMENTS_MAX or (place > begin and size + its > NAMES_BYTES):
            yield slice(begin, place)
            begin, size = place, 0
        size += its
    yield slice(begin, len(segments))


def _rows(counts: NDArray[Any]) -> Iterator[slice]:
    """Steps that go into one record, by the digits of their counts, and a comma each."""
    digits = np.full(counts.shape, 2, dtype=np.int64)
    for power in range(1, len(str(SMALL_MAX))):
        digits += counts >= 10**power
    ends, begin = np.cumsum(digits.sum(axis=1)), 0
    while begin < len(ends):
        before = int(ends[begin - 1]) if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, before + COUNTS_BYTES, side="right")))
        yield slice(begin, end)
        begin = end


async def write(log: EventLog, records: Iterable[bytes]) -> None:
    """Append a history to the stream counts, a record at a time."""
    for value in records:
        await log.append(COUNTS, 0, [NewRecord(value)])


async def has_history(log: EventLog) -> bool:
    """Whether the log has a whole history already."""
    bounds = (await log.bounds(COUNTS))[0]
    reader = log.reader(COUNTS, {0: bounds.begin})
    try:
        while reader.positions()[0] < bounds.end:
            for records in (await reader.fetch(max_records=1000)).values():
                if any(record.value.startswith(END_MARK) for record in records):
                    return True
    finally:
        await reader.close()
    return False


def steps_learnt(detector_port: int) -> int | None:
    """Steps of histories that the judge on this machine has learnt; None while nobody answers there."""
    connection = http.client.HTTPConnection("127.0.0.1", detector_port, timeout=5)
    try:
        connection.request("GET", "/metrics")
        found = LEARNT.search(connection.getresponse().read().decode())
    except (OSError, http.client.HTTPException, UnicodeDecodeError):
        return None
    finally:
        connection.close()
    return None if found is None else int(float(found[1]))
