"""What a manager decides."""

from __future__ import annotations

from sql_synthesizer.monitoring import slo
from sql_synthesizer_proof.mixin import signals
from sql_synthesizer_proof.mixin.alert import Alert
from sql_synthesizer_proof.mixin.signals import M

ALERTS = (
    Alert(
        "SqlSynthesizerTeamBudget",
        "warning",
        signals.team_budget(M).above(slo.TEAM_BUDGET_RATIO),
        "Team {{ $labels.caller_team }} has used most of its budget",
        "The team {{ $labels.caller_team }} of {{ $labels.job }} has used {{ $value | humanizePercentage }} of what it "
        "may in this month; at 100% its questions are refused.",
        ("business", "Budgets"),
    ),
)
