"""Run as a process: appends until it is killed, and writes down what was acknowledged.

Arguments: folder of the log, name, file. A line of the file: partition, offset, value; written only after the
acknowledgement, and by one call, so that a kill leaves no half of a line.
"""

import asyncio
import itertools
import os
import random
import sys
from pathlib import Path

from pegel.eventlog.port import CONTACTS, NewRecord
from pegel.eventlog.sqlite import SqliteLog

AT_ONCE = 8


async def main(folder: str, name: str, file: str) -> None:
    log = SqliteLog(Path(folder))
    partitions = await log.partitions(CONTACTS)
    acknowledged = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    numbers = itertools.count()

    async def append() -> None:
        while True:
            partition = random.randrange(partitions)
            values = [f"{name}:{next(numbers)}" for _ in range(random.randint(1, 20))]
            placed = await log.append(CONTACTS, partition, [NewRecord(value.encode()) for value in values])
            lines = (f"{partition} {place.offset} {value}\n" for place, value in zip(placed, values, strict=True))
            os.write(acknowledged, "".join(lines).encode())

    await asyncio.gather(*(append() for _ in range(AT_ONCE)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
