"""The rows of the catalogue about the monitoring itself."""

from __future__ import annotations

from functools import partial

from sql_synthesizer.monitoring.metric import Metric, make_metric
from sql_synthesizer.telemetry import vocabulary

make_counter = partial(make_metric, "counter", "count")
make_gauge = partial(make_metric, "gauge", "level")

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
    make_gauge("app_up", "1 when the application answered its last liveness check, else 0", mode="livemostrecent"),
    make_gauge(
        "worker_start_time_seconds",
        "When the youngest worker started, in Unix time",
        vocabulary.WORKER_START,
        unit="seconds",
        mode="livemax",
    ),
    make_gauge("build_info", "1, with the version as a label", labels=[vocabulary.VERSION], mode="livemostrecent"),
)
