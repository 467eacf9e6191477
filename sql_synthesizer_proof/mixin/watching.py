"""The reference page of the alerts, and who looks at each metric."""

from __future__ import annotations

from sql_synthesizer.monitoring import slo
from sql_synthesizer_proof.mixin.alert import Alert
from sql_synthesizer_proof.mixin.alerts import ALERTS, GROUPS
from sql_synthesizer_proof.mixin.checks.metrics import metrics_in
from sql_synthesizer_proof.mixin.dashboards import DASHBOARDS
from sql_synthesizer_proof.mixin.markdown import format_page, format_table

PANELS_NAMED = 2


def find_watchers() -> dict[str, str]:
    """Metric -> the alerts that look at it, else the first panels that do."""
    found: dict[str, list[str]] = {}
    for alert in ALERTS:
        for name in metrics_in(str(alert.expr)):
            link = f"[{alert.name}](../runbooks/{alert.name}.md)"
            if link not in found.setdefault(name, []):
                found[name].append(link)
    panels: dict[str, list[str]] = {}
    for dashboard in DASHBOARDS:
        for panel in dashboard.panels:
            for name in metrics_in(" ".join(str(target.expr) for target in panel.targets)):
                panels.setdefault(name, []).append(f"{dashboard.key}: {panel.title}")
    return {name: ", ".join(found.get(name) or panels[name][:PANELS_NAMED]) for name in {*found, *panels}}


def _alert_row(alert: Alert) -> tuple[object, ...]:
    return (
        f"[{alert.name}](../runbooks/{alert.name}.md)" + "".join(f", {value}" for _, value in alert.labels),
        alert.severity + ", at any hour" * alert.felt,
        alert.team,
        alert.hold or "at once",
        f"{alert.bound} s" if alert.bound else "",
        f"{alert.panel[0]}: {alert.panel[1]}",
    )


def alerts_page() -> str:
    """The page of all alerts and objectives."""
    objectives = [
        (o.name.capitalize(), f"{o.target:.1%}", o.period, what)
        for o, what in (
            (slo.AVAILABILITY, "questions that end without a failure of the service"),
            (slo.LATENCY, f"successful questions that end within {slo.LATENCY_BOUND:g} s"),
        )
    ]
    burns = [(f"{b.factor:g}", b.long, b.short, b.hold, b.severity) for b in slo.BURNS]
    fast = [(a.name, a.fault, f"{a.fill} s", f"{a.bound} s") for a in ALERTS if a.bound is not None]
    head = ["alert", "severity", "team", "holds for", "notified within", "panel"]
    return format_page(
        "Alerts",
        "Every alert has a runbook, a panel that shows what it looks at, and tests that make it fire and keep it quiet "
        "(`tests/rules`). Thresholds stand in `sql_synthesizer/monitoring/slo.py` only.",
        *(
            f"## {name.removeprefix('sql_synthesizer_').capitalize()}\n\n{format_table(head, map(_alert_row, group))}"
            for name, group in GROUPS.items()
        ),
        "## Targets\n",
        format_table(["objective", "target", "period", "good events"], objectives),
        "A budget that burns too fast over a long and a short window at once is an alert:\n",
        format_table(["times the sustainable rate", "long", "short", "holds for", "severity"], burns),
        "## How soon\n",
        f"Alerts marked `detection: fast` reach a person within {slo.DETECTION_LIMIT} s. The bound is one scrape "
        f"({slo.SCRAPE_INTERVAL} s), the time that the stated fault needs to make the expression true, one evaluation "
        f"({slo.EVALUATION_INTERVAL} s), the hold, and the wait for others of the group ({slo.GROUP_WAIT} s). The "
        "others are slower by design: they look at longer windows.\n",
        format_table(["alert", "fault", "until true", "notified within"], fast),
    )
