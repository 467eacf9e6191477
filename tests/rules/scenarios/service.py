"""What a user of the service feels, and what the service uses up."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.rules.scenario import HERE, Case, Text, counter, expected, gauge, listed, metric, own
from tests.rules.shapes import Ratio, average

up = partial(metric, "up")
app_up = partial(own, "app_up")
queries = partial(own, "queries_total", query_type="select", database_type="sqlite")
errors, successes = partial(queries, success="error"), partial(queries, success="success")
seconds = partial(own, query_type="select", database_type="sqlite")
UP, GONE = gauge((900, 1)), gauge((300, 1), (600, 0))
FAULT = 300

DOWN_TEXT = Text(
    "critical",
    "SQL Synthesizer is down",
    "No instance of sql-synthesizer answers: its metrics cannot be scraped, or the application behind them does not "
    "respond. Nobody can ask a question.",
    "overview",
    labels='detection="fast"',
)

down = partial(Case, "SqlSynthesizerDown")
DOWN = [
    down(
        "the only instance cannot be scraped",
        {up(): GONE},
        firing=(345, 900),
        quiet=(300, 315),
        fault=301,
        text=DOWN_TEXT,
    ),
    down(
        "the application hangs; its exporter notices after 6 s, just after a scrape",
        {up(): UP, app_up(): gauge((301, 1), (600, 0))},
        firing=(360,),
        quiet=(330,),
        fault=295,
    ),
    down("both instances are gone", {up("a"): GONE, up("b"): GONE}, firing=(345,), quiet=(315,)),
    down("both applications hang", {up("a"): UP, up("b"): UP, app_up("a"): GONE, app_up("b"): GONE}, firing=(345,)),
    down("one of two instances is gone", {up("a"): GONE, up("b"): UP, app_up("b"): UP}, quiet=(900,)),
    down("one of two applications hangs", {up("a"): UP, up("b"): UP, app_up("a"): GONE, app_up("b"): UP}, quiet=(900,)),
    down("nobody scrapes it", {up("a", "prometheus"): UP}, firing=(60,), quiet=(15,)),
    down("nothing at all", {}, firing=(45,), quiet=(15,)),
    down(
        "another job is gone",
        {up(): UP, app_up(): UP, up("a", "other"): GONE, app_up("a", "other"): GONE},
        quiet=(900,),
    ),
    down("it comes back", {up(): gauge((300, 0), (300, 1))}, firing=(285, 390), quiet=(435, 600)),
    down(
        "it comes back for a minute",
        {up(): gauge((300, 0), (60, 1), (15, 0), (300, 1))},
        firing=(285, 345, 375, 480),
        quiet=(510,),
    ),
]


def reaches(instance: str, **dependencies: str) -> dict[str, str]:
    """An instance that answers, and what it reaches."""
    return {
        up(instance): UP,
        app_up(instance): UP,
        **{own("dependency_up", instance, dependency=name): values for name, values in dependencies.items()},
    }


instance_down = partial(Case, "SqlSynthesizerInstanceDown", alerts=(HERE,))
INSTANCE_DOWN = [
    instance_down(
        "one of two cannot be scraped",
        {up("a"): GONE, up("b"): UP},
        firing=(435,),
        quiet=(300, 405),
        text=Text(
            "warning",
            "One instance of SQL Synthesizer cannot serve all",
            "a does not answer, or has lost what all or some of its questions need; other instances of sql-synthesizer "
            "are well.",
            "overview",
        ),
    ),
    instance_down(
        "one of two comes back",
        {up("a"): gauge((300, 1), (300, 0), (300, 1)), up("b"): UP},
        firing=(435, 585),
        quiet=(615,),
    ),
    instance_down("one of two hangs", {up("a"): UP, up("b"): UP, app_up("a"): GONE, app_up("b"): UP}, firing=(435,)),
    instance_down("none can be scraped", {up("a"): GONE, up("b"): GONE}, quiet=(900,)),
    instance_down("all hang", {up("a"): UP, up("b"): UP, app_up("a"): GONE, app_up("b"): GONE}, quiet=(900,)),
    instance_down("all is well", {up("a"): UP, up("b"): UP, app_up("a"): UP, app_up("b"): UP}, quiet=(900,)),
    instance_down(
        "one of two has lost its database",
        {**reaches("a", database=GONE, audit=UP), **reaches("b", database=UP, audit=UP)},
        firing=(435,),
        quiet=(300, 405),
    ),
    instance_down(
        "one of two has lost its database, and both what they can work without",
        {**reaches("a", database=GONE, cache=GONE, model=GONE), **reaches("b", database=UP, cache=GONE, model=GONE)},
        firing=(435,),
    ),
    instance_down(
        "both have lost their database", {**reaches("a", database=GONE), **reaches("b", database=GONE)}, quiet=(900,)
    ),
    instance_down(
        "both have lost their database, one of them its audit file too",
        {**reaches("a", database=GONE, audit=GONE), **reaches("b", database=GONE, audit=UP)},
        quiet=(900,),
    ),
    *(
        instance_down(
            f"one of two has lost its {optional}",
            {**reaches("a", database=UP, **{optional: GONE}), **reaches("b", database=UP, **{optional: UP})},
            quiet=(900,),
        )
        for optional in ("cache", "model")
    ),
]

absent = partial(Case, "SqlSynthesizerMetricsAbsent", alerts=(HERE,))
METRICS_ABSENT = [
    absent(
        "one of two exports no queries",
        {up("a"): UP, up("b"): UP, successes("b"): counter((900, 1))},
        firing=(315,),
        quiet=(285,),
        text=Text(
            "warning",
            "SQL Synthesizer exports no query metrics",
            "a is scraped, but sql_synthesizer_queries_total is not there: its alerts cannot fire.",
            "monitoring-health",
        ),
    ),
    absent(
        "it exports them at last",
        {up("a"): UP, successes("a"): f"{'_ ' * 40}{counter((300, 1))}"},
        firing=(585,),
        quiet=(615,),
    ),
    absent("both export them", {up("a"): UP, errors("a"): counter((900, 0))}, quiet=(900,)),
    absent("it cannot be scraped", {up("a"): gauge((900, 0))}, quiet=(900,)),
    absent("only another job exports them", {up(): UP, successes(job="other"): counter((900, 1))}, firing=(315,)),
]

error_rate = partial(Case, "HighErrorRate")
ERROR_RATE = [
    *Ratio("HighErrorRate", errors, successes, share=0.05, window=120, hold=30, least=20).cases(),
    error_rate(
        "every question fails, at one a second, after minutes of health",
        {successes(): counter((FAULT, 1), (300, 0)), errors(): counter((FAULT, 0), (300, 1))},
        firing=(600,),
        quiet=(300,),
        fault=FAULT,
        text=Text(
            "critical",
            "High error rate",
            "100% of the questions to sql-synthesizer fail because of the service.",
            "overview",
            labels='detection="fast"',
        ),
    ),
    error_rate(
        "every question fails, at one a second, after silence", {errors(): counter((FAULT, 0), (300, 1))}, fault=FAULT
    ),
    error_rate(
        "two kinds of query fail on two instances, 3% each",
        {
            successes(): counter((300, 0.94)),
            errors(): counter((300, 0.03)),
            errors("b", query_type="insert"): counter((300, 0.03)),
        },
        firing=(300,),
    ),
    error_rate(
        "4 questions a second fail, all of them, among 100 that are refused",
        {
            errors(): counter((300, 4)),
            successes(): counter((300, 0)),
            own("question_outcomes_total", outcome="refused", reason="question_refused"): counter((300, 100)),
        },
        firing=(300,),
    ),
]

Shares = tuple[float, float, float]
"""Of the queries, those that take up to 1 s, from 1 s to 2 s and from 2 s to 5 s."""


def took(*phases: tuple[float, float, Shares], instance: str = "a", success: str = "success") -> dict[str, str]:
    """Queries in phases of (seconds, per second, how long they take)."""
    name = partial(seconds, instance=instance, success=success)
    count = counter(*((length, rate) for length, rate, _ in phases))
    within = [counter(*((length, rate * sum(shares[:upto])) for length, rate, shares in phases)) for upto in (1, 2, 3)]
    bounds = zip(("1.0", "2.0", "5.0", "+Inf"), (*within, count), strict=True)
    return {
        **{name("query_duration_seconds_bucket", le=bound): values for bound, values in bounds},
        name("query_duration_seconds_count"): count,
    }


def slow(situation: str, series: dict[str, str], **seen: Any) -> Case:
    return Case("HighQueryLatency", situation, series, **seen)


FAST_ONES, SLOW_ONES = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)
LATENCY = [
    Case(
        "HighQueryLatency",
        "8% take between 2 s and 5 s",
        took((600, 1, (0.90, 0.02, 0.08))),
        firing=(600,),
        text=Text(
            "warning",
            "High query latency",
            "One question in twenty to sql-synthesizer takes longer than 3.125s.",
            "overview",
            labels='hours="any"',
        ),
    ),
    *(
        slow(
            f"{share:.0%} take between 2 s and 5 s at {rate}/s",
            took((600, rate, (0.8, 0.2 - share, share))),
            **expected(fires, 600),
        )
        for rate in (1, 100)
        for share, fires in ((0.052, True), (0.048, False))
    ),
    slow("one slow query in 100 s", took((600, 0.01, SLOW_ONES)), quiet=(600,)),
    slow("20 slow queries in 5 minutes", took((900, 20 / 300, SLOW_ONES)), firing=(900,)),
    slow("19 slow queries in 5 minutes", took((900, 19 / 300, SLOW_ONES)), quiet=(900,)),
    slow("all slow from the first on", took((30, 0, SLOW_ONES), (300, 100, SLOW_ONES)), firing=(180,), quiet=(150,)),
    slow(
        "slow for 10 minutes, then fast",
        took((600, 1, SLOW_ONES), (600, 1, FAST_ONES)),
        firing=(600, 810),
        quiet=(930,),
    ),
    slow(
        "failing queries are slow", took((600, 1, FAST_ONES)) | took((600, 1, SLOW_ONES), success="error"), quiet=(600,)
    ),
    slow(
        "few successes, all slow, among many failures",
        took((600, 0.03, SLOW_ONES)) | took((600, 1, FAST_ONES), success="error"),
        quiet=(600,),
    ),
    slow(
        "one of two instances is slow, and answers a twelfth",
        took((600, 1, FAST_ONES)) | took((600, 0.09, SLOW_ONES), instance="b"),
        firing=(600,),
    ),
    slow(
        "12 slow queries in 5 minutes on each of two instances",
        took((600, 12 / 300, SLOW_ONES)) | took((600, 12 / 300, SLOW_ONES), instance="b"),
        firing=(600,),
    ),
    slow("no queries", took((600, 0, FAST_ONES)), quiet=(600,)),
]

outcomes = partial(own, "question_outcomes_total", source="none")
overloaded = partial(outcomes, outcome="failed", reason="overloaded")
refused = partial(outcomes, outcome="refused", reason="question_refused")
OVERLOADED = [
    *Ratio(
        "SqlSynthesizerOverloaded",
        overloaded,
        successes,
        share=0.05,
        window=120,
        hold=60,
        least=5,
        within=True,
        local=True,
        alerts=(HERE,),
    ).cases(),
    Case(
        "SqlSynthesizerOverloaded",
        "a quarter is turned away, among a hundred times as many that are refused",
        {
            overloaded(): counter((300, 0.25)),
            errors(): counter((300, 0.25)),
            successes(): counter((300, 0.75)),
            refused(): counter((300, 100)),
        },
        firing=(300,),
        alerts=(HERE,),
        text=Text(
            "warning",
            "SQL Synthesizer refuses questions for overload",
            "25% of the questions to a are refused because as many as may run at once are running.",
            "overview",
            labels='hours="any"',
        ),
    ),
    Case(
        "SqlSynthesizerOverloaded",
        "a tenth is turned away, 4 questions in 2 minutes",
        {
            overloaded(): counter((300, 4 / 120)),
            errors(): counter((300, 4 / 120)),
            successes(): counter((300, 36 / 120)),
            refused(): counter((300, 1)),
        },
        quiet=(300,),
    ),
]


def starts(*at: int) -> str:
    """The start time of a worker that starts again at these moments."""
    return listed([1000 + max((moment for moment in at if moment <= now), default=0) for now in range(0, 3600, 15)])


restarting = partial(Case, "SqlSynthesizerRestarting", alerts=(HERE,))
start = partial(own, "worker_start_time_seconds")
RESTARTING = [
    restarting(
        "three times within 10 minutes, on one of two instances",
        {start("a"): starts(1200, 1500, 1800), start("b"): starts()},
        firing=(1815, 2040),
        quiet=(1785, 2130),
        text=Text(
            "warning",
            "SQL Synthesizer restarts again and again",
            "A worker of a started 3 times within 15 minutes.",
            "overview",
        ),
    ),
    restarting("twice within 15 minutes", {start(): starts(1200, 1500)}, quiet=(1500, 1800)),
    restarting("three times within half an hour", {start(): starts(1200, 1920, 2640)}, quiet=(2640, 2700)),
]

GIB = 1024.0**3
memory, cpu = partial(own, "memory_usage_bytes"), partial(own, "cpu_usage_percent")
RESOURCES = [
    *average("HighMemoryUsage", memory, 4 * GIB, hold=300),
    Case(
        "HighMemoryUsage",
        "5 GiB",
        {memory(): gauge((600, 5 * GIB))},
        firing=(600,),
        alerts=(HERE,),
        text=Text("warning", "High memory usage", "The processes of a hold 5GiB of memory.", "overview"),
    ),
    *average("HighCPUUsage", cpu, 80, hold=300),
    Case(
        "HighCPUUsage",
        "95%",
        {cpu(): gauge((600, 95))},
        firing=(600,),
        alerts=(HERE,),
        text=Text(
            "warning", "High CPU usage", "The processes of a use 95% of the CPU time that they may use.", "overview"
        ),
    ),
]

CASES = (
    *DOWN,
    *INSTANCE_DOWN,
    *METRICS_ABSENT,
    *ERROR_RATE,
    *LATENCY,
    *OVERLOADED,
    *RESTARTING,
    *RESOURCES,
)
