"""Fixtures and rules for all tests: the real servers, and what counts as a failure."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest
import structlog
from hypothesis import settings
from playwright.async_api import Page, async_playwright

from support import servers

# A machine that is shared is slow now and then; how long a test may take in all is pytest's to say.
settings.register_profile("pegel", deadline=None)
settings.load_profile("pegel")

pytest_plugins = ["support.no_skips", "support.simulation.seeds"]

# A fixture that needs a real server marks every test that uses it, so that none gets into `make test` by mistake.
SERVER_FIXTURES: Final = {
    "kafka_bootstrap": "kafka",
    "postgres_server": "postgres",
    "browser_page": "browser",
    "alertmanager_url": "server",
    "promtool": "server",
}
SERVER_TEST_SECONDS: Final = 90
"""What a test on a real server may take: the first one starts the server."""

# A service that isn't served has structlog's own defaults, whose tracebacks print all variables and take seconds.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)

# Settings of the person who runs the tests are none of the tests'.
for name in [name for name in os.environ if name.startswith("PEGEL_")]:
    del os.environ[name]


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses by the markers set here
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for fixture in SERVER_FIXTURES.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(SERVER_FIXTURES[fixture])
        for marker in ("kafka", "postgres", "browser"):
            if item.get_closest_marker(marker):
                item.add_marker("server")
        if item.get_closest_marker("server") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SERVER_TEST_SECONDS))


@pytest.fixture(scope="session")
def kafka_bootstrap() -> Iterator[str]:
    """host:port of a real Apache Kafka, one a session; a test takes streams of its own by a prefix of its own."""
    with servers.kafka() as bootstrap:
        yield bootstrap


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[servers.PostgresServer]:
    """A real PostgreSQL 15, one a session."""
    with servers.postgres() as server:
        yield server


@pytest.fixture
def postgres_database(postgres_server: servers.PostgresServer) -> Iterator[str]:
    """The name of a fresh database, dropped after the test."""
    with postgres_server.database() as name:
        yield name


@pytest.fixture
def postgres_url(postgres_server: servers.PostgresServer, postgres_database: str) -> str:
    """SQLAlchemy's URL of a fresh database, as its superuser."""
    return postgres_server.url(postgres_database)


@pytest.fixture(scope="session")
def alertmanager_url() -> Iterator[str]:
    """Base URL of a real Alertmanager, one a session."""
    with servers.alertmanager() as url:
        yield url


@pytest.fixture(scope="session")
def promtool() -> Path:
    """The path of Prometheus' promtool."""
    return servers.promtool()


@pytest.fixture
async def browser_page(tmp_path: Path) -> AsyncIterator[Page]:
    """A page of a headless Chromium with a profile of its own."""
    executable = servers.chromium()
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            tmp_path / "chromium", executable_path=executable, headless=True, args=list(servers.CHROMIUM_FLAGS)
        )
        try:
            yield context.pages[0] if context.pages else await context.new_page()
        finally:
            await context.close()
