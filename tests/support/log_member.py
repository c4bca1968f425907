"""Run as a process: owns a group's partitions until it is killed. Arguments: URL, stream, group. Says "assigned"."""

import asyncio
import sys

from pegel.eventlog.connect import connect
from pegel.runtime.settings import load


async def main(url: str, stream: str, group: str) -> None:
    member = connect(load({"PEGEL_LOG_URL": url})).member(stream, group)
    said = False
    while True:
        await member.fetch()
        if member.assigned and not said:
            said = True
            print("assigned", flush=True)  # noqa: T201 (the parent reads it)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
