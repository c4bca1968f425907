"""deploy/k8s renders, is valid for the Kubernetes API, and says what the services understand."""

import copy
import json
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
from typer.testing import CliRunner

from pegel.cli.app import app
from pegel.runtime import settings
from support.manifests import (
    MANIFESTS,
    Manifest,
    container_of,
    environment_of,
    labels_of,
    matches,
    of_kind,
    pod_of,
    render,
)

pytestmark = pytest.mark.server  # Kustomize comes with `make deps-debian`

API_VERSIONS: Final = ("1.29", "1.31", "1.34", "1.37")
SERVICES: Final = {"ingest": 8001, "counter": 8002, "judge": 8002, "alerter": 8003, "dashboard": 8000}
SECRETS: Final = {
    "pegel-kafka:username": "pegel",
    "pegel-kafka:password": "secret",
    "pegel-database:url": "postgresql+psycopg://pegel@postgres/pegel",
    "pegel-database:migrate-url": "postgresql+psycopg://owner@postgres/pegel",
    "pegel-paging:webhook-url": "https://pages.example.org/",
    "pegel-paging:webhook-secret": "whsec_c2VjcmV0c2VjcmV0c2VjcmV0",
    "pegel-dashboard:token": "secret",
}


@pytest.fixture(scope="module", params=["base", "example"])
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return render(request.param)


@pytest.fixture
def workloads(manifests: list[Manifest]) -> dict[str, Manifest]:
    return {name.removeprefix("pegel-"): found for name, found in of_kind(manifests, "Deployment", "Job").items()}


@pytest.fixture
def deployments(workloads: dict[str, Manifest]) -> dict[str, Manifest]:
    return {name: found for name, found in workloads.items() if found["kind"] == "Deployment"}


@pytest.mark.parametrize("version", API_VERSIONS)
def test_it_is_valid_for_the_kubernetes_api(manifests: list[Manifest], version: str) -> None:
    for manifest in manifests:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_validation_finds_a_misspelt_field(deployments: dict[str, Manifest]) -> None:
    misspelt = copy.deepcopy(deployments["ingest"])
    pod_of(misspelt)["terminationGracePeriod"] = 30
    with pytest.raises(kubernetes_validate.ValidationError, match="terminationGracePeriod"):
        kubernetes_validate.validate(misspelt, API_VERSIONS[0], strict=True)


def test_there_is_a_workload_for_each_part(workloads: dict[str, Manifest], deployments: dict[str, Manifest]) -> None:
    assert deployments.keys() == SERVICES.keys()
    assert workloads.keys() - deployments.keys() == {"streams", "migrate"}


def test_the_command_line_understands_every_workload(workloads: dict[str, Manifest]) -> None:
    for name, workload in workloads.items():
        shown = CliRunner().invoke(app, [*container_of(workload)["args"], "--help"])
        assert shown.exit_code == 0, f"{name}: {shown.output}"


def test_every_variable_is_a_setting_with_a_valid_value(
    workloads: dict[str, Manifest], manifests: list[Manifest]
) -> None:
    for name, workload in workloads.items():
        environment = dict(environment_of(workload, manifests, SECRETS))
        loaded = settings.load(environment)
        assert loaded.loopback == (name in {"streams", "migrate"})


def test_kubernetes_adds_no_variable_of_its_own(workloads: dict[str, Manifest]) -> None:
    # For a Service pegel-ingest it would set PEGEL_INGEST_PORT=tcp://10.0.0.1:8001, which is a setting's name.
    assert {pod_of(workload)["enableServiceLinks"] for workload in workloads.values()} == {False}


def test_counters_are_at_most_as_many_as_partitions(
    deployments: dict[str, Manifest], manifests: list[Manifest]
) -> None:
    environment = dict(environment_of(deployments["counter"], manifests, SECRETS))
    assert deployments["counter"]["spec"]["replicas"] <= int(environment["PEGEL_PARTITIONS"])
    assert deployments["judge"]["spec"]["replicas"] == 2


def test_every_pod_has_no_rights_it_does_not_need(workloads: dict[str, Manifest]) -> None:
    for workload in workloads.values():
        pod, container = pod_of(workload), container_of(workload)
        assert pod["serviceAccountName"] == "pegel"
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]


def test_every_mounted_file_that_a_variable_names_is_mounted(
    workloads: dict[str, Manifest], manifests: list[Manifest]
) -> None:
    for name, workload in workloads.items():
        mounts = [mount["mountPath"] for mount in container_of(workload)["volumeMounts"]]
        volumes = {volume["name"] for volume in pod_of(workload)["volumes"]}
        assert {mount["name"] for mount in container_of(workload)["volumeMounts"]} == volumes
        for variable, value in environment_of(workload, manifests, SECRETS):
            if value.startswith("/"):
                assert any(Path(value).is_relative_to(mount) for mount in mounts), f"{name}: {variable}={value}"


def test_every_service_is_probed_on_its_port_and_may_be_disrupted_one_at_a_time(
    deployments: dict[str, Manifest], manifests: list[Manifest]
) -> None:
    services, budgets = of_kind(manifests, "Service"), of_kind(manifests, "PodDisruptionBudget")
    for name, port in SERVICES.items():
        container = container_of(deployments[name])
        assert container["ports"] == [{"name": "http", "containerPort": port}]
        assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
        assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
        assert pod_of(deployments[name])["terminationGracePeriodSeconds"] == 30
        service = services[f"pegel-{name}"]["spec"]
        assert service["ports"] == [{"name": "http", "port": port, "targetPort": "http"}]
        budget = budgets[f"pegel-{name}"]["spec"]
        assert budget["maxUnavailable"] == 1
        for selector in (service["selector"], budget["selector"]["matchLabels"]):
            taken = [
                other for other, found in deployments.items() if matches({"matchLabels": selector}, labels_of(found))
            ]
            assert taken == [name]


def ports_open(policies: dict[str, Any], labels: dict[str, str], direction: str) -> set[Any]:
    """Ports that the policies open for a pod (a rule without ports opens "all")."""
    opened: set[Any] = set()
    for policy in policies.values():
        if matches(policy["spec"]["podSelector"], labels):
            for rule in policy["spec"].get(direction, []):
                opened |= {port["port"] for port in rule.get("ports", [{"port": "all"}])}
    return opened


def test_the_network_is_closed_but_for_what_is_needed(
    workloads: dict[str, Manifest], manifests: list[Manifest]
) -> None:
    policies = of_kind(manifests, "NetworkPolicy")
    denied = policies["pegel-deny-all"]["spec"]
    assert denied["policyTypes"] == ["Ingress", "Egress"]
    assert not denied.keys() & {"ingress", "egress"}
    for workload in workloads.values():
        assert matches(denied["podSelector"], labels_of(workload))
    kafka = {9092, 9093}
    wanted = {
        "ingest": kafka,
        "counter": kafka,
        "judge": kafka,
        "alerter": kafka | {5432, 443},
        "dashboard": {8003},
        "streams": kafka,
        "migrate": {5432},
    }
    found = {name: ports_open(policies, labels_of(workload), "egress") - {53} for name, workload in workloads.items()}
    assert found == wanted
    served = {name for name, workload in workloads.items() if ports_open(policies, labels_of(workload), "ingress")}
    assert served == SERVICES.keys()


def test_no_secret_is_in_the_repository(manifests: list[Manifest]) -> None:
    assert not of_kind(manifests, "Secret")
    text = json.dumps(manifests).lower()
    assert "whsec_" not in text
    assert "://pegel:" not in text


def test_the_readme_names_every_secret(manifests: list[Manifest]) -> None:
    readme = (MANIFESTS / "README.md").read_text()
    names = {reference.split(":")[0] for reference in SECRETS} | {"pegel-tokens", "pegel-pseudonyms"}
    volumes = [
        volume for workload in of_kind(manifests, "Deployment").values() for volume in pod_of(workload)["volumes"]
    ]
    assert names >= {volume["secret"]["secretName"] for volume in volumes if "secret" in volume}
    assert [name for name in names if f"`{name}`" not in readme] == []
