"""What the security officer looks at: events, refusals, and the audit record."""

from __future__ import annotations

from sql_synthesizer.monitoring import slo
from sql_synthesizer_proof.mixin import signals
from sql_synthesizer_proof.mixin.dashboards.panel import HOUR, Dashboard, P, Panel, PanelQuery, PanelRow, W, one_query

EVENTS = P("security_events_total")
PAIR = ("event_type", "severity")


def _hourly_panel(title: str, event_type: str, description: str, legend: str) -> Panel:
    return Panel(
        title,
        f"{description} Counted over one hour.",
        one_query(signals.security_events(P, HOUR, event_type), legend),
        kind="stat",
        width=4,
        decimals=0,
    )


def _window_panel(title: str, window: str, bound: float, *types: str) -> Panel:
    """What the alerts look at, with their line."""
    attempts = tuple(PanelQuery(signals.security_events(P, window, event_type), event_type) for event_type in types)
    return Panel(title, f"{title}; an alert fires above the line.", attempts, width=12, bounds=(bound,))


def _rate_panel(title: str, description: str, *types: str) -> Panel:
    return Panel(
        title,
        description,
        one_query(EVENTS.where(event_type=types).rate(W, keep=("event_type",)), "{{event_type}}"),
        "eps",
    )


ATTACKS = PanelRow(
    "Attacks",
    (
        _hourly_panel(
            "Failed Authentication Attempts",
            "authentication_failure",
            "Credentials that were missing, wrong, revoked or expired.",
            "Failed Logins/hour",
        ),
        _hourly_panel(
            "SQL Injection Attempts",
            "sql_injection_attempt",
            "Questions that carried an SQL injection; all were refused.",
            "Injection Attempts/hour",
        ),
        _hourly_panel(
            "Prompt Injection Attempts",
            "prompt_injection_attempt",
            "Questions that tried to steer the model; all were refused.",
            "Injection Attempts/hour",
        ),
        Panel(
            "Grave events per second",
            "Security events of high or critical severity per second.",
            one_query(signals.grave_events(P, W), "{{job}}"),
            "eps",
            width=12,
            bounds=(slo.SECURITY_EVENTS_PER_SECOND,),
        ),
        _window_panel(
            "Injections within 5 minutes", slo.USUAL, 0.0, "sql_injection_attempt", "prompt_injection_attempt"
        ),
        _window_panel(
            "Failed authentications within 10 minutes", "10m", slo.AUTHENTICATION_FAILURES, "authentication_failure"
        ),
        Panel(
            "Security Events",
            "Every security event per second, by type and severity.",
            one_query(EVENTS.rate(W, keep=PAIR), "{{event_type}} - {{severity}}"),
            "eps",
            width=24,
        ),
    ),
)

ACCESS = PanelRow(
    "Access",
    (
        _rate_panel(
            "Authentication",
            "Callers who proved who they are, and those who did not; keys made, replaced or revoked.",
            "authentication_success",
            "authentication_failure",
            "credential_change",
        ),
        _rate_panel(
            "Refused requests",
            "Requests refused before they became a question.",
            "access_denied",
            "csrf_failure",
            "rate_limit_exceeded",
            "request_too_large",
            "invalid_request",
        ),
        _rate_panel(
            "Refused content",
            "Questions and statements that a guard refused, and questions let pass in spite of a weak sign.",
            "suspicious_input",
            "statement_rejected",
            "sql_injection_attempt",
            "prompt_injection_attempt",
        ),
        Panel(
            "Verdicts on questions",
            "Verdicts of the question guard per second, by layer and grade.",
            one_query(P("question_verdicts_total").rate(W, keep=("layer", "grade")), "{{layer}} {{grade}}"),
            "eps",
        ),
        _rate_panel(
            "Data seen",
            "Questions, reads of the schema, reads of sensitive columns, and exports.",
            "query_execution",
            "schema_access",
            "sensitive_data_access",
            "result_export",
        ),
        Panel(
            "Bytes sent to models",
            "Bytes of prompt per second that left for a language model.",
            one_query(P("llm_sent_bytes_total").rate(W, keep=("provider", "model")), "{{provider}} {{model}}"),
            "Bps",
            empty="No model is configured",
        ),
        _rate_panel(
            "Watching the watchers",
            "Reads of the audit record, replies held back for want of it, and exceptions that nobody foresaw.",
            "audit_access",
            "answer_withheld",
            "unexpected_error",
        ),
    ),
)

RECORD = PanelRow(
    "Audit record",
    (
        Panel(
            "Audit records",
            "Records made durable per second.",
            one_query(P("audit_records_total").rate(W, keep=("sink",)), "{{sink}}"),
            "eps",
        ),
        Panel(
            "Time to durable",
            "How long requests waited for their audit records to be durable.",
            tuple(
                PanelQuery(P("audit_settle_duration_seconds").quantile(share, W), name, exemplars=True)
                for share, name in ((0.5, "p50"), (0.99, "p99"))
            ),
            "s",
            empty="No requests",
        ),
        Panel(
            "Audit write failures",
            "Failed writes within five minutes. While writes fail, answers are withheld.",
            one_query(signals.audit_failures(P, slo.USUAL), "{{instance}}"),
            width=4,
            bounds=(0.0,),
        ),
        Panel(
            "Audit verification failures",
            "Verifications within an hour that found records changed, removed or forged.",
            one_query(signals.failed_verifications(P, HOUR), "{{instance}}"),
            kind="stat",
            width=4,
            bounds=(0.0,),
            decimals=0,
        ),
        Panel(
            "Free space of the audit volume",
            "Free bytes. When none is left, no answer leaves the service.",
            one_query(signals.audit_free(P), "{{instance}}"),
            "bytes",
            width=12,
            bounds=(slo.AUDIT_LEAST_BYTES, slo.AUDIT_LOW_BYTES),
            low=True,
        ),
        Panel(
            "Since the last verification",
            "How long ago the record was last read and found sound; where it never was, since the service started.",
            one_query(signals.audit_unverified(P), "{{instance}}"),
            "s",
            "stat",
            width=6,
            bounds=(slo.AUDIT_UNVERIFIED_SECONDS,),
        ),
        Panel(
            "Clock ahead of what has passed",
            "How far the clock is ahead of the time that is known to have passed, by which records are kept.",
            one_query(signals.audit_clock_lead(P), "{{instance}}"),
            "s",
            "stat",
            width=6,
            bounds=(slo.AUDIT_CLOCK_LEAD_SECONDS,),
        ),
        Panel(
            "Records not durable yet",
            "What a crash would lose in batched mode. In strict mode nobody was answered yet.",
            one_query(P("audit_pending_records").selector(), "{{instance}}"),
            width=6,
        ),
    ),
)

DASHBOARD = Dashboard(
    "security-monitoring",
    "SQL Synthesizer - Security Monitoring",
    "Attacks, refusals, access to data, and the audit record that all of it is written to.",
    (ATTACKS, ACCESS, RECORD),
)
