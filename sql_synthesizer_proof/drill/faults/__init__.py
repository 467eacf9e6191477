"""The scenarios, by what is broken."""

from __future__ import annotations

from sql_synthesizer_proof.drill.faults import attacks, budget, business, jobs, load, monitoring, parts, quality
from sql_synthesizer_proof.drill.scenario import AlertScenario

SCENARIOS: tuple[AlertScenario, ...] = (
    *attacks.SCENARIOS,
    *parts.SCENARIOS,
    *load.SCENARIOS,
    *jobs.SCENARIOS,
    *quality.SCENARIOS,
    *monitoring.SCENARIOS,
    *budget.SCENARIOS,
    *business.SCENARIOS,
)
