"""The shape of an alert, and how it becomes a rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sql_synthesizer.monitoring import catalog, slo
from sql_synthesizer_proof.mixin.promql import Expr
from sql_synthesizer_proof.rules import Rule

SERVICE = catalog.JOB


@dataclass(frozen=True, slots=True)
class Links:
    """Where runbooks and dashboards are: patterns with ``{name}`` of the alert and ``{uid}`` of the dashboard.

    By default those of the compose deployment.
    """

    runbooks: str = "http://localhost:8000/{name}.md"
    dashboards: str = "http://localhost:3000/d/{uid}"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alerting rule.

    ``hold`` is how long the expression must be true, ``panel`` (dashboard key, title) shows what it looks at.
    ``fill`` marks an alert as fast: the seconds that the fault described by ``fault`` needs to make the expression
    true once it is scraped. ``keep`` is how long it fires on when the expression no longer is true. What users feel is
    ``felt``: it is sent at any hour, also as a warning.
    """

    name: str
    severity: Literal["critical", "warning", "none"]
    expr: Expr
    summary: str
    description: str
    panel: tuple[str, str]
    hold: str = ""
    keep: str = ""
    felt: bool = False
    team: Literal["operations", "security"] = "operations"
    fill: int | None = None
    fault: str = ""
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def bound(self) -> int | None:
        """Seconds from the fault to the notification at the latest; None for an alert that is not fast."""
        if self.fill is None:
            return None
        held = -(-slo.duration_seconds(self.hold or "0s") // slo.EVALUATION_INTERVAL) * slo.EVALUATION_INTERVAL
        return slo.SCRAPE_INTERVAL + self.fill + slo.EVALUATION_INTERVAL + held + slo.GROUP_WAIT

    def build_rule(self, links: Links) -> Rule:
        """The rule as Prometheus reads it."""
        labels = {"severity": self.severity, "service": SERVICE, "team": self.team, **dict(self.labels)}
        if self.fill is not None:
            labels["detection"] = "fast"
        if self.felt:
            labels["hours"] = "any"
        rule: Rule = {"alert": self.name, "expr": str(self.expr)}
        if self.hold:
            rule["for"] = self.hold
        if self.keep:
            rule["keep_firing_for"] = self.keep
        annotations = {
            "summary": self.summary,
            "description": self.description,
            "runbook_url": links.runbooks.format(name=self.name),
            "dashboard_url": links.dashboards.format(uid=dashboard_uid(self.panel[0])),
        }
        return {**rule, "labels": labels, "annotations": annotations}


def dashboard_uid(dashboard: str) -> str:
    """The stable identifier of a dashboard."""
    return f"{SERVICE}-{dashboard}"
