"""What the service depends on: databases, cache, language model."""

from __future__ import annotations

from functools import partial

from tests.rules.scenario import HERE, OURS, Case, Text, counter, falling, gauge, own
from tests.rules.shapes import Ratio, count

FAULT = 300
dependency = partial(own, "dependency_up")
UP, LOST = gauge((900, 1)), gauge((FAULT, 1), (600, 0))

lost = partial(Case, "SqlSynthesizerDependencyDown", alerts=(f'dependency="database",{OURS}',))
DEPENDENCY_DOWN = [
    lost(
        "two instances lose the database",
        {dependency(at, dependency="database"): LOST for at in "ab"},
        firing=(360,),
        quiet=(300, 330),
        text=Text(
            "critical",
            "SQL Synthesizer has lost database",
            "No instance of sql-synthesizer reaches database; the questions that need it fail.",
            "dependencies",
            labels='detection="fast"',
        ),
    ),
    lost(
        "it is lost and found, and lost again meanwhile",
        {dependency(dependency="database"): gauge((FAULT, 1), (180, 0), (60, 1), (60, 0), (300, 1))},
        firing=(375, 510, 690),
        quiet=(330, 720),
    ),
    lost(
        "a ping notices it after 8 s, just after a scrape",
        {dependency(dependency="database"): gauge((FAULT + 1, 1), (600, 0))},
        fault=FAULT - 7,
    ),
    lost(
        "one of two instances loses it",
        {dependency("a", dependency="database"): LOST, dependency("b", dependency="database"): UP},
        quiet=(900,),
    ),
    *(
        lost(f"the {name} is lost", {dependency(dependency=name): LOST}, quiet=(900,))
        for name in ("cache", "model", "schema", "schema_shop")
    ),
    lost(
        "audit and database are lost",
        {dependency(dependency=name): LOST for name in ("audit", "database")},
        firing=(360,),
        alerts=(f'dependency="audit",{OURS}', f'dependency="database",{OURS}'),
    ),
]

without = partial(Case, "SqlSynthesizerDependencyDegraded")
DEPENDENCY_DEGRADED = [
    without(
        "two instances lose the cache",
        {dependency(at, dependency="cache"): LOST for at in "ab"},
        firing=(615,),
        quiet=(300, 585),
        alerts=tuple(f'dependency="cache",instance="{at}",{OURS}' for at in "ab"),
    ),
    without(
        "one of two instances loses the cache",
        {dependency("a", dependency="cache"): LOST, dependency("b", dependency="cache"): UP},
        firing=(615,),
        quiet=(300, 585),
        alerts=(f'dependency="cache",{HERE}',),
        text=Text(
            "warning",
            "SQL Synthesizer works without cache",
            "a cannot use cache; answers are slower, fewer or by an older schema.",
            "dependencies",
        ),
    ),
    without(
        "the cache is found again",
        {dependency(dependency="cache"): gauge((FAULT, 1), (600, 0), (300, 1))},
        firing=(885,),
        quiet=(915,),
        alerts=(f'dependency="cache",{HERE}',),
    ),
    without(
        "the model is lost",
        {dependency(dependency="model"): LOST},
        firing=(615,),
        alerts=(f'dependency="model",{HERE}',),
    ),
    *(
        without(
            f"{name} names nothing",
            {dependency(dependency=name): LOST},
            firing=(615,),
            alerts=(f'dependency="{name}",{HERE}',),
        )
        for name in ("schema", "schema_shop")
    ),
    without("the database is lost", {dependency(dependency="database"): LOST}, quiet=(900,)),
]

LEFT = f'database="shop",{OURS}'
left = partial(own, "database_sessions_left_total", database="shop")
sessions = partial(Case, "SqlSynthesizerSessionsLeft", alerts=(LEFT,))
SESSIONS_LEFT = [
    sessions(
        "one of two instances leaves one, and is forgotten after a quarter of an hour",
        {left("a"): gauge((600, 3), (1200, 4)), left("b"): gauge((1800, 0))},
        firing=(660, 1470),
        quiet=(585, 1530),
    ),
    sessions(
        "three in a quarter of an hour",
        {left("a"): counter((1800, 2 / 900)), left("b"): counter((1800, 1 / 900))},
        firing=(1800,),
        text=Text(
            "warning",
            "Statements go on in shop past their deadline",
            "3 sessions of sql-synthesizer in shop within 15 minutes could not be ended at their deadline and may go "
            "on there.",
            "dependencies",
        ),
    ),
    sessions("a restart", {left("a"): gauge((600, 3), (1200, 0))}, quiet=(660, 1200)),
]

CACHE = f'cache_type="redis",{HERE}'
operations = partial(own, "cache_operations_total", cache_type="redis")
hits, misses = (
    partial(operations, operation="get", hit_miss="hit"),
    partial(operations, operation="get", hit_miss="miss"),
)
failed_gets = partial(operations, operation="get", hit_miss="error")
sets, failed_sets = (
    partial(operations, operation="set", hit_miss="ok"),
    partial(operations, operation="set", hit_miss="error"),
)

cache_down = partial(Case, "SqlSynthesizerCacheDown", alerts=(CACHE,))
CACHE_DOWN = [
    *Ratio(
        "SqlSynthesizerCacheDown", failed_gets, hits, 0.5, 60, hold=30, least=5, local=True, step=6, alerts=(CACHE,)
    ).cases(),
    cache_down(
        "every look-up fails, at one a second, after minutes of health",
        {hits(): counter((FAULT, 1), (300, 0)), failed_gets(): counter((FAULT, 0), (300, 1))},
        firing=(600,),
        quiet=(300,),
        fault=FAULT,
        text=Text(
            "critical",
            "The redis cache is down",
            "100% of the look-ups of a in redis fail; no question is answered from it.",
            "dependencies",
            labels='detection="fast"',
        ),
    ),
    cache_down("only storing fails", {hits(): counter((300, 1)), failed_sets(): counter((300, 10))}, quiet=(300,)),
    cache_down("only looking up fails", {failed_gets(): counter((300, 1)), sets(): counter((300, 10))}, firing=(300,)),
    cache_down("few look-ups", {failed_gets(): counter((300, 4 / 60)), sets(): counter((300, 1))}, quiet=(300,)),
    cache_down(
        "two kinds of cache",
        {failed_gets(): counter((300, 1)), hits(cache_type="memory"): counter((300, 10))},
        firing=(300,),
    ),
]

CACHE_ERRORS = [
    *Ratio("SqlSynthesizerCacheErrors", failed_gets, sets, 0.05, 300, hold=300, local=True, alerts=(CACHE,)).cases(),
    Case(
        "SqlSynthesizerCacheErrors",
        "a tenth fails",
        {failed_sets(): counter((900, 0.1)), hits(): counter((900, 0.9))},
        firing=(900,),
        alerts=(CACHE,),
        text=Text(
            "warning",
            "The redis cache makes errors",
            "10% of the operations of a on redis fail.",
            "dependencies",
        ),
    ),
]

outcomes = partial(own, "question_outcomes_total", outcome="answered")
unused = partial(Case, "SqlSynthesizerCacheUnused")
never = counter((3600, 0))
CACHE_UNUSED = [
    unused(
        "look-ups end while answers go on, then answers end too",
        {
            hits(): counter((900, 1), (3600, 0)),
            outcomes(reason="ok", source="rules"): counter((2700, 1), (900, 0)),
        },
        firing=(2160, 3200),
        quiet=(900, 2000, 3360),
        text=Text(
            "warning",
            "The cache is not used",
            "sql-synthesizer answers questions, but looks none of them up in the cache.",
            "dependencies",
        ),
    ),
    *(
        unused(
            f"answers from {source} without a look-up",
            {misses(): never, sets(): counter((900, 1)), outcomes(reason="ok", source=source): counter((900, rate))},
            firing=(645,),
            quiet=(570,),
        )
        for source, rate in (("llm", 100), ("rules", 0.01), ("cache", 1))
    ),
    *(
        unused(f"nothing but {what}", {misses(): never, outcomes(**labels): counter((900, 1))}, quiet=(900,))
        for what, labels in {
            "declined questions": {"reason": "declined", "source": "rules"},
            "statements of analysts": {"reason": "ok", "source": "analyst"},
        }.items()
    ),
    unused(
        "used", {misses(): counter((900, 1)), outcomes(reason="ok", source="rules"): counter((900, 1))}, quiet=(900,)
    ),
    unused(
        "another kind of cache is used",
        {
            misses(): never,
            hits(cache_type="memory"): counter((900, 0.5)),
            outcomes(reason="ok", source="llm"): counter((900, 1)),
        },
        quiet=(900,),
    ),
    unused("nothing is asked", {misses(): never, outcomes(reason="ok", source="rules"): never}, quiet=(900,)),
]

CACHES = f'cache_type="redis",{OURS}'
HIT_RATIO = [
    *Ratio(
        "SqlSynthesizerCacheHitRatioLow", hits, misses, 0.3, 1800, 1800, least=100, low=True, step=18, alerts=(CACHES,)
    ).cases(),
    Case(
        "SqlSynthesizerCacheHitRatioLow",
        "one in ten",
        {hits(): counter((4500, 0.1)), misses(): counter((4500, 0.9))},
        firing=(4500,),
        alerts=(CACHES,),
        text=Text(
            "warning",
            "Few answers come from the redis cache",
            "10% of the look-ups of sql-synthesizer in redis find an answer.",
            "dependencies",
        ),
    ),
    Case(
        "SqlSynthesizerCacheHitRatioLow",
        "look-ups that fail are no misses",
        {hits(): counter((4500, 0.35)), misses(): counter((4500, 0.65)), failed_gets(): counter((4500, 1))},
        quiet=(4500,),
    ),
    Case(
        "SqlSynthesizerCacheHitRatioLow",
        "few look-ups, much stored",
        {hits(): never, misses(): counter((4500, 50 / 1800)), sets(): counter((4500, 1))},
        quiet=(4500,),
    ),
]

calls = partial(own, "llm_requests_total", provider="openai", model="small")
replied = partial(calls, outcome="success")
fallbacks = partial(own, "fallbacks_total", reason="model_unavailable")
llm_failures = partial(Case, "SqlSynthesizerLLMFailures", alerts=(HERE,))
LLM_FAILURES = [
    *Ratio(
        "SqlSynthesizerLLMFailures", fallbacks, replied, 0.2, 120, hold=30, least=5, local=True, alerts=(HERE,)
    ).cases(),
    llm_failures(
        "every question falls back, at one a second, after minutes of health",
        {replied(): counter((FAULT, 1), (300, 0)), fallbacks(): counter((FAULT, 0), (300, 1))},
        firing=(600,),
        quiet=(300,),
        fault=FAULT,
        text=Text(
            "critical",
            "The language model fails",
            "The model gives no usable reply to 100% of the questions that a asks it; they fall back on the rules "
            "engine, which understands fewer.",
            "dependencies",
            labels='detection="fast"',
        ),
    ),
    llm_failures(
        "two models fail in two ways, 11% each, after two attempts each",
        {
            replied(): counter((300, 0.40)),
            replied(model="large"): counter((300, 0.38)),
            calls(outcome="timeout"): counter((300, 0.22)),
            calls(outcome="invalid", model="large"): counter((300, 0.22)),
            fallbacks(): counter((300, 0.11)),
            fallbacks(reason="model_invalid"): counter((300, 0.11)),
        },
        firing=(300,),
    ),
    llm_failures(
        "falling traffic, just within the threshold",
        {fallbacks(): falling(60, 390, 0.194), replied(): falling(60, 390, 0.806)},
        quiet=(390,),
    ),
    llm_failures(
        "half of the calls fail, and a second attempt succeeds",
        {replied(): counter((300, 1)), calls(outcome="timeout"): counter((300, 1)), fallbacks(): counter((300, 0))},
        quiet=(300,),
    ),
]

spend = partial(own, "llm_cost_usd_total", provider="openai", model="small")
SPENT = f'model="small",provider="openai",{OURS}'
LLM_SPEND = [
    *count("SqlSynthesizerLLMSpend", spend, 10, 3600, alerts=(SPENT,)),
    Case(
        "SqlSynthesizerLLMSpend",
        "12 dollars an hour on one model, 9 on another",
        {spend(): counter((7200, 12 / 3600)), spend(model="large"): counter((7200, 9 / 3600))},
        firing=(7200,),
        alerts=(SPENT,),
        text=Text(
            "warning",
            "The model small costs more than planned",
            "sql-synthesizer spent 12.00 US dollars on small within an hour.",
            "dependencies",
        ),
    ),
]

CASES = (
    *DEPENDENCY_DOWN,
    *DEPENDENCY_DEGRADED,
    *SESSIONS_LEFT,
    *CACHE_DOWN,
    *CACHE_ERRORS,
    *CACHE_UNUSED,
    *HIT_RATIO,
    *LLM_FAILURES,
    *LLM_SPEND,
)
