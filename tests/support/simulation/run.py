"""One simulation: load under the seed's faults, then rest, then the checks."""

import asyncio
import functools
import hashlib
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final
from unittest.mock import patch
from uuid import UUID

import structlog

from pegel.alerter import app as alerter_app
from pegel.alerter.database import migrate
from pegel.detector.judge.domain import judging, rings, spikes
from pegel.eventlog import snapshots
from pegel.eventlog.identity import Identity, stream_specs
from pegel.eventlog.port import CONTACTS, COUNTS, META, WINDOWS, NewRecord
from pegel.runtime.settings import Settings, load
from pegel.schemas.detection import HistoryEndRecord, HistoryRecord, MetaRecord
from support.simulation.checkers import Checks
from support.simulation.loop import Process, Stuck
from support.simulation.oracle import Fenced
from support.simulation.retention import Retention
from support.simulation.services import Replica, Site, alerter, counter, ingest, judge
from support.simulation.workload import SEGMENTS, Sources, planned
from support.simulation.world import START_MS, Faults, World

LOAD_SECONDS: Final = 70.0
DRAIN_SECONDS: Final = 400.0
"""Virtual seconds in which everything must come to rest once nothing fails any more."""
HISTORY_DAYS: Final = 3
RETENTION_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Result:
    """What came of a seed. digest: of everything that happened, the same each time."""

    seed: int
    violations: tuple[str, ...]
    trace: tuple[tuple[float, str, str], ...]
    figures: dict[str, int | float]

    @property
    def digest(self) -> str:
        return hashlib.sha256(repr((self.trace, self.figures, self.violations)).encode()).hexdigest()[:16]


def simulate(seed: int, faults: Faults | None = None) -> Result:
    """Run one seed."""
    world = World(seed, faults)
    with tempfile.TemporaryDirectory(prefix="pegel-simulation-") as folder:
        simulation = Simulation(world, Path(folder))
        loop = world.loop
        loop.set_exception_handler(lambda _, __: None)
        before = structlog.get_config()
        structlog.configure(processors=[functools.partial(_trace, world)], cache_logger_on_first_use=False)
        try:
            asyncio.set_event_loop(loop)
            with small():
                try:
                    loop.run_until_complete(simulation.run())
                except Stuck as error:
                    world.wrong(str(error))
                simulation.bury()
        finally:
            asyncio.set_event_loop(None)
            loop.close()
            structlog.configure(**before)
    return Result(seed, tuple(world.violations), tuple(world.trace), simulation.figures())


@contextmanager
def small() -> Iterator[None]:
    """What takes hours or megabytes in the product takes seconds and kilobytes here: a snapshot has several chunks, a
    spike is over before the simulation is. And nobody asks the alerter over HTTP, so its routes are not made.
    """
    with (
        patch.object(snapshots, "CHUNK_BYTES_MAX", 1024),
        patch.object(rings, "WINDOW_SECONDS", (60, 60, 600)),
        patch.object(spikes, "CLOSE_SECONDS", 12),
        patch.object(judging, "CLOSE_SECONDS", 12),
        patch.object(alerter_app, "make_app"),
        patch.object(alerter_app, "add_routes"),
    ):
        yield


def _trace(world: World, _: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """What the services log stands in the trace, but for what is of this run only."""
    text = " ".join(f"{name}={value}" for name, value in sorted(event.items()) if name not in ("event", "exc_info"))
    world.say(f"log: {event.get('event')} {text}"[:300])
    raise structlog.DropEvent


class Simulation:
    """The processes, what disturbs them, and how it comes to rest."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self._random = world.random("shape")
        bucket = self._random.choice((3, 5, 8))
        self.settings = shaped(bucket, self._random)
        self.site = Site(world, self.settings, folder, template())
        self.ingests = [Replica(self.site, f"ingest-{n}", ingest) for n in range(2)]
        self.counters = [Replica(self.site, f"counter-{n}", counter) for n in range(self._random.choice((1, 2, 2)))]
        self.judges = [Replica(self.site, f"judge-{n}", judge) for n in range(self._random.choice((1, 2)))]
        self.alerters = [Replica(self.site, f"alerter-{n}", alerter) for n in range(self._random.choice((1, 2)))]
        self.replicas = [*self.ingests, *self.counters, *self.judges, *self.alerters]
        self.sources = Sources(world, self.ingests, planned(world, LOAD_SECONDS))
        self.retention = Retention(self.site.cluster)
        world.die = self._die
        for replica in self.replicas:
            replica.left_behind = self._stop_successor

    def _die(self, process: Process) -> None:
        for replica in self.replicas:
            if replica.process is process:
                replica.die()

    async def run(self) -> None:
        world = self.world
        await asyncio.sleep(world.between(0.1, 5.0))  # a log is not made when a bucket begins
        self._identity = self._make_log()
        for replica in self.replicas:
            world.later(world.between(0.0, 2.0), replica.start)
        sending = world.spawn(None, self.sources.run())
        disturbing = world.spawn(None, self._disturb())
        world.spawn(None, self._retain())
        await asyncio.sleep(LOAD_SECONDS)
        disturbing.cancel()
        self._heal()
        drained_from_ms = await self._drain(sending)
        if drained_from_ms is not None:
            Checks(self.site, self.sources, self._identity, drained_from_ms).all()

    def _make_log(self) -> Identity:
        """As the first service would, but with an identity that the seed gives; and a history to judge by."""
        cluster, settings = self.site.cluster, self.settings
        cluster.make(stream_specs(settings))
        meta = MetaRecord(
            log_id=str(UUID(int=self._random.getrandbits(128))),
            clock=settings.clock,
            bucket_seconds=settings.bucket_seconds,
            delay_seconds=settings.delay_seconds,
            partitions=settings.partitions,
            dimensions=settings.segment_dimensions,
        )
        (made,) = cluster.put(META, 0, [NewRecord(meta.encode())])
        history = str(UUID(int=self._random.getrandbits(128)))
        begin = datetime.fromtimestamp(START_MS / 1000, UTC) - timedelta(days=HISTORY_DAYS)
        hours = 24 * HISTORY_DAYS
        records = [
            HistoryRecord(
                id=history,
                part=0,
                start=begin,
                step_seconds=3600,
                segments=SEGMENTS,
                counts=tuple(tuple(hourly + n * 7 % 50 for n in range(hours)) for hourly in (200, 700, 700, 700)),
            ),
            HistoryEndRecord(id=history, parts=1),
        ]
        cluster.put(COUNTS, 0, [NewRecord(record.encode()) for record in records])
        return Identity(meta, made.time_ms)

    # --- disasters -----------------------------------------------------------------------------------------------

    async def _disturb(self) -> None:
        world, random = self.world, self.world.random("disasters")
        disasters: dict[str, Callable[[Random], None]] = {
            "crash": lambda r: r.choice(self.replicas).die(),
            "stop": self._stop,
            "end": lambda r: r.choice(self.replicas).stop.set(),
            "expel": self._expel,
            "log_away": lambda r: self._away(self.site.cluster, "away", r.uniform(1, 12)),
            "database_away": lambda r: self._away(self.site, "database_away", r.uniform(1, 12)),
            "silence": self._silence,
            "spoil": self.retention.spoil,
        }
        names = list(disasters)
        weights = [getattr(world.faults, name) for name in names]
        if not any(weights):
            return
        while True:
            await asyncio.sleep(random.uniform(1.0, 7.0))
            (name,) = random.choices(names, weights)
            world.say(f"disaster: {name}")
            disasters[name](random)

    async def _retain(self) -> None:
        while True:
            await asyncio.sleep(RETENTION_SECONDS)
            self.retention.trim()

    def _expel(self, random: Random) -> None:
        replica = random.choice([*self.counters, *self.judges])
        if replica.process is not None and replica.process.alive:
            self.site.cluster.expire(replica.process)
            self.site.cluster.returned(replica.process)

    def _away(self, what: Any, name: str, seconds: float) -> None:
        setattr(what, name, True)
        self.world.later(seconds, setattr, what, name, False)

    def _stop(self, random: Random) -> None:
        """Mostly of a part of the detector, and for long enough that another takes over."""
        detectors = [*self.counters, *self.judges]
        replica = random.choice(detectors if random.random() < 0.6 else self.replicas)
        replica.freeze(random.choice((2.0, 6.0, 8.0, 12.0, 30.0)))

    def _stop_successor(self, zombie: Replica, seconds: float) -> None:
        """Who takes over is sometimes stopped as well, and the zombie goes on before it does."""
        others = [replica for replica in self.replicas if replica.make is zombie.make and replica is not zombie]
        if not self.world.healed and self.world.below(2):
            for replica in others:
                longer = seconds + self.world.between(0.5, 2.0)
                self.world.later(self.world.between(0.1, 1.9), replica.freeze, longer)

    def _silence(self, random: Random) -> None:
        seconds = random.uniform(2, 5) * self.settings.bucket_seconds
        for replica in self.ingests:
            replica.freeze(seconds)

    # --- rest ------------------------------------------------------------------------------------------------------

    def _heal(self) -> None:
        self.world.say("nothing fails any more")
        self.world.healed = True
        self.site.cluster.away = self.site.database_away = False
        for replica in self.replicas:
            if replica.process is not None:
                replica.thaw(replica.process)
            replica.start()

    async def _drain(self, sending: "asyncio.Task[None]") -> int | None:
        """Wait until all is counted, judged, paged and booked. Since when nothing was amiss; None: it never rested."""
        world, settings = self.world, self.settings
        deadline = world.clock + DRAIN_SECONDS
        if not await self._until(sending.done, deadline, "sources are still sending"):
            return None
        await sending
        length = settings.bucket_seconds
        # Members may be told of a last rebalance, and some partition may still be missed for a minute.
        await asyncio.sleep(5.0)
        settled = world.clock
        last = int(START_MS / 1000 + settled) // length
        windows = Fenced()
        if not await self._until(lambda: self._judged(windows) > last + 1, deadline, "buckets are not judged"):
            return None
        for replica in self.ingests:
            replica.stop.set()
            replica.start = lambda: None  # type: ignore[method-assign]
        await asyncio.sleep(2.0)
        if not await self._until(lambda: not self._behind(), deadline, self._behind):
            return None
        return START_MS + int(settled * 1000)

    async def _until(self, done: Callable[[], bool], deadline: float, what: str | Callable[[], str]) -> bool:
        while not done():
            if self.world.clock > deadline:
                self.world.wrong(
                    f"{DRAIN_SECONDS:.0f} s after the last fault {what if isinstance(what, str) else what()}"
                )
                return False
            await asyncio.sleep(0.5)
        return True

    def _judged(self, windows: Fenced) -> int:
        windows.read(self.site.cluster.stored(WINDOWS)[0])
        return max((value["to"] for _, value in windows.taken[-50:] if value["kind"] == "bucket"), default=0)

    def _behind(self) -> str:
        """What is not done yet; empty when all is."""
        stored = self.site.cluster.stored
        closed: dict[int, int] = {}
        for _, value in Fenced().read(stored(COUNTS)[0]).of("counts"):
            closed[value["origin"]["partition"]] = value["closed_to"]
        judged = self._judged(Fenced())
        due = {p: self._due(records) for p, records in enumerate(stored(CONTACTS))}
        if any(closed.get(p, 0) < to for p, to in due.items()):
            return f"counters have closed {closed}, not {due}"
        if judged < min(closed.values()):
            return f"buckets are judged to {judged}, not {min(closed.values())}"
        end = len(stored(WINDOWS)[0])
        with closing(sqlite3.connect(self.site.database_file)) as database:
            found = dict(database.execute("SELECT consumer, bucket_to FROM positions"))
            pending = database.execute("SELECT COUNT(*) FROM outbox WHERE state = 'pending'").fetchone()[0]
        for consumer in ("incidents", "ledger"):
            if (found.get(consumer) or 0) < judged:
                return f"{consumer} has come to bucket {found.get(consumer)}, not {judged} (offset {end})"
        return f"{pending} pages wait in the outbox" if pending else ""

    def _due(self, records: Sequence[Any]) -> int:
        """Up to which bucket a partition must be closed."""
        time_ms = max((record.time_ms for record in records), default=0)
        return int((time_ms - self.settings.delay_seconds * 1000) // (self.settings.bucket_seconds * 1000))

    def bury(self) -> None:
        """End every task there is, so that nothing is left behind that says so later."""
        loop = self.world.loop
        loop.burying = True
        for replica in self.replicas:
            replica.stop.set()
        for _ in range(20):
            left = [task for task in loop.tasks if not task.done()]
            if not left:
                break
            for task in left:
                task.cancel()
            with suppress(Stuck):
                loop.run_until_complete(asyncio.wait(left, timeout=60.0))
        for replica in self.replicas:
            for database in replica.databases:
                database.close()
        loop.tasks.clear()

    def figures(self) -> dict[str, int | float]:
        cluster = self.site.cluster
        told = Fenced().read(cluster.stored(WINDOWS)[0])
        counted = Fenced().read(cluster.stored(COUNTS)[0])
        buckets = [value["status"] for _, value in told.of("bucket")]
        ends = {stream: sum(len(p) for p in cluster.stored(stream)) for stream in (CONTACTS, COUNTS, WINDOWS)}
        return {
            **ends,
            "observed": buckets.count("observed"),
            "gaps": buckets.count("gap"),
            "spikes": len({value["spike_id"] for _, value in told.of("spike")}),
            "repeated": told.repeated + counted.repeated,
            "outdated": told.outdated + counted.outdated,
            "starts": sum(replica.starts for replica in self.replicas),
            "pages": len(self.site.pager.deliveries),
            "steps": self.world.loop.steps,
            "seconds": round(self.world.clock, 3),
        }


def shaped(bucket_seconds: int, random: Random) -> Settings:
    """Settings of a seed: small buckets, quick ticks."""
    values = {
        "bucket_seconds": bucket_seconds,
        "delay_seconds": random.choice((1, 2, 4)),
        "partitions": random.choice((1, 2, 3)),
        "tick_seconds": random.choice((1.0, bucket_seconds / 2)),
        "dimensions": "country,topic",
        "snapshot_seconds": random.choice((2.0, 6.0, 15.0)),
        "clock": "wall",
    }
    return load({}, **values)


@functools.cache
def template() -> Path:
    """A database with its tables, made once a process."""
    folder = tempfile.mkdtemp(prefix="pegel-simulation-template-")
    path = Path(folder) / "pegel.sqlite"
    migrate(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path
