"""What a manager asks: who asks how much, what it is worth, and what it costs."""

from __future__ import annotations

from sql_synthesizer.monitoring import slo
from sql_synthesizer_proof.mixin import signals
from sql_synthesizer_proof.mixin.dashboards.panel import Dashboard, P, Panel, PanelQuery, PanelRow, one_query

DAY = "1d"
NO_MODEL = "No model"
QUESTIONS = P("business_questions_total")
ANSWERED = QUESTIONS.where(outcome="answered")

USE = PanelRow(
    "Use",
    (
        Panel(
            "Questions a day by source",
            "Questions within a day by where their statement came from; none where there was no statement.",
            one_query(QUESTIONS.increase(DAY, keep=("source",)), "{{source}}"),
            stacked=True,
        ),
        Panel(
            "Questions a day by outcome",
            "Questions within a day by how they ended.",
            one_query(QUESTIONS.increase(DAY, keep=("outcome",)), "{{outcome}}"),
            stacked=True,
        ),
        Panel(
            "Answer rate",
            "Share of the questions within a day that were answered, of those answered, declined or failed: what was "
            "refused, invalid or taken back was nothing to answer.",
            one_query(signals.answer_rate(P, DAY), "{{job}}"),
            "percentunit",
            width=4,
            most=1,
            empty="No questions",
        ),
        Panel(
            "Active callers",
            "Callers that asked within the last day and week. Every process knows of all.",
            one_query(P("active_callers").grouped("max", "window"), "{{window}}"),
            width=4,
        ),
        Panel(
            "Declined by topic",
            "Declined questions within a day by what they are about; words: that nobody knows.",
            one_query(P("declined_questions_total").increase(DAY, keep=("topic",)), "{{topic}}"),
            stacked=True,
        ),
        Panel(
            "Time to answer",
            "Mean time to answer over an hour, by source.",
            one_query(
                P("answer_seconds_total").rate("1h", keep=("source",)) / ANSWERED.rate("1h", keep=("source",)).above(0),
                "{{source}}",
            ),
            "s",
            empty="No answers",
        ),
        Panel(
            "Rows delivered a day",
            "Rows of the answers within a day, by source.",
            one_query(P("delivered_rows_total").increase(DAY, keep=("source",)), "{{source}}"),
            stacked=True,
        ),
        Panel(
            "Busiest tables",
            "Answered questions within a day by the tables that they read, of the ten most used.",
            one_query(P("table_questions_total").increase(DAY, keep=("table",)).call("topk", "10"), "{{table}}"),
            empty="No answers",
        ),
        Panel(
            "Ratings a day",
            "Ratings that callers gave within a day, less those that they changed since; up: the answer was right.",
            one_query(
                P("feedback_total").increase(DAY, keep=("rating",))
                - P("feedback_withdrawn_total").increase(DAY, keep=("rating",)),
                "{{rating}}",
            ),
            stacked=True,
        ),
    ),
)

MONEY = PanelRow(
    "Money",
    (
        Panel(
            "Cost a day by model",
            "US dollars within a day, at the configured prices. Calls without a price are not in it.",
            one_query(P("question_cost_usd_total").increase(DAY, keep=("provider", "model")), "{{provider}} {{model}}"),
            "currencyUSD",
            stacked=True,
            empty=NO_MODEL,
        ),
        Panel(
            "Tokens a day by model",
            "Tokens within a day to and from the model.",
            one_query(P("question_tokens_total").increase(DAY, keep=("model", "direction")), "{{model}} {{direction}}"),
            stacked=True,
            empty=NO_MODEL,
        ),
        Panel(
            "Cost of an answer",
            "US dollars spent on models within a day per answered question, whoever answered it.",
            one_query(signals.answer_cost(P, DAY), "{{job}}"),
            "currencyUSD",
            width=4,
            empty=NO_MODEL,
        ),
        Panel(
            "Calls without a price a day",
            "Calls within a day whose cost is unknown: to the model, and saved by the cache.",
            (
                PanelQuery(P("question_unpriced_requests_total").increase(DAY, keep=("model",)), "{{model}}"),
                PanelQuery(P("cache_saved_unpriced_requests_total").increase(DAY), "saved"),
            ),
            width=4,
        ),
        Panel(
            "Money saved by the cache a day",
            "US dollars that the day's answers from the cache had cost when they were made.",
            one_query(P("cache_saved_usd_total").increase(DAY), "{{job}}"),
            "currencyUSD",
        ),
        Panel(
            "Time saved by the cache a day",
            "Time of synthesis and execution that the day's answers from the cache had taken when they were made.",
            one_query(P("cache_saved_seconds_total").increase(DAY), "{{job}}"),
            "s",
        ),
    ),
)

TEAMS = PanelRow(
    "Teams",
    (
        Panel(
            "Budgets",
            "What each team has used of its budget of the month. At 1 its questions are refused; an alert fires above "
            "the line.",
            one_query(signals.team_budget(P), "{{job}} {{caller_team}}"),
            "percentunit",
            bounds=(slo.TEAM_BUDGET_RATIO,),
            empty="No team has a budget",
        ),
        Panel(
            "Questions a day by team",
            "Questions within a day by the team of the caller's key; none where the key has no team, or there is none.",
            one_query(P("team_questions_total").increase(DAY, keep=("caller_team",)), "{{caller_team}}"),
            stacked=True,
        ),
        Panel(
            "Cost a day by team",
            "US dollars spent on models within a day, by the team of the caller's key.",
            one_query(P("team_cost_usd_total").increase(DAY, keep=("caller_team",)), "{{caller_team}}"),
            "currencyUSD",
            stacked=True,
        ),
    ),
)

DASHBOARD = Dashboard(
    "business",
    "SQL Synthesizer - Business",
    "Questions, answers and callers, what the language model costs, what the cache saves, and teams.",
    (USE, MONEY, TEAMS),
    since="now-30d",
)
