"""What a simulation shares: time, chance, the seed's faults, the trace of what happened, and what was found wrong."""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

from support.simulation.loop import PROCESS, Process, VirtualLoop

START_MS: Final = 1_772_438_400_000
"""2026-03-02T08:00:00Z, a Monday: the beginning of time."""


class Halted(BaseException):
    """The process died within blocking work: the transaction is undone, and nobody hears of it."""


@dataclass
class Faults:
    """How often what goes wrong: chances of one call, 0 to 1; and whether a kind of disaster is among the seed's."""

    append_lost: float = 0.0
    """The log does not take it, and says so at its deadline."""
    append_unanswered: float = 0.0
    """The log takes it, and the answer is lost."""
    append_part: float = 0.0
    """The log takes the first of several records, and the answer is lost."""
    append_late: float = 0.0
    """The caller gives up, and then the log takes it."""
    fetch_short: float = 0.0
    fetch_fails: float = 0.0
    slow: float = 0.0
    """A message takes up to two seconds."""
    commit_fails: float = 0.0
    commit_unanswered: float = 0.0
    page_fails: float = 0.0
    page_unanswered: float = 0.0
    die_at_append: float = 0.0
    die_at_commit: float = 0.0
    die_at_page: float = 0.0
    crash: float = 0.0
    """From here on: weights of the disasters that are drawn every few seconds."""
    stop: float = 0.0
    """SIGSTOP, and SIGCONT some time later."""
    end: float = 0.0
    """SIGTERM."""
    expel: float = 0.0
    """A member of a group is held for dead."""
    log_away: float = 0.0
    database_away: float = 0.0
    silence: float = 0.0
    """All ingests stop for some buckets."""
    spoil: float = 0.0
    """The newest snapshot of a partition is not what it was."""

    @classmethod
    def drawn(cls, seed: int) -> "Faults":
        """Each seed has some kinds of faults and not others: all at once would hide what few of them do."""
        random = chance_of(seed, "faults")
        return cls(**{f.name: (_USUAL[f.name] if random.random() < 0.5 else 0.0) for f in fields(cls)})


_USUAL: Final = {
    "append_lost": 0.02, "append_unanswered": 0.03, "append_part": 0.02, "append_late": 0.02, "fetch_short": 0.3,
    "fetch_fails": 0.01, "slow": 0.05, "commit_fails": 0.03, "commit_unanswered": 0.05, "page_fails": 0.3,
    "page_unanswered": 0.3, "die_at_append": 0.02, "die_at_commit": 0.02, "die_at_page": 0.2, "crash": 1.0, "stop": 2.0,
    "end": 0.5, "expel": 0.5, "log_away": 0.3, "database_away": 0.3, "silence": 0.2, "spoil": 0.3,
}  # fmt: skip


def chance_of(seed: int, name: str) -> Random:
    """Chance for one purpose of one seed."""
    return Random(f"{seed}/{name}")


class World:
    """One simulation. Nothing in it looks at a real clock, or draws from anything but the seed."""

    def __init__(self, seed: int, faults: Faults | None = None) -> None:
        self.seed = seed
        self.loop = VirtualLoop(self.random("turns"))
        self.loop.executor_seconds = self.executor_seconds
        self.faults = faults or Faults.drawn(seed)
        self._luck = self.random("luck")
        self.healed = False
        """No more faults: what was promised must now come true."""
        self.deaths_left = 10
        self.die: Callable[[Process], None] = lambda _: None
        """Kills a process: who starts them knows how."""
        self.context = contextvars.copy_context()
        self.trace: list[tuple[float, str, str]] = []
        self.violations: list[str] = []

    def random(self, name: str) -> Random:
        """Chance for one purpose, so that what is drawn for one changes no other."""
        return chance_of(self.seed, name)

    @property
    def clock(self) -> float:
        """Seconds since the beginning."""
        return self.loop.time()

    def clock_ms(self) -> int:
        return START_MS + int(self.loop.time() * 1000)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock_ms() / 1000, UTC)

    def say(self, text: str) -> None:
        """Into the trace."""
        process = PROCESS.get()
        self.trace.append((self.loop.time(), process.name if process else "world", text))

    def wrong(self, text: str) -> None:
        """A promise is broken."""
        if text not in self.violations:
            self.violations.append(text)
            self.say(f"WRONG: {text}")

    def chance(self, fault: str) -> bool:
        """Whether this fault happens now."""
        likely: float = getattr(self.faults, fault)
        return likely > 0 and not self.healed and self._luck.random() < likely

    def between(self, low: float, high: float) -> float:
        return self._luck.uniform(low, high)

    def below(self, number: int) -> int:
        return self._luck.randrange(number)

    def travel_seconds(self) -> float:
        """What a message takes."""
        return self.between(0.05, 2.0) if self.chance("slow") else self.between(0.0005, 0.01)

    def executor_seconds(self) -> float:
        return self.between(0.0001, 0.002)

    def later(self, seconds: float, work: Callable[..., object], *args: Any) -> None:
        """Work of the world, which no process can take with it when it dies."""
        self.loop.call_later(seconds, work, *args, context=self.context)

    def mortal(self, fault: str) -> Process | None:
        """The process that works, if it is to die here and now."""
        process = PROCESS.get()
        if process is None or not process.alive or self.deaths_left <= 0 or not self.chance(fault):
            return None
        self.deaths_left -= 1
        return process

    async def dead(self, process: Process, where: str) -> None:
        """The process dies; nothing that it awaits ever comes."""
        self.say(f"dies {where}")
        self.die(process)
        await self.loop.create_future()

    def spawn(self, process: Process | None, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """A task of a process, or of the world."""
        context = self.context.copy()
        if process is not None:
            context.run(PROCESS.set, process)
        return self.loop.create_task(work, context=context)
