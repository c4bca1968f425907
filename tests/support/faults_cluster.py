"""The services as processes on a real Kafka and a real PostgreSQL, a load on them, and checks of what they leave."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import text

from pegel.alerter.database import Database, DatabaseUnavailable, migrate
from pegel.eventlog.connect import connect
from pegel.eventlog.identity import Identity, open_identity
from pegel.eventlog.port import CONTACTS, COUNTS, STATE, WINDOWS, EventLog, NewRecord
from pegel.runtime.settings import Settings, load
from pegel.schemas.detection import HistoryEndRecord, HistoryRecord
from support import servers, stages, webhooks
from support.faults_load import COUNTRIES, QUIET, QUIET_RATE, TOPICS, Load
from support.faults_servers import SESSION_SECONDS, Servers
from support.launcher import kind_of
from support.wait import until

BUCKET_SECONDS: Final = 2
READY_SECONDS: Final = 60.0
DRAIN_SECONDS: Final = 60.0
GRACE_SECONDS: Final = 25.0
OWN_DEADLINE_SECONDS: Final = 30.0
"""How long the test itself waits for the log: a machine that is shared is slow now and then."""
PAGED_SECONDS: Final = 12.0
HISTORY_DAYS: Final = 3
NAMES: Final = {
    "ingest": ("ingest",),
    "counter": ("detector", "--only", "counter"),
    "judge": ("detector", "--only", "judge"),
    "alerter": ("alerter",),
}


@dataclass(eq=False)
class Process:
    """One service in a process of its own. log: what it said."""

    name: str
    child: "subprocess.Popen[bytes]"
    port: int
    log: Path
    in_rotation: bool = True
    """Whether who balances load sends it something: it was ready, and nobody told it to stop."""

    @property
    def alive(self) -> bool:
        return self.child.poll() is None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def said(self) -> str:
        return self.log.read_text("utf-8", "replace")

    @property
    def asleep(self) -> bool:
        """Whether it was stopped by SIGSTOP."""
        return Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def signal(self, number: signal.Signals) -> None:
        self.child.send_signal(number)

    async def end(self, seconds: float = 30.0) -> int:
        """Its exit code once it has ended by itself; negative for a signal's number."""
        await until(lambda: self.child.poll() is not None, seconds)
        return int(self.child.returncode)

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        await self.end()

    async def stop(self) -> int:
        """SIGTERM; the exit code, within the grace time."""
        self.in_rotation = False
        self.signal(signal.SIGTERM)
        return await self.end(GRACE_SECONDS)

    @property
    def resident_mb_max(self) -> float:
        """Resident memory at its highest."""
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) / 1024


@dataclass(eq=False)
class Cluster:
    """One log, one database, and the services on them. `start` as many of each as a story needs."""

    servers: Servers
    folder: Path
    database: str
    environment: dict[str, str]
    settings: Settings
    log: EventLog
    identity: Identity
    receiver: webhooks.Receiver
    processes: list[Process] = field(default_factory=list)
    load: Load = field(init=False)
    _started: Counter[str] = field(default_factory=Counter)
    _told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.load = Load(lambda: [p.url for p in self.running("ingest") if p.in_rotation])

    # --- processes -------------------------------------------------------------------------------------------------

    def running(self, name: str) -> list[Process]:
        return [process for process in self.processes if process.name == name and process.alive]

    async def start(self, name: str, *faults: str, over: dict[str, str] | None = None, ready: bool = True) -> Process:
        """A service. faults: of support.launcher. over: other settings. ready: wait until it says so."""
        self._started[name] += 1
        port = servers.free_port()
        log = self.folder / f"{name}-{self._started[name]}.log"
        service = NAMES[name][0]
        environment = {**self.environment, f"PEGEL_{service.upper()}_PORT": str(port), **(over or {})}
        launched = ["support.launcher", "--session-seconds", str(SESSION_SECONDS), *faults, "--"]
        with log.open("wb") as out:
            child = subprocess.Popen(  # noqa: ASYNC220 (it is only started here)
                ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", *launched, "serve", *NAMES[name]],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        process = Process(name, child, port, log, in_rotation=not ready)
        self.processes.append(process)
        if ready:
            await self.ready(process)
        return process

    async def ready(self, process: Process, seconds: float = READY_SECONDS) -> None:
        def answers() -> bool:
            assert process.alive, f"{process.name} ended with {process.child.returncode}: {process.said[-3000:]}"
            return servers.answers(f"{process.url}/readyz")

        await until(lambda: asyncio.to_thread(answers), seconds)
        process.in_rotation = True

    async def start_all(self, *names: str) -> None:
        """These, or one of each, all at once; returns when all are ready."""
        await asyncio.gather(*(self.start(name) for name in names or tuple(NAMES)))

    async def stop_all(self) -> None:
        """SIGTERM to all that are running: each drains and says 0."""
        running = [process for process in self.processes if process.alive]
        codes = await asyncio.gather(*(process.stop() for process in running))
        for process, code in zip(running, codes, strict=True):
            assert code == 0, f"{process.name} ended with {code}: {process.said[-3000:]}"

    def kill_all(self) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.child.send_signal(signal.SIGCONT)
                process.child.kill()
            process.child.wait()

    # --- what the log and the database say --------------------------------------------------------------------------

    async def grown(self, stream: str, records: int, seconds: float = 30.0) -> None:
        """Wait until a stream has so many records more than now."""
        before = await self.ends(stream)
        await until(lambda: self._reached(stream, before + records), seconds)

    async def ends(self, stream: str) -> int:
        """The sum of a stream's ends."""
        return sum(bound.end for bound in (await self.log.bounds(stream)).values())

    async def state_records(self, kind: str) -> int:
        """How many claims, chunks or manifests there are."""
        records = await stages.read(self.log, STATE)
        return sum(kind_of(record.value) == kind for partition in records.values() for record in partition)

    async def windows(self, kind: str) -> list[dict[str, Any]]:
        """The records of windows of this kind (window, spike, bucket) that readers take."""
        outputs = stages.accepted((await stages.read(self.log, WINDOWS))[0])
        return [output.content for its in outputs.values() for output in its if output.content["kind"] == kind]

    async def spikes(self, topic: str) -> int:
        """How many spikes the judge has opened in segments of this topic."""
        said = await self.windows("spike")
        return sum(one["state"] == "opened" and one["segment"][1] == topic for one in said)

    async def _reached(self, stream: str, end: int) -> bool:
        return await self.ends(stream) >= end

    def asked(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of the alerter's database; none while it is away."""
        database = Database(self.settings.resolved_database_url)
        try:
            with database.read() as connection:
                return [tuple(row) for row in connection.execute(text(query))]
        except DatabaseUnavailable:
            return []
        finally:
            database.close()

    async def clock_of(self, process: Process) -> float:
        """What a process takes the time to be, in seconds since 1970."""

        def ask() -> str:
            with urllib.request.urlopen(f"{process.url}/healthz", timeout=10) as answer:  # noqa: S310 (on loopback)
                return str(answer.headers["date"])

        return parsedate_to_datetime(await asyncio.to_thread(ask)).timestamp()

    async def booked_to(self) -> int:
        """The end of the last bucket that incidents and ledger have applied, as a number since 1970."""
        rows = await asyncio.to_thread(self.asked, "SELECT bucket_to FROM positions")
        return min((int(row[0] or 0) for row in rows), default=0) if len(rows) == 2 else 0

    async def booked_on(self, buckets: int = 2, seconds: float = DRAIN_SECONDS) -> None:
        """Wait until the books have gone so many buckets on."""
        before = await self.booked_to()
        await until(lambda: self._booked(before + buckets), seconds)

    async def _booked(self, to: int) -> bool:
        return await self.booked_to() >= to

    def incidents(self) -> list[str]:
        """The topics of all incidents, sorted."""
        return sorted(json.loads(row[0])[1] for row in self.asked("SELECT segment FROM incidents"))

    async def paged(self, number: int, seconds: float = 60.0) -> None:
        """Make trouble in a quiet segment until its page comes: a bucket that was closed too late is not judged."""
        async with asyncio.timeout(seconds):
            while True:
                await self.load.surge(number)
                with contextlib.suppress(AssertionError):
                    await until(lambda: QUIET[number][1] in self.pages("incident.opened"), PAGED_SECONDS)
                    return

    def pages(self, event: str) -> Counter[str]:
        """How many pages of this kind came, by topic; one that was sent again under its id is the same page."""
        calls = self.receiver.told.values()
        return Counter(call["data"]["segment"]["topic"] for call in calls if call["type"] == event)

    # --- the checks --------------------------------------------------------------------------------------------------

    async def drain(self, seconds: float = DRAIN_SECONDS) -> None:
        """No more load; wait until all that came is counted, judged and booked. Ingest goes on to let time pass."""
        await self.load.pause()
        last = int(max(self.load.newest, datetime.now(UTC)).timestamp()) // BUCKET_SECONDS
        await until(lambda: self._booked(last + 1), seconds)

    async def check(
        self,
        *,
        still_open: int = 0,
        passed_over: int = 0,
        seconds: float = DRAIN_SECONDS,
        but: Sequence[str] = (),
    ) -> None:
        """Drain; then each stage says what an undisturbed run says of what the one before left, and the audit agrees.

        still_open: contacts whose bucket lies in the future. passed_over: records that the alerter can't read, which
        the audit shows for ever. but: fields that two versions of the product fill differently.
        """
        await self.drain(seconds)
        told = await stages.differences_of_log(self.log, self.identity, self.settings, whole=False, but=but)
        assert told == []
        contacts = await stages.read(self.log, CONTACTS)
        lost = stages.lost(self.load.acknowledged, contacts)
        assert lost == []
        with contextlib.suppress(AssertionError):
            await until(self._effects_agree, 15)
        assert self._told == []
        assert await self.audit(still_open, passed_over) == []
        await self._pages_agree()

    async def effects_differ(self) -> list[str]:
        """Stage 3 now."""
        database = Database(self.settings.resolved_database_url)
        try:
            found = await asyncio.to_thread(stages.effects_in, database)
            ends = {row[0] for row in await asyncio.to_thread(self.asked, "SELECT next_offset FROM positions")}
        finally:
            database.close()
        windows = (await stages.read(self.log, WINDOWS))[0]
        booked = [record for record in windows if record.offset < max(ends)]
        expected = await asyncio.to_thread(stages.effects_of, booked, self.identity, self.settings, self.folder)
        return stages.differences_of_effects(expected, found)

    async def _effects_agree(self) -> bool:
        """The two positions need not be at one place at one moment: it is looked again until they are."""
        self._told = await self.effects_differ()
        return not self._told

    async def audit(self, still_open: int = 0, passed_over: int = 0) -> list[str]:
        """What `pegel audit --json` finds, run as a person would; and whether all is in windows but what is open."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pegel", "audit", "--json", env=self.environment, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        said = json.loads(out)
        noted = [line for line in said["differences"] if "could not read the record" in line]
        found = [line for line in said["differences"] if line not in noted]
        if len(noted) != passed_over:
            found.append(f"{len(noted)} records were passed over, and {passed_over} were to be: {noted}")
        if not said["accepted"] == said["windows"] == said["ledger"] or said["open"] != still_open:
            found.append(f"the audit's sums do not add up: {said}")
        if (process.returncode == 0) != (not said["differences"]):
            found.append(f"the audit's exit code is {process.returncode}")
        return found

    async def _pages_agree(self) -> None:
        """Each page of the outbox has come, and nothing that is not in it; one opening page an incident."""

        def all_sent() -> bool:
            rows = self.asked("SELECT count(*) FROM outbox WHERE state = 'pending'")
            return rows == [(0,)]

        await until(lambda: asyncio.to_thread(all_sent), 90)
        written = {row[0] for row in self.asked("SELECT page_id FROM outbox WHERE receiver = 'webhook'")}
        assert set(self.receiver.told) == written
        calls = self.receiver.told.values()
        opened = Counter(call["data"]["incident_id"] for call in calls if call["type"] == "incident.opened")
        assert [incident for incident, pages in opened.items() if pages > 1] == []


async def teach(log: EventLog, identity: Identity, rate: float) -> None:
    """A history for the judge: the load's segments have their share of the rate, the quiet ones next to nothing."""
    busy = [(country, topic) for country in COUNTRIES for topic in TOPICS]
    share = rate / len(busy)
    step = 3600
    end = identity.made_at_ms // 1000 // step * step
    steps = HISTORY_DAYS * 24
    history = str(uuid4())
    part = HistoryRecord(
        id=history,
        part=0,
        start=datetime.fromtimestamp(end - steps * step, UTC),
        step_seconds=step,
        segments=(*busy, *QUIET),
        counts=tuple(
            [(round(share * step),) * steps for _ in busy] + [(round(QUIET_RATE * step),) * steps for _ in QUIET]
        ),
    )
    for record in (part, HistoryEndRecord(id=history, parts=1)):
        await log.append(COUNTS, 0, [NewRecord(record.encode())])


@asynccontextmanager
async def cluster(
    running: Servers,
    folder: Path,
    *,
    partitions: int = 2,
    proxied: bool = False,
    log_folder: Path | None = None,
    **over: object,
) -> AsyncIterator[Cluster]:
    """A log with streams of its own and a fresh database, taught; nothing is started yet.

    proxied: the services reach the broker by the proxy, this test does not. log_folder: the embedded log, there.
    """
    prefix = f"f{uuid4().hex[:8]}"
    own_url = f"kafka://{running.broker.bootstrap}/{prefix}" if log_folder is None else f"sqlite:///{log_folder}"
    log_url = f"kafka://{running.broker.proxied}/{prefix}" if proxied else own_url
    with running.postgres.server.database() as name:
        async with webhooks.receiver() as receiver:
            key = folder / "pseudonym.key"
            key.write_text("5" * 64)
            key.chmod(0o600)
            values: dict[str, object] = {
                "pseudonym_key_file": key,
                "log_url": log_url,
                "database_url": running.postgres.server.url(name),
                "data_dir": folder / "data",
                "bucket_seconds": BUCKET_SECONDS,
                "delay_seconds": 1,
                "partitions": partitions,
                "webhook_url": receiver.url,
                "webhook_secret": webhooks.SECRET,
                "drain_seconds": 0.5,
                "snapshot_seconds": 1.5,
                "log_format": "json",
                **over,
            }
            values = {key: value for key, value in values.items() if key in Settings.model_fields}
            settings = load({}, **values)
            environment = {
                **{key: value for key, value in os.environ.items() if not key.startswith("PEGEL_")},
                "PYTHONPATH": os.pathsep.join([str(servers.ROOT / "tests"), os.environ.get("PYTHONPATH", "")]),
                **{f"PEGEL_{key.upper()}": str(value) for key, value in values.items()},
            }
            await asyncio.to_thread(migrate, settings.resolved_database_url)
            # The test itself is never cut off.
            own = load(
                {},
                **{
                    **values,
                    "log_url": own_url,
                    "ingest_deadline_seconds": OWN_DEADLINE_SECONDS,
                },
            )
            log = connect(own)
            here = None
            try:
                identity = await open_identity(log, own)
                here = Cluster(running, folder, name, environment, own, log, identity, receiver)
                await teach(log, identity, here.load.rate)
                yield here
            finally:
                if here is not None:
                    here.kill_all()
                await log.close()
