"""Prometheus and Alertmanager, watched by themselves."""

from __future__ import annotations

from functools import partial

from tests.rules.scenario import Case, Text, counter, gauge, metric
from tests.rules.shapes import Named, Ratio, recurring

PROMETHEUS, ALERTMANAGER = 'job="prometheus"', 'job="alertmanager"'
HEALTH = "monitoring-health"

WATCHDOG = [
    Case(
        "Watchdog",
        "nothing at all",
        {},
        firing=(0, 15),
        alerts=("",),
        text=Text(
            "none",
            "Alerting works",
            "This alert always fires. When it stops arriving at the dead man's switch, a part of the chain is broken.",
            HEALTH,
        ),
    )
]

up = partial(metric, "up")
target = partial(Case, "MonitoringTargetDown")
TARGETS = [
    *(
        target(
            f"{job} cannot be scraped",
            {up(job=job): gauge((120, 1), (180, 0), (120, 1)), up(job=other): gauge((420, 1))},
            firing=(195,),
            quiet=(120, 165, 315),
            alerts=(f'instance="a",job="{job}"',),
            text=Text(
                "critical",
                f"{job} cannot be scraped",
                f"{job} at a does not answer; alerts may not be evaluated or delivered.",
                HEALTH,
            ),
        )
        for job, other in (("prometheus", "alertmanager"), ("alertmanager", "prometheus"))
    ),
    target("the service cannot be scraped", {up(): gauge((300, 0))}, quiet=(300,)),
]


def unreachable(rule: str, named: Named, text: Text, healthy: int = 1) -> list[Case]:
    """A gauge that has been 0 for five minutes, for five minutes; a scrape that fails in between is no news."""
    job = text.labels
    alerts = (f'instance="a",{job}',)
    return [
        Case(
            rule,
            "0 from some moment on, on one of two",
            {named("a"): gauge((600, healthy), (900, 0), (300, healthy)), named("b"): gauge((1800, healthy))},
            firing=(1230,),
            quiet=(600, 1155, 1530),
            alerts=alerts,
            text=Text(text.severity, text.summary, text.description, text.dashboard),
        ),
        Case(
            rule,
            "0 for four minutes",
            {named(): gauge((600, healthy), (240, 0), (900, healthy))},
            quiet=(855, 1140),
            alerts=alerts,
        ),
    ]


discovered = partial(metric, "prometheus_notifications_alertmanagers_discovered", job="prometheus")
reloaded = partial(metric, "prometheus_config_last_reload_successful", job="prometheus")
alertmanager_reloaded = partial(metric, "alertmanager_config_last_reload_successful", job="alertmanager")
GAUGES = [
    *unreachable(
        "PrometheusNotConnectedToAlertmanagers",
        discovered,
        Text(
            "critical",
            "Prometheus knows no Alertmanager",
            "a has no Alertmanager to send alerts to. This alert cannot arrive by itself: the dead man's switch falls "
            "silent.",
            HEALTH,
            labels=PROMETHEUS,
        ),
    ),
    *unreachable(
        "PrometheusConfigReloadFailed",
        reloaded,
        Text(
            "critical",
            "Prometheus runs on an old configuration",
            "a refused its configuration at the last reload.",
            HEALTH,
            labels=PROMETHEUS,
        ),
    ),
    *unreachable(
        "AlertmanagerConfigReloadFailed",
        alertmanager_reloaded,
        Text(
            "critical",
            "Alertmanager runs on an old configuration",
            "a refused its configuration at the last reload.",
            HEALTH,
            labels=ALERTMANAGER,
        ),
    ),
]

GROUP = f'rule_group="alerts",{PROMETHEUS}'
failures = partial(metric, "prometheus_rule_evaluation_failures_total", job="prometheus", rule_group="alerts")
missed = partial(metric, "prometheus_rule_group_iterations_missed_total", job="prometheus", rule_group="alerts")
lost = partial(metric, "prometheus_notifications_dropped_total", job="prometheus")
COUNTERS = [
    *recurring("PrometheusRuleFailures", failures, 300, 300, alerts=(GROUP,)),
    *recurring("PrometheusMissedRuleEvaluations", missed, 300, 900, alerts=(GROUP,)),
    *recurring("PrometheusNotificationsDropped", lost, 300, 300, alerts=(PROMETHEUS,)),
    *(
        Case(
            rule,
            "four in five minutes on one instance, two on another",
            {named("a"): counter((1800, 4 / 300)), named("b"): counter((1800, 2 / 300))},
            firing=(1800,),
            alerts=(labels,),
            text=Text(severity, summary, description, HEALTH),
        )
        for rule, named, labels, severity, summary, description in (
            (
                "PrometheusRuleFailures",
                failures,
                GROUP,
                "critical",
                "Rules cannot be evaluated",
                "About 6 evaluations of alerts failed within 5 minutes; its alerts do not fire.",
            ),
            (
                "PrometheusMissedRuleEvaluations",
                missed,
                GROUP,
                "warning",
                "Rule evaluations are missed",
                "alerts missed about 6 evaluations within 5 minutes; alerts come late.",
            ),
            (
                "PrometheusNotificationsDropped",
                lost,
                PROMETHEUS,
                "critical",
                "Prometheus drops alerts",
                "Prometheus gave up on about 6 alerts to Alertmanager within 5 minutes.",
            ),
        )
    ),
]

MAIL = f'integration="email",{ALERTMANAGER}'
sent = partial(metric, "alertmanager_notifications_total", job="alertmanager", integration="email")
undelivered = partial(
    metric, "alertmanager_notifications_failed_total", job="alertmanager", integration="email", reason="other"
)
NOTIFICATIONS = [
    *Ratio("AlertmanagerNotificationsFailing", undelivered, sent, 0.01, 300, 300, within=True, alerts=(MAIL,)).cases(),
    Case(
        "AlertmanagerNotificationsFailing",
        "a quarter of the mails fail for two reasons, no call fails",
        {
            sent(): counter((900, 0.4)),
            undelivered(): counter((900, 0.05)),
            undelivered(reason="clientError"): counter((900, 0.05)),
            sent(integration="webhook"): counter((900, 0.4)),
            undelivered(integration="webhook"): counter((900, 0)),
        },
        firing=(900,),
        alerts=(MAIL,),
        text=Text(
            "critical", "Notifications by email fail", "25% of the notifications by email cannot be delivered.", HEALTH
        ),
    ),
]

CASES = (*WATCHDOG, *TARGETS, *GAUGES, *COUNTERS, *NOTIFICATIONS)
