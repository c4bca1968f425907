"""The alerter's databases for tests: each test that asks for `alerter_database_url` runs on SQLite and PostgreSQL."""

from pathlib import Path

import pytest

BOTH = [
    pytest.param("sqlite", id="sqlite"),
    pytest.param("postgres", id="postgres", marks=pytest.mark.postgres),
]


def database_url(request: pytest.FixtureRequest, kind: str, folder: Path) -> str:
    """A fresh database of the kind. A test that uses it on PostgreSQL must carry the marker postgres (BOTH does)."""
    if kind == "sqlite":
        return f"sqlite:///{folder / 'pegel.sqlite'}"
    url: str = request.getfixturevalue("postgres_url")
    return url
