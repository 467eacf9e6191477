"""Every metric, once: name, kind, labels and what feeds it.

Client objects, pre-created series, the series budget, alert rules, dashboards, docs and tests are built from
these rows or checked against them. Who watches a metric is read off the alerts and panels that use it.
"""

from __future__ import annotations

from typing import Any

from sql_synthesizer.errors import OUTCOME_BY_REASON
from sql_synthesizer.monitoring.metric import Combination, Feed, Label, Metric
from sql_synthesizer.telemetry import vocabulary
from sql_synthesizer.telemetry.vocabulary import Declared, ReadingType, Vocabulary

PREFIX = "sql_synthesizer_"
JOB = "sql-synthesizer"

QUERY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0)
"""From a cached answer to the longest deadline, with a bound at the 2 s objective."""
STAGE_BUCKETS = (0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
LLM_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
SYNC_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0)

SERIES_BUDGET = 4_000
"""Series that one instance may export; an alert sits here, the scrape limit above it."""


def _make_label(vocabulary: Vocabulary, key: str | None = None, name: str | None = None) -> Label:
    return Label(name or vocabulary.name, vocabulary, key or vocabulary.name)


def _make_gauge(name: str, help: str, source: ReadingType | None, **options: Any) -> Metric:
    return Metric(name, "gauge", help, (Feed(source, "level"),), **options)


def _is_cache_combination(labels: Combination, _: Declared) -> bool:
    looked_up = labels["hit_miss"] in ("hit", "miss")
    return labels["hit_miss"] == "error" or looked_up == (labels["operation"] == "get")


_QUERY_LABELS = (
    _make_label(vocabulary.QUERY_TYPE),
    _make_label(vocabulary.DATABASE_TYPE),
    _make_label(vocabulary.SUCCESS, "@success"),
)
_LLM_LABELS = (_make_label(vocabulary.PROVIDER), _make_label(vocabulary.MODEL))
_QUERY_SOURCES = (vocabulary.QUESTION, vocabulary.TRACKED_QUERY)
_DATABASE = (_make_label(vocabulary.DATABASE_TYPE),)

EVENT_TYPE = Vocabulary("event_type", vocabulary.SECURITY_EVENTS)

METRICS: tuple[Metric, ...] = (
    # the specification's seven
    Metric(
        "query_duration_seconds",
        "histogram",
        "Time spent processing SQL queries",
        tuple(Feed(source, "seconds") for source in _QUERY_SOURCES),
        unit="seconds",
        labels=_QUERY_LABELS,
        buckets=QUERY_BUCKETS,
    ),
    Metric(
        "queries_total",
        "counter",
        "Total number of SQL queries processed",
        tuple(Feed(source) for source in _QUERY_SOURCES),
        labels=_QUERY_LABELS,
    ),
    _make_gauge(
        "active_connections",
        "Number of active database connections",
        vocabulary.POOL_IN_USE,
        labels=_DATABASE,
    ),
    Metric(
        "cache_operations_total",
        "counter",
        "Total cache operations",
        (Feed(vocabulary.CACHE_ACCESS),),
        labels=(
            _make_label(vocabulary.CACHE_OPERATION),
            _make_label(vocabulary.CACHE_TYPE),
            _make_label(vocabulary.HIT_MISS),
        ),
        allowed=_is_cache_combination,
    ),
    Metric(
        "security_events_total",
        "counter",
        "Security events detected",
        tuple(Feed(event) for event in vocabulary.SECURITY_EVENTS.values()),
        labels=(_make_label(EVENT_TYPE, "@event"), _make_label(vocabulary.SEVERITY, "@severity")),
        allowed=lambda labels, _: vocabulary.SECURITY_EVENTS[labels["event_type"]].severity == labels["severity"],
    ),
    _make_gauge(
        "memory_usage_bytes",
        "Resident memory of the service's processes in bytes",
        None,
        unit="bytes",
        mode="livemostrecent",
        exporter=True,
    ),
    _make_gauge(
        "cpu_usage_percent",
        "CPU used by the service's processes, in percent of what they may use (0 to 100)",
        None,
        unit="percent",
        mode="livemostrecent",
        exporter=True,
    ),
    # questions
    Metric(
        "question_outcomes_total",
        "counter",
        "Questions by how they ended and where the statement came from",
        (Feed(vocabulary.QUESTION),),
        labels=(
            _make_label(vocabulary.OUTCOME, "@outcome"),
            _make_label(vocabulary.REASON, "@reason"),
            _make_label(vocabulary.SOURCE),
        ),
        allowed=lambda labels, _: OUTCOME_BY_REASON[labels["reason"]] == labels["outcome"],
    ),
    Metric(
        "stage_duration_seconds",
        "histogram",
        "Time spent in each stage of a question",
        (Feed(vocabulary.STAGE_OPERATION, "seconds"), Feed(vocabulary.CACHE_ACCESS, "seconds", {"stage": "cache"})),
        unit="seconds",
        labels=(_make_label(vocabulary.STAGE),),
        buckets=STAGE_BUCKETS,
    ),
    _make_gauge("questions_running", "Questions being worked on", vocabulary.QUESTIONS_RUNNING),
    _make_gauge("questions_limit", "Questions that may run at once", vocabulary.QUESTIONS_LIMIT),
    Metric(
        "fallbacks_total",
        "counter",
        "Questions that went to the rules engine because the model failed",
        (Feed(vocabulary.FALLBACK),),
        labels=(_make_label(vocabulary.REASON),),
        allowed=lambda labels, _: labels["reason"] in ("model_unavailable", "model_invalid"),
    ),
    Metric(
        "coalesced_questions_total",
        "counter",
        "Questions that waited for an equal one instead of being worked on twice",
        (Feed(vocabulary.COALESCED),),
    ),
    Metric(
        "question_verdicts_total",
        "counter",
        "Times that a layer of the question guard spoke",
        (Feed(vocabulary.QUESTION_VERDICT),),
        labels=(_make_label(vocabulary.LAYER), _make_label(vocabulary.GRADE)),
    ),
    Metric(
        "feedback_total",
        "counter",
        "Ratings given by analysts",
        (Feed(vocabulary.FEEDBACK),),
        labels=(_make_label(vocabulary.RATING),),
    ),
    # HTTP
    Metric(
        "http_requests_total",
        "counter",
        "HTTP requests answered",
        (Feed(vocabulary.HTTP_REQUEST),),
        labels=(_make_label(vocabulary.METHOD), _make_label(vocabulary.ROUTE), _make_label(vocabulary.STATUS)),
        allowed=lambda labels, declared: labels["method"] in declared.methods.get(labels["route"], ()),
    ),
    Metric(
        "http_request_duration_seconds",
        "histogram",
        "Time to answer an HTTP request",
        (Feed(vocabulary.HTTP_REQUEST, "seconds"),),
        unit="seconds",
        labels=(_make_label(vocabulary.ROUTE),),
        buckets=QUERY_BUCKETS,
    ),
    Metric(
        "errors_total",
        "counter",
        "HTTP requests that ended in an error, by reason",
        (Feed(vocabulary.HTTP_REQUEST, "errors"),),
        labels=(_make_label(vocabulary.REASON, "@reason"),),
        allowed=lambda labels, _: labels["reason"] != "ok",
    ),
    # dependencies
    _make_gauge(
        "dependency_up",
        "1 when the last health check of the dependency succeeded, else 0",
        vocabulary.DEPENDENCY_UP,
        labels=(_make_label(vocabulary.DEPENDENCY),),
        mode="livemin",
    ),
    _make_gauge(
        "connection_pool_limit",
        "Connections that may be in use at once",
        vocabulary.POOL_LIMIT,
        labels=_DATABASE,
    ),
    Metric(
        "connection_wait_seconds",
        "histogram",
        "Time spent waiting for a database connection",
        (Feed(vocabulary.CONNECTION_WAIT, "seconds"),),
        unit="seconds",
        labels=_DATABASE,
        buckets=STAGE_BUCKETS,
    ),
    Metric(
        "connection_timeouts_total",
        "counter",
        "Times that no database connection came free in time",
        (Feed(vocabulary.CONNECTION_WAIT, "timed_out"),),
        labels=_DATABASE,
    ),
    _make_gauge(
        "cache_entries",
        "Answers held by the memory cache",
        vocabulary.CACHE_ENTRIES,
        labels=(_make_label(vocabulary.CACHE_TYPE),),
    ),
    Metric(
        "llm_requests_total",
        "counter",
        "Calls of the language model",
        (Feed(vocabulary.LLM_REQUEST),),
        labels=(*_LLM_LABELS, _make_label(vocabulary.LLM_OUTCOME)),
    ),
    Metric(
        "llm_request_duration_seconds",
        "histogram",
        "Time that a call of the language model took",
        (Feed(vocabulary.LLM_REQUEST, "seconds"),),
        unit="seconds",
        labels=_LLM_LABELS,
        buckets=LLM_BUCKETS,
    ),
    Metric(
        "llm_tokens_total",
        "counter",
        "Tokens sent to and received from the language model",
        (
            Feed(vocabulary.LLM_REQUEST, "input_tokens", {"direction": "input"}),
            Feed(vocabulary.LLM_REQUEST, "output_tokens", {"direction": "output"}),
        ),
        labels=(*_LLM_LABELS, _make_label(vocabulary.TOKEN_DIRECTION)),
    ),
    Metric(
        "llm_cost_usd_total",
        "counter",
        "US dollars spent on the language model, at the configured prices",
        (Feed(vocabulary.LLM_REQUEST, "cost_usd"),),
        labels=_LLM_LABELS,
    ),
    Metric(
        "llm_unpriced_requests_total",
        "counter",
        "Calls of the language model whose cost is unknown because no price is configured",
        (Feed(vocabulary.LLM_REQUEST, "unpriced"),),
        labels=_LLM_LABELS,
    ),
    Metric(
        "llm_sent_bytes_total",
        "counter",
        "Bytes of prompt that left for the language model",
        (Feed(vocabulary.LLM_REQUEST, "sent_bytes"),),
        unit="bytes",
        labels=_LLM_LABELS,
    ),
    # audit record
    Metric(
        "audit_records_total",
        "counter",
        "Audit records made durable",
        (Feed(vocabulary.AUDIT_RECORDED),),
        labels=(_make_label(vocabulary.SINK),),
    ),
    Metric(
        "audit_write_failures_total",
        "counter",
        "Failed writes of the audit record",
        (Feed(vocabulary.AUDIT_FAILURE),),
        labels=(_make_label(vocabulary.SINK),),
    ),
    Metric(
        "audit_settle_duration_seconds",
        "histogram",
        "Time that a request waited for its audit records to be durable",
        (Feed(vocabulary.AUDIT_SETTLE, "seconds"),),
        unit="seconds",
        buckets=SYNC_BUCKETS,
    ),
    _make_gauge(
        "audit_free_bytes",
        "Free space of the audit volume",
        vocabulary.AUDIT_FREE_BYTES,
        unit="bytes",
        mode="livemin",
    ),
    _make_gauge(
        "audit_pending_records",
        "Audit records that are not durable yet: what batched mode would lose in a crash",
        vocabulary.AUDIT_PENDING,
    ),
    _make_gauge(
        "audit_verified_timestamp_seconds",
        "When the audit record was last found sound, or the service started without that, in Unix time",
        vocabulary.AUDIT_VERIFIED,
        unit="seconds",
        mode="livemax",
    ),
    _make_gauge(
        "audit_checkpoint_fingerprint",
        "Start of the MAC of a record at the last checkpoint, as a number: an anchor outside of the record",
        vocabulary.AUDIT_FINGERPRINT,
        mode="livemostrecent",
        unwatched="an anchor: audit verify --fingerprint compares it with the record",
    ),
    # the monitoring itself
    Metric(
        "telemetry_dropped_total",
        "counter",
        "Facts dropped because the telemetry queue was full",
        (Feed(vocabulary.TELEMETRY_DROPPED),),
        labels=(Label("signal", vocabulary.SIGNAL, "signal"),),
    ),
    Metric(
        "telemetry_errors_total",
        "counter",
        "Exceptions raised by a telemetry observer",
        (Feed(vocabulary.TELEMETRY_ERROR),),
        labels=(Label("signal", vocabulary.SIGNAL, "signal"),),
    ),
    Metric(
        "label_values_refused_total",
        "counter",
        "Label values outside their vocabulary that were exported as 'other'",
        (Feed(vocabulary.LABEL_REFUSED),),
    ),
    _make_gauge("telemetry_queue_length", "Facts that wait to be folded", vocabulary.TELEMETRY_QUEUE),
    _make_gauge(
        "last_fold_timestamp_seconds",
        "When the process that is furthest behind last folded its facts, in Unix time",
        vocabulary.LAST_FOLD,
        unit="seconds",
        mode="livemin",
    ),
    _make_gauge(
        "app_up",
        "1 when the application answered its last liveness check, else 0",
        None,
        mode="livemostrecent",
        exporter=True,
    ),
    _make_gauge(
        "worker_start_time_seconds",
        "When the youngest worker started, in Unix time",
        vocabulary.WORKER_START,
        unit="seconds",
        mode="livemax",
    ),
    _make_gauge(
        "build_info",
        "1, with the version as a label",
        None,
        labels=(Label("version", vocabulary.VERSION, "version"),),
        mode="livemostrecent",
        exporter=True,
    ),
)

BY_NAME: dict[str, Metric] = {PREFIX + metric.name: metric for metric in METRICS}
