"""The dashboard's composition root."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Final

from starlette.types import ASGIApp

from pegel.dashboard.adapters.alerter import HttpAlerter
from pegel.dashboard.adapters.countries import country_names
from pegel.dashboard.adapters.painter import ProcessPainter
from pegel.dashboard.http.access import Access
from pegel.dashboard.http.files import read_static, static_routes
from pegel.dashboard.http.headers import SecurityHeaders
from pegel.dashboard.http.pages import Parts, page_routes, sign_in_routes
from pegel.dashboard.http.views import Views
from pegel.dashboard.pipeline.charts import Charts
from pegel.dashboard.pipeline.reader import Reader
from pegel.dashboard.ports import Alerter, Painter
from pegel.runtime.auth import Tokens
from pegel.runtime.http import make_app
from pegel.runtime.probes import Probe
from pegel.runtime.serve import Service
from pegel.runtime.settings import Settings

BODY_BYTES_MAX: Final = 16 * 1024
ASK_SECONDS: Final = 10.0
"""The alerter is asked this often while nobody looks, so that /readyz and the last known state are never old."""


def build(settings: Settings, *, alerter: Alerter | None = None, painter: Painter | None = None) -> Service:
    """The dashboard, ready to be served. alerter, painter: others than the real ones, in tests.

    Raises ConfigurationError where the tokens file can't be read.
    """
    probe = Probe("dashboard")
    tokens = Tokens.load(settings)
    http_alerter = None
    if alerter is None:
        token = settings.token.get_secret_value() if settings.token else None
        alerter = http_alerter = HttpAlerter(settings.resolved_alerter_url, token)

    def now() -> datetime:
        return datetime.now(UTC)

    reader = Reader(alerter, note=lambda fault: probe.dependency("alerter", fault), now=now, monotonic=time.monotonic)
    charts = Charts(painter or ProcessPainter(), monotonic=time.monotonic)
    files = read_static()
    parts = Parts(
        reader=reader,
        charts=charts,
        alerter=alerter,
        access=Access(tokens),
        views=Views(
            files,
            ingest_url=settings.resolved_ingest_url,
            clock=settings.clock,
            bucket_seconds=settings.bucket_seconds,
            signing_in=tokens.needed,
        ),
        names=country_names(),
        now=now,
    )
    app = make_app(
        "dashboard",
        probe,
        title="Pegel dashboard",
        description="Open incidents and the cost by cause, as pages. Programs use the alerter's API.",
        body_bytes_max=BODY_BYTES_MAX,
    )
    app.include_router(page_routes(parts))
    app.include_router(sign_in_routes(app, parts))
    app.include_router(static_routes(files))
    inner = app.build_middleware_stack

    def outermost() -> ASGIApp:
        return SecurityHeaders(inner())

    app.build_middleware_stack = outermost  # type: ignore[method-assign]

    async def run(stop: asyncio.Event) -> None:
        probe.ready()
        try:
            while not stop.is_set():
                await reader.known("24h")
                probe.progress()
                try:
                    async with asyncio.timeout(ASK_SECONDS):
                        await stop.wait()
                except TimeoutError:
                    continue
        finally:
            await charts.close()
            if http_alerter is not None:
                await http_alerter.close()

    return Service("dashboard", settings.dashboard_port, app, probe, run)
