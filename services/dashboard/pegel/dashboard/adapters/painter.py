"""Has charts drawn by a process of its own, which ends when they are drawn.

Altair and vl-convert (a JavaScript engine) take 100 MB for as long as their process lives; a chart takes 2.5 s, most
of it spent on starting, and is drawn at most once a bucket, while somebody looks. Run beside us, at a lower priority,
that costs no memory at rest, and no crash of the engine is ours.
"""

import asyncio
import json
import os
import sys
import time
from typing import Final, cast

from pegel.dashboard import metrics
from pegel.dashboard.domain.costs import Bar
from pegel.dashboard.ports import DrawError, Size, Theme

DRAW_SECONDS_MAX: Final = 25.0
MODULE: Final = "pegel.dashboard.adapters.draw"


class ProcessPainter:
    """Implements the port Painter; one picture at a time."""

    def __init__(self, module: str = MODULE, seconds_max: float = DRAW_SECONDS_MAX) -> None:
        self._module, self._seconds_max = module, seconds_max
        self._turn = asyncio.Lock()

    async def pareto(self, bars: tuple[Bar, ...], currency: str) -> dict[tuple[Size, Theme], bytes]:
        request = {
            "currency": currency,
            "bars": [{"label": bar.label, "amount": bar.amount, "running": bar.running} for bar in bars],
        }
        async with self._turn:
            started = time.monotonic()
            try:
                answer = await self._run(json.dumps(request).encode())
            except DrawError:
                metrics.CHART_FAILURES.inc()
                raise
            metrics.CHART_SECONDS.observe(time.monotonic() - started)
        pictures = {}
        for name, svg in answer.items():
            size, _, theme = name.partition(".")
            pictures[cast(Size, size), cast(Theme, theme)] = svg.encode()
        return pictures

    async def _run(self, request: bytes) -> dict[str, str]:
        # Nothing of our environment but where code is found: settings and secrets are none of its business.
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH") if name in os.environ}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self._module,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
        )
        try:
            async with asyncio.timeout(self._seconds_max):
                out, err = await process.communicate(request)
        except TimeoutError as error:
            raise DrawError(f"not drawn within {self._seconds_max:g} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            last = err.decode(errors="replace").strip().splitlines()[-1:] or ["without a word"]
            raise DrawError(f"the drawing process ended with {process.returncode}: {last[0][:300]}")
        return cast(dict[str, str], json.loads(out))
