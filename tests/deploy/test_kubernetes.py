"""deploy/kubernetes: valid objects that refer to each other, a pod locked in, settings that the application reads."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import kubernetes_validate
import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from tests.deploy.cluster import OBJECTS, PLACES, container, environment, find, pod, stateful_set
from tests.deploy.support import KNOWN, SECRETS, SERVICES, parse, read, settings_of
from tests.support.app import App

OPERATOR = "monitoring.coreos.com/v1"
CORE = [(place, o) for place, objects in OBJECTS.items() for o in objects if o["apiVersion"] != OPERATOR]
LABELS = {"app.kubernetes.io/name": "sql-synthesizer"}
DURATION = r"^\d+(ms|s|m|h|d)$"

each_place = pytest.mark.parametrize("place", PLACES)


@pytest.mark.parametrize(("place", "document"), CORE, ids=[f"{p}-{o['kind']}-{o['metadata']['name']}" for p, o in CORE])
def test_schema(place: str, document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, "1.37", strict=True)


class Strict(BaseModel):
    """A part of the operator's API (reference of monitoring.coreos.com/v1); a field that is not listed is refused."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)


class Endpoint(Strict):
    port: str
    path: str = Field(pattern="^/")
    interval: str = Field(pattern=DURATION)
    scrape_timeout: str = Field(pattern=DURATION)


class Selector(Strict):
    match_labels: dict[str, str]


class ServiceMonitor(Strict):
    job_label: str
    selector: Selector
    sample_limit: int = Field(ge=0)
    endpoints: list[Endpoint] = Field(min_length=1)


class Rule(Strict):
    alert: str | None = None
    record: str | None = None
    expr: str
    for_: str | None = Field(None, alias="for", pattern=DURATION)
    keep_firing_for: str | None = Field(None, alias="keep_firing_for", pattern=DURATION)
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Group(Strict):
    name: str
    interval: str | None = Field(None, pattern=DURATION)
    rules: list[Rule]


class PrometheusRule(Strict):
    groups: list[Group]


class Operated(Strict):
    api_version: Literal["monitoring.coreos.com/v1"]
    kind: Literal["ServiceMonitor", "PrometheusRule"]
    metadata: dict[str, Any]
    spec: ServiceMonitor | PrometheusRule


@pytest.mark.parametrize("kind", ["ServiceMonitor", "PrometheusRule"])
def test_schema_of_the_operator(kind: str) -> None:
    (document,) = find("base", kind)
    assert type(Operated.model_validate(document).spec).__name__ == kind


def test_the_rules_are_those_of_prometheus() -> None:
    (rule,) = find("base", "PrometheusRule")
    files = [read(f"monitoring/prometheus/{name}.yml") for name in ("alerts", "recording")]
    assert rule["spec"]["groups"] == [group for file in files for group in file["groups"]]


@each_place
def test_rendered_as_kubectl_does(place: str) -> None:
    kubectl = shutil.which("kubectl")
    done = kubectl and subprocess.run(
        [kubectl, "kustomize", PLACES[place]], capture_output=True, text=True, check=False
    )
    if not done or "invalid Kustomization" in done.stderr:
        pytest.skip("no kubectl that knows these fields")
    assert done.returncode == 0, done.stderr

    def by_name(documents: Any) -> dict[tuple[str, str], Any]:
        return {(o["kind"], o["metadata"]["name"]): o for o in documents}

    assert by_name(yaml.safe_load_all(done.stdout)) == by_name(OBJECTS[place])


def selections(place: str) -> Iterator[dict[str, str]]:
    for kind in ("StatefulSet", "PodDisruptionBudget"):
        yield from (o["spec"]["selector"]["matchLabels"] for o in find(place, kind))
    yield from (o["spec"]["podSelector"]["matchLabels"] for o in find(place, "NetworkPolicy"))
    yield from (o["spec"]["selector"] for o in find(place, "Service"))
    yield from (c["labelSelector"]["matchLabels"] for c in pod(place)["topologySpreadConstraints"])


@each_place
def test_selectors_select_the_pods(place: str) -> None:
    labels = stateful_set(place)["template"]["metadata"]["labels"]
    chosen = list(selections(place))
    assert len(chosen) == 7
    assert all(selector.items() <= labels.items() for selector in chosen)


@each_place
def test_names_lead_somewhere(place: str) -> None:
    ports = {port["name"] for port in container(place)["ports"]}
    services = {service["metadata"]["name"]: service["spec"] for service in find(place, "Service")}
    assert {port["targetPort"] for service in services.values() for port in service["ports"]} == ports
    assert services[stateful_set(place)["serviceName"]]["clusterIP"] == "None"
    (policy,) = find(place, "NetworkPolicy")
    assert {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]} == ports
    assert pod(place)["serviceAccountName"] in {o["metadata"]["name"] for o in find(place, "ServiceAccount")}
    volumes = {volume["name"] for volume in pod(place)["volumes"]}
    volumes |= {claim["metadata"]["name"] for claim in stateful_set(place)["volumeClaimTemplates"]}
    assert {mount["name"] for mount in container(place)["volumeMounts"]} == volumes


def test_one_service_is_scraped_under_the_job_of_the_rules() -> None:
    (monitor,) = find("base", "ServiceMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    (service,) = [o for o in find("base", "Service") if wanted <= o["metadata"]["labels"].items()]
    assert service["spec"]["publishNotReadyAddresses"]
    assert monitor["spec"]["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}
    job = service["metadata"]["labels"][monitor["spec"]["jobLabel"]]
    (scrape,) = [c for c in read("monitoring/prometheus/prometheus.yml")["scrape_configs"] if c["job_name"] == job]
    assert scrape["sample_limit"] == monitor["spec"]["sampleLimit"]


@each_place
def test_the_pod_is_locked_in(place: str) -> None:
    spec, app = pod(place), container(place)
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert app["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}
    assert app["resources"]["limits"]["memory"]
    assert not spec["automountServiceAccountToken"]
    # The cluster would set SQL_SYNTHESIZER_PORT to an address.
    assert spec["enableServiceLinks"] is False


@each_place
def test_no_secret_is_contained(place: str) -> None:
    assert not find(place, "Secret")
    assert not environment(place).keys() & SECRETS


@each_place
def test_settings_of_the_application(place: str, tmp_path: Path) -> None:
    given = environment(place)
    assert given.keys() <= KNOWN
    (secrets,) = [m["mountPath"] for m in container(place)["volumeMounts"] if m["name"] == "secrets"]
    for name, path in given.items():
        if name.endswith("_FILE"):
            assert path.startswith(f"{secrets}/")
            (tmp_path / Path(path).name).write_text("postgresql://reader@database/shop")
    settings = settings_of({name: value.replace(secrets, str(tmp_path)) for name, value in given.items()})
    assert settings["metrics_enabled"]
    assert {port["name"]: port["containerPort"] for port in container(place)["ports"]} == {
        "http": settings["port"],
        "metrics": settings["metrics_port"],
    }
    (state,) = [m["mountPath"] for m in container(place)["volumeMounts"] if m["name"] == "state"]
    assert Path(state) in Path(settings["state_dir"]).parents
    stop = settings["drain_seconds"] + settings["deadline"] + 10
    assert pod(place)["terminationGracePeriodSeconds"] > stop
    shared = (settings["cache"], settings["rate_limit_storage"], bool(settings["store_url"] and settings["redis_url"]))
    assert shared == (("redis", "redis", True) if place == "scaled" else ("memory", "memory", False))
    parse(container(place)["args"])


def test_probes(app: App) -> None:
    paths = {
        kind: container("base")[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")
    }
    assert paths == {"startup": "/health/live", "readiness": "/health/ready", "liveness": "/health/live"}
    assert {app.get(path).status_code for path in paths.values()} == {200}


def test_only_the_overlay_scales() -> None:
    assert not find("base", "HorizontalPodAutoscaler")
    assert stateful_set("base")["replicas"] == 1
    (scaler,) = find("scaled", "HorizontalPodAutoscaler")
    target = scaler["spec"]["scaleTargetRef"]
    assert [o["metadata"]["name"] for o in find("scaled", target["kind"])] == [target["name"]]
    assert "replicas" not in stateful_set("scaled")
    assert 1 < scaler["spec"]["minReplicas"] < scaler["spec"]["maxReplicas"]


@each_place
def test_audit_outlives_the_pod(place: str) -> None:
    assert stateful_set(place)["persistentVolumeClaimRetentionPolicy"] == {
        "whenDeleted": "Retain",
        "whenScaled": "Retain",
    }


def test_the_image_is_that_of_the_containers() -> None:
    assert container("base")["image"] == SERVICES["app"]["image"]
    context = pod("base")["securityContext"]
    assert SERVICES["app"]["user"] == f"{context['runAsUser']}:{context['runAsGroup']}"


def test_labels() -> None:
    for document in OBJECTS["scaled"]:
        assert LABELS.items() <= document["metadata"]["labels"].items()
        assert re.fullmatch("sql-synthesizer(-[a-z]+)?", document["metadata"]["name"])
