"""The same log as several processes would have it open, on each implementation; and a process that can be killed."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete

from pegel.eventlog.connect import connect
from pegel.eventlog.memory import MemoryLog
from pegel.eventlog.port import EventLog, Member
from pegel.runtime.settings import load

MEMBER_SCRIPT = Path(__file__).parent / "log_member.py"
WRITER_SCRIPT = Path(__file__).parent / "log_writer.py"
READER_SCRIPT = Path(__file__).parent / "log_reader.py"


class World(Protocol):
    """One log. `settings` is what a process would be started with."""

    def open(self) -> EventLog:
        """The log as a further process opens it; whoever opens closes."""
        ...

    async def forget(self, stream: str, partition: int, begin: int) -> None:
        """Let the records before begin be gone, as retention does."""
        ...

    @contextmanager
    def other_member(self, stream: str, group: str) -> Iterator[None]:
        """Another owner of all the group's partitions, which dies without a word at the end of the block."""
        ...


class MemoryWorld:
    """Only one process can have it: to die is to let go."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self._others: list[Member] = []

    def open(self) -> EventLog:
        return self.log

    async def forget(self, stream: str, partition: int, begin: int) -> None:
        self.log.trim(stream, partition, begin)

    @contextmanager
    def other_member(self, stream: str, group: str) -> Iterator[None]:
        other = self.log.member(stream, group)
        yield
        self.log.die(other)


class _UrlWorld:
    def __init__(self, url: str) -> None:
        self.url = url

    def open(self) -> EventLog:
        return connect(load({"PEGEL_LOG_URL": self.url}))

    @contextmanager
    def other_member(self, stream: str, group: str) -> Iterator[None]:
        with script(MEMBER_SCRIPT, self.url, stream, group) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"assigned\n"
            yield
            process.send_signal(signal.SIGKILL)


class SqliteWorld(_UrlWorld):
    """A folder of SQLite files."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"sqlite:///{folder}")
        self.folder = folder

    async def forget(self, stream: str, partition: int, begin: int) -> None:
        with sqlite3.connect(self.folder / f"{stream}.sqlite") as connection:
            connection.execute(f'DELETE FROM p{partition} WHERE "offset" < ?', (begin,))  # noqa: S608
        connection.close()


class KafkaWorld(_UrlWorld):
    """Streams of their own, by a prefix of their own, on a broker that others use too."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        super().__init__(f"kafka://{bootstrap}/{prefix}")
        self.bootstrap, self.prefix = bootstrap, prefix

    async def forget(self, stream: str, partition: int, begin: int) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            place = TopicPartition(f"{self.prefix}.{stream}", partition)
            await admin.delete_records({place: RecordsToDelete(begin)})
        finally:
            await admin.close()

    async def add_partitions(self, totals: Mapping[str, int]) -> None:
        """What an operator may do to streams: more partitions, up to these numbers."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            wanted = {f"{self.prefix}.{stream}": NewPartitions(total) for stream, total in totals.items()}
            answer = await admin.create_partitions(wanted)
            assert not any(code for _, code, *_ in answer.topic_errors), answer
        finally:
            await admin.close()


@contextmanager
def script(path: Path, *arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process that is killed with -9 at the end of the block, if it has not ended."""
    with subprocess.Popen([sys.executable, path, *map(str, arguments)], stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()
