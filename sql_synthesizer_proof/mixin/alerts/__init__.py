"""Every alert, in the groups that Prometheus evaluates together: from symptoms to causes, the watching itself last."""

from __future__ import annotations

from sql_synthesizer_proof.mixin.alert import Alert
from sql_synthesizer_proof.mixin.alerts import (
    business,
    dependencies,
    jobs,
    monitoring,
    objectives,
    quality,
    security,
    service,
)

GROUPS: dict[str, tuple[Alert, ...]] = {
    "sql_synthesizer_service": service.ALERTS,
    "sql_synthesizer_jobs": jobs.ALERTS,
    "sql_synthesizer_quality": quality.ALERTS,
    "sql_synthesizer_objectives": objectives.ALERTS,
    "sql_synthesizer_dependencies": dependencies.ALERTS,
    "sql_synthesizer_business": business.ALERTS,
    "sql_synthesizer_security": security.ALERTS,
    "sql_synthesizer_telemetry": monitoring.TELEMETRY,
    "sql_synthesizer_monitoring": monitoring.META,
}

ALERTS: tuple[Alert, ...] = tuple(alert for alerts in GROUPS.values() for alert in alerts)
