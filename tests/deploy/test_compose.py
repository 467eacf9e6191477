"""docker-compose.yml: its schema, its references, how its containers are locked in, and what the application reads."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from tests.deploy.support import (
    COMPOSE,
    KNOWN,
    LOOPBACK,
    OURS,
    PROGRAM,
    ROOT,
    SECRETS,
    SERVICES,
    make_secrets,
    mounts,
    parse,
    read,
    settings_of,
    subpath,
)

APP = SERVICES["app"]
ONE_SHOT = {"secrets", "demo"}
PINNED = re.compile(r"[\w./-]+:v?\d+\.\d+[\w.-]*")

each_service = pytest.mark.parametrize("name", SERVICES)


def test_schema() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@each_service
def test_dependencies(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        condition = how["condition"]
        assert condition == ("service_completed_successfully" if other in ONE_SHOT else "service_healthy")


def test_networks_and_volumes() -> None:
    networks = {network for service in SERVICES.values() for network in service.get("networks", [])}
    volumes = {source for service in SERVICES.values() for source, _, _ in mounts(service) if source[0] not in "./"}
    assert networks == set(COMPOSE["networks"])
    assert volumes == set(COMPOSE["volumes"])
    assert COMPOSE["networks"]["data"]["internal"]
    assert all(SERVICES[name]["networks"] == ["data"] for name in ("postgres", "redis", "demo"))


@each_service
def test_files_of_the_host(name: str) -> None:
    for source, _, read_only in mounts(SERVICES[name]):
        if source[0] in "./":
            assert (ROOT / source).exists(), f"{source} is missing"
            assert read_only


@each_service
def test_images_are_pinned(name: str) -> None:
    image = SERVICES[name]["image"]
    assert PINNED.fullmatch(image)
    if name in OURS:
        version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
        assert image == f"sql-synthesizer:{version}"


@each_service
def test_containers_are_locked_in(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"]
    assert int(service["user"].partition(":")[0]) > 0
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert service["logging"]["options"]["max-size"]
    assert not service.keys() & {"privileged", "cap_add", "devices", "pid", "ipc", "userns_mode"}
    assert service.get("network_mode", "none") == "none"


@each_service
def test_containers_are_kept_running(name: str) -> None:
    one_shot = name in ONE_SHOT
    assert SERVICES[name]["restart"] == ("no" if one_shot else "unless-stopped")
    assert ("healthcheck" in SERVICES[name]) != one_shot


@each_service
def test_ports_are_published_on_loopback(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert LOOPBACK.fullmatch(port), port


def test_ports_are_published_once() -> None:
    published = [port.split(":")[1] for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == len(set(published))
    assert {"5000", "9090", "9093", "3000"} <= set(published)


@pytest.mark.parametrize("variable", APP["environment"])
def test_variables_of_the_application(variable: str) -> None:
    assert variable in KNOWN
    assert variable not in SECRETS or APP["environment"][variable] is None or variable == "REDIS_URL"


def test_settings_of_the_application(secrets: Path) -> None:
    given = {name: str(value) for name, value in APP["environment"].items() if value is not None}
    settings = settings_of({name: in_volume(value, APP, secrets) for name, value in given.items()})
    assert settings["database_url"] is not None
    assert settings["metrics_enabled"]
    assert APP["ports"] == [f"127.0.0.1:{settings['port']}:{settings['port']}"]
    assert APP["expose"] == [str(settings["metrics_port"])]


def in_volume(text: str, service: dict[str, Any], secrets: Path) -> str:
    """A path among the secrets of a container, as a path of this machine."""
    mounted = subpath(service)
    return text.replace(mounted[1], str(secrets / mounted[0])) if mounted else text


@pytest.mark.parametrize("name", [name for name in SERVICES if subpath(SERVICES[name])])
def test_secrets_are_made_for_who_reads_them(name: str, secrets: Path) -> None:
    service = SERVICES[name]
    directory, target = subpath(service) or ("", "")
    text = str([service.get("environment"), service.get("command", "")])
    places = [ROOT / source for source, _, _ in mounts(service) if source.startswith("./")]
    files = [file for place in places for file in (place.rglob("*") if place.is_dir() else [place]) if file.is_file()]
    text += "".join(file.read_text() for file in files)
    text += "".join(file.read_text() for file in (ROOT / "deploy/compose" / name).glob("*"))
    named = set(re.findall(re.escape(target) + r"/(\w+)", text))
    assert named == {file.name for file in (secrets / directory).iterdir()}


def test_secrets_are_random_and_kept(secrets: Path, tmp_path: Path) -> None:
    def contents(root: Path) -> dict[str, str]:
        return {str(file.relative_to(root)): file.read_text() for file in root.rglob("*") if file.is_file()}

    before = contents(secrets)
    (secrets / "grafana/admin_password").unlink()
    make_secrets(secrets)
    make_secrets(tmp_path)
    after, others = contents(secrets), contents(tmp_path)
    assert {name for name in before if before[name] != after[name]} == {"grafana/admin_password"}
    assert {name for name in others if others[name] == after[name]} == {"alertmanager/slack_api_url"}


@each_service
def test_no_secret_stands_in_the_file(name: str) -> None:
    service = SERVICES[name]
    for variable, value in (service.get("environment") or {}).items():
        if re.search("PASSWORD|SECRET|TOKEN|KEY", variable):
            assert value is None or variable.endswith("_FILE")
    for url in re.findall(r"\w+://\S+", str(service.get("command", ""))):
        assert make_url(url).password is None if "@" in url else True


@pytest.mark.parametrize("name", PROGRAM)
def test_verbs_of_the_program(name: str) -> None:
    parse(SERVICES[name]["command"])


def addresses() -> Iterator[tuple[str, str, str]]:
    """(container that calls, container called, port) of every address in the settings of the stack."""
    datasources = read("monitoring/grafana/provisioning/datasources/datasources.yml")["datasources"]
    alertmanager = read("monitoring/alertmanager/config.yml")
    webhooks = [hook["url"] for r in alertmanager["receivers"] for hook in r.get("webhook_configs", [])]
    targets = [
        t
        for file in (ROOT / "monitoring/prometheus/targets/compose").iterdir()
        for g in read(str(file))
        for t in g["targets"]
    ]
    texts = {
        "app": list(filter(None, APP["environment"].values())),
        "grafana": [datasource["url"] for datasource in datasources],
        "alertmanager": [alertmanager["global"]["smtp_smarthost"], *webhooks],
        "prometheus": targets,
    }
    for caller, values in texts.items():
        for value in values:
            if found := re.fullmatch(r"(?:\w+://)?([a-z]+):(\d+)(?:/.*)?", value):
                yield caller, found[1], found[2]


@pytest.mark.parametrize(("caller", "called", "port"), sorted(set(addresses())))
def test_addresses(caller: str, called: str, port: str) -> None:
    service = SERVICES[called]
    published = [LOOPBACK.fullmatch(text)[2] for text in service.get("ports", [])]  # type: ignore[index]
    assert port in [*published, *service.get("expose", [])]
    assert caller == called or set(service["networks"]) & set(SERVICES[caller]["networks"])


def test_sources_of_the_dashboards() -> None:
    datasources = read("monitoring/grafana/provisioning/datasources/datasources.yml")["datasources"]
    uids = {datasource["uid"] for datasource in datasources}
    assert uids == {"prometheus", "traces"}
    assert sum(datasource.get("isDefault", False) for datasource in datasources) == 1
    linked = [
        d["datasourceUid"] for s in datasources for d in s.get("jsonData", {}).get("exemplarTraceIdDestinations", [])
    ]
    assert linked == ["traces"]
    (provider,) = read("monitoring/grafana/provisioning/dashboards/dashboards.yml")["providers"]
    assert provider["options"]["path"] in {target for _, target, _ in mounts(SERVICES["grafana"])}


def test_trace_store() -> None:
    config = read("deploy/compose/jaeger.yml")
    assert set(config["service"]["extensions"]) == set(config["extensions"])
    (pipeline,) = config["service"]["pipelines"].values()
    for kind in ("receivers", "processors", "exporters"):
        assert set(pipeline[kind]) == set(config[kind])
    stores = set(config["extensions"]["jaeger_storage"]["backends"])
    assert stores == {config["extensions"]["jaeger_query"]["storage"]["traces"]}
    assert stores == {config["exporters"]["jaeger_storage_exporter"]["trace_storage"]}
