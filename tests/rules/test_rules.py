"""Each shipped alert alone, on its cases; then all rules together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sql_synthesizer.monitoring.slo import duration_seconds
from sql_synthesizer.telemetry import vocabulary
from sql_synthesizer_proof.mixin.alerts import ALERTS
from tests.rules.promtool import SHIPPED, Rule, judge, key, load, needed, shipped, try_rule, write
from tests.rules.scenario import Case, counter, gauge, metric, own
from tests.rules.scenarios import WRITTEN, cases_of
from tests.rules.scenarios.objectives import failing, slow
from tests.rules.scenarios.quality import SHARES

RULES, RECORDS = shipped()
ALL = [*RECORDS.values(), *RULES.values()]
FAST = {alert.name: alert for alert in ALERTS if alert.fill is not None}


@pytest.mark.parametrize("name", RULES)
def test_alert_fires_and_keeps_quiet(name: str, tmp_path: Path) -> None:
    good, said = try_rule(tmp_path, RULES[name], cases_of(name))
    assert good, said


@pytest.mark.parametrize("name", RULES)
def test_every_alert_has_a_firing_and_a_quiet_case(name: str) -> None:
    cases = cases_of(name)
    assert any(case.firing for case in cases)
    assert name == "Watchdog" or any(case.quiet for case in cases)
    assert any(case.text for case in cases), "one case shows the alert as its reader sees it"


def test_every_case_is_of_an_alert() -> None:
    assert {case.rule for case in WRITTEN} == set(RULES)


def late(case: Case, bound: int) -> Case:
    """The same fault as it is noticed last: it begins after a scrape, and scrapes follow upon evaluations."""
    assert case.fault is not None
    series = {name: "_ " + " _x14 ".join(values.split()) for name, values in case.series.items()}
    return replace(case, series=series, scrape=1, firing=(case.fault + 1 + bound,), quiet=(), text=None)


@pytest.mark.parametrize("name", FAST)
def test_fast_alert_keeps_its_bound(name: str, tmp_path: Path) -> None:
    """A scrape, the time that the alert claims to need, an evaluation and the hold after the fault it fires."""
    alert = FAST[name]
    assert alert.fill is not None
    bound = 15 + alert.fill + 15 + -(-duration_seconds(alert.hold or "0s") // 15) * 15
    faults = [late(case, bound) for case in WRITTEN if case.rule == name and case.fault is not None]
    assert faults, "no case has a fault"
    good, said = try_rule(tmp_path, RULES[name], faults)
    assert good, said


def verdict(
    directory: Path,
    series: dict[str, str],
    expected: list[dict[str, Any]],
    scrape: int = 60,
    evaluation: int = 60,
    rules: list[Rule] = ALL,
) -> tuple[bool, str]:
    """promtool's verdict on several rules together."""
    block = {
        "interval": f"{scrape}s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": expected,
    }
    return judge(write(directory, rules, {evaluation: [block]}))


def firing(at: str, *names: str) -> dict[str, Any]:
    samples = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in names]
    return {"expr": 'max by (alertname) (ALERTS{alertstate="firing"})', "eval_time": at, "exp_samples": samples}


def test_no_data_at_all(tmp_path: Path) -> None:
    good, said = verdict(tmp_path, {}, [firing("1h", "SqlSynthesizerDown", "Watchdog")])
    assert good, said


def test_a_healthy_service_that_nobody_asks(tmp_path: Path) -> None:
    """All counters stand still at 0: every ratio is 0/0."""
    end = 2 * 3600
    series = {
        name: counter((end, 0), step=60)
        for case in WRITTEN
        for name in case.series
        if ("_total{" in name or "_bucket{" in name or "_count{" in name) and 'job="other"' not in name
    }
    series |= {
        metric("up", job=job): gauge((end, 1), step=60) for job in ("sql-synthesizer", "prometheus", "alertmanager")
    }
    good, said = verdict(tmp_path, series, [firing("2h", "Watchdog")])
    assert good, said


def test_every_security_event_at_once_is_evaluated_without_error(tmp_path: Path) -> None:
    """promtool fails a rule whose result has two series of the same labels."""
    series = {
        own("security_events_total", instance, event_type=event, severity=severity): counter((60, 0), (300, 1))
        for instance in "ab"
        for event in vocabulary.SECURITY_EVENTS
        for severity in vocabulary.SEVERITY.values
    }
    series |= {metric("up", instance): gauge((360, 1)) for instance in "ab"}
    series |= {own("queries_total", instance, query_type="select"): counter((360, 0)) for instance in "ab"}
    names = [
        rule["alert"]
        for rule in RULES.values()
        if rule["labels"]["team"] == "security" and "events_total" in rule["expr"]
    ]
    good, said = verdict(tmp_path, series, [firing("5m", "Watchdog", *names)], 15, 15)
    assert good, said


@pytest.mark.parametrize("record", [name for name in RECORDS if "ratio" in name])
def test_recorded_ratio(record: str, tmp_path: Path) -> None:
    """An eighth of all questions is bad."""
    days, scrape, evaluation = (30, 150, 3600) if record.endswith("30d") else (1, 60, 300)
    made = failing if "errors" in record else slow
    name = record.removeprefix("job:sql_synthesizer_").partition(":")[0]
    if name in SHARES:
        series = {of: counter((days * 86_400, per_second), step=scrape) for of, per_second in SHARES[name].items()}
    else:
        series = made((days * 86_400, 1.0, 0.125), step=scrape)
    expected = {
        "expr": f"round(1000 * {record})",
        "eval_time": f"{days}d",
        "exp_samples": [{"labels": '{job="sql-synthesizer"}', "value": 125}],
    }
    good, said = verdict(tmp_path, series, [expected], scrape, evaluation, needed(record))
    assert good, said


def test_every_rule_has_a_name_of_its_own() -> None:
    assert [key(rule) for rule in load(SHIPPED / "alerts.yml")] == list(RULES)
