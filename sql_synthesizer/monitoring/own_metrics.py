"""The rows of the catalogue about the monitoring itself."""

from __future__ import annotations

from functools import partial

from sql_synthesizer.monitoring.metric import Metric, make_metric
from sql_synthesizer.telemetry import vocabulary
from sql_synthesizer.telemetry.vocabulary import Vocabulary

make_counter = partial(make_metric, "counter", "count")
make_gauge = partial(make_metric, "gauge", "level")

PART = Vocabulary("part", ("worker", "web_server", "exporter", "job_worker"))
"""Processes of the service that are started again."""

METRICS: tuple[Metric, ...] = (
    make_counter(
        "telemetry_dropped_total",
        "Facts dropped because the telemetry queue was full",
        vocabulary.TELEMETRY_DROPPED,
        labels=[vocabulary.SIGNAL],
    ),
    make_counter(
        "telemetry_errors_total",
        "Exceptions raised by a telemetry observer",
        vocabulary.TELEMETRY_ERROR,
        labels=[vocabulary.SIGNAL],
    ),
    make_counter(
        "uncounted_events_total",
        "Security events on the audit record that no other counter has: a kill came before they were counted",
        labels=[vocabulary.EVENT_TYPE],
    ),
    make_counter(
        "unrecorded_events_total",
        "Security events that were counted and are not on the audit record: a kill came before they were durable",
        labels=[vocabulary.EVENT_TYPE],
    ),
    make_counter(
        "label_values_refused_total",
        "Label values outside their vocabulary that were exported as 'other'",
        vocabulary.LABEL_REFUSED,
    ),
    make_gauge("telemetry_queue_length", "Facts that wait to be folded", vocabulary.TELEMETRY_QUEUE),
    make_gauge(
        "last_fold_timestamp_seconds",
        "When the process that is furthest behind last folded its facts, in Unix time",
        vocabulary.LAST_FOLD,
        unit="seconds",
        mode="livemin",
        unwatched="rules and panels look at its age",
    ),
    make_gauge(
        "last_fold_age_seconds",
        "Seconds since the process that is furthest behind last folded its facts, by the host's own clock",
        unit="seconds",
    ),
    make_gauge(
        "audit_verified_age_seconds",
        "Seconds since the audit record was last found sound, or the service started, by the host's own clock",
        unit="seconds",
    ),
    make_gauge(
        "job_worker_beat_age_seconds",
        "Seconds since a worker of jobs last said that it lives, by the host's own clock",
        unit="seconds",
    ),
    make_gauge(
        "clock_timestamp_seconds", "What the clock of this host said at the scrape, in Unix time", unit="seconds"
    ),
    make_gauge(
        "audit_clock_lead_seconds",
        "Seconds that the clock is ahead of the time that is known to have passed, by which retention goes",
        vocabulary.AUDIT_CLOCK_LEAD,
        unit="seconds",
        mode="livemax",
    ),
    make_gauge("app_up", "1 when the application answered its last liveness check, else 0", mode="livemostrecent"),
    make_gauge(
        "worker_start_time_seconds",
        "When the youngest worker started, in Unix time",
        vocabulary.WORKER_START,
        unit="seconds",
        mode="livemax",
    ),
    make_counter(
        "processes_killed_total",
        "Processes of the service that a signal ended, the kernel's for want of memory or somebody's",
        labels=[PART],
    ),
    make_counter("metrics_directory_losses_total", "Times that the directory of metric files was gone and made anew"),
    make_gauge(
        "config_last_reload_successful",
        "1 when what files say was taken in at the last SIGHUP or start, else 0",
        mode="livemostrecent",
    ),
    make_gauge("build_info", "1, with the version as a label", labels=[vocabulary.VERSION], mode="livemostrecent"),
)
