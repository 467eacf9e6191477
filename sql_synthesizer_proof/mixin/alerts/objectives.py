"""The error budgets: an alert when one is spent too fast, over a long and a short window."""

from __future__ import annotations

from sql_synthesizer.monitoring import slo
from sql_synthesizer.monitoring.slo import Burn, Objective
from sql_synthesizer_proof.mixin import recording
from sql_synthesizer_proof.mixin.alert import Alert
from sql_synthesizer_proof.mixin.promql import format_number

KINDS = (
    (slo.AVAILABILITY, "SqlSynthesizerErrorBudgetBurn", "error", "fail because of the service"),
    (
        slo.LATENCY,
        "SqlSynthesizerLatencyBudgetBurn",
        "latency",
        f"take longer than {format_number(slo.LATENCY_BOUND)} seconds",
    ),
)


def _build_alert(objective: Objective, name: str, kind: str, what: str, burn: Burn) -> Alert:
    bound = round(burn.factor * objective.budget, 6)
    long, short = (recording.bad_ratio(objective, window).above(bound) for window in (burn.long, burn.short))
    return Alert(
        name,
        "critical" if burn.severity == "critical" else "warning",
        long.and_matching(short).and_matching(recording.bad_count(objective, burn.long).at_least(slo.LEAST_BAD)),
        f"The {kind} budget burns {format_number(burn.factor)} times too fast",
        f"{{{{ $value | humanizePercentage }}}} of the questions to {{{{ $labels.job }}}} {what}, over {burn.long} and "
        f"over {burn.short}. The {objective.period} objective allows {objective.budget:.1%}.",
        ("overview", f"{objective.name.capitalize()}: burn rate"),
        hold=burn.hold,
        labels=(("long", burn.long), ("short", burn.short)),
    )


ALERTS = tuple(_build_alert(*kind, burn) for kind in KINDS for burn in slo.BURNS)
