"""The watching itself: the service's telemetry, Prometheus and Alertmanager."""

from __future__ import annotations

from sql_synthesizer.monitoring import catalog, slo
from sql_synthesizer_proof.mixin import signals
from sql_synthesizer_proof.mixin.alert import Alert
from sql_synthesizer_proof.mixin.promql import Expr, MetricSeries, Scope, ratio_of
from sql_synthesizer_proof.mixin.signals import M

PANELS = "monitoring-health"
PROMETHEUS, ALERTMANAGER = Scope('job="prometheus"'), Scope('job="alertmanager"')
WATCHERS = Scope('job=~"prometheus|alertmanager"')


def notification_rate(m: Scope, name: str, window: str) -> Expr:
    """Notifications per second by integration."""
    return m.foreign(name).rate(window, keep=("integration",))


def _failed_reload(series: MetricSeries) -> Expr:
    return series.over("max_over_time", slo.USUAL).equals(0)


TELEMETRY = (
    Alert(
        "SqlSynthesizerTelemetryStalled",
        "critical",
        signals.fold_age(M).above(slo.FOLD_AGE_SECONDS),
        "The telemetry of SQL Synthesizer stands still",
        "What happens on {{ $labels.instance }} has not reached its metrics for {{ $value | humanizeDuration }}: the "
        "other alerts see the past.",
        (PANELS, "Age of the last fold"),
        hold="15s",
        fill=31,
        fault="a worker no longer folds what it observes",
    ),
    Alert(
        "SqlSynthesizerClockSkew",
        "warning",
        signals.clock_skew(M).above(slo.CLOCK_SKEW_SECONDS),
        "The clock of {{ $labels.instance }} is wrong",
        "The clock of {{ $labels.instance }} and that of Prometheus are {{ $value | humanizeDuration }} apart. "
        "Records, keys and sessions have times that are not.",
        (PANELS, "Clock skew"),
        hold="5m",
    ),
    Alert(
        "SqlSynthesizerTelemetryDropping",
        "warning",
        signals.dropped_facts(M, slo.USUAL).above(0),
        "SQL Synthesizer drops {{ $labels.signal }} telemetry",
        'About {{ $value | printf "%.0f" }} facts of {{ $labels.instance }} were dropped within 5 minutes. Metrics, '
        "spans "
        "or log lines are incomplete; the audit record is not.",
        (PANELS, "Dropped facts"),
        felt=True,
    ),
    Alert(
        "SqlSynthesizerEventsUncounted",
        "warning",
        signals.uncounted_events(M, slo.USUAL).above(0),
        "A process was killed before it had counted all",
        "About {{ $value | humanize }} security events of {{ $labels.instance }} are on the audit record and in no "
        "other counter: a process was killed.",
        (PANELS, "Uncounted events"),
    ),
    Alert(
        "SqlSynthesizerLabelValuesRefused",
        "warning",
        signals.refused_labels(M, "10m").above(slo.REFUSED_LABELS),
        "Unknown label values reach the metrics",
        '{{ $value | printf "%.0f" }} label values of {{ $labels.instance }} were outside their vocabulary within 10 '
        "minutes and were counted as 'other'.",
        (PANELS, "Refused label values"),
    ),
    Alert(
        "SqlSynthesizerReloadRefused",
        "warning",
        M("config_last_reload_successful").selector().equals(0),
        "SQL Synthesizer runs on old settings",
        "What files say was refused when {{ $labels.instance }} was told to reload; the last settings stay in force, "
        "and "
        "a restart would fail.",
        (PANELS, "Reloads of the service"),
    ),
    Alert(
        "SqlSynthesizerMetricsLost",
        "warning",
        signals.metrics_losses(M, "15m").above(slo.METRICS_LOSSES),
        "The metric files of SQL Synthesizer were removed",
        "The directory of metric files of {{ $labels.instance }} was gone and was made anew: counters began at 0, and "
        "what was counted since the last scrape is lost.",
        (PANELS, "Lost metric files"),
    ),
    Alert(
        "SqlSynthesizerSeriesExplosion",
        "warning",
        M.foreign("scrape_samples_post_metric_relabeling").selector().above(catalog.SERIES_BUDGET),
        "SQL Synthesizer exports too many series",
        '{{ $labels.instance }} exports {{ $value | printf "%.0f" }} samples; beyond the scrape limit all of them '
        "are lost.",
        (PANELS, "Samples per scrape"),
        hold="10m",
    ),
    Alert(
        "SqlSynthesizerScrapeSlow",
        "warning",
        M.foreign("scrape_duration_seconds").selector().above(slo.SCRAPE_SECONDS),
        "Scrapes of SQL Synthesizer are slow",
        "A scrape of {{ $labels.instance }} takes {{ $value | humanizeDuration }}; at the time limit it fails.",
        (PANELS, "Scrape duration"),
        hold="5m",
    ),
)

META = (
    Alert(
        "Watchdog",
        "none",
        Expr("vector(1)"),
        "Alerting works",
        "This alert always fires. When it stops arriving at the dead man's switch, a part of the chain is broken.",
        (PANELS, "Firing alerts"),
    ),
    Alert(
        "MonitoringTargetDown",
        "critical",
        WATCHERS.foreign("up").selector().equals(0),
        "{{ $labels.job }} cannot be scraped",
        "{{ $labels.job }} at {{ $labels.instance }} does not answer; alerts may not be evaluated or delivered.",
        (PANELS, "Targets up"),
        hold="1m",
    ),
    Alert(
        "PrometheusNotConnectedToAlertmanagers",
        "critical",
        PROMETHEUS.foreign("prometheus_notifications_alertmanagers_discovered")
        .over("max_over_time", slo.USUAL)
        .below(1),
        "Prometheus knows no Alertmanager",
        "{{ $labels.instance }} has no Alertmanager to send alerts to. This alert cannot arrive by itself: the dead "
        "man's switch falls silent.",
        (PANELS, "Alertmanagers discovered"),
        hold="5m",
    ),
    Alert(
        "PrometheusRuleFailures",
        "critical",
        PROMETHEUS.foreign("prometheus_rule_evaluation_failures_total")
        .increase(slo.USUAL, keep=("rule_group",))
        .above(0),
        "Rules cannot be evaluated",
        'About {{ $value | printf "%.0f" }} evaluations of {{ $labels.rule_group }} failed within 5 minutes; its '
        "alerts "
        "do not fire.",
        (PANELS, "Rule evaluation failures"),
        hold="5m",
    ),
    Alert(
        "PrometheusMissedRuleEvaluations",
        "warning",
        PROMETHEUS.foreign("prometheus_rule_group_iterations_missed_total")
        .increase(slo.USUAL, keep=("rule_group",))
        .above(0),
        "Rule evaluations are missed",
        '{{ $labels.rule_group }} missed about {{ $value | printf "%.0f" }} evaluations within 5 minutes; alerts '
        "come late.",
        (PANELS, "Missed rule evaluations"),
        hold="15m",
    ),
    Alert(
        "PrometheusNotificationsDropped",
        "critical",
        PROMETHEUS.foreign("prometheus_notifications_dropped_total").increase(slo.USUAL).above(0),
        "Prometheus drops alerts",
        'Prometheus gave up on about {{ $value | printf "%.0f" }} alerts to Alertmanager within 5 minutes.',
        (PANELS, "Dropped notifications"),
        hold="5m",
    ),
    Alert(
        "PrometheusConfigReloadFailed",
        "critical",
        _failed_reload(PROMETHEUS.foreign("prometheus_config_last_reload_successful")),
        "Prometheus runs on an old configuration",
        "{{ $labels.instance }} refused its configuration at the last reload.",
        (PANELS, "Configuration reloads"),
        hold="5m",
    ),
    Alert(
        "AlertmanagerNotificationsFailing",
        "critical",
        ratio_of(
            notification_rate(ALERTMANAGER, "alertmanager_notifications_failed_total", slo.USUAL),
            notification_rate(ALERTMANAGER, "alertmanager_notifications_total", slo.USUAL),
        ).above(slo.NOTIFICATION_FAILURE_RATIO),
        "Notifications by {{ $labels.integration }} fail",
        "{{ $value | humanizePercentage }} of the notifications by {{ $labels.integration }} cannot be delivered.",
        (PANELS, "Notification failure ratio"),
        hold="5m",
    ),
    Alert(
        "AlertmanagerConfigReloadFailed",
        "critical",
        _failed_reload(ALERTMANAGER.foreign("alertmanager_config_last_reload_successful")),
        "Alertmanager runs on an old configuration",
        "{{ $labels.instance }} refused its configuration at the last reload.",
        (PANELS, "Configuration reloads"),
        hold="5m",
    ),
)
