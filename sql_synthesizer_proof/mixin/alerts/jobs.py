"""The questions that are asked in the background."""

from __future__ import annotations

from sql_synthesizer.monitoring import slo
from sql_synthesizer_proof.mixin import signals
from sql_synthesizer_proof.mixin.alert import Alert
from sql_synthesizer_proof.mixin.signals import M

PAGE = "application-performance"

ALERTS = (
    Alert(
        "SqlSynthesizerJobWorkersStuck",
        "critical",
        signals.job_silence(M).above(slo.JOB_SILENCE_SECONDS).and_matching(signals.jobs_waiting(M).above(0)),
        "Nobody asks the questions of jobs",
        "The last sign of a job worker of {{ $labels.job }} came {{ $value | humanizeDuration }} ago, and questions "
        "wait.",
        (PAGE, "Last sign of a job worker"),
        hold="30s",
    ),
    Alert(
        "SqlSynthesizerJobBacklog",
        "warning",
        signals.job_age(M).above(slo.JOB_AGE_SECONDS),
        "Jobs wait for long",
        "The oldest job of {{ $labels.job }} that nobody has begun has waited for {{ $value | humanizeDuration }}.",
        (PAGE, "Oldest job that nobody began"),
        hold="5m",
    ),
    Alert(
        "SqlSynthesizerJobDeadLetters",
        "warning",
        signals.dead_letters(M, slo.USUAL).above(0),
        "Questions of jobs were given up",
        'About {{ $value | printf "%.0f" }} questions of jobs of {{ $labels.job }} were given up within 5 minutes, '
        "after "
        "all tries.",
        (PAGE, "Dead letters"),
    ),
    Alert(
        "SqlSynthesizerWebhooksLost",
        "warning",
        signals.lost_webhooks(M, slo.USUAL).above(0),
        "Addresses were not told that jobs have ended",
        "About {{ $value | humanize }} jobs of {{ $labels.job }} have ended within 5 minutes without their address "
        "taking the message, after all tries.",
        (PAGE, "Webhooks given up"),
    ),
)
