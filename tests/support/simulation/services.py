"""The services as processes of the simulation: composed as their `app` modules do, on simulated logs and databases."""

import asyncio
import contextlib
import functools
import shutil
import sqlite3
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from sqlalchemy import Connection, event

from pegel.alerter.app import Alerter
from pegel.alerter.database import Database, DatabaseUnavailable
from pegel.alerter.ledger.adapters.memory import MemoryPriceBook
from pegel.alerter.ledger.domain.prices import Price, PriceRule
from pegel.alerter.ownership.adapters.file import FileOwnerRules
from pegel.alerter.settings import source
from pegel.alerter.windows.buckets import Bucket
from pegel.detector.app import halves
from pegel.eventlog.identity import open_identity
from pegel.ingest.domain.pseudonyms import pseudonymiser
from pegel.ingest.domain.rules import Rules
from pegel.ingest.pipeline.appends import Appends
from pegel.ingest.pipeline.intake import Intake
from pegel.ingest.pipeline.ticker import keep_time
from pegel.runtime.auth import Tokens
from pegel.runtime.errors import OperationalError
from pegel.runtime.probes import Probe
from pegel.runtime.settings import ConfigurationError, Settings
from support.simulation.cluster import Cluster
from support.simulation.loop import Process
from support.simulation.receiver import Pager, SimulatedNotifier
from support.simulation.world import Halted, World

P = ParamSpec("P")
T = TypeVar("T")
PRICES: Final = {"phone": 7_500_000, "chat": 3_900_000}
"""Millionths a contact, by channel; other channels have no price."""
SESSION_SECONDS: Final = 4.0
"""How long a member of a group may be silent."""


class Site:
    """Everything that stands around the processes: the log, the database file, the receiver of pages."""

    def __init__(self, world: World, settings: Settings, folder: Path, template: Path) -> None:
        self.world, self.settings = world, settings
        self.cluster = Cluster(world)
        self.pager = Pager(world, self._outbox_state)
        self.database_file = folder / "pegel.sqlite"
        shutil.copy(template, self.database_file)
        self.database_away = False
        self.applied: dict[str, list[int]] = {"incidents": [], "ledger": []}
        """Offsets of the bucket records applied by each consumer, in the order of the commits."""

    def _outbox_state(self, page_id: str) -> str | None:
        with contextlib.closing(sqlite3.connect(self.database_file)) as database:
            row = database.execute("SELECT state FROM outbox WHERE page_id = ?", (page_id,)).fetchone()
        return row[0] if row else None


@dataclass(eq=False)
class Replica:
    """One replica of a service: its process may die and is started again."""

    site: Site
    name: str
    make: Callable[["Replica", Process, asyncio.Event], Coroutine[Any, Any, None]]
    starts: int = 0
    process: Process | None = None
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    intake: Intake | None = None
    databases: list[Database] = field(default_factory=list)
    left_behind: "Callable[[Replica, float], None]" = lambda *_: None
    """Called when a process that is stopped loses its partitions, with the seconds until it goes on."""

    @property
    def world(self) -> World:
        return self.site.world

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.runs

    def start(self) -> None:
        """A fresh process."""
        if self.process is not None and self.process.alive:
            return
        self.starts += 1
        self.process = Process(f"{self.name}#{self.starts}")
        self.stop, self.intake = asyncio.Event(), None
        self.world.say(f"{self.process.name} starts")
        self.world.spawn(self.process, self._run(self.process, self.stop))

    def die(self, *, again_seconds: float | None = None) -> None:
        """kill -9; it is started again some time later."""
        process = self.process
        if process is None or not process.alive:
            return
        process.alive, self.intake = False, None
        world = self.world
        world.say(f"{process.name} is dead")
        world.later(world.between(1.0, SESSION_SECONDS), self.site.cluster.expire, process)
        world.later(again_seconds if again_seconds is not None else world.between(0.5, 8.0), self.start)

    def freeze(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after so many seconds."""
        process, world = self.process, self.world
        if process is None or not process.runs:
            return
        process.stopped = True
        world.say(f"{process.name} is stopped for {seconds:.1f} s")

        def expire() -> None:
            if process.stopped:
                process.rogue = True
                self.site.cluster.expire(process)
                self.left_behind(self, seconds - SESSION_SECONDS)

        world.later(SESSION_SECONDS, expire)
        world.later(seconds, self.thaw, process)

    def thaw(self, process: Process) -> None:
        """SIGCONT."""
        if process.stopped:
            process.stopped = False
            self.world.say(f"{process.name} goes on")
            self.site.cluster.returned(process)

    async def _run(self, process: Process, stop: asyncio.Event) -> None:
        world = self.world
        try:
            await self.make(self, process, stop)
            if not stop.is_set():
                world.wrong(f"{self.name} ended by itself")
        except asyncio.CancelledError:
            raise
        except OperationalError as error:
            world.say(f"ends: {error}")
        except ConfigurationError as error:
            if process.rogue:  # it slept while it restored; what is kept here for seconds is kept for weeks elsewhere
                world.say(f"ends: {error}")
            elif not world.loop.burying:
                world.wrong(f"{self.name} stopped: {error}")
        except Exception as error:  # noqa: BLE001 (whatever it is, it ends a service)
            if not world.loop.burying:
                world.wrong(f"{self.name} failed: {type(error).__name__}: {error}")
        if process.alive and not world.loop.burying:
            process.alive, self.intake = False, None
            world.later(0.0, self.site.cluster.expire, process)
            world.later(world.between(0.2, 4.0), self.start)


# --- the four services --------------------------------------------------------------------------------------------


async def ingest(replica: Replica, process: Process, stop: asyncio.Event) -> None:
    site, settings = replica.site, replica.site.settings
    log, probe = site.cluster.log_of(process), Probe("ingest")
    identity = await open_identity(log, settings)
    appends = Appends(log, identity.meta.partitions, probe)
    intake = Intake(
        appends, pseudonymiser(b"simulation", settings.pseudonym_rotation_days), lambda _, name: Rules(name)
    )
    replica.intake = intake
    await keep_time(intake, appends, probe, stop, seconds=settings.tick_seconds, wall=True)


async def counter(replica: Replica, process: Process, stop: asyncio.Event) -> None:
    await _half(replica, process, stop, "counter")


async def judge(replica: Replica, process: Process, stop: asyncio.Event) -> None:
    await _half(replica, process, stop, "judge")


async def _half(replica: Replica, process: Process, stop: asyncio.Event, only: Any) -> None:
    site = replica.site
    log, probe = site.cluster.log_of(process), Probe("detector", parts=(only,))
    identity = await open_identity(log, site.settings)
    await asyncio.gather(*halves(log, identity, site.settings, probe, only, stop))


async def alerter(replica: Replica, process: Process, stop: asyncio.Event) -> None:
    site, world = replica.site, replica.site.world
    settings = site.settings
    database = SimulatedDatabase(site, process)
    replica.databases.append(database)
    service = Alerter(
        settings,
        Tokens(None),
        database,
        owners(settings.segment_dimensions),
        MemoryPriceBook([_price(channel, micros) for channel, micros in PRICES.items()], settings.currency),
        [SimulatedNotifier(site.pager, process)],
        connect_log=lambda _: site.cluster.log_of(process),
        now=world.now,
        local=(),
        standby_seconds=1.0,
    )
    service._rising = Watched(site, "incidents", service._rising)  # type: ignore[assignment]
    service._booking = Watched(site, "ledger", service._booking)  # type: ignore[assignment]
    jitter = world.random(f"jitter of {process.name}").random
    for sender in service._senders:
        sender._jitter = jitter
    await service.run(stop)


@functools.cache
def owners(dimensions: tuple[str, ...]) -> FileOwnerRules:
    """The example's; to read YAML takes longer than all the rest of an alerter's start."""
    return FileOwnerRules(source(None, "ownership.yaml"), dimensions)


def _price(channel: str, micros: int) -> PriceRule:
    return PriceRule({"channel": (channel,)}, Price(micros, "centre"))


class Watched:
    """An effect, and which buckets it was applied to once its transaction is committed."""

    def __init__(self, site: Site, consumer: str, effect: Callable[..., None]) -> None:
        self._site, self._consumer, self._effect = site, consumer, effect

    def __call__(self, connection: Connection, buckets: Sequence[Bucket], *more: Any) -> None:
        self._effect(connection, buckets, *more)
        connection.info.setdefault("applied", []).extend((self._consumer, bucket.offset) for bucket in buckets)


class SimulatedDatabase(Database):
    """The real thing on a file of the simulation, with commits that fail, answers that are lost, and deaths between."""

    def __init__(self, site: Site, process: Process) -> None:
        super().__init__(f"sqlite:///{site.database_file}")
        self._site, self._process = site, process

        @event.listens_for(self.engine, "connect")
        def quick(connection: Any, _: object) -> None:
            connection.execute("PRAGMA synchronous=OFF").close()  # the machine never fails here

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._site.world.loop.burying or not self._process.alive:
            raise asyncio.CancelledError
        return await super().call(work, *args, **kwargs)

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        self._check()
        with super().read() as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        self._check()
        world = self._site.world
        with super().write() as connection:
            connection.info.pop("applied", None)
            yield connection
            self._halt("before a commit")
            if world.chance("commit_fails"):
                world.say("a commit fails")
                raise DatabaseUnavailable("the simulated database did not commit")
            applied = connection.info.pop("applied", [])
        for consumer, offset in applied:
            self._note(consumer, offset)
        self._halt("after a commit")
        if world.chance("commit_unanswered"):
            world.say("a commit is not answered")
            raise DatabaseUnavailable("no answer came to the commit")

    def _halt(self, where: str) -> None:
        world = self._site.world
        if world.mortal("die_at_commit"):
            world.say(f"dies {where}")
            world.die(self._process)
            raise Halted

    def _note(self, consumer: str, offset: int) -> None:
        before = self._site.applied[consumer]
        if before and offset <= before[-1]:
            self._site.world.wrong(f"{consumer}: the bucket record at offset {offset} of windows was applied twice")
        before.append(offset)

    def _check(self) -> None:
        if self._site.database_away:
            raise DatabaseUnavailable("the simulated database is away")
