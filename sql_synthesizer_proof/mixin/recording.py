"""Recording rules: the share of bad events over each window of the burn-rate alerts, and over the whole period."""

from __future__ import annotations

from sql_synthesizer.monitoring import slo
from sql_synthesizer.monitoring.slo import Objective
from sql_synthesizer_proof.mixin import signals
from sql_synthesizer_proof.mixin.promql import Expr, ratio_of
from sql_synthesizer_proof.mixin.signals import M
from sql_synthesizer_proof.rules import Rule, RuleGroup

WINDOWS = tuple(dict.fromkeys(window for burn in slo.BURNS for window in (burn.short, burn.long)))
STEP = "5m"
"""Window of the rates that the whole period is added up from: 30 days of raw series would be too many samples."""
DURATIONS = M("query_duration_seconds").where(success="success")
INTERVAL = 30
"""Seconds between two recorded values of a rate: their sum times this is a count, on a young server too."""
PARTS = {
    slo.AVAILABILITY: (
        "sql_synthesizer_query_errors",
        "sql_synthesizer_queries",
        signals.failed_questions(M).rate(STEP),
        M("queries_total").rate(STEP),
    ),
    slo.LATENCY: (
        "sql_synthesizer_slow_queries",
        "sql_synthesizer_successful_queries",
        DURATIONS.rate(STEP) - DURATIONS.within(slo.LATENCY_BOUND, STEP),
        DURATIONS.rate(STEP),
    ),
}
"""Objective -> names of bad and all events, and their rates."""
RATIOS = {slo.AVAILABILITY: signals.error_ratio, slo.LATENCY: signals.slow_ratio}


QUALITY = {
    "declined_per_question": signals.declined_ratio,
    "empty_per_answer": signals.empty_ratio,
    "repaired_per_reply": signals.repaired_ratio,
    "fallbacks_per_question": signals.fallback_ratio,
}
"""What says how good answers are -> its share."""


def quality_ratio(name: str) -> Expr:
    """A recorded share of ``QUALITY``."""
    return Expr(f"job:sql_synthesizer_{name}:ratio_rate{STEP}")


def bad_ratio(objective: Objective, window: str) -> Expr:
    """The recorded share of bad events over ``window``."""
    bad, whole, *_ = PARTS[objective]
    return Expr(f"job:{bad}_per_{whole.removeprefix('sql_synthesizer_')}:ratio_rate{window}")


def bad_count(objective: Objective, window: str) -> Expr:
    """How many bad events there were within ``window``, from their recorded rate."""
    return Expr(f"job:{PARTS[objective][0]}:rate{STEP}[{window}]").call("sum_over_time") * INTERVAL


def rule_groups() -> list[RuleGroup]:
    """The rule groups: rates and ratios every 30 s, the whole period every 5 minutes."""
    rates, ratios, whole = [], [], []
    for objective, (bad, every, bad_rate, every_rate) in PARTS.items():
        rates += [_build_rule(f"job:{bad}:rate{STEP}", bad_rate), _build_rule(f"job:{every}:rate{STEP}", every_rate)]
        ratios += [_build_rule(str(bad_ratio(objective, w)), RATIOS[objective](M, w)) for w in WINDOWS]
        sums = (Expr(f"job:{name}:rate{STEP}[{objective.period}]").call("sum_over_time") for name in (bad, every))
        whole.append(_build_rule(str(bad_ratio(objective, objective.period)), ratio_of(*sums)))
    ratios += [_build_rule(str(quality_ratio(name)), ratio(M, STEP)) for name, ratio in QUALITY.items()]
    return [
        {"name": "sql_synthesizer_ratios", "interval": f"{INTERVAL}s", "rules": [*rates, *ratios]},
        {"name": "sql_synthesizer_period", "interval": "5m", "rules": whole},
    ]


def _build_rule(record: str, expr: Expr) -> Rule:
    return {"record": record, "expr": str(expr)}
