"""The Kubernetes manifests as a cluster would get them: rendered by Kustomize, nothing fetched."""

import subprocess
from collections.abc import Iterator
from typing import Any, Final

import pytest
import yaml

from support.drift import ROOT

KUSTOMIZE: Final = ROOT / ".cache/bin/kustomize"
MANIFESTS: Final = ROOT / "deploy/k8s"
Manifest = dict[str, Any]


def render(overlay: str) -> list[Manifest]:
    """All manifests of deploy/k8s/OVERLAY; a failed test when Kustomize is missing or finds a fault."""
    if not KUSTOMIZE.exists():
        pytest.fail("Kustomize is missing: run `make deps-debian` (builds it into .cache/bin)", pytrace=False)
    done = subprocess.run([KUSTOMIZE, "build", MANIFESTS / overlay], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "Kustomize warns"
    return list(yaml.safe_load_all(done.stdout))


def of_kind(manifests: list[Manifest], *kinds: str) -> dict[str, Manifest]:
    """The manifests of some kinds, by name."""
    return {found["metadata"]["name"]: found for found in manifests if found["kind"] in kinds}


def pod_of(workload: Manifest) -> Manifest:
    """The pod's spec of a Deployment or Job."""
    spec: Manifest = workload["spec"]["template"]["spec"]
    return spec


def labels_of(workload: Manifest) -> dict[str, str]:
    """The labels that a workload's pods carry."""
    labels: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return labels


def container_of(workload: Manifest) -> Manifest:
    """The one container of a workload."""
    (container,) = pod_of(workload)["containers"]
    assert isinstance(container, dict)
    return container


def environment_of(workload: Manifest, manifests: list[Manifest], secrets: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Names and values of a workload's variables; those from a Secret are taken from `secrets` by name:key."""
    config_maps = of_kind(manifests, "ConfigMap")
    container = container_of(workload)
    for source in container.get("envFrom", []):
        yield from config_maps[source["configMapRef"]["name"]]["data"].items()
    for variable in container.get("env", []):
        if "value" in variable:
            yield variable["name"], variable["value"]
        else:
            reference = variable["valueFrom"]["secretKeyRef"]
            yield variable["name"], secrets[f"{reference['name']}:{reference['key']}"]


def matches(selector: Manifest, labels: dict[str, str]) -> bool:
    """Whether a label selector (matchLabels, matchExpressions with In) takes a pod."""
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()) and all(
        expression["operator"] == "In" and labels.get(expression["key"]) in expression["values"]
        for expression in selector.get("matchExpressions", [])
    )
