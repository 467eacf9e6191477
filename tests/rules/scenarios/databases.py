"""Each database, and the connections to it."""

from __future__ import annotations

from functools import partial

from tests.rules.scenario import HERE, OURS, Case, Phase, Text, counter, gauge, own
from tests.rules.shapes import Ratio, average

FAULT = 300
SHOP = f'database="shop",{HERE}'
asked = partial(own, "database_queries_total", database="shop")
failed, answered = partial(asked, success="error"), partial(asked, success="success")
database_errors = partial(Case, "SqlSynthesizerDatabaseErrors", alerts=(SHOP,))
DATABASE_ERRORS = [
    *Ratio(
        "SqlSynthesizerDatabaseErrors", failed, answered, 0.25, 300, hold=60, least=5, local=True, alerts=(SHOP,)
    ).cases(),
    database_errors(
        "one of ten fails wholly, with one question in thirty",
        {
            failed(): counter((600, 0.1)),
            answered(): counter((600, 0)),
            **{answered(database=f"other{n}"): counter((600, 0.3)) for n in range(9)},
            **{failed(database=f"other{n}"): counter((600, 0)) for n in range(9)},
        },
        firing=(600,),
        text=Text(
            "critical",
            "Questions to the database shop fail",
            "100% of the questions that a takes for the database shop fail because of the service.",
            "dependencies",
        ),
    ),
    database_errors(
        "four failures in five minutes here, and many elsewhere",
        {
            failed(): counter((900, 4 / 300)),
            failed("b"): counter((900, 4 / 300)),
            failed(database="books"): counter((900, 4 / 300)),
            answered(): counter((900, 4 / 300)),
        },
        quiet=(900,),
    ),
    database_errors(
        "it fails on both instances",
        {failed(at): counter((900, 0.1)) for at in "ab"},
        firing=(900,),
        alerts=tuple(f'database="shop",instance="{at}",{OURS}' for at in "ab"),
    ),
]


def took(database: str, seconds: float, *phases: Phase, instance: str = "a") -> dict[str, str]:
    """Answers of one database that all take so long."""
    name = partial(own, instance=instance, database=database)
    values, none = counter(*phases), counter(*((length, 0) for length, _ in phases))
    buckets = {
        name("database_query_duration_seconds_bucket", le=bound): values if seconds <= float(bound) else none
        for bound in ("1.0", "2.0", "5.0", "+Inf")
    }
    return {**buckets, name("database_query_duration_seconds_count"): values}


slow = partial(Case, "SqlSynthesizerDatabaseSlow", alerts=(SHOP,))
DATABASE_SLOW = [
    slow(
        "one of two, with a twentieth of the answers",
        {**took("shop", 4, (1800, 0.05)), **took("books", 1, (1800, 1))},
        firing=(1000,),
        text=Text(
            "warning",
            "Answers from the database shop are slow",
            "One question in twenty that a answers from the database shop takes longer than 4.85s.",
            "dependencies",
            labels='hours="any"',
        ),
    ),
    slow(
        "slow on one of two instances",
        {**took("shop", 4, (1800, 0.05)), **took("shop", 1, (1800, 1), instance="b")},
        firing=(1000,),
    ),
    slow("slow, then fast", {**took("shop", 4, (1200, 1), (1200, 0))}, firing=(1200, 1700), quiet=(270, 1860)),
    slow("nearly slow", {**took("shop", 2, (1800, 1))}, quiet=(1800,)),
    slow("ten in ten minutes", {**took("shop", 4, (1800, 10 / 600))}, firing=(1800,)),
    slow("nine in ten minutes", {**took("shop", 4, (1800, 9 / 600))}, quiet=(1800,)),
    slow(
        "nine in ten minutes, and more elsewhere",
        {
            **took("shop", 4, (1800, 9 / 600)),
            **took("shop", 4, (1800, 9 / 600), instance="b"),
            **took("books", 4, (1800, 9 / 600)),
        },
        quiet=(1800,),
    ),
    slow("none", {**took("shop", 4, (1800, 0))}, quiet=(1800,)),
]

use = partial(own, "connection_pool_use_ratio", database="shop")
saturated = partial(Case, "SqlSynthesizerConnectionPoolSaturated", alerts=(SHOP,))
SATURATED = [
    *average("SqlSynthesizerConnectionPoolSaturated", use, 0.8, hold=300, alerts=(SHOP,)),
    saturated(
        "nine of ten, on one of two instances and of one of two databases",
        {use("a"): gauge((600, 0.9)), use("b"): gauge((600, 0.1)), use("a", database="books"): gauge((600, 0.1))},
        firing=(600,),
        text=Text(
            "warning",
            "The connection pool of shop is nearly used up",
            "On average 90% of the connections to the database shop that a worker of a may have are in use.",
            "dependencies",
        ),
    ),
]

exhausted = partial(Case, "SqlSynthesizerConnectionPoolExhausted", alerts=(SHOP,))
EXHAUSTED = [
    exhausted(
        "all on one of two instances",
        {use("a"): gauge((100, 0.9), (100, 1), (60, 0.9), step=1), use("b"): gauge((260, 0.9), step=1)},
        firing=(148, 199),
        quiet=(100, 141, 202),
        step=1,
    ),
    exhausted(
        "all of one of two databases, seen every 15 s",
        {use(): gauge((FAULT + 1, 0.3), (300, 1)), use(database="books"): gauge((FAULT + 301, 0.1))},
        firing=(600,),
        quiet=(300,),
        fault=FAULT,
        text=Text(
            "critical",
            "The connection pool of shop is used up",
            "All connections to the database shop that a worker of a may have are in use; questions wait, then fail.",
            "dependencies",
            labels='detection="fast"',
        ),
    ),
    exhausted("more than the limit", {use(): gauge((300, 1.2))}, firing=(300,)),
    exhausted("for a sample in two", {use(): gauge(*((15, n % 2) for n in range(40)))}, quiet=(300, 315, 330)),
]

waited = partial(own, "connection_timeouts_total", database="shop")
unserved = partial(Case, "SqlSynthesizerConnectionPoolTimeouts", alerts=(SHOP,))
POOL_TIMEOUTS = [
    unserved(
        "twenty at once, on one of two instances",
        {waited("a"): counter((300, 0), (15, 20 / 15), (600, 0)), waited("b"): counter((915, 0))},
        firing=(330, 570),
        quiet=(300, 660),
    ),
    unserved(
        "six in five minutes",
        {waited(): counter((900, 6 / 300))},
        firing=(900,),
        text=Text(
            "warning",
            "Questions to shop get no connection",
            "About 6 questions to the database shop failed on a within 5 minutes because no connection came free in "
            "time.",
            "dependencies",
            labels='hours="any"',
        ),
    ),
    unserved("five in five minutes", {waited(): counter((900, 5 / 300))}, firing=(900,)),
    unserved(
        "four in five minutes, and four of others",
        {
            waited(): counter((900, 4 / 300)),
            waited("b"): counter((900, 4 / 300)),
            waited(database="books"): counter((900, 4 / 300)),
        },
        quiet=(900,),
    ),
    unserved("a restart", {waited(): f"{counter((300, 1))} {counter((900, 0))}"}, quiet=(630,)),
]

CASES = (*DATABASE_ERRORS, *DATABASE_SLOW, *SATURATED, *EXHAUSTED, *POOL_TIMEOUTS)
