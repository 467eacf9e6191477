"""The rules as first specified beside ours, on the same series: each cell of docs/specification-rules.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sql_synthesizer_proof.mixin import signals
from sql_synthesizer_proof.mixin.signals import M
from tests.rules.promtool import ROOT, Rule, judge, load, shipped, write
from tests.rules.scenario import JOB, Phase, counter, listed, own

PAGE = ROOT / "docs" / "specification-rules.md"
SPECIFIED = {rule["alert"]: rule for rule in load(Path(__file__).parent / "specification.yml")}
SILENT, FIRES, FAILS = "silent", "fires", "evaluation fails"
HIT_RATE = (
    'rate(sql_synthesizer_cache_operations_total{hit_miss="hit"}[5m])'
    " / rate(sql_synthesizer_cache_operations_total[5m]) * 100"
)
OUR_HIT_RATE = str(signals.hit_ratio(M, "5m"))

queries = partial(own, "queries_total", query_type="select", database_type="sqlite")
events = partial(own, "security_events_total")
injections = partial(events, event_type="sql_injection_attempt", severity="high")
lookups = partial(own, "cache_operations_total", operation="get", cache_type="redis")


def durations(query_type: str, fast: float, mean: float, *phases: Phase) -> dict[str, str]:
    """Queries of which the share ``fast`` takes up to half a second and the others between 10 s and 20 s."""
    name = partial(own, query_type=query_type, database_type="sqlite", success="success")
    bounds = {"0.5": fast, "2.0": fast, "5.0": fast, "10.0": fast, "20.0": 1.0, "+Inf": 1.0}

    def grown(factor: float) -> str:
        return counter(*((seconds, rate * factor) for seconds, rate in phases))

    return {
        **{name("query_duration_seconds_bucket", le=bound): grown(share) for bound, share in bounds.items()},
        name("query_duration_seconds_count"): grown(1),
        name("query_duration_seconds_sum"): grown(mean),
    }


@dataclass(frozen=True)
class Row:
    """A situation, and what the two rules of this name do in it after ten minutes."""

    situation: str
    alert: str
    series: Mapping[str, str]
    specified: str
    ours: str


ROWS = (
    Row(
        "One query in a thousand fails",
        "HighErrorRate",
        {queries(success="error"): counter((600, 0.01)), queries(success="success"): counter((600, 9.99))},
        FIRES,
        SILENT,
    ),
    Row(
        "Queries have stopped",
        "HighErrorRate",
        {queries(success="error"): counter((600, 0)), queries(success="success"): counter((600, 0))},
        SILENT,
        SILENT,
    ),
    Row(
        "The first injection ever creates its series",
        "SQLInjectionAttempts",
        {injections(): "_x39 1 1"},
        SILENT,
        SILENT,
    ),
    Row(
        "The first injection ever, counted by a series that stood at 0",
        "SQLInjectionAttempts",
        {injections(): "0x38 1 1"},
        FIRES,
        FIRES,
    ),
    Row(
        "Injections are recorded with two severities",
        "SQLInjectionAttempts",
        {injections(severity=severity): counter((600, 0.1)) for severity in ("high", "critical")},
        FAILS,
        FIRES,
    ),
    Row(
        "180 grave events a second, over 20 series",
        "SecurityEventSpike",
        {
            events(instance, event_type=kind, severity="high"): counter((600, 9))
            for instance in "abcdefghij"
            for kind in ("sql_injection_attempt", "prompt_injection_attempt")
        },
        SILENT,
        FIRES,
    ),
    Row(
        "200 answered queries a second, each an event of severity info",
        "SecurityEventSpike",
        {events(event_type="query_execution", severity="info"): counter((600, 200))},
        FIRES,
        SILENT,
    ),
    Row(
        "One slow query of an administrator within 5 minutes, all others fast",
        "HighQueryLatency",
        {
            **durations("select", 1.0, 0.2, (600, 10)),
            **durations("aggregate", 0.0, 12.0, (390, 0), (15, 1 / 15), (195, 0)),
        },
        FIRES,
        SILENT,
    ),
    Row(
        "One query in ten takes 12 s",
        "HighQueryLatency",
        durations("select", 0.9, 1.65, (600, 10)),
        SILENT,
        FIRES,
    ),
)


def verdict(directory: Path, rule: Rule, series: Mapping[str, str]) -> str:
    """What a rule does, found by asking promtool for the opposite."""
    firing = {"expr": f'count(ALERTS{{alertname="{rule["alert"]}",alertstate="firing"}})', "eval_time": "600s"}
    good, said = _asked(directory, [rule], series, firing | {"exp_samples": [{"labels": "{}", "value": 1}]})
    if good:
        return FIRES
    if "same labelset" in said:
        return FAILS
    good, said = _asked(directory, [rule], series, firing | {"exp_samples": []})
    assert good, said
    return SILENT


def _asked(
    directory: Path,
    rules: list[Rule],
    series: Mapping[str, str],
    question: dict[str, Any],
    kind: str = "promql_expr_test",
) -> tuple[bool, str]:
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    block = {"interval": "15s", "input_series": inputs, kind: [question]}
    return judge(write(directory, rules, {15: [block]}))


def on_page(*cells: str) -> bool:
    return f"| {' | '.join(cells)} |" in PAGE.read_text(encoding="utf-8").splitlines()


def test_the_page_claims_nothing_else() -> None:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    assert len(lines) == 2 + len(ROWS) + 3


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.situation)
def test_rules_side_by_side(row: Row, tmp_path: Path) -> None:
    assert verdict(tmp_path, SPECIFIED[row.alert], row.series) == row.specified
    assert verdict(tmp_path, shipped()[0][row.alert], row.series) == row.ours
    assert on_page(row.situation, f"`{row.alert}`", row.specified, row.ours)


NAN, NOTHING = "NaN", "no value"


@pytest.mark.parametrize(
    ("situation", "rates", "specified", "ours"),
    [
        ("One look-up in ten is a hit", (0.1, 0.9), "100 %", "10 %"),
        ("Nothing is looked up", (0, 0), NAN, NOTHING),
    ],
)
def test_panels_side_by_side(
    situation: str, rates: tuple[float, float], specified: str, ours: str, tmp_path: Path
) -> None:
    series = {lookups(hit_miss=kind): counter((600, rate)) for kind, rate in zip(("hit", "miss"), rates, strict=True)}
    for expression, shown in ((HIT_RATE, specified), (f"100 * ({OUR_HIT_RATE})", ours)):
        value = f"sum({expression})"
        asked, answers = {  # only NaN differs from itself
            NAN: (f"count({value} != {value})", [1]),
            NOTHING: (value, []),
        }.get(shown, (f"round({value}, 0.001)", [shown.removesuffix(" %")]))
        samples = [{"labels": "{}", "value": float(answer)} for answer in answers]
        good, said = _asked(tmp_path, [], series, {"expr": asked, "eval_time": "600s", "exp_samples": samples})
        assert good, said
    assert on_page(situation, "hit rate (panel)", specified, ours)


def test_values_side_by_side(tmp_path: Path) -> None:
    """The same rate as the two descriptions show it."""
    series = {injections(): listed([302 * index for index in range(41)])}
    every = {"job": JOB, "instance": "a", "event_type": "sql_injection_attempt", "severity": "high"}
    said = (
        "20.133333333333333 security events per second",
        "20.13 security events of high or critical severity per second on sql-synthesizer.",
    )
    both = (SPECIFIED["SecurityEventSpike"], every), (shipped()[0]["SecurityEventSpike"], {"job": JOB})
    for (rule, labels), text in zip(both, said, strict=True):
        plain = {**rule, "labels": {}, "annotations": {"description": rule["annotations"]["description"]}}
        alert = {"exp_labels": labels, "exp_annotations": {"description": text}}
        question = {"eval_time": "600s", "alertname": rule["alert"], "exp_alerts": [alert]}
        good, output = _asked(tmp_path, [plain], series, question, "alert_rule_test")
        assert good, output
    assert on_page("302 grave events every 15 s", "`SecurityEventSpike`", *(f"“{text}”" for text in said))
