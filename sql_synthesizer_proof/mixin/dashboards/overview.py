"""The first page in a fault: what is wrong now, the questions, the service itself, and the objectives."""

from __future__ import annotations

from sql_synthesizer.monitoring import slo
from sql_synthesizer.monitoring.slo import Objective
from sql_synthesizer_proof.mixin import recording, signals
from sql_synthesizer_proof.mixin.dashboards.panel import (
    FIRING,
    OWN,
    Dashboard,
    P,
    Panel,
    PanelQuery,
    PanelRow,
    W,
    one_query,
)
from sql_synthesizer_proof.mixin.promql import Expr


def _recorded_ratio(objective: Objective, window: str) -> Expr:
    return Expr(f'{recording.bad_ratio(objective, window)}{{job=~"$job"}}')


def _objective_panels(objective: Objective, good: str) -> tuple[Panel, ...]:
    name, period = objective.name.capitalize(), objective.period
    spent = _recorded_ratio(objective, period) / objective.budget
    burns = tuple(PanelQuery(_recorded_ratio(objective, w) / objective.budget, w) for w in recording.WINDOWS)
    return (
        Panel.show_ratio(
            f"{name}: {period}",
            f"Share of {good} over {period}. The objective is {objective.target:.1%}.",
            one_query(Expr("1") - _recorded_ratio(objective, period), "{{job}}"),
            objective.target,
            kind="stat",
            width=4,
            low=True,
            most=1,
            decimals=3,
        ),
        Panel(
            f"{name}: budget left",
            f"What is left of the {objective.budget:.1%} that may be bad over {period}; below 0 it is missed.",
            one_query(Expr("1") - spent, "{{job}}"),
            "percentunit",
            "stat",
            width=4,
            bounds=(0.0,),
            low=True,
            least=None,
            most=1,
            decimals=1,
        ),
        Panel(
            f"{name}: burn rate",
            "How many times faster than sustainable the budget is spent, over each window. Alerts look at pairs: "
            + ", ".join(f"{b.factor:g} over {b.long} and {b.short}" for b in slo.BURNS)
            + ".",
            burns,
            width=16,
            bounds=tuple(burn.factor for burn in slo.BURNS),
            per=objective.budget,
        ),
    )


OBJECTIVES = PanelRow(
    "Objectives",
    (
        *_objective_panels(slo.AVAILABILITY, "questions that ended without a failure of the service"),
        *_objective_panels(slo.LATENCY, f"successful questions that ended within {slo.LATENCY_BOUND:g} s"),
    ),
)

NOW = PanelRow(
    "Now",
    (
        Panel.show_states(
            "Application up",
            "Whether each instance answered its last liveness check, asked by its metrics exporter every 5 s.",
            (
                PanelQuery(P("app_up").selector(), "{{instance}}"),
                PanelQuery(OWN.foreign("up").selector(), "scrape {{instance}}"),
            ),
        ),
        Panel(
            "Firing alerts",
            "What is wrong now. Each alert has a runbook; Watchdog, which always fires, is left out.",
            one_query(FIRING.where(severity=("critical", "warning")).selector(), "{{alertname}}"),
            "none",
            "table",
            width=16,
            empty="Nothing fires",
        ),
        Panel.show_ratio(
            "Error ratio",
            "Share of the attempted questions that failed because of the service; those declined, refused or invalid "
            "is no part of it. An alert fires above the line.",
            one_query(signals.error_ratio(P, W), "{{job}}"),
            slo.ERROR_RATIO,
            empty="No questions",
        ),
        Panel(
            "Response time",
            "Quantiles of the duration of successful questions. An alert looks at the 95th percentile.",
            tuple(
                PanelQuery(signals.latency_quantile(P, W, quantile=share), name, exemplars=True)
                for share, name in ((0.5, "p50"), (slo.LATENCY_QUANTILE, "p95"), (0.99, "p99"))
            ),
            "s",
            bounds=(slo.LATENCY_BOUND,),
            empty="No questions",
        ),
        Panel.show_ratio(
            "Slow answers",
            f"Share of the successful questions that took longer than {slo.LATENCY_BOUND:g} s. An alert fires above "
            "the line.",
            one_query(signals.slow_ratio(P, W), "{{job}}"),
            slo.SLOW_RATIO,
            empty="No questions",
        ),
    ),
)

QUESTIONS = PanelRow(
    "Questions",
    (
        Panel(
            "Questions by outcome",
            "Questions per second by how they ended. Only 'failed' is a failure of the service.",
            one_query(P("question_outcomes_total").rate(W, keep=("outcome",)), "{{outcome}}"),
            "reqps",
            stacked=True,
        ),
        Panel(
            "Errors by reason",
            "Requests that ended in an error, per second, by the reason that the caller was given.",
            one_query(P("errors_total").rate(W, keep=("reason",)).above(0), "{{reason}}"),
            "reqps",
            empty="No errors",
        ),
        Panel(
            "HTTP requests by status",
            "Requests per second by class of status.",
            one_query(P("http_requests_total").rate(W, keep=("status",)), "{{status}}"),
            "reqps",
            stacked=True,
        ),
        Panel.show_ratio(
            "Failed requests by route",
            "Share of the requests beside questions and probes that failed because of the service. An alert fires "
            "above the line.",
            one_query(signals.request_failure_ratio(P, W), "{{route}} {{instance}}"),
            slo.REQUEST_FAILURE_RATIO,
            empty="No requests",
        ),
        Panel(
            "HTTP response time by route",
            "95th percentile of the time to answer, by route.",
            one_query(
                P("http_request_duration_seconds").quantile(0.95, W, keep=("route",)), "{{route}}", exemplars=True
            ),
            "s",
            empty="No requests",
        ),
    ),
)

SERVICE = PanelRow(
    "Service",
    (
        Panel(
            "Saturation",
            "Questions being worked on, and how many may be; beyond that they are refused.",
            (
                PanelQuery(P("questions_running").selector(), "running {{instance}}"),
                PanelQuery(P("questions_waiting").selector(), "waiting {{instance}}"),
                PanelQuery(P("questions_limit").selector(), "limit {{instance}}"),
            ),
            width=4,
        ),
        Panel.show_ratio(
            "Refused for overload",
            "Share of the questions that were refused because as many as may run at once were running.",
            one_query(signals.overload_ratio(P, W), "{{instance}}"),
            slo.OVERLOAD_RATIO,
            width=4,
            empty="No questions",
        ),
        Panel(
            "Worker starts",
            "Times that a worker started within 15 minutes.",
            one_query(P("worker_start_time_seconds").over("changes", "15m"), "{{instance}}"),
            width=4,
            bounds=(slo.RESTARTS,),
        ),
        Panel.show_ratio(
            "Time spent down",
            "Share of the last 10 minutes in which each instance, or what it needs, was down. With several outages an "
            "alert fires above the line.",
            (
                PanelQuery(signals.time_down(OWN.foreign("up")), "scrape {{instance}}"),
                PanelQuery(signals.time_down(P("app_up")), "{{instance}}"),
                PanelQuery(signals.time_down(P("dependency_up")), "{{dependency}} {{instance}}"),
            ),
            slo.FLAPPING_SHARE,
            most=1,
        ),
        Panel(
            "Processes killed",
            "Processes of the service within 15 minutes that a signal ended.",
            one_query(signals.killed_processes(P, "15m"), "{{part}} {{instance}}"),
            width=4,
            bounds=(0.0,),
        ),
        Panel(
            "Version",
            "The version that each instance runs.",
            one_query(P("build_info").selector(), "{{version}} on {{instance}}"),
            "none",
            "stat",
            width=4,
            names=True,
        ),
        Panel(
            "Memory",
            "Resident memory of all processes of an instance.",
            one_query(signals.memory_use(P, W), "{{instance}}"),
            "bytes",
            bounds=(slo.MEMORY_BYTES,),
        ),
        Panel(
            "CPU",
            "CPU that all processes of an instance use, in percent of what they may use.",
            one_query(signals.cpu_use(P, W), "{{instance}}"),
            "percent",
            bounds=(slo.CPU_PERCENT,),
            most=100,
        ),
        Panel.show_states(
            "Dependencies",
            "Whether the last health check of each dependency succeeded on all instances.",
            one_query(P("dependency_up").grouped("min", "dependency"), "{{dependency}}"),
        ),
    ),
)

DASHBOARD = Dashboard(
    "overview",
    "SQL Synthesizer - Overview",
    "What is wrong now, what users get, how the service is, and objectives with their error budgets.",
    (NOW, QUESTIONS, SERVICE, OBJECTIVES),
)
