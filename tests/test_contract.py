"""The names that the specification pins: none may go missing."""

from __future__ import annotations

import importlib
import inspect
import json
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from sql_synthesizer.monitoring import catalog, metrics
from sql_synthesizer.settings import Settings, environment_name
from sql_synthesizer.telemetry import vocabulary
from tests.support.app import App

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "sql_synthesizer"

METRICS = {
    "sql_synthesizer_query_duration_seconds": ("histogram", ("query_type", "database_type", "success")),
    "sql_synthesizer_queries_total": ("counter", ("query_type", "database_type", "success")),
    "sql_synthesizer_active_connections": ("gauge", ("database_type",)),
    "sql_synthesizer_cache_operations_total": ("counter", ("operation", "cache_type", "hit_miss")),
    "sql_synthesizer_security_events_total": ("counter", ("event_type", "severity")),
    "sql_synthesizer_memory_usage_bytes": ("gauge", ()),
    "sql_synthesizer_cpu_usage_percent": ("gauge", ()),
}
OBJECTS = {
    "METRICS_REGISTRY": CollectorRegistry,
    "QUERY_DURATION": Histogram,
    "QUERY_TOTAL": Counter,
    "ACTIVE_CONNECTIONS": Gauge,
    "CACHE_OPERATIONS": Counter,
    "SECURITY_EVENTS": Counter,
    "MEMORY_USAGE": Gauge,
    "CPU_USAGE": Gauge,
}
SIGNATURES = {
    "track_query_metrics": ["query_type", "database_type"],
    "track_cache_metrics": ["operation", "cache_type"],
    "track_security_event": ["event_type", "severity"],
    "update_system_metrics": [],
    "get_metrics": [],
}


@pytest.mark.parametrize("file", ["monitoring/metrics.py", "webapp.py", "security_audit.py"])
def test_files(file: str) -> None:
    assert (PACKAGE / file).is_file()


@pytest.mark.parametrize(
    "file",
    [
        "monitoring/grafana/dashboards/application-performance.json",
        "monitoring/grafana/dashboards/security-monitoring.json",
        "monitoring/prometheus/prometheus.yml",
        "monitoring/prometheus/alerts.yml",
        "monitoring/alertmanager/config.yml",
        "docker-compose.yml",
    ],
)
def test_deployed_files(file: str) -> None:
    assert (ROOT / file).is_file()


@pytest.mark.parametrize(
    ("name", "severity"),
    [
        ("HighQueryLatency", "warning"),
        ("HighErrorRate", "critical"),
        ("SecurityEventSpike", "critical"),
        ("SQLInjectionAttempts", "critical"),
        ("HighMemoryUsage", "warning"),
        ("HighCPUUsage", "warning"),
    ],
)
def test_alerts(name: str, severity: str) -> None:
    document = yaml.safe_load((ROOT / "monitoring/prometheus/alerts.yml").read_text(encoding="utf-8"))
    (rule,) = [rule for group in document["groups"] for rule in group["rules"] if rule.get("alert") == name]
    assert rule["labels"]["severity"] == severity


@pytest.mark.parametrize(
    ("file", "title", "panels"),
    [
        (
            "application-performance",
            "SQL Synthesizer - Application Performance",
            {"Query Response Time", "Query Throughput", "Error Rate", "Cache Hit Rate"},
        ),
        (
            "security-monitoring",
            "SQL Synthesizer - Security Monitoring",
            {"Security Events", "Failed Authentication Attempts", "SQL Injection Attempts"},
        ),
    ],
)
def test_dashboards(file: str, title: str, panels: set[str]) -> None:
    page = json.loads((ROOT / f"monitoring/grafana/dashboards/{file}.json").read_text(encoding="utf-8"))
    assert page["title"] == title
    assert panels <= {panel["title"] for panel in page["panels"]}


def test_compose() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    environment = compose["services"]["app"]["environment"]
    assert (str(environment["PROMETHEUS_METRICS_ENABLED"]), str(environment["METRICS_PORT"])) == ("true", "8080")
    assert {"app", "prometheus", "grafana", "alertmanager"} <= compose["services"].keys()


@pytest.mark.parametrize(("name", "row"), METRICS.items())
def test_metric_names_and_labels(name: str, row: tuple[str, tuple[str, ...]]) -> None:
    metric = catalog.BY_NAME[name]
    assert (metric.kind, metric.label_names) == row


@pytest.mark.parametrize(("name", "kind"), OBJECTS.items())
def test_objects(name: str, kind: type) -> None:
    assert isinstance(getattr(metrics, name), kind)


@pytest.mark.parametrize(("name", "parameters"), SIGNATURES.items())
def test_functions(name: str, parameters: list[str]) -> None:
    function = getattr(metrics, name)
    required = [p.name for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    assert required == parameters


def test_classes() -> None:
    manager = importlib.import_module("sql_synthesizer.database").DatabaseManager
    assert inspect.isclass(manager)
    log_event = importlib.import_module("sql_synthesizer.security_audit").SecurityAuditLogger.log_event
    parameters = inspect.signature(log_event).parameters
    assert list(parameters)[:4] == ["self", "event_type", "details", "severity"]
    assert parameters["severity"].default == "info"


@pytest.mark.parametrize("path", ["/metrics", "/health", "/health/ready", "/health/live"])
def test_endpoints(app: App, path: str) -> None:
    assert app.get(path).status_code == 200


def test_settings_and_ports() -> None:
    fields = Settings.model_fields
    assert (environment_name("metrics_enabled"), environment_name("metrics_port")) == (
        "PROMETHEUS_METRICS_ENABLED",
        "METRICS_PORT",
    )
    assert (fields["port"].default, fields["metrics_port"].default) == (5000, 8080)


@pytest.mark.parametrize("name", ["authentication_failure", "sql_injection_attempt"])
def test_event_names(name: str) -> None:
    assert name in vocabulary.SECURITY_EVENTS


@pytest.mark.parametrize("word", ["success", "error"])
def test_success_values(word: str) -> None:
    assert word in vocabulary.SUCCESS
