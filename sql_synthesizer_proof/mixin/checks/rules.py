"""The rule files of Prometheus and its configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml
from promql_parser import parse_duration

from sql_synthesizer.monitoring import slo
from sql_synthesizer_proof.mixin.alert import Alert
from sql_synthesizer_proof.mixin.lint import Lint
from sql_synthesizer_proof.rules import Rule, find_route, read_groups

SEVERITIES = ("critical", "warning", "none")
TEAMS = ("operations", "security")
ANNOTATIONS = ("summary", "description", "runbook_url", "dashboard_url")
RECORD = re.compile(r"[a-z]+:sql_synthesizer_[a-z_]+:[a-z]+_?(rate)?\d+[mhd]")


def rule_faults(rules: list[Rule]) -> Iterator[str]:
    """The faults of every rule, composed or written by hand."""
    recorded = frozenset(rule["record"] for rule in rules if "record" in rule)
    for rule in rules:
        if "record" in rule:
            name, found = rule["record"], Lint(recorded).check_expression(rule["expr"])
            if not RECORD.fullmatch(name):
                found.append("the name is not level:metric:operations")
        else:
            name, found = rule["alert"], [*_form_faults(rule), *Lint(recorded).check_alert(rule)]
        yield from (f"rule {name}: {fault}" for fault in found)


def _form_faults(rule: Rule) -> Iterator[str]:
    labels, texts = rule.get("labels", {}), rule.get("annotations", {})
    if labels.get("severity") not in SEVERITIES or labels.get("team") not in TEAMS or "service" not in labels:
        yield "severity, team or service is missing or unknown"
    for name in ANNOTATIONS:
        if not texts.get(name):
            yield f"the annotation {name} is missing"
    if re.search(r"\{\{\s*\$value\s*\}\}", " ".join(texts.values())):
        yield "$value is written raw: humanize it"
    if rule.get("for", "1s").startswith("0"):
        yield "a hold of 0 is no hold: leave it out"


def bound_faults(alerts: tuple[Alert, ...]) -> Iterator[str]:
    """Fast alerts that may arrive too late, and burn rates that cannot be reached."""
    for alert in alerts:
        if alert.bound is not None and alert.bound > slo.DETECTION_LIMIT:
            yield f"alert {alert.name}: {alert.bound} s from fault to notification, {slo.DETECTION_LIMIT} are allowed"
    for objective in (slo.AVAILABILITY, slo.LATENCY):
        for burn in slo.BURNS:
            if burn.factor * objective.budget >= 1:
                yield f"objective {objective.name}: a burn rate of {burn.factor} is never reached"


def prometheus_faults(place: Path) -> Iterator[str]:
    """Where ``prometheus.yml`` differs from what the rules count on; promtool sees none of these."""
    config = yaml.safe_load((place / "prometheus.yml").read_text(encoding="utf-8"))
    for key, expected in (("scrape_interval", slo.SCRAPE_INTERVAL), ("evaluation_interval", slo.EVALUATION_INTERVAL)):
        if _duration_seconds(config["global"].get(key, "0s")) != expected:
            yield f"prometheus.yml: {key} is not {expected}s"
    if not config.get("alerting", {}).get("alertmanagers"):
        yield "prometheus.yml: alerts are sent to no Alertmanager"
    ours = {file.name for file in place.glob("*.yml") if read_groups(file)}
    if set(config.get("rule_files", ())) != ours:
        yield f"prometheus.yml: rule_files are {config.get('rule_files')}, not {sorted(ours)}"


def alertmanager_faults(config_file: Path, rules: list[Rule]) -> Iterator[str]:
    """Fast alerts that Alertmanager holds back for longer than their bounds count on."""
    config = yaml.safe_load(config_file.read_text(encoding="utf-8"))
    for rule in rules:
        labels = rule.get("labels", {})
        if labels.get("detection") == "fast":
            route = find_route(config["route"], {**labels, "alertname": rule["alert"]})
            wait = _duration_seconds(route.get("group_wait", "30s"))
            if wait > slo.GROUP_WAIT:
                yield f"alertmanager: {rule['alert']} waits {wait:g} s for others, {slo.GROUP_WAIT} are allowed"


def _duration_seconds(duration: str) -> float:
    return parse_duration(duration).total_seconds()
