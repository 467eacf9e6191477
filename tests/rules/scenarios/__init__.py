"""Every case, by group of alerts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from sql_synthesizer.monitoring.slo import duration_seconds
from tests.rules.promtool import shipped
from tests.rules.scenario import Case
from tests.rules.scenarios import (
    business,
    databases,
    dependencies,
    jobs,
    monitoring,
    objectives,
    outages,
    quality,
    requests,
    security,
    service,
    telemetry,
)

WRITTEN: tuple[Case, ...] = (
    *service.CASES,
    *outages.CASES,
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


BIG = 100_000.0
COUNTER = re.compile(r"_(?:total|bucket|count)\{")
WINDOW = re.compile(r"(?:increase|rate)\([^\[]*\[(\w+)\]")


def _restarted(case: Case, window: float) -> Case:
    """The same, but the counters were high and begin anew half a window before it fires."""
    moment = case.firing[-1] - window / 2
    step = case.scrape or case.step

    def restart(values: str) -> str:
        high, low, last = [], [], 0.0
        for number, text in enumerate(values.split()):
            if not re.fullmatch(r"[\d.e+]+", text):
                (high if number * step < moment else low).append(text)
            elif number * step < moment:
                last = float(text)
                high.append(f"{last + BIG:.12g}")
            else:
                low.append(f"{float(text) - last:.12g}")
        return " ".join(high + low)

    series = {name: restart(values) if COUNTER.search(name) else values for name, values in case.series.items()}
    situation = f"{case.situation}, amid counters that start again"
    return replace(case, situation=situation, series=series, firing=case.firing[-1:], quiet=(), fault=None, text=None)


def _restarts() -> Iterator[Case]:
    """The first case that fires each rule on counters, with a restart in the middle."""
    for rule in dict.fromkeys(case.rule for case in WRITTEN if case.firing):
        windows = [duration_seconds(window) for window in WINDOW.findall(shipped()[0][rule]["expr"])]
        if windows:
            yield _restarted(next(case for case in WRITTEN if case.rule == rule and case.firing), min(windows))


UNSELECTIVE = {"Watchdog", "SqlSynthesizerDown"}
"""One looks at nothing, and one finds our job absent when only another is there."""

CASES: tuple[Case, ...] = (
    *WRITTEN,
    *(
        _elsewhere(next(case for case in WRITTEN if case.rule == rule and case.firing))
        for rule in dict.fromkeys(case.rule for case in WRITTEN if case.firing)
        if rule not in UNSELECTIVE
    ),
    *_restarts(),
)


def cases_of(rule: str) -> list[Case]:
    """The cases of an alert."""
    found = [case for case in CASES if case.rule == rule]
    assert found, "no case; add one in tests/rules/scenarios"
    return found
