"""What users feel at once: outages again and again, answers that are slow, processes that are killed."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.rules.scenario import HERE, OURS, Case, Text, counter, expected, gauge, metric, own
from tests.rules.scenarios.service import FAST_ONES, SLOW_ONES, took
from tests.rules.shapes import Named, first

AGAIN = gauge((600, 1), *((30, n % 2) for n in range(20)), (900, 1))
"""Half a minute down and half a minute up, ten times."""
STEADY = gauge((2100, 1))


def flapping(rule: str, named: Named, alerts: tuple[str, ...], text: Text) -> list[Case]:
    """An alert on several outages within ten minutes, of more than a minute together."""
    case = partial(Case, rule, alerts=alerts)
    return [
        case(
            "half a minute down and half a minute up, on one of two instances",
            {named("a"): AGAIN, named("b"): STEADY},
            firing=(750, 1200, 1500),
            quiet=(600, 660, 1830),
        ),
        case("two outages, the second lasts", {named(): gauge((600, 1), (45, 0), (60, 1), (300, 0))}, firing=(750,)),
        case("one of three minutes", {named(): gauge((600, 1), (180, 0), (600, 1))}, quiet=(690, 780, 900)),
        case("two, of 45 s together", {named(): gauge((600, 1), (30, 0), (60, 1), (15, 0), (600, 1))}, quiet=(720,)),
        case(
            "a third of the time",
            {named(): gauge((900, 1), *((60, 0), (120, 1)) * 3, (15, 1))},
            firing=(1440,),
            text=text,
        ),
    ]


up, app_up = partial(metric, "up"), partial(own, "app_up")
database = partial(own, "dependency_up", dependency="database")
DOWN = Text(
    "critical",
    "SQL Synthesizer is down again and again",
    "a was down for 29.27% of the last 10 minutes, in several outages.",
    "overview",
)
LOST = Text(
    "critical",
    "SQL Synthesizer loses database again and again",
    "a was without database for 29.27% of the last 10 minutes, in several outages.",
    "overview",
)
WITHOUT = (f'dependency="database",{HERE}',)
FLAPPING = [
    *flapping("SqlSynthesizerFlapping", up, (HERE,), DOWN),
    *flapping("SqlSynthesizerFlapping", app_up, (HERE,), DOWN),
    *flapping("SqlSynthesizerDependencyFlapping", database, WITHOUT, LOST),
    Case(
        "SqlSynthesizerDependencyFlapping",
        "the cache comes and goes",
        {own("dependency_up", dependency="cache"): AGAIN},
        quiet=(750, 1200),
    ),
]


def slow(situation: str, series: dict[str, str], **seen: Any) -> Case:
    return Case("SqlSynthesizerBrownout", situation, series, alerts=(OURS,), **seen)


BROWNOUT = [
    slow(
        "60% take between 2 s and 5 s",
        took((600, 1, (0.4, 0, 0.6))),
        firing=(600,),
        text=Text(
            "critical",
            "Most questions are slow",
            "60% of the answers of sql-synthesizer take longer than 2 seconds.",
            "overview",
        ),
    ),
    *(
        slow(f"{share:.0%} at {rate}/s", took((600, rate, (0.2, 0.8 - share, share))), **expected(fires, 600))
        for rate in (1, 100)
        for share, fires in ((0.52, True), (0.48, False))
    ),
    slow("20 slow ones in 2 minutes", took((900, 20 / 120, SLOW_ONES)), firing=(900,)),
    slow("19 slow ones in 2 minutes", took((900, 19 / 120, SLOW_ONES)), quiet=(900,)),
    slow("all slow from the first on", took((30, 0, SLOW_ONES), (300, 100, SLOW_ONES)), firing=(120,), quiet=(90,)),
    slow(
        "slow for 10 minutes, then fast",
        took((600, 1, FAST_ONES), (600, 1, SLOW_ONES), (600, 1, FAST_ONES)),
        firing=(750, 1245),
        quiet=(600, 705, 1275),
    ),
    slow("failing ones are slow", took((600, 1, FAST_ONES)) | took((600, 3, SLOW_ONES), success="error"), quiet=(600,)),
    slow(
        "few successes, all slow, among many failures",
        took((600, 0.1, SLOW_ONES)) | took((600, 1, FAST_ONES), success="error"),
        quiet=(600,),
    ),
    slow(
        "one of two instances is slow, and answers most",
        took((600, 0.4, FAST_ONES)) | took((600, 0.6, SLOW_ONES), instance="b"),
        firing=(600,),
    ),
    slow("no questions", took((600, 0, FAST_ONES)), quiet=(600,)),
]

killed = partial(own, "processes_killed_total", part="worker")
KILLED = [
    *first("SqlSynthesizerProcessKilled", killed, 900, alerts=(f'part="worker",{HERE}',)),
    Case(
        "SqlSynthesizerProcessKilled",
        "two workers, and no exporter",
        {killed(): counter((1200, 2 / 900)), killed(part="exporter"): counter((1200, 0))},
        firing=(1200,),
        alerts=(f'part="worker",{HERE}',),
        text=Text(
            "warning",
            "A process of SQL Synthesizer was killed",
            "A signal ended worker of a within 15 minutes, perhaps the kernel's for want of memory. What it had in "
            "hand was lost; it was started again.",
            "overview",
            labels='hours="any"',
        ),
    ),
]

CASES = (*FLAPPING, *BROWNOUT, *KILLED)
