"""Pictures by their content: the same numbers are drawn once, and a picture is shown until the next one is drawn."""

import asyncio
import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final

from pegel.dashboard.domain.board import Period
from pegel.dashboard.domain.costs import Costs
from pegel.dashboard.ports import DrawError, Painter, Size, Theme
from pegel.runtime import logs

KEPT: Final = 8
RETRY_SECONDS: Final = 60.0
log = logs.get(__name__)

Pictures = dict[tuple[Size, Theme], bytes]


@dataclass(frozen=True)
class _Failure:
    reason: str
    until: float


def key_of(costs: Costs) -> str:
    """The name of the picture of these bars: 32 hexadecimal digits of their SHA-256."""
    content = json.dumps([costs.currency, [asdict(bar) for bar in costs.bars]])
    return hashlib.sha256(content.encode()).hexdigest()[:32]


class Charts:
    """Draws in the background and keeps the last pictures (about 150 kB each, in all sizes and themes)."""

    def __init__(self, painter: Painter, *, monotonic: Callable[[], float]) -> None:
        self._painter, self._monotonic = painter, monotonic
        self._drawn: OrderedDict[str, Pictures | _Failure] = OrderedDict()
        self._drawing: dict[str, asyncio.Task[Pictures]] = {}
        self._shown: dict[Period, str] = {}

    def shown(self, period: Period, costs: Costs) -> str | None:
        """The key of the picture to show for these costs; None when it can't be drawn.

        Where they are not drawn yet this begins it, and until it is done the picture before is shown: a page that is
        asked again every 5 s must not flicker. The first picture of a period is waited for by its own request.
        """
        key = key_of(costs)
        found = self._find(key)
        if isinstance(found, _Failure):
            return None
        if found is None:
            self._begin(key, costs)
            before = self._shown.get(period)
            if before is not None and isinstance(self._drawn.get(before), dict):
                return before
        self._shown[period] = key
        return key

    async def picture(self, key: str, costs: Costs | None, size: Size, theme: Theme) -> bytes:
        """The SVG. costs: drawn when the key is theirs and there is no picture yet. Raises DrawError, KeyError."""
        found = self._find(key)
        if found is None and key not in self._drawing:
            if costs is None or key_of(costs) != key:
                raise KeyError(key)
            self._begin(key, costs)
        if found is None:
            # One viewer who leaves does not take the picture from the others.
            found = await asyncio.shield(self._drawing[key])
        if isinstance(found, _Failure):
            raise DrawError(found.reason)
        return found[size, theme]

    async def close(self) -> None:
        for task in self._drawing.values():
            task.cancel()
        await asyncio.gather(*self._drawing.values(), return_exceptions=True)

    def _find(self, key: str) -> Pictures | _Failure | None:
        found = self._drawn.get(key)
        if isinstance(found, _Failure) and self._monotonic() >= found.until:
            del self._drawn[key]
            return None
        if found is not None:
            self._drawn.move_to_end(key)
        return found

    def _begin(self, key: str, costs: Costs) -> None:
        if key not in self._drawing:
            task = asyncio.create_task(self._draw(key, costs), name=f"chart {key[:8]}")
            self._drawing[key] = task
            task.add_done_callback(lambda done: self._ended(key, done))

    async def _draw(self, key: str, costs: Costs) -> Pictures:
        pictures = await self._painter.pareto(costs.bars, costs.currency)
        self._keep(key, pictures)
        return pictures

    def _ended(self, key: str, task: asyncio.Task[Pictures]) -> None:
        self._drawing.pop(key, None)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            log.error("chart_failed", error=type(error).__name__, reason=str(error))
            self._keep(key, _Failure(str(error), self._monotonic() + RETRY_SECONDS))

    def _keep(self, key: str, result: Pictures | _Failure) -> None:
        self._drawn[key] = result
        while len(self._drawn) > KEPT:
            self._drawn.popitem(last=False)
