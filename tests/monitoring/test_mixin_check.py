"""Drift is caught both ways: one fault at a time is seeded into a copy, and the check has to name it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sql_synthesizer_proof.mixin.alert import Links
from sql_synthesizer_proof.mixin.build import ROOT, build_files, check_files
from tests.monitoring.seeding import (
    ALERTS,
    CODE,
    OVERVIEW,
    PROMETHEUS,
    RECORDING,
    SECURITY,
    Seed,
    appended,
    copy,
    hidden,
    mixin,
    renamed,
    replaced,
    shaped,
    target,
    written,
)

SELF_RATIO = """
  - alert: ByHand
    expr: |
      rate(sql_synthesizer_queries_total{job="sql-synthesizer",success="error"}[5m])
        / rate(sql_synthesizer_queries_total{job="sql-synthesizer"}[5m]) > 0.05
    labels: {severity: critical, service: sql-synthesizer, team: operations}
    annotations: {summary: s, description: d, runbook_url: r, dashboard_url: u}
"""

SEEDED: dict[str, tuple[Seed, str]] = {
    "a metric renamed in a rule": (
        replaced(ALERTS, "sql_synthesizer_app_up", "sql_synthesizer_application_up"),
        "rule SqlSynthesizerDown: there is no metric sql_synthesizer_application_up",
    ),
    "a metric renamed in a recording rule": (
        replaced(RECORDING, "sql_synthesizer_queries_total", "sql_synthesizer_query_total"),
        "there is no metric sql_synthesizer_query_total",
    ),
    "a metric renamed in a panel": (
        target("Memory", "memory_usage_bytes", "memory_bytes"),
        "panel Memory: target A: there is no metric sql_synthesizer_memory_bytes",
    ),
    "a metric renamed in a runbook": (
        replaced("runbooks/HighErrorRate.md", "sql_synthesizer_errors_total", "sql_synthesizer_error_total"),
        "HighErrorRate.md: there is no metric sql_synthesizer_error_total",
    ),
    "a metric renamed in a document": (
        appended("docs/architecture.md", "\n`sql_synthesizer_lost_total`\n"),
        "architecture.md: there is no metric sql_synthesizer_lost_total",
    ),
    "a label dropped from an aggregation": (
        replaced(ALERTS, "sum without (instance, query_type, database_type, success)", "sum without (instance)"),
        "rule HighErrorRate: a self-ratio: success",
    ),
    "a label value that nothing emits": (
        replaced(ALERTS, 'event_type="sql_injection_attempt"', 'event_type="sql_injection"'),
        "rule SQLInjectionAttempts: 'sql_injection' is no value of label event_type",
    ),
    "a self-ratio written by hand": (appended(ALERTS, SELF_RATIO), "rule ByHand: a self-ratio"),
    "a threshold changed in a rule": (replaced(ALERTS, "0.05", "0.5"), "alerts.yml is stale"),
    "a threshold changed in a panel": (
        shaped("Error ratio", lambda p: p["fieldConfig"]["defaults"]["thresholds"]["steps"][1].update(value=0.5)),
        "overview.json is stale",
    ),
    "a label read in a text and not there": (
        replaced(
            ALERTS, "{{ $value | humanizePercentage }} of the questions to {{ $labels.job }}", "{{ $labels.pod }}"
        ),
        "rule HighErrorRate: an annotation reads $labels.pod",
    ),
    "a raw value in a text": (
        replaced(ALERTS, "{{ $value | humanizePercentage }}", "{{ $value }}"),
        "rule SqlSynthesizerFlapping: $value is written raw",
    ),
    "an alert without a runbook": (renamed("HighErrorRate.md", "Other.md"), "alert HighErrorRate: there is no runbook"),
    "a runbook without an alert": (renamed("HighErrorRate.md", "Other.md"), "runbook Other: there is no such alert"),
    "a panel renamed in a runbook": (
        replaced("runbooks/HighErrorRate.md", "Error ratio**", "Errors**"),
        "runbook HighErrorRate: it does not name its panel",
    ),
    "a runbook without a heading": (
        replaced("runbooks/HighErrorRate.md", "## Stop the bleeding", "## Now"),
        "runbook HighErrorRate: its headings are not",
    ),
    "a runbook of one paragraph": (
        written("runbooks/HighErrorRate.md", "# HighErrorRate\n"),
        "runbook HighErrorRate: its first paragraph does not say **critical**",
    ),
    "absent() of no metric": (
        replaced(ALERTS, 'absent(up{job="sql-synthesizer"})', "absent(vector(1))"),
        "rule SqlSynthesizerDown: absent looks at no metric",
    ),
    "rules that are not loaded": (
        replaced(PROMETHEUS, "recording.yml", "records.yml"),
        "prometheus.yml: rule_files are",
    ),
    "alerts that are sent nowhere": (
        replaced(PROMETHEUS, "alertmanagers:", "nobody:"),
        "prometheus.yml: alerts are sent to no Alertmanager",
    ),
    "scrapes that come too seldom": (
        replaced(PROMETHEUS, "scrape_interval: 15s", "scrape_interval: 1m"),
        "prometheus.yml: scrape_interval is not 15s",
    ),
    "critical alerts that wait": (
        replaced("monitoring/alertmanager/config.yml", "group_wait: 10s", "group_wait: 1m"),
        "alertmanager: HighErrorRate waits 60 s",
    ),
    "a route before that makes them wait": (
        replaced(
            "monitoring/alertmanager/config.yml",
            "    - receiver: on-call\n",
            '    - matchers: [alertname=~"High.*"]\n      group_wait: 5m\n    - receiver: on-call\n',
        ),
        "alertmanager: HighErrorRate waits 300 s",
    ),
    "a severity that a runbook gets wrong": (
        replaced("runbooks/HighErrorRate.md", "**critical**", "**warning**"),
        "runbook HighErrorRate: its first paragraph does not say **critical**",
    ),
    "an alert that a runbook links and nobody defines": (
        replaced("runbooks/HighErrorRate.md", "(HighQueryLatency.md)", "(HighQueryTime.md)"),
        "HighErrorRate.md: there is no alert HighQueryTime",
    ),
    "a rule without labels": (
        replaced(
            ALERTS, "    labels:\n      severity: critical\n      service: sql-synthesizer\n", "    x:\n      y: z\n"
        ),
        "severity, team or service is missing",
    ),
    "a panel hidden in a collapsed row": (
        lambda root: hidden(root / OVERVIEW, "Memory", "memory_usage_bytes", "memory_bytes"),
        "panel Memory: target A: there is no metric sql_synthesizer_memory_bytes",
    ),
    "a target without a query": (
        shaped("Memory", lambda p: p["targets"][0].pop("expr")),
        "panel Memory: target A: it has no query",
    ),
    "a target without a name": (
        shaped("Memory", lambda p: p["targets"][0].pop("refId")),
        "panel Memory: target None: it needs a name and a legend",
    ),
    "two dashboards of one uid": (
        replaced(SECURITY, '"uid": "sql-synthesizer-security-monitoring"', '"uid": "sql-synthesizer-overview"'),
        "another dashboard has its uid",
    ),
    "a panel type that Grafana dropped": (
        shaped("Memory", lambda p: p.update(type="graph")),
        "panel Memory: the type graph",
    ),
    "a panel without a unit": (
        shaped("Memory", lambda p: p["fieldConfig"]["defaults"].pop("unit")),
        "panel Memory: Grafana has no unit",
    ),
    "a panel over another": (shaped("Memory", lambda p: p["gridPos"].update(x=4, w=8, y=0)), "it lies over"),
    "a panel beyond the page": (shaped("Memory", lambda p: p["gridPos"].update(w=30)), "wider than the page"),
    "a fixed data source": (
        shaped("Memory", lambda p: p["datasource"].update(uid="prometheus")),
        "the data source must be the variable",
    ),
    "a reason that the document does not list": (
        replaced("docs/detection.md", "| `tautology` |", "| `tautologies` |"),
        "shape tautology: detection.md does not list the reason",
    ),
    "a reason that no shape gives": (
        replaced("docs/detection.md", "| `cast` |", "| `cast` | x |\n| `casts` |"),
        "detection.md: no shape has the reason casts",
    ),
    "a wrapped dashboard": (
        lambda root: (root / OVERVIEW).write_text(
            json.dumps({"dashboard": json.loads((root / OVERVIEW).read_text(encoding="utf-8"))}), encoding="utf-8"
        ),
        "overview.json: it is no dashboard",
    ),
}

IN_CODE: dict[str, tuple[Seed, str]] = {
    "a shape that says not what it lets pass": (
        replaced("sql_synthesizer/guard/question/shapes.py", '("null_byte", 1, ("up 5 %00",))', '("null_byte", 1, ())'),
        "shape null_byte (?<!\\s)%00: it has no text that it passes",
    ),
    "a sign that says not what it catches": (
        replaced("sql_synthesizer/guard/question/intent.toml", 'catches = ["be free"]', "catches = []"),
        "it has no text that it catches",
    ),
    "a metric renamed in the code": (
        replaced("sql_synthesizer/monitoring/own_metrics.py", '"app_up"', '"application_up"'),
        "there is no metric sql_synthesizer_app_up",
    ),
    "a label dropped in the code": (
        replaced(
            "sql_synthesizer/monitoring/catalog.py",
            'vocabulary.DATABASE_TYPE, Label("success", vocabulary.SUCCESS, "@success"))',
            "vocabulary.DATABASE_TYPE)",
        ),
        "has no label success",
    ),
    "a label value dropped in the code": (
        replaced("sql_synthesizer/telemetry/vocabulary.py", '("up", "down")', '("good", "down")'),
        "metrics.md is stale",
    ),
    "an event type renamed in the code": (
        replaced(
            "sql_synthesizer/telemetry/vocabulary.py",
            '            "prompt_injection_attempt",\n',
            '            "prompt_attack",\n',
        ),
        "is no value of label event_type",
    ),
    "a metric that nobody watches": (
        replaced(
            "sql_synthesizer/monitoring/catalog.py",
            "METRICS: tuple[Metric, ...] = (\n",
            'METRICS: tuple[Metric, ...] = (\n    _make_gauge("orphan", "Nobody looks", vocabulary.TELEMETRY_QUEUE),\n',
        ),
        "metric sql_synthesizer_orphan: no alert and no panel",
    ),
    "a panel without the alert's threshold": (
        replaced("sql_synthesizer_proof/mixin/dashboards/overview.py", "bounds=(slo.MEMORY_BYTES,)", "bounds=()"),
        "alert HighMemoryUsage: panel Memory draws its threshold at nowhere",
    ),
    "an alert on a dashboard that does not exist": (
        replaced("sql_synthesizer_proof/mixin/alerts/service.py", '(OVERVIEW, "Memory")', '("overwiev", "Memory")'),
        "alert HighMemoryUsage: there is no panel overwiev › Memory",
    ),
    "an alert of the monitoring on a panel that shows something else": (
        replaced(
            "sql_synthesizer_proof/mixin/alerts/monitoring.py",
            '(PANELS, "Targets up")',
            '(PANELS, "Facts waiting")',
        ),
        "alert MonitoringTargetDown: panel Facts waiting shows none of up",
    ),
    "a bucket that an objective needs": (
        replaced("sql_synthesizer/monitoring/catalog.py", "1.0, 2.0, 5.0, 10.0, 20.0", "1.0, 5.0, 10.0, 20.0"),
        "has no bucket bound 2",
    ),
    "a fast alert that comes late": (
        replaced("sql_synthesizer_proof/mixin/alerts/service.py", 'hold="30s"', 'hold="2m"'),
        "alert SqlSynthesizerDown: 176 s from fault to notification",
    ),
    "a burn rate beyond the budget": (
        replaced("sql_synthesizer/monitoring/slo.py", '"1h", "5m", 14.4', '"1h", "5m", 24.0'),
        "a burn rate of 24.0 is never reached",
    ),
    "an alert on a panel that shows something else": (
        replaced("sql_synthesizer_proof/mixin/alerts/service.py", '(OVERVIEW, "Memory")', '(OVERVIEW, "CPU")'),
        "alert HighMemoryUsage: panel CPU shows none of",
    ),
    "a panel with a threshold of its own": (
        replaced("sql_synthesizer_proof/mixin/dashboards/overview.py", "bounds=(slo.CPU_PERCENT,)", "bounds=(90.0,)"),
        "alert HighCPUUsage: panel CPU draws its threshold at 90",
    ),
}

ALONE = {
    "a metric renamed in the code",
    "a label dropped in the code",
    "a label value dropped in the code",
    "an event type renamed in the code",
    "a bucket that an objective needs",
    "an alert on a dashboard that does not exist",
    "an alert on a panel that shows something else",
}
"""Faults that stop the check, or that are hidden by another or hide it."""


def test_the_repository_is_in_order() -> None:
    assert list(check_files(ROOT)) == []


@pytest.mark.parametrize(("seed", "fault"), SEEDED.values(), ids=SEEDED)
def test_a_fault_in_a_file_is_named(tmp_path: Path, seed: Seed, fault: str) -> None:
    seed(copy(tmp_path))
    found = list(check_files(tmp_path))
    assert any(fault in line for line in found), found


def check_copy(root: Path, *names: str) -> str:
    """What the check says of a copy with these faults in the code."""
    copy(root, *CODE)
    for name in names:
        IN_CODE[name][0](root)
    done = mixin(root, "check", "--root", str(root))
    assert done.returncode != 0
    return done.stderr


@pytest.fixture(scope="module")
def found_together(tmp_path_factory: pytest.TempPathFactory) -> str:
    return check_copy(tmp_path_factory.mktemp("together"), *(IN_CODE.keys() - ALONE))


@pytest.mark.parametrize("name", IN_CODE)
def test_a_fault_in_the_code_is_named(tmp_path: Path, name: str, found_together: str) -> None:
    found = check_copy(tmp_path, name) if name in ALONE else found_together
    assert IN_CODE[name][1] in found, found


def test_building_twice_changes_nothing(tmp_path: Path) -> None:
    assert build_files(tmp_path, Links())
    assert build_files(tmp_path, Links()) == []


def test_links_can_lead_elsewhere(tmp_path: Path) -> None:
    patterns = ("--runbooks", "https://wiki/{name}", "--dashboards", "https://grafana/d/{uid}")
    done = mixin(ROOT, "build", "--output", str(tmp_path), *patterns)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / ALERTS).read_text(encoding="utf-8")
    assert "runbook_url: https://wiki/HighErrorRate\n" in text
    assert "dashboard_url: https://grafana/d/sql-synthesizer-overview\n" in text
    assert not re.search(r"localhost", text)
