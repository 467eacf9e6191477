"""Whether answers are right: questions with known results, and the names that they need."""

from __future__ import annotations

from functools import partial

from tests.rules.scenario import OURS, Case, Text, counter, gauge, own

gone = partial(own, "schema_drift", database="shop", object="orders.status")
asked = partial(own, "canary_questions_total", canary="orders")
GONE = f'database="shop",{OURS},object="orders.status"'
ORDERS = f'canary="orders",{OURS}'
FAULT = 300
ONE = 1 / 15
"""One within the 15 seconds between two samples."""

drift = partial(Case, "SqlSynthesizerSchemaDrift", alerts=(GONE,))
DRIFT = [
    drift(
        "a column is renamed, which one of two workers has seen",
        {gone("a"): gauge((FAULT + 30, 0), (600, 1), (300, 0)), gone("b"): gauge((1230, 0))},
        firing=(FAULT + 45, 900),
        quiet=(FAULT, FAULT + 15, 945, 1200),
        fault=FAULT,
        text=Text(
            "critical",
            "orders.status is gone from shop",
            "Questions with known results need orders.status, which the database shop of sql-synthesizer has no more: "
            "it was renamed or removed, or the service may not read it now.",
            "application-performance",
            labels=f'{GONE},detection="fast"',
        ),
    ),
    drift(
        "two names at once",
        {gone(): gauge((600, 1)), gone(object="products"): gauge((600, 1)), gone(object="customers"): gauge((600, 0))},
        firing=(15,),
        alerts=(GONE, f'database="shop",{OURS},object="products"'),
    ),
]

failing = partial(Case, "SqlSynthesizerCanaryFailing", alerts=(ORDERS,))
RIGHT = counter((1200, 1 / 300))
FAILING = [
    failing(
        "it is answered wrongly from now on, and soon by both workers",
        {
            asked("a", result="right"): counter((300, 1 / 300), (900, 0)),
            asked("a", result="wrong"): counter((300, 0), (15, ONE), (15, 0), (15, ONE), (15, 0), (15, ONE), (825, 0)),
            asked("b", result="failed"): counter((1200, 0)),
            asked("a", result="right", canary="others"): RIGHT,
        },
        firing=(345, 600),
        quiet=(300, 330, 690),
    ),
    failing(
        "once by each of two workers, in two ways",
        {
            asked("a", result="declined"): counter((300, 0), (15, ONE), (885, 0)),
            asked("b", result="empty"): counter((330, 0), (15, ONE), (855, 0)),
        },
        firing=(345, 600),
        quiet=(330, 630),
    ),
    failing(
        "again and again",
        {asked(result="failed"): counter((900, 1 / 30))},
        firing=(600,),
        text=Text(
            "warning",
            "The question orders is answered wrongly",
            "sql-synthesizer asks itself a question whose result is known, and about 10 times within 5 minutes the "
            "answer was not that.",
            "application-performance",
            labels=ORDERS,
        ),
    ),
    failing(
        "once in a while",
        {asked(result="failed"): counter((300, 0), (15, ONE), (345, 0), (15, ONE), (525, 0))},
        quiet=(330, 600, 690, 900),
    ),
    failing("always right", {asked(result="right"): counter((900, 1 / 15))}, quiet=(900,)),
]

worse = partial(own, "regression_detected")
EXECUTE = f'{OURS},series="execute"'
regression = partial(Case, "SqlSynthesizerRegression", alerts=(EXECUTE,))
REGRESSION = [
    regression(
        "one worker has found that a stage is slower, until it is no more",
        {
            worse("a", series="execute"): gauge((300, 0), (600, 1), (300, 0)),
            worse("b", series="execute"): gauge((1200, 0)),
            worse("a", series="schema"): gauge((1200, 0)),
        },
        firing=(315, 885),
        quiet=(285, 930),
        text=Text(
            "warning",
            "execute of sql-synthesizer has become worse",
            "The series execute of sql-synthesizer took a step that its own past weeks do not explain. "
            "sql-synthesizer regress check says since when, by how much, and what changed at about that time.",
            "application-performance",
            labels=EXECUTE,
        ),
    ),
]

CASES = [*DRIFT, *FAILING, *REGRESSION]

outcomes, replies = partial(own, "question_outcomes_total"), own("llm_requests_total", outcome="success")
ANSWERED = outcomes(outcome="answered", reason="ok", source="llm")
SHARES = {
    "declined_per_question": {outcomes(outcome="declined"): 0.125, ANSWERED: 0.5, outcomes(outcome="failed"): 0.375},
    "empty_per_answer": {own("empty_answers_total"): 0.125, ANSWERED: 1.0},
    "repaired_per_reply": {own("repairs_total"): 0.125, replies: 1.0},
    "fallbacks_per_question": {own("fallbacks_total"): 0.125, replies: 0.875},
}
"""A recorded share of an eighth -> its series, per second."""
