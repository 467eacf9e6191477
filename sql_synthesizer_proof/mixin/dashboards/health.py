"""Whether the monitoring itself can be believed."""

from __future__ import annotations

from sql_synthesizer.monitoring import catalog, slo
from sql_synthesizer_proof.mixin import signals
from sql_synthesizer_proof.mixin.alerts.monitoring import ALERTMANAGER, PROMETHEUS, WATCHERS, notification_rate
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
from sql_synthesizer_proof.mixin.promql import ratio_of

GROUP = ("rule_group",)

ALERTS = PanelRow(
    "Alerts and targets",
    (
        Panel(
            "Firing alerts",
            "Alerts that fire now. Watchdog always does: it proves that rules are evaluated.",
            one_query(FIRING.where(severity=("critical", "warning", "none")).selector(), "{{alertname}}"),
            "none",
            "table",
            width=12,
            empty="Not even Watchdog fires: rules are not evaluated",
        ),
        Panel.show_states(
            "Targets up",
            "Whether each target was scraped.",
            (
                PanelQuery(OWN.foreign("up").selector(), "{{job}} {{instance}}"),
                PanelQuery(WATCHERS.foreign("up").selector(), "{{job}} {{instance}}"),
            ),
            width=12,
        ),
        Panel(
            "Query metrics exported",
            "Series of sql_synthesizer_queries_total that each instance exports; without them no alert can fire.",
            one_query(P("queries_total").grouped("count", "instance"), "{{instance}}"),
            width=24,
            empty="None: the metrics are not there",
        ),
    ),
)

TELEMETRY = PanelRow(
    "The service's telemetry",
    (
        Panel(
            "Age of the last fold",
            "How long ago facts last became metrics, in the process that is furthest behind.",
            one_query(signals.fold_age(P), "{{instance}}"),
            "s",
            bounds=(slo.FOLD_AGE_SECONDS,),
        ),
        Panel(
            "Clock skew",
            "Seconds between the clock of each instance and that of Prometheus, whichever is ahead.",
            one_query(signals.clock_skew(P), "{{instance}}"),
            "s",
            bounds=(slo.CLOCK_SKEW_SECONDS,),
        ),
        Panel(
            "Facts waiting",
            "Facts that wait to be folded. At the limit they are dropped.",
            one_query(P("telemetry_queue_length").selector(), "{{instance}}"),
        ),
        Panel(
            "Dropped facts",
            "Facts dropped within five minutes, by signal.",
            one_query(signals.dropped_facts(P, slo.USUAL), "{{signal}} {{instance}}"),
            width=4,
            bounds=(0.0,),
        ),
        Panel(
            "Uncounted events",
            "Events on the audit record within five minutes that a kill left uncounted, and counted ones that it left "
            "unrecorded.",
            (
                PanelQuery(signals.uncounted_events(P, slo.USUAL), "uncounted {{instance}}"),
                PanelQuery(
                    P("unrecorded_events_total").increase(slo.USUAL, keep=("instance",)), "unrecorded {{instance}}"
                ),
            ),
            width=4,
            bounds=(0.0,),
        ),
        Panel(
            "Observer errors",
            "Exceptions raised by observers within five minutes, by signal.",
            one_query(P("telemetry_errors_total").increase(slo.USUAL, keep=("signal",)), "{{signal}}"),
            width=4,
        ),
        Panel(
            "Refused label values",
            "Label values outside their vocabulary within ten minutes; they are counted as 'other'.",
            one_query(signals.refused_labels(P, "10m"), "{{instance}}"),
            bounds=(slo.REFUSED_LABELS,),
        ),
        Panel.show_states(
            "Reloads of the service",
            "Whether what files say was taken in at the last reload of each instance.",
            one_query(P("config_last_reload_successful").selector(), "{{instance}}"),
            words=("refused", "taken in"),
        ),
        Panel(
            "Lost metric files",
            "Times within 15 minutes that the directory of metric files was gone.",
            one_query(signals.metrics_losses(P, "15m"), "{{instance}}"),
            width=4,
            bounds=(slo.METRICS_LOSSES,),
        ),
        Panel(
            "Samples per scrape",
            "Samples that an instance exports. Beyond the scrape limit all of them are lost.",
            one_query(OWN.foreign("scrape_samples_post_metric_relabeling").selector(), "{{instance}}"),
            bounds=(catalog.SERIES_BUDGET,),
        ),
        Panel(
            "Scrape duration",
            "How long a scrape takes.",
            one_query(OWN.foreign("scrape_duration_seconds").selector(), "{{instance}}"),
            "s",
            bounds=(slo.SCRAPE_SECONDS,),
        ),
    ),
)

WATCHING = PanelRow(
    "Prometheus and Alertmanager",
    (
        Panel(
            "Rule evaluation failures",
            "Failed evaluations within five minutes, by group; the alerts of that group do not fire.",
            one_query(
                PROMETHEUS.foreign("prometheus_rule_evaluation_failures_total").increase(slo.USUAL, keep=GROUP),
                "{{rule_group}}",
            ),
            bounds=(0.0,),
        ),
        Panel(
            "Missed rule evaluations",
            "Evaluations within five minutes that did not happen because the one before was not done.",
            one_query(
                PROMETHEUS.foreign("prometheus_rule_group_iterations_missed_total").increase(slo.USUAL, keep=GROUP),
                "{{rule_group}}",
            ),
            bounds=(0.0,),
        ),
        Panel(
            "Duration of rule groups",
            "How long the last evaluation of each group took.",
            one_query(
                PROMETHEUS.foreign("prometheus_rule_group_last_duration_seconds").selector(),
                "{{rule_group}}",
            ),
            "s",
        ),
        Panel(
            "Alertmanagers discovered",
            "Alertmanagers that Prometheus sends alerts to.",
            one_query(
                PROMETHEUS.foreign("prometheus_notifications_alertmanagers_discovered").selector(), "{{instance}}"
            ),
            width=4,
            bounds=(1.0,),
            low=True,
        ),
        Panel(
            "Dropped notifications",
            "Alerts within five minutes that Prometheus gave up on.",
            one_query(PROMETHEUS.foreign("prometheus_notifications_dropped_total").increase(slo.USUAL), "{{job}}"),
            width=4,
            bounds=(0.0,),
        ),
        Panel(
            "Waiting notifications",
            "Alerts that wait to be sent to Alertmanager.",
            one_query(PROMETHEUS.foreign("prometheus_notifications_queue_length").selector(), "{{instance}}"),
            width=4,
        ),
        Panel(
            "Series in Prometheus",
            "Series that Prometheus holds in memory.",
            one_query(PROMETHEUS.foreign("prometheus_tsdb_head_series").selector(), "{{instance}}"),
            width=4,
        ),
        Panel(
            "Notifications",
            "Notifications per second by way of delivery.",
            one_query(notification_rate(ALERTMANAGER, "alertmanager_notifications_total", W), "{{integration}}"),
            "cps",
            width=4,
        ),
        Panel.show_ratio(
            "Notification failure ratio",
            "Share of the notifications that could not be delivered, by way of delivery.",
            one_query(
                ratio_of(
                    notification_rate(ALERTMANAGER, "alertmanager_notifications_failed_total", W),
                    notification_rate(ALERTMANAGER, "alertmanager_notifications_total", W),
                ),
                "{{integration}}",
            ),
            slo.NOTIFICATION_FAILURE_RATIO,
            width=4,
            empty="No notifications",
        ),
        Panel.show_states(
            "Configuration reloads",
            "Whether the last reload of the configuration succeeded.",
            (
                PanelQuery(PROMETHEUS.foreign("prometheus_config_last_reload_successful").selector(), "{{job}}"),
                PanelQuery(ALERTMANAGER.foreign("alertmanager_config_last_reload_successful").selector(), "{{job}}"),
            ),
            width=24,
            words=("failed", "loaded"),
        ),
    ),
)

DASHBOARD = Dashboard(
    "monitoring-health",
    "SQL Synthesizer - Monitoring Health",
    "Targets, telemetry, rules and notifications: what has to work for the other dashboards to be true.",
    (ALERTS, TELEMETRY, WATCHING),
)
