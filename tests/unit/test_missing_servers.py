"""A server that is not installed fails the test, and the sentence says what to install."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from support import manifests, servers


@pytest.fixture(autouse=True)
def _nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(servers, "POSTGRES_BIN", tmp_path)
    monkeypatch.setattr(manifests, "KUSTOMIZE", tmp_path / "kustomize")


@pytest.mark.parametrize(
    ("start", "package"),
    [
        (servers.kafka, "openjdk-17-jre-headless"),
        (servers.postgres, "postgresql-15"),
        (servers.alertmanager, "prometheus-alertmanager"),
        (lambda: servers.prometheus([]), "prometheus"),
    ],
)
def test_a_server(start: Callable[[], AbstractContextManager[object]], package: str) -> None:
    with pytest.raises(pytest.fail.Exception, match=rf"make deps-debian.*apt install {package}\)"), start():
        pass


@pytest.mark.parametrize(("find", "package"), [(servers.promtool, "prometheus"), (servers.chromium, "chromium")])
def test_a_command(find: Callable[[], Path], package: str) -> None:
    with pytest.raises(pytest.fail.Exception, match=rf"make deps-debian.*apt install {package}\)"):
        find()


def test_kustomize() -> None:
    with pytest.raises(pytest.fail.Exception, match="make deps-debian"):
        manifests.render("base")
