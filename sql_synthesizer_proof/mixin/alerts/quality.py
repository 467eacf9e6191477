"""Whether answers are right: questions with known results, and the names that they need."""

from __future__ import annotations

from sql_synthesizer.monitoring import slo
from sql_synthesizer_proof.mixin import signals
from sql_synthesizer_proof.mixin.alert import Alert
from sql_synthesizer_proof.mixin.signals import M

PAGE = "application-performance"

ALERTS = (
    Alert(
        "SqlSynthesizerSchemaDrift",
        "critical",
        signals.schema_drift(M).above(0),
        "{{ $labels.object }} is gone from {{ $labels.database }}",
        "Questions with known results need {{ $labels.object }}, which the database {{ $labels.database }} of "
        "{{ $labels.job }} has no more: it was renamed or removed, or the service may not read it now.",
        (PAGE, "Gone from the schema"),
        fill=32,
        fault="a column is renamed; the schema is looked at every 30 s",
    ),
    Alert(
        "SqlSynthesizerCanaryFailing",
        "warning",
        signals.canary_failures(M, slo.USUAL).above(slo.CANARY_FAILURES),
        "The question {{ $labels.canary }} is answered wrongly",
        "{{ $labels.job }} asks itself a question whose result is known, and about {{ $value | humanize }} times "
        "within 5 minutes the answer was not that.",
        (PAGE, "Canaries not answered rightly"),
    ),
    Alert(
        "SqlSynthesizerRegression",
        "warning",
        signals.regression(M).above(0),
        "{{ $labels.series }} of {{ $labels.job }} has become worse",
        "The series {{ $labels.series }} of {{ $labels.job }} took a step that its own past weeks do not explain. "
        "sql-synthesizer regress check says since when, by how much, and what changed at about that time.",
        (PAGE, "Regressions"),
    ),
)
