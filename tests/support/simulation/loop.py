"""An event loop without a clock: time jumps to the next timer when nobody has anything to do.

Every callback belongs to a process (by its context). Within a process callbacks run in the order asyncio promises;
which process runs next is drawn. A process that is stopped keeps its callbacks until it goes on; one that is dead never
runs again, not even its `finally` clauses, as after kill -9.
"""

import asyncio
import contextvars
import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

PROCESS: contextvars.ContextVar["Process | None"] = contextvars.ContextVar("process", default=None)
STEPS_MAX = 2_000_000
"""Callbacks in one simulation: more means that something turns in circles."""
STEP_SECONDS = 1e-6
"""What a callback takes, so that time passes for whoever turns in circles."""


@dataclass(eq=False, slots=True)
class Process:
    """Something that runs, is stopped, and dies, as a whole."""

    name: str
    alive: bool = True
    stopped: bool = False
    rogue: bool = False
    """It has been stopped, and is of a build that counts differently."""
    ready: deque[asyncio.Handle] = field(default_factory=deque)

    @property
    def runs(self) -> bool:
        return self.alive and not self.stopped


class Stuck(Exception):  # noqa: N818
    """Nothing will ever happen again, or too much happens at one time."""


class VirtualLoop(asyncio.BaseEventLoop):
    """random: draws who runs next. Blocking work (run_in_executor) is done at once, between two virtual delays."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._now = 0.0
        self._random = random
        self._queues: dict[int, Process] = {}
        self._world = Process("world")
        self.steps = 0
        self.burying = False
        """At the very end all processes run, so that their tasks can be cancelled."""
        self.executor_seconds: Callable[[], float] = lambda: 0.0
        self.tasks: list[asyncio.Task[Any]] = []
        """All tasks ever made: one that is pending and forgotten would say so."""
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        return self._now

    def _make_task(self, loop: asyncio.AbstractEventLoop, coro: Any, **named: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=loop, **named)
        self.tasks.append(task)
        return task

    def _run_once(self) -> None:
        self._now += STEP_SECONDS
        self._due()
        self._sort_in()
        runnable = [p for p in self._queues.values() if p.runs or self.burying]
        if not runnable:
            self._jump()
            return
        process = runnable[self._random.randrange(len(runnable))] if len(runnable) > 1 else runnable[0]
        handle = process.ready.popleft()
        if not process.ready:
            del self._queues[id(process)]
        if not handle._cancelled:
            self.steps += 1
            if self.steps > STEPS_MAX:
                raise Stuck(f"{STEPS_MAX} steps, and it is {self._now:.1f} s")
            handle._run()

    def _sort_in(self) -> None:
        """Give what is ready to the process it belongs to."""
        ready = self._ready  # type: ignore[attr-defined]
        while ready:
            handle = ready.popleft()
            process = handle._context.get(PROCESS) or self._world
            process.ready.append(handle)
            self._queues[id(process)] = process

    def _jump(self) -> None:
        """To the next timer that is not cancelled."""
        scheduled = self._scheduled  # type: ignore[attr-defined]
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)._scheduled = False
        if not scheduled:
            if self._stopping:  # type: ignore[attr-defined]
                return
            raise Stuck(f"nothing is left to happen at {self._now:.1f} s")
        self._now = max(self._now, scheduled[0]._when)

    def _due(self) -> None:
        """Timers whose time has come are ready."""
        scheduled = self._scheduled  # type: ignore[attr-defined]
        while scheduled and scheduled[0]._when <= self._now:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            if not handle._cancelled:
                self._ready.append(handle)  # type: ignore[attr-defined]

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over when its time comes."""

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        future = self.create_future()

        def run() -> None:
            if future.cancelled():
                return
            try:
                result = func(*args)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # noqa: BLE001 (a thread hands on whatever was raised)
                self.call_later(self.executor_seconds(), self._settle, future, None, error)
            else:
                self.call_later(self.executor_seconds(), self._settle, future, result, None)

        # In the context of the caller: a process that is stopped has stopped threads, too.
        self.call_later(self.executor_seconds(), run)
        return future

    @staticmethod
    def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)

    def _process_events(self, event_list: Any) -> None:
        """There are no files to watch."""

    def _write_to_self(self) -> None:
        """Nobody else wakes it."""
