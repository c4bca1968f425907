"""What all services measure: named and described as Prometheus wants it, and bounded."""

import importlib
import pkgutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pegel.alerter
import pegel.dashboard
import pegel.detector
import pegel.ingest
from pegel.runtime.metrics import REGISTRY, exposition

UNBOUNDED = {"country", "topic", "team", "customer", "segment", "source", "event_id", "site", "reference", "currency"}


def declared() -> Iterator[str]:
    """Import every module named metrics, so that all stand in the registry."""
    for part in (pegel.ingest, pegel.detector, pegel.alerter, pegel.dashboard):
        for found in pkgutil.walk_packages(part.__path__, f"{part.__name__}."):
            if found.name.endswith(".metrics"):
                importlib.import_module(found.name)
                yield found.name


def test_they_begin_with_pegel_and_no_label_grows_with_contacts() -> None:
    assert len(list(declared())) >= 4
    for collector in {id(each): each for each in REGISTRY._names_to_collectors.values()}.values():
        labels = set(getattr(collector, "_labelnames", ()))
        assert not labels & UNBOUNDED, collector
    assert all(name.startswith("pegel_") for name in REGISTRY._names_to_collectors)


def test_promtool_finds_nothing(promtool: Path) -> None:
    list(declared())
    body, _ = exposition()
    done = subprocess.run([promtool, "check", "metrics"], input=body, capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
