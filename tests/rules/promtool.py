"""Rules and scenarios as promtool's files, and its verdict on them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.rules.scenario import Case
from tests.support import program

ROOT = Path(__file__).parent.parent.parent
SHIPPED = ROOT / "monitoring" / "prometheus"
RUNBOOK = "http://localhost:8000/{name}.md"
DASHBOARD = "http://localhost:3000/d/sql-synthesizer-{dashboard}"
SAME_EVERYWHERE = "alertname, alertstate, severity, service, team, detection, hours, long, short"
"""Labels that tell the rule and not who it is about."""

Rule = dict[str, Any]


def load(path: Path) -> list[Rule]:
    """The rules of a file, of all its groups."""
    return [rule for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


@cache
def shipped() -> tuple[Mapping[str, Rule], Mapping[str, Rule]]:
    """The shipped alerts by the name that cases give them, and the recording rules by metric."""
    alerts = {key(rule): rule for rule in load(SHIPPED / "alerts.yml")}
    return alerts, {rule["record"]: rule for rule in load(SHIPPED / "recording.yml")}


def key(rule: Rule) -> str:
    """The name of an alert, with its long window where several rules share the name."""
    return " ".join(filter(None, (rule["alert"], rule["labels"].get("long"))))


def needed(expression: str) -> list[Rule]:
    """The recording rules that an expression reads, those first that others read."""
    _, records = shipped()
    found: dict[str, Rule] = {}
    for name in re.findall(r"job:[\w:]+", expression):
        for rule in (*needed(records[name]["expr"]), records[name]):
            found.setdefault(rule["record"], rule)
    return list(found.values())


def pairs(labels: str) -> dict[str, str]:
    """Labels written as in PromQL."""
    return dict(re.findall(r'(\w+)="([^"]*)"', labels))


def _time(at: float) -> str:
    return f"{round(at * 1000)}ms"


def _state(rule: Rule, alerts: Iterable[str], at: float) -> dict[str, Any]:
    long = f',long="{rule["labels"]["long"]}"' if "long" in rule["labels"] else ""
    firing = f'ALERTS{{alertname="{rule["alert"]}",alertstate="firing"{long}}}'
    return {
        "expr": f"sum without ({SAME_EVERYWHERE}) ({firing})",
        "eval_time": _time(at),
        "exp_samples": [{"labels": f"{{{labels}}}", "value": 1} for labels in alerts],
    }


def _page(rule: Rule, case: Case) -> dict[str, Any]:
    assert case.text is not None
    text, name = case.text, rule["alert"]
    labels = {"severity": text.severity, "service": "sql-synthesizer", "team": text.team, **pairs(text.labels)}
    annotations = {
        "summary": text.summary,
        "description": text.description,
        "runbook_url": RUNBOOK.format(name=name),
        "dashboard_url": DASHBOARD.format(dashboard=text.dashboard),
    }
    expected = [{"exp_labels": {**pairs(alert), **labels}, "exp_annotations": annotations} for alert in case.alerts]
    return {"eval_time": _time(case.firing[-1]), "alertname": name, "exp_alerts": expected}


def block(rule: Rule, case: Case) -> dict[str, Any]:
    """One test group of promtool."""
    return {
        "name": case.situation,
        "interval": f"{case.scrape or case.step}s",
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "promql_expr_test": [
            *(_state(rule, case.alerts, at) for at in case.firing),
            *(_state(rule, (), at) for at in case.quiet),
        ],
        "alert_rule_test": [_page(rule, case)] if case.text else [],
    }


def write(directory: Path, rules: Sequence[Rule], blocks: Mapping[int, Sequence[dict[str, Any]]]) -> list[Path]:
    """A rule file and one test file for each evaluation interval; returns the test files."""
    group = {"name": "tested", "rules": list(rules)}
    (directory / "rules.yml").write_text(yaml.safe_dump({"groups": [group]}), encoding="utf-8")
    files = []
    for step, tests in blocks.items():
        files.append(directory / f"every_{step}s.yml")
        content = {"rule_files": ["rules.yml"], "evaluation_interval": f"{step}s", "tests": list(tests)}
        files[-1].write_text(yaml.safe_dump(content, width=10**6), encoding="utf-8")
    return files


def judge(files: Iterable[Path]) -> tuple[bool, str]:
    """Whether promtool finds every expectation met, and what it says."""
    command = [program("promtool"), "test", "rules", *map(str, files)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False
    )
    return done.returncode == 0 and "WARNING" not in done.stdout, done.stdout


def try_rule(directory: Path, rule: Rule, cases: Iterable[Case]) -> tuple[bool, str]:
    """The verdict on one alert, alone with the recording rules that it reads."""
    blocks: dict[int, list[dict[str, Any]]] = {}
    for case in cases:
        blocks.setdefault(case.step, []).append(block(rule, case))
    return judge(write(directory, [*needed(rule["expr"]), rule], blocks))
