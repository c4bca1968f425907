"""Restart of a judge with 10,000 segments and 4 weeks of state: seconds from its claim until it can judge on.

The state is made by the detector itself: 4 weeks learnt by the hour, then a day judged by the minute, so that all rings
are full. It is saved on a real Kafka as the service does it, read by another client, and must judge the next bucket as
the judge that was not stopped. Prints one JSON line.

    PYTHONPATH=tests python benchmarks/restart.py [--segments 10000] [--no-kafka]
"""

import argparse
import asyncio
import contextlib
import gc
import json
import sys
import time
from typing import Any, Final
from uuid import uuid4

import numpy as np
import uvloop

from pegel.detector.judge.domain.judging import STATE_VERSION, In, Judge, Rules
from pegel.detector.judge.domain.models.kernel import Kernel
from pegel.detector.judge.domain.seasons import Zones
from pegel.detector.state import decode, encode
from pegel.eventlog.fencing import Fence
from pegel.eventlog.kafka import KafkaLog
from pegel.eventlog.port import REJECTED, STATE, WINDOWS, StreamSpec
from pegel.eventlog.snapshots import Claim
from pegel.runtime.zones import zone_of_country
from pegel.schemas.base import Origin
from pegel.schemas.detection import Additions, CountsRecord, PartitionTotals
from support import servers

MADE: Final = 1_772_409_600
"""2026-03-02T00:00Z, a Monday."""
HOUR: Final = 3600
WEEK_HOURS: Final = 168
FIRST: Final = MADE // 60
RULES: Final = Rules("wall", 60, 10, 1, ("country", "topic"), MADE * 1000, 20_000, 1.0)
COUNTRIES: Final = ("ES", "PT", "GB", "PL", "DE")
ROWS: Final = 2_500
REQUIRED_SECONDS: Final = 10.0
LOG_ID: Final = str(uuid4())


def make() -> Kernel:
    return Kernel(60, Zones(zone_of_country(), 0), 1)


def bucket(number: int, contacts: list[int]) -> list[In]:
    """The counts records of the bucket after so many: one row a segment."""
    parts = range(0, len(contacts), ROWS)
    records = []
    for place, first in enumerate(parts):
        rows = range(first, min(first + ROWS, len(contacts)))
        record = CountsRecord.model_construct(
            origin=Origin(producer="counter/0", epoch=0, partition=0, offset=number, place=place),
            closed_from=FIRST + number,
            closed_to=FIRST + number + 1,
            gap_from=0,
            gap_to=0,
            last=place == len(parts) - 1,
            additions=Additions(
                cells=tuple({"country": COUNTRIES[row % 5], "topic": f"topic-{row // 5}"} for row in rows),
                bucket=(FIRST + number,) * len(rows),
                cell=tuple(range(len(rows))),
                contacts=tuple(contacts[first : first + ROWS]),
                handled_seconds=(0,) * len(rows),
            ),
            totals=PartitionTotals(),
        )
        records.append(In(number * 100 + place, (MADE + (number + 1) * 60 + 10) * 1000, record.encode()))
    return records


def experienced(segments: int) -> Judge:
    """A judge that knows these segments for 4 weeks; most are quiet, some get a hundred contacts a minute."""
    made: list[Kernel] = []

    def keep() -> Kernel:
        made.append(make())
        return made[-1]

    judge = Judge(RULES, 0, keep, Fence())
    rng = np.random.default_rng(4)
    a_minute = rng.gamma(0.2, 2.0, segments)
    judge.apply(bucket(0, np.maximum(1, rng.poisson(a_minute)).tolist()))
    shape = 1 + 0.8 * np.sin(np.arange(WEEK_HOURS) * 2 * np.pi / 24)
    for hour in range(4 * WEEK_HOURS):
        contacts = rng.poisson(a_minute * 60 * shape[hour % WEEK_HOURS])
        made[-1].learn(MADE + (hour - 4 * WEEK_HOURS) * HOUR, HOUR, contacts.astype(np.int64))
    for minute in range(1, 24 * 60):
        contacts = rng.poisson(a_minute * shape[minute // 60]).astype(np.int64)
        made[-1].judge(MADE + minute * 60, contacts)
    return judge


async def saved_and_read(bootstrap: str, body: bytes) -> tuple[bytes, float, float]:
    """The bytes as another client finds them; the seconds that saving and reading took."""
    before = KafkaLog([bootstrap], "restart", deadline_seconds=60)
    await before.create([StreamSpec(stream, 1) for stream in (STATE, WINDOWS, REJECTED)])
    claim = Claim(before, 0, "judge/0", LOG_ID)
    await claim.take((WINDOWS, REJECTED), "before")
    began = time.perf_counter()
    await claim.save(body, STATE_VERSION, 1, {})
    save_seconds = time.perf_counter() - began
    await before.close()
    after = KafkaLog([bootstrap], "restart", deadline_seconds=60)
    began = time.perf_counter()
    claim = Claim(after, 0, "judge/0", LOG_ID)
    await claim.take((WINDOWS, REJECTED), "after")
    async with contextlib.aclosing(claim.snapshots()) as found:
        read = (await anext(found)).body
    read_seconds = time.perf_counter() - began
    await after.close()
    return read, save_seconds, read_seconds


def told(judge: Judge, records: list[In]) -> list[dict[str, Any]]:
    outputs = [json.loads(output.encode()) for output in judge.apply(records)]
    for output in outputs:
        del output["origin"]["epoch"]
    return outputs


async def restart(segments: int, bootstrap: str | None) -> dict[str, Any]:
    judge = experienced(segments)
    began = time.perf_counter()
    state = judge.state()
    copy_seconds = time.perf_counter() - began
    body = await asyncio.to_thread(encode, state)
    encode_seconds = time.perf_counter() - began - copy_seconds
    del state
    save_seconds = read_seconds = 0.0
    if bootstrap is not None:
        body, save_seconds, read_seconds = await saved_and_read(bootstrap, body)
    began = time.perf_counter()
    restored = Judge.restored(RULES, 1, make, Fence(), decode(body))
    restore_seconds = time.perf_counter() - began
    contacts = np.random.default_rng(5).poisson(5, segments).tolist()
    assert told(restored, bucket(1, contacts)) == told(judge, bucket(1, contacts)), (
        "the restored judge judges otherwise"
    )
    seconds = read_seconds + restore_seconds
    return {
        "name": "judge_restart",
        "value": round(seconds, 2),
        "unit": "s",
        "required": REQUIRED_SECONDS,
        "met": seconds <= REQUIRED_SECONDS,
        "segments": segments,
        "state_mib": round(len(body) / 2**20, 1),
        "from": "embedded" if bootstrap is None else "Kafka",
        "read_seconds": round(read_seconds, 2),
        "decode_seconds": round(restore_seconds, 2),
        "copy_seconds": round(copy_seconds, 3),
        "encode_seconds": round(encode_seconds, 2),
        "append_seconds": round(save_seconds, 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--segments", type=int, default=10_000)
    parser.add_argument("--no-kafka", action="store_true", help="decode and restore only")
    given = parser.parse_args()
    gc.set_threshold(50_000, 20, 20)  # as every process of Pegel does
    with contextlib.nullcontext() if given.no_kafka else servers.kafka() as bootstrap:
        fact = uvloop.run(restart(given.segments, bootstrap))
    print(json.dumps(fact))
    return 0 if fact["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
