"""Run as a process: reads a stream from its beginning until it is killed, and writes down what it saw.

Arguments: folder of the log, file. A line of the file: partition, offset, value.
"""

import asyncio
import os
import sys
from pathlib import Path

from pegel.eventlog.port import CONTACTS
from pegel.eventlog.sqlite import SqliteLog


async def main(folder: str, file: str) -> None:
    log = SqliteLog(Path(folder))
    reader = log.reader(CONTACTS, dict.fromkeys(range(await log.partitions(CONTACTS)), 0))
    seen = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    while True:
        for partition, records in (await reader.fetch()).items():
            lines = (f"{partition} {record.offset} {record.value.decode()}\n" for record in records)
            os.write(seen, "".join(lines).encode())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
