"""Every dashboard. A new one is a file here and a line below."""

from __future__ import annotations

from sql_synthesizer_proof.mixin.dashboards import business, dependencies, health, overview, performance, security
from sql_synthesizer_proof.mixin.dashboards.panel import Dashboard

DASHBOARDS: tuple[Dashboard, ...] = (
    overview.DASHBOARD,
    performance.DASHBOARD,
    security.DASHBOARD,
    dependencies.DASHBOARD,
    health.DASHBOARD,
    business.DASHBOARD,
)
