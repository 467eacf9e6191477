"""The rows of the catalogue about whether answers are right."""

from __future__ import annotations

from sql_synthesizer.monitoring.metric import Metric
from sql_synthesizer.monitoring.own_metrics import make_counter, make_gauge
from sql_synthesizer.telemetry import vocabulary

METRICS: tuple[Metric, ...] = (
    make_counter("repairs_total", "Statements that the model mended once they had been refused", vocabulary.REPAIR),
    make_counter("empty_answers_total", "Questions that were answered without a row", vocabulary.EMPTY_ANSWER),
    make_counter(
        "canary_questions_total",
        "Questions with known results that the service asked itself, by what came of them",
        vocabulary.CANARY_CHECK,
        labels=[vocabulary.CANARY_NAME, vocabulary.CANARY_RESULT],
    ),
    make_gauge(
        "regression_detected",
        "1 while a series has taken a step for the worse, by Prometheus' own record of it, else 0",
        vocabulary.REGRESSIONS,
        labels=[vocabulary.REGRESSION],
        mode="livemax",
    ),
    make_gauge(
        "configuration_fingerprint",
        "A number that differs when the settings do: what a regression may have come with",
        vocabulary.CONFIGURATION,
        mode="livemax",
        unwatched="regress check looks at its changes",
    ),
    make_gauge(
        "schema_fingerprint",
        "A number that differs when the schema of the database does: what a regression may have come with",
        vocabulary.SCHEMA_VERSION,
        labels=[vocabulary.DATABASE],
        mode="livemax",
        unwatched="regress check looks at its changes",
    ),
    make_gauge(
        "schema_drift",
        "1 while a table or column that canaries read is gone from its database, 0 once it is there again",
        vocabulary.SCHEMA_DRIFT,
        labels=[vocabulary.DATABASE, vocabulary.SCHEMA_NAME],
        mode="livemax",
    ),
)
