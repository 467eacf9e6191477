"""Attacks, and the health of the audit record."""

from __future__ import annotations

from functools import partial

from sql_synthesizer.monitoring import slo
from sql_synthesizer_proof.mixin import signals
from sql_synthesizer_proof.mixin.alert import Alert
from sql_synthesizer_proof.mixin.signals import M

PANELS = "security-monitoring"
FREE = signals.audit_free(M)
TREND = M("audit_free_bytes").over("deriv", "1h") * 43_200

security_alert = partial(Alert, team="security")

ALERTS = (
    security_alert(
        "SQLInjectionAttempts",
        "critical",
        signals.security_events(M, slo.USUAL, "sql_injection_attempt").above(0),
        "SQL injection attempts",
        'Within 5 minutes {{ $labels.job }} refused SQL injection attempts: about {{ $value | printf "%.0f" }}.',
        (PANELS, "Injections within 5 minutes"),
        fill=0,
        fault="one question that carries an SQL injection",
    ),
    security_alert(
        "SecurityEventSpike",
        "critical",
        signals.grave_events(M, slo.FAST).above(slo.SECURITY_EVENTS_PER_SECOND),
        "Security events come in a burst",
        "{{ $value | humanize }} security events of high or critical severity per second on {{ $labels.job }}.",
        (PANELS, "Grave events per second"),
        hold="30s",
        fill=49,
        fault="25 events of high severity a second",
    ),
    security_alert(
        "SqlSynthesizerPromptInjectionAttempts",
        "warning",
        signals.security_events(M, slo.USUAL, "prompt_injection_attempt").above(0),
        "Attempts to steer the model",
        'Within 5 minutes {{ $labels.job }} refused prompt injection attempts: about {{ $value | printf "%.0f" }}.',
        (PANELS, "Injections within 5 minutes"),
    ),
    security_alert(
        "SqlSynthesizerAuthFailureBurst",
        "warning",
        signals.security_events(M, "10m", "authentication_failure").above(slo.AUTHENTICATION_FAILURES),
        "Authentication fails in a burst",
        '{{ $value | printf "%.0f" }} failed authentications on {{ $labels.job }} within 10 minutes.',
        (PANELS, "Failed authentications within 10 minutes"),
    ),
    security_alert(
        "SqlSynthesizerAuditWriteFailures",
        "critical",
        signals.audit_failures(M, slo.USUAL).above(0),
        "The audit record cannot be written",
        'About {{ $value | printf "%.0f" }} writes of the audit record of {{ $labels.instance }} failed within 5 '
        "minutes. "
        "Answers are withheld until it can be written again.",
        (PANELS, "Audit write failures"),
        fill=5,
        fault="the audit directory cannot be written; the next request or the health check every 5 s notices",
    ),
    security_alert(
        "SqlSynthesizerAuditVerificationFailed",
        "critical",
        signals.failed_verifications(M, slo.USUAL).above(0),
        "The audit record does not verify",
        "A verification of the audit record of {{ $labels.instance }} found records that were changed, removed or "
        "forged.",
        (PANELS, "Audit verification failures"),
        fill=0,
        fault="a verification finds a bad record",
    ),
    security_alert(
        "SqlSynthesizerAuditNotVerified",
        "warning",
        signals.audit_unverified(M).above(slo.AUDIT_UNVERIFIED_SECONDS),
        "The audit record has not been verified",
        "The audit record of {{ $labels.instance }} was last found sound {{ $value | humanizeDuration }} ago. A change "
        "since then would be unseen.",
        (PANELS, "Since the last verification"),
        hold="5m",
    ),
    security_alert(
        "SqlSynthesizerAuditClockJumped",
        "warning",
        signals.audit_clock_lead(M).above(slo.AUDIT_CLOCK_LEAD_SECONDS),
        "The clock went ahead, and retention does not follow",
        "The clock of {{ $labels.instance }} is {{ $value | humanizeDuration }} ahead of the time that is known to "
        "have passed. Audit records are kept by that time until somebody says that the clock is right.",
        (PANELS, "Clock ahead of what has passed"),
        hold="5m",
    ),
    security_alert(
        "SqlSynthesizerAuditVolumeFilling",
        "warning",
        FREE.below(slo.AUDIT_LEAST_BYTES).or_else(
            FREE.below(slo.AUDIT_LOW_BYTES).and_matching((FREE + TREND).below(0))
        ),
        "The audit volume fills up",
        "{{ $value | humanize1024 }}B are free on the audit volume of {{ $labels.instance }}, and at the present pace "
        "not for long. When it is full, no answer leaves the service.",
        (PANELS, "Free space of the audit volume"),
        hold="5m",
    ),
)
