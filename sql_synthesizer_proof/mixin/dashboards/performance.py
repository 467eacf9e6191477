"""How fast questions are answered, and where their time goes."""

from __future__ import annotations

from sql_synthesizer.monitoring import slo
from sql_synthesizer_proof.mixin import signals
from sql_synthesizer_proof.mixin.dashboards.jobs import JOBS
from sql_synthesizer_proof.mixin.dashboards.panel import Dashboard, P, Panel, PanelQuery, PanelRow, W, one_query
from sql_synthesizer_proof.mixin.dashboards.quality import QUALITY

OUTCOMES = P("question_outcomes_total")
DURATION = P("query_duration_seconds")
BY_TYPE = ("query_type",)

QUERIES = PanelRow(
    "Queries",
    (
        Panel(
            "Query Response Time",
            "Mean duration of a query by type. The mean hides slow ones: look at the percentiles beside it.",
            one_query(DURATION.mean(W, keep=BY_TYPE), "Avg Response Time - {{query_type}}"),
            "s",
            empty="No queries",
        ),
        Panel(
            "Query Response Time: percentiles",
            "Quantiles of the duration of successful queries. An alert looks at the 95th percentile.",
            tuple(
                PanelQuery(signals.latency_quantile(P, W, quantile=share), name, exemplars=True)
                for share, name in ((0.5, "p50"), (0.9, "p90"), (slo.LATENCY_QUANTILE, "p95"), (0.99, "p99"))
            ),
            "s",
            bounds=(slo.LATENCY_BOUND,),
            empty="No queries",
        ),
        Panel(
            "Query Throughput",
            "Queries per second by type, of those that were attempted: answered, or failed because of the service.",
            one_query(P("queries_total").rate(W, keep=BY_TYPE), "Queries/sec - {{query_type}}"),
            "reqps",
            stacked=True,
        ),
        Panel.show_ratio(
            "Error Rate",
            "Share of the queries that failed because of the service.",
            one_query(signals.error_ratio(P, W), "Error Rate"),
            slo.ERROR_RATIO,
            kind="stat",
            width=4,
            decimals=2,
            empty="No queries",
        ),
        Panel.show_ratio(
            "Cache Hit Rate",
            "Share of the look-ups that found an answer.",
            one_query(signals.hit_ratio(P, W), "{{cache_type}}"),
            slo.CACHE_HIT_RATIO,
            kind="stat",
            width=4,
            low=True,
            most=1,
            decimals=1,
            empty="No look-ups",
        ),
        Panel.show_ratio(
            "Slow queries",
            f"Share of the successful queries that took longer than {slo.LATENCY_BOUND:g} s; the latency objective "
            f"allows {slo.LATENCY.budget:.0%}.",
            one_query(signals.slow_ratio(P, W), "{{job}}"),
            slo.LATENCY.budget,
            empty="No queries",
        ),
        Panel(
            "Queries by database",
            "Queries per second by kind of database and outcome.",
            one_query(
                P("queries_total").rate(W, keep=("database_type", "success")),
                "{{database_type}} {{success}}",
            ),
            "reqps",
        ),
    ),
)

STAGES = PanelRow(
    "Where the time goes",
    (
        Panel(
            "Duration of queries",
            "How many queries fell into each bucket of the histogram.",
            one_query(DURATION.buckets(W), "{{le}}", exemplars=True),
            "s",
            "heatmap",
            width=12,
        ),
        Panel(
            "Stages",
            "Seconds of each second that questions spend in a stage: the widest band is what to look at first.",
            one_query(P("stage_duration_seconds").total_time(W, keep=("stage",)), "{{stage}}"),
            "s",
            width=12,
            stacked=True,
        ),
        Panel(
            "Stages: 95th percentile",
            "95th percentile of the time spent in a stage.",
            one_query(P("stage_duration_seconds").quantile(0.95, W, keep=("stage",)), "{{stage}}", exemplars=True),
            "s",
            empty="No questions",
        ),
        Panel(
            "Answers by source",
            "Questions per second by where their statement came from.",
            one_query(OUTCOMES.rate(W, keep=("source",)), "{{source}}"),
            "reqps",
            stacked=True,
        ),
        Panel(
            "Questions not answered",
            "Questions per second without an answer, by reason. Declined and refused ones are no failures.",
            one_query(
                P("question_outcomes_total").excluding(outcome="answered").rate(W, keep=("reason",)).above(0),
                "{{reason}}",
            ),
            "reqps",
            empty="All were answered",
        ),
        Panel(
            "Questions worked on once",
            "Equal questions at the same moment that waited for one answer, per second.",
            one_query(P("coalesced_questions_total").rate(W), "{{job}}"),
            "reqps",
        ),
        Panel(
            "Ratings",
            "Ratings that analysts gave within an hour.",
            one_query(P("feedback_total").increase("1h", keep=("rating",)), "{{rating}}"),
        ),
    ),
)

DASHBOARD = Dashboard(
    "application-performance",
    "SQL Synthesizer - Application Performance",
    "Throughput, response time, errors and cache of the questions, the stages they pass, and jobs.",
    (QUERIES, STAGES, QUALITY, JOBS),
)
