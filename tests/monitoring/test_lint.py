"""The linter: what promtool accepts and never works."""

from __future__ import annotations

from typing import Any

import pytest

from sql_synthesizer_proof.mixin.lint import Lint, find_thresholds

JOB = 'job="sql-synthesizer"'
QUERIES = "sql_synthesizer_queries_total"
DURATION = "sql_synthesizer_query_duration_seconds"
CACHE = "sql_synthesizer_cache_operations_total"
EVENTS = "sql_synthesizer_security_events_total"

FAULTY = {
    "no PromQL": ("rate(", "does not parse"),
    "unknown metric": (f"rate(sql_synthesizer_query_total{{{JOB}}}[5m])", "there is no metric"),
    "absent of no metric": ("absent(vector(1))", "absent looks at no metric"),
    "no name": (f"{{{JOB}}}", "there is no metric"),
    "unknown label": (f'rate({QUERIES}{{{JOB},status="error"}}[5m])', "no label status"),
    "unknown value": (f'rate({EVENTS}{{{JOB},event_type="api_key_auth_failed"}}[5m])', "no value of label event_type"),
    "unknown value in a pattern": (f'rate({EVENTS}{{{JOB},severity=~"high|grave"}}[5m])', "'grave' is no value"),
    "bucket as a whole number": (f'rate({DURATION}_bucket{{{JOB},le="2"}}[5m])', "'2' is no value of label le"),
    "no such bucket": (f'rate({DURATION}_bucket{{{JOB},le="3.0"}}[5m])', "'3.0' is no value of label le"),
    "no pattern": (f'rate({QUERIES}{{{JOB},success=~"error"}}[5m])', "is no pattern"),
    "unknown job": (f'rate({QUERIES}{{job="app"}}[5m])', "there is no job app"),
    "no job": (f"rate({QUERIES}[5m])", "without its job"),
    "bare counter": (f"{QUERIES}{{{JOB}}} > 5", "is a counter"),
    "rate of a gauge": (f"rate(sql_synthesizer_memory_usage_bytes{{{JOB}}}[5m])", "is a gauge"),
    "window of two scrapes": (f"rate({QUERIES}{{{JOB}}}[30s])", "too few scrapes"),
    "window beyond retention": (f"rate({QUERIES}{{{JOB}}}[60d])", "longer than samples are stored"),
    "self-ratio of errors": (
        f'rate({QUERIES}{{{JOB},success="error"}}[5m]) / rate({QUERIES}{{{JOB}}}[5m])',
        "self-ratio: success",
    ),
    "self-ratio, added up by what tells them apart": (
        (
            f'sum by (job, success) (rate({QUERIES}{{{JOB},success="error"}}[5m]))'
            f" / sum by (job, success) (rate({QUERIES}{{{JOB}}}[5m]))"
        ),
        "self-ratio: success",
    ),
    "the same on both sides": (f"rate({QUERIES}{{{JOB}}}[5m]) / rate({QUERIES}{{{JOB}}}[5m])", "self-ratio"),
    "self-ratio of hits": (
        f'rate({CACHE}{{{JOB},hit_miss="hit"}}[5m]) / rate({CACHE}{{{JOB}}}[5m]) * 100',
        "self-ratio: hit_miss",
    ),
    "self-ratio of buckets": (
        f'rate({DURATION}_bucket{{{JOB},le="2.0"}}[5m]) / rate({DURATION}_count{{{JOB}}}[5m])',
        "self-ratio: le",
    ),
    "sides that never match": (
        f"sum by (job) (rate({QUERIES}{{{JOB}}}[5m])) and sum by (instance) (rate({QUERIES}{{{JOB}}}[5m]))",
        "never match",
    ),
    "match on a label that is not there": (
        f"sum by (job) (rate({QUERIES}{{{JOB}}}[5m])) and on (instance) rate({QUERIES}{{{JOB}}}[5m])",
        "a side has not",
    ),
    "inside a subquery": ("max_over_time(rate(nonexistent_total[5m])[30m:1m]) > 0", "there is no metric"),
    "behind a sign": ("-nonexistent_metric > 0", "there is no metric"),
    "a comparison that decides nothing": (f"up{{{JOB}}} == bool 0", "decides nothing"),
    "adding up by a label that is not there": (
        f"sum by (route) (rate({QUERIES}{{{JOB}}}[5m]))",
        "are not there: route",
    ),
}

SOUND = {
    "ratio": (
        f'sum by (job) (rate({QUERIES}{{{JOB},success="error"}}[5m])) / sum by (job) (rate({QUERIES}{{{JOB}}}[5m]))'
    ),
    "mean": f"rate({DURATION}_sum{{{JOB}}}[5m]) / rate({DURATION}_count{{{JOB}}}[5m])",
    "existence of a counter": f"up{{{JOB}}} == 1 unless on (job, instance) {QUERIES}{{{JOB}}}",
    "Grafana's variables": (
        f'sum by (le) (rate({DURATION}_bucket{{job=~"$job",instance=~"$instance"}}[$__rate_interval]))'
    ),
    "configured names": f'sql_synthesizer_dependency_up{{{JOB},dependency="database_orders"}}',
}


@pytest.mark.parametrize(("text", "fault"), FAULTY.values(), ids=FAULTY)
def test_faults_are_found(text: str, fault: str) -> None:
    assert any(fault in found for found in Lint().check_expression(text)), Lint().check(text)


@pytest.mark.parametrize("text", SOUND.values(), ids=SOUND)
def test_sound_expressions_pass(text: str) -> None:
    assert Lint().check_expression(text) == []


def rule(expr: str, **changes: Any) -> dict[str, Any]:
    return {"alert": "A", "expr": expr, "labels": {"severity": "critical"}, "annotations": {"summary": "s"}} | changes


ATTACKS = f'increase({EVENTS}{{{JOB},event_type="sql_injection_attempt"}}[5m])'


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (rule(f"{ATTACKS} > 0"), "labels that the rule sets: severity"),
        (rule(f"sum by (job) ({ATTACKS})"), "compares nothing"),
        (rule(f"sum by (job) ({ATTACKS}) > 0 or sum by (job) ({ATTACKS})"), "compares nothing"),
        (
            rule(f"sum by (job) ({ATTACKS}) > 0", annotations={"summary": "on {{ $labels.instance }}"}),
            "$labels.instance, which the result has not",
        ),
        (
            rule(f"sum by (job) ({ATTACKS}) > 0", annotations={"summary": '{{ index $labels "pod" }}'}),
            "$labels.pod, which the result has not",
        ),
    ],
    ids=["label clash", "no comparison", "a branch without", "absent label", "absent label by index"],
)
def test_faults_of_alerts_are_found(given: dict[str, Any], fault: str) -> None:
    assert any(fault in found for found in Lint().check_alert(given))


@pytest.mark.parametrize(
    "expr",
    [f"sum by (job) ({ATTACKS}) > 0", "vector(1)", f"absent(up{{{JOB}}})", f"up{{{JOB}}} == 0 unless up{{{JOB}}} == 2"],
)
def test_alerts_that_decide(expr: str) -> None:
    assert Lint().check_alert(rule(expr)) == []


def test_recorded_series_are_known_by_name() -> None:
    name = "job:sql_synthesizer_query_errors_per_queries:ratio_rate1h"
    assert Lint(frozenset({name})).check_expression(f"{name} > 0.05") == []
    assert Lint().check_expression(f"{name} > 0.05")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a / (b > 0) > 0.05 and c >= 20 or d < 4 * 1024 ^ 3", {0.05, 4 * 1024**3}),
        ("(a > 1 and b > 2) or (c < 3 and d > 4)", {1, 3}),
        ("a == 0", set()),
        ("a >= b", set()),
        ("vector(1)", set()),
    ],
)
def test_thresholds_are_what_the_value_is_compared_with(text: str, found: set[float]) -> None:
    assert find_thresholds(text) == found
