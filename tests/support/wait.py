"""Waiting for a condition: the only way a test lets time pass."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, cast, overload

T = TypeVar("T")

EVERY_SECONDS: Final = 0.02


def _failed(condition: Callable[[], object], seconds: float, last: object) -> AssertionError:
    name = getattr(condition, "__qualname__", repr(condition))
    return AssertionError(f"{name} did not hold within {seconds} s; last: {last!r:.500}")


@overload
async def until(condition: Callable[[], Awaitable[T]], seconds: float = ...) -> T: ...
@overload
async def until(condition: Callable[[], T], seconds: float = ...) -> T: ...
async def until(condition: Callable[[], T | Awaitable[T]], seconds: float = 10.0) -> T:
    """What `condition` (a function, also a coroutine's) returned once it was true; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        found = cast("T", await value if inspect.isawaitable(value) else value)
        if found:
            return found
        if time.monotonic() >= deadline:
            raise _failed(condition, seconds, found)
        await asyncio.sleep(EVERY_SECONDS)


def until_sync(condition: Callable[[], T], seconds: float = 10.0) -> T:
    """The same for tests and fixtures without an event loop."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() >= deadline:
            raise _failed(condition, seconds, found)
        time.sleep(EVERY_SECONDS)
    return found
