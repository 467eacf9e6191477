"""Databases, cache and language model, as the service meets them."""

from __future__ import annotations

from sql_synthesizer.monitoring import slo
from sql_synthesizer_proof.mixin import signals
from sql_synthesizer_proof.mixin.dashboards.panel import HOUR, Dashboard, P, Panel, PanelQuery, PanelRow, W, one_query

CACHE = ("cache_type",)
MODEL = ("provider", "model")
NO_MODEL = "No model is configured"
DATABASE = ("database",)

HEALTH = PanelRow(
    "Health",
    (
        Panel.show_states(
            "Dependency health",
            "Whether the last health check of each dependency succeeded on each instance. Without cache or model the "
            "service goes on.",
            one_query(P("dependency_up").selector(), "{{dependency}} {{instance}}"),
            width=12,
        ),
        Panel(
            "Logins that may write",
            "1 where the login of a database has more rights than to read; docs/statements.md has a role that has not.",
            one_query(P("writing_logins").grouped("max", "database"), "{{database}}"),
            "short",
            "stat",
            width=6,
            decimals=0,
        ),
        Panel(
            "Tables left out",
            "Tables and views that cannot be asked about, or only without some columns, by cause: they are broken, the "
            "login may not read them, or there are too many. GET /api/schema names them.",
            one_query(P("schema_objects_left_out").grouped("max", "database", "cause"), "{{database}} {{cause}}"),
            "short",
            "stat",
            width=6,
            decimals=0,
        ),
    ),
)

POOL = PanelRow(
    "Database",
    (
        Panel.show_ratio(
            "Error ratio by database",
            "Share of the attempted questions that failed because of the service, by database and instance. An alert "
            "fires above the line.",
            one_query(signals.database_error_ratio(P, W), "{{database}} {{instance}}"),
            slo.DATABASE_ERROR_RATIO,
            empty="No questions",
        ),
        Panel(
            "Response time by database",
            "95th percentile of the duration of answered questions, by database and instance.",
            one_query(signals.database_latency(P, W), "{{database}} {{instance}}", exemplars=True),
            "s",
            bounds=(slo.LATENCY_BOUND,),
            empty="No questions",
        ),
        Panel(
            "Pool use",
            "Share of the connections in use, of the worker where most are, averaged. When all are, questions wait and "
            "then fail.",
            one_query(signals.pool_use(P, slo.USUAL), "{{database}} {{instance}}"),
            "percentunit",
            bounds=(slo.POOL_SATURATION, slo.POOL_USED_UP),
            most=1,
        ),
        Panel(
            "Connections in use",
            "Connections handed out, and how many may be, of all databases of a kind and all workers.",
            (
                PanelQuery(P("active_connections").selector(), "{{database_type}} {{instance}}"),
                PanelQuery(P("connection_pool_limit").selector(), "limit {{database_type}} {{instance}}"),
            ),
            width=6,
        ),
        Panel(
            "Wait for a connection",
            "95th percentile of the time that questions waited for a connection.",
            one_query(P("connection_wait_seconds").quantile(0.95, W, keep=DATABASE), "{{database}}", exemplars=True),
            "s",
            width=6,
            empty="No statements",
        ),
        Panel(
            "No connection in time",
            "Times within 5 minutes that no connection came free in time.",
            one_query(signals.pool_timeouts(P, slo.USUAL), "{{database}} {{instance}}"),
            width=6,
            bounds=(slo.POOL_TIMEOUTS,),
        ),
        Panel(
            "Sessions left behind",
            "Sessions within 15 minutes that could not be ended in the database at their deadline and may go on there.",
            one_query(signals.left_sessions(P, "15m"), "{{database}}"),
            bounds=(slo.SESSIONS_LEFT,),
            width=6,
        ),
    ),
)

LOOKUPS = PanelRow(
    "Cache",
    (
        Panel(
            "Cache operations",
            "Operations per second by kind and result.",
            one_query(
                P("cache_operations_total").rate(W, keep=("operation", "hit_miss")), "{{operation}} {{hit_miss}}"
            ),
            "ops",
        ),
        Panel.show_ratio(
            "Hit ratio",
            "Share of the look-ups that found an answer, over half an hour.",
            one_query(signals.hit_ratio(P, "30m"), "{{cache_type}}"),
            slo.CACHE_HIT_RATIO,
            low=True,
            most=1,
            empty="No look-ups",
        ),
        Panel(
            "Questions and look-ups",
            "Questions answered by model, rules or cache per second, and look-ups per second: each looks once.",
            (
                PanelQuery(signals.answered_questions(P, "10m"), "questions answered"),
                PanelQuery(signals.cache_lookups(P).rate("10m"), "look-ups"),
            ),
            "ops",
        ),
        Panel.show_ratio(
            "Cache error ratio",
            "Share of all operations that failed.",
            one_query(signals.cache_error_ratio(P, slo.USUAL), "{{cache_type}} {{instance}}"),
            slo.CACHE_ERROR_RATIO,
            empty="No operations",
        ),
        Panel.show_ratio(
            "Look-up error ratio",
            "Share of the look-ups that failed; above one half the cache counts as down.",
            one_query(signals.lookup_error_ratio(P, W), "{{cache_type}} {{instance}}"),
            slo.CACHE_DOWN_RATIO,
            empty="No look-ups",
        ),
        Panel(
            "Answers in the memory cache",
            "Entries that the cache of each instance holds; there is none with Redis or Memcached.",
            one_query(P("cache_entries").selector(), "{{instance}}"),
            empty="No memory cache",
        ),
    ),
)

MODELS = PanelRow(
    "Language model",
    (
        Panel(
            "Model calls",
            "Calls per second by outcome.",
            one_query(P("llm_requests_total").rate(W, keep=("provider", "outcome")), "{{provider}} {{outcome}}"),
            "reqps",
            stacked=True,
            empty=NO_MODEL,
        ),
        Panel.show_ratio(
            "Model failure ratio",
            "Share of the questions that the model was to answer and gave no usable reply to; also while its circuit "
            "breaker is open and it is not called.",
            one_query(signals.llm_failure_ratio(P, W), "{{instance}}"),
            slo.LLM_FAILURE_RATIO,
            empty=NO_MODEL,
        ),
        Panel(
            "Model response time",
            "95th percentile of the time that a call takes.",
            one_query(
                P("llm_request_duration_seconds").quantile(0.95, W, keep=MODEL),
                "{{provider}} {{model}}",
                exemplars=True,
            ),
            "s",
            empty=NO_MODEL,
        ),
        Panel(
            "Tokens",
            "Tokens per second to and from the model.",
            one_query(P("llm_tokens_total").rate(W, keep=("model", "direction")), "{{model}} {{direction}}"),
            "cps",
            empty=NO_MODEL,
        ),
        Panel(
            "Spend per hour",
            "US dollars within an hour, at the configured prices. Calls without a price are not in it.",
            one_query(signals.llm_spend(P, HOUR), "{{provider}} {{model}}"),
            "currencyUSD",
            bounds=(slo.LLM_SPEND_USD,),
            empty=NO_MODEL,
        ),
        Panel(
            "Calls without a price",
            "Calls within an hour whose cost is unknown, because no price is configured.",
            one_query(P("llm_unpriced_requests_total").increase(HOUR, keep=MODEL), "{{provider}} {{model}}"),
            width=4,
            empty=NO_MODEL,
        ),
        Panel(
            "Fallbacks",
            "Questions per second that went to the rules engine because the model failed, by reason.",
            one_query(P("fallbacks_total").rate(W, keep=("reason",)), "{{reason}}"),
            "reqps",
            width=4,
        ),
    ),
)

DASHBOARD = Dashboard(
    "dependencies",
    "SQL Synthesizer - Dependencies",
    "Connection pool, cache and language model: rate, errors, duration and saturation of each.",
    (HEALTH, POOL, LOOKUPS, MODELS),
)
