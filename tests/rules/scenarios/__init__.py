"""Every case, by group of alerts."""

from __future__ import annotations

import re
from dataclasses import replace

from tests.rules.scenario import Case
from tests.rules.scenarios import (
    business,
    databases,
    dependencies,
    jobs,
    monitoring,
    objectives,
    quality,
    requests,
    security,
    service,
    telemetry,
)

WRITTEN: tuple[Case, ...] = (
    *service.CASES,
    *requests.CASES,
    *jobs.CASES,
    *quality.CASES,
    *objectives.CASES,
    *databases.CASES,
    *dependencies.CASES,
    *business.CASES,
    *security.CASES,
    *telemetry.CASES,
    *monitoring.CASES,
)


def _elsewhere(case: Case) -> Case:
    """What fires for our jobs is nobody's business when it happens to another."""
    series = {re.sub('job="[^"]*"', 'job="other"', name): values for name, values in case.series.items()}
    situation = f"{case.situation}, elsewhere"
    return replace(case, situation=situation, series=series, firing=(), quiet=case.firing, fault=None, text=None)


UNSELECTIVE = {"Watchdog", "SqlSynthesizerDown"}
"""One looks at nothing, and one finds our job absent when only another is there."""

CASES: tuple[Case, ...] = (
    *WRITTEN,
    *(
        _elsewhere(next(case for case in WRITTEN if case.rule == rule and case.firing))
        for rule in dict.fromkeys(case.rule for case in WRITTEN if case.firing)
        if rule not in UNSELECTIVE
    ),
)


def cases_of(rule: str) -> list[Case]:
    """The cases of an alert."""
    found = [case for case in CASES if case.rule == rule]
    assert found, "no case; add one in tests/rules/scenarios"
    return found
