"""What the service depends on: databases, cache, language model."""

from __future__ import annotations

from sql_synthesizer.monitoring import slo
from sql_synthesizer_proof.mixin import signals
from sql_synthesizer_proof.mixin.alert import Alert
from sql_synthesizer_proof.mixin.alerts.service import NEEDED
from sql_synthesizer_proof.mixin.signals import M

PANELS = "dependencies"
OPTIONAL = M("dependency_up").where(dependency=signals.OPTIONAL)

ALERTS = (
    Alert(
        "SqlSynthesizerDependencyDown",
        "critical",
        NEEDED.grouped("max", *signals.JOB_DEPENDENCY).equals(0),
        "SQL Synthesizer has lost {{ $labels.dependency }}",
        "No instance of {{ $labels.job }} reaches {{ $labels.dependency }}; the questions that need it fail.",
        (PANELS, "Dependency health"),
        hold="45s",
        fill=8,
        fault="the dependency stops answering; a ping every 5 s with a limit of 2 s notices",
        keep="2m",
    ),
    Alert(
        "SqlSynthesizerDependencyDegraded",
        "warning",
        OPTIONAL.selector().equals(0),
        "SQL Synthesizer works without {{ $labels.dependency }}",
        "{{ $labels.instance }} cannot use {{ $labels.dependency }}; answers are slower, fewer or by an older schema.",
        (PANELS, "Dependency health"),
        hold="5m",
    ),
    Alert(
        "SqlSynthesizerDatabaseErrors",
        "critical",
        signals.database_error_ratio(M, slo.USUAL)
        .above(slo.DATABASE_ERROR_RATIO)
        .and_matching(
            M("database_queries_total")
            .where(success="error")
            .increase(slo.USUAL, keep=signals.LOCAL)
            .at_least(slo.LEAST_DATABASE_ERRORS)
        ),
        "Questions to the database {{ $labels.database }} fail",
        "{{ $value | humanizePercentage }} of the questions that {{ $labels.instance }} takes for the database "
        "{{ $labels.database }} fail because of the service.",
        (PANELS, "Error ratio by database"),
        hold="1m",
    ),
    Alert(
        "SqlSynthesizerDatabaseSlow",
        "warning",
        signals.database_latency(M, "10m")
        .above(slo.LATENCY_BOUND)
        .and_matching(
            M("database_query_duration_seconds")
            .increase("10m", keep=signals.LOCAL)
            .at_least(slo.LEAST_DATABASE_QUERIES)
        ),
        "Answers from the database {{ $labels.database }} are slow",
        "One question in twenty that {{ $labels.instance }} answers from the database {{ $labels.database }} takes "
        "longer than {{ $value | humanizeDuration }}.",
        (PANELS, "Response time by database"),
        hold="5m",
        felt=True,
    ),
    Alert(
        "SqlSynthesizerConnectionPoolSaturated",
        "warning",
        signals.pool_use(M, slo.USUAL).above(slo.POOL_SATURATION),
        "The connection pool of {{ $labels.database }} is nearly used up",
        "On average {{ $value | humanizePercentage }} of the connections to the database {{ $labels.database }} that a "
        "worker of {{ $labels.instance }} may have are in use.",
        (PANELS, "Pool use"),
        hold="5m",
    ),
    Alert(
        "SqlSynthesizerConnectionPoolExhausted",
        "critical",
        M("connection_pool_use_ratio").over("min_over_time", "30s").at_least(slo.POOL_USED_UP),
        "The connection pool of {{ $labels.database }} is used up",
        "All connections to the database {{ $labels.database }} that a worker of {{ $labels.instance }} may have are "
        "in use; questions wait, then fail.",
        (PANELS, "Pool use"),
        hold="15s",
        fill=30,
        fault="every connection is held; all samples within 30 s must show it",
    ),
    Alert(
        "SqlSynthesizerConnectionPoolTimeouts",
        "warning",
        signals.pool_timeouts(M, slo.USUAL).at_least(slo.POOL_TIMEOUTS),
        "Questions to {{ $labels.database }} get no connection",
        'About {{ $value | printf "%.0f" }} questions to the database {{ $labels.database }} failed on '
        "{{ $labels.instance }} within 5 minutes because no connection came free in time.",
        (PANELS, "No connection in time"),
        felt=True,
    ),
    Alert(
        "SqlSynthesizerSessionsLeft",
        "warning",
        signals.left_sessions(M, "15m").above(slo.SESSIONS_LEFT),
        "Statements go on in {{ $labels.database }} past their deadline",
        '{{ $value | printf "%.0f" }} sessions of {{ $labels.job }} in {{ $labels.database }} within 15 minutes could '
        "not be ended at their deadline and may go on there.",
        (PANELS, "Sessions left behind"),
    ),
    Alert(
        "SqlSynthesizerCacheDown",
        "critical",
        signals.lookup_error_ratio(M, "1m")
        .above(slo.CACHE_DOWN_RATIO)
        .and_matching(signals.cache_lookups(M).increase("1m", keep=signals.CACHE).at_least(slo.LEAST_LOOKUPS_DOWN)),
        "The {{ $labels.cache_type }} cache is down",
        "{{ $value | humanizePercentage }} of the look-ups of {{ $labels.instance }} in {{ $labels.cache_type }} fail; "
        "no question is answered from it.",
        (PANELS, "Look-up error ratio"),
        hold="30s",
        fill=31,
        fault="every look-up fails, at one a second, after a minute in which all succeeded",
    ),
    Alert(
        "SqlSynthesizerCacheErrors",
        "warning",
        signals.cache_error_ratio(M, slo.USUAL).above(slo.CACHE_ERROR_RATIO),
        "The {{ $labels.cache_type }} cache makes errors",
        "{{ $value | humanizePercentage }} of the operations of {{ $labels.instance }} on {{ $labels.cache_type }} "
        "fail.",
        (PANELS, "Cache error ratio"),
        hold="5m",
    ),
    Alert(
        "SqlSynthesizerCacheUnused",
        "warning",
        signals.cache_lookups(M).rate("10m").equals(0).and_matching(signals.answered_questions(M, "10m").above(0)),
        "The cache is not used",
        "{{ $labels.job }} answers questions, but looks none of them up in the cache.",
        (PANELS, "Questions and look-ups"),
        hold="10m",
    ),
    Alert(
        "SqlSynthesizerCacheHitRatioLow",
        "warning",
        signals.hit_ratio(M, "30m")
        .below(slo.CACHE_HIT_RATIO)
        .and_matching(signals.cache_lookups(M).increase("30m", keep=("cache_type",)).at_least(slo.LEAST_LOOKUPS)),
        "Few answers come from the {{ $labels.cache_type }} cache",
        "{{ $value | humanizePercentage }} of the look-ups of {{ $labels.job }} in {{ $labels.cache_type }} find an "
        "answer.",
        (PANELS, "Hit ratio"),
        hold="30m",
    ),
    Alert(
        "SqlSynthesizerLLMFailures",
        "critical",
        signals.llm_failure_ratio(M, slo.FAST)
        .above(slo.LLM_FAILURE_RATIO)
        .and_matching(M("fallbacks_total").increase(slo.FAST, keep=("instance",)).at_least(slo.LEAST_FALLBACKS)),
        "The language model fails",
        "The model gives no usable reply to {{ $value | humanizePercentage }} of the questions that "
        "{{ $labels.instance }} asks it; they fall back on the rules engine, which understands fewer.",
        (PANELS, "Model failure ratio"),
        hold="30s",
        fill=25,
        fault="every call fails or is not made, at a question a second, after two minutes in which all succeeded",
    ),
    Alert(
        "SqlSynthesizerLLMSpend",
        "warning",
        signals.llm_spend(M, "1h").above(slo.LLM_SPEND_USD),
        "The model {{ $labels.model }} costs more than planned",
        '{{ $labels.job }} spent {{ $value | printf "%.2f" }} US dollars on {{ $labels.model }} within an hour.',
        (PANELS, "Spend per hour"),
    ),
)
