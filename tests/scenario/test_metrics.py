"""What all services measure: named and described as Prometheus wants it, and bounded."""

import importlib
import json
import pkgutil
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import yaml

import pegel.alerter
import pegel.dashboard
import pegel.detector
import pegel.eventlog
import pegel.ingest
from pegel.runtime.metrics import REGISTRY, exposition

ALERTS = Path(__file__).parents[2] / "deploy/prometheus/pegel-alerts.yaml"
UNBOUNDED = {"country", "topic", "team", "customer", "segment", "source", "event_id", "site", "reference", "currency"}


def declared() -> Iterator[str]:
    """Import every module named metrics, so that all stand in the registry."""
    for part in (pegel.eventlog, pegel.ingest, pegel.detector, pegel.alerter, pegel.dashboard):
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


def test_alerts_are_about_metrics_that_there_are() -> None:
    list(declared())
    rules = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
    named = {name for rule in rules for name in re.findall(r"pegel_[a-z_]+", rule["expr"])}
    assert named
    assert named <= set(REGISTRY._names_to_collectors)


def test_a_snapshot_that_failed_is_an_alert(promtool: Path, tmp_path: Path) -> None:
    alert = {
        "exp_labels": {"severity": "warning", "part": "counter", "instance": "a"},
        "exp_annotations": next(
            {name: text.replace("{{ $labels.part }}", "counter").replace("{{ $labels.instance }}", "a")
             for name, text in rule["annotations"].items()}
            for rule in yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
            if rule["alert"] == "PegelSnapshotFailed"
        ),
    }  # fmt: skip
    case = {
        "interval": "1m",
        "input_series": [
            {"series": 'pegel_snapshots_failed_total{part="counter",instance="a"}', "values": "0 0 0 1 1 1 1"}
        ],
        "alert_rule_test": [
            {"eval_time": "2m", "alertname": "PegelSnapshotFailed", "exp_alerts": []},
            {"eval_time": "4m", "alertname": "PegelSnapshotFailed", "exp_alerts": [alert]},
        ],
    }
    story = tmp_path / "story.yaml"
    story.write_text(json.dumps({"rule_files": [str(ALERTS)], "tests": [case]}))
    checked = subprocess.run([promtool, "check", "rules", ALERTS], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    done = subprocess.run([promtool, "test", "rules", story], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
