"""Every metric, once: name, kind, labels and what feeds it.

Client objects, pre-created series, the series budget, alert rules, dashboards, docs and tests are built from
these rows or checked against them. Which alerts and panels watch a metric follows from their expressions.
"""

from __future__ import annotations

from functools import partial

from sql_synthesizer.errors import OUTCOME_BY_REASON, error_classes
from sql_synthesizer.monitoring import business, own_metrics, quality_metrics
from sql_synthesizer.monitoring.metric import Combination, Feed, Label, Metric, make_attempts, make_metric
from sql_synthesizer.telemetry import vocabulary
from sql_synthesizer.telemetry.vocabulary import Declared

PREFIX = "sql_synthesizer_"
JOB = "sql-synthesizer"

QUERY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0)
"""From a cached answer to the longest deadline, with a bound at the 2 s objective."""
STAGE_BUCKETS = (0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
DATABASE_BUCKETS = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
CONNECTION_BUCKETS = (0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0)
"""Fewer, as there is a histogram of these for each of many databases."""
LLM_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
WAIT_BUCKETS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
SYNC_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0)

SERIES_BUDGET = 4_000
"""Series that one instance may export: the threshold of an alert, below Prometheus' ``sample_limit``."""


_make_counter = partial(make_metric, "counter", "count")
_make_gauge = partial(make_metric, "gauge", "level")
_make_timer = partial(make_metric, "histogram", "seconds", unit="seconds")


def _is_cache_combination(labels: Combination, _: Declared) -> bool:
    looked_up = labels["hit_miss"] in ("hit", "miss")
    return labels["hit_miss"] == "error" or looked_up == (labels["operation"] == "get")


PASSING = frozenset(cls.reason for cls in error_classes() if cls.status == 503 and "reason" in vars(cls))
"""Reasons for which a question of a job is asked again."""


def _is_passing(labels: Combination, _: Declared) -> bool:
    return labels["reason"] in PASSING


_REASON = Label("reason", vocabulary.REASON, "@reason")
_QUERY_LABELS = (vocabulary.QUERY_TYPE, vocabulary.DATABASE_TYPE, Label("success", vocabulary.SUCCESS, "@success"))
_LLM_LABELS = (vocabulary.PROVIDER, vocabulary.MODEL)
_QUERY_SOURCES = (vocabulary.QUESTION, vocabulary.TRACKED_QUERY)

METRICS: tuple[Metric, ...] = (
    # the specification's seven
    _make_timer(
        "query_duration_seconds",
        "Time spent processing SQL queries, of those that the service attempted",
        *make_attempts("seconds", *_QUERY_SOURCES),
        labels=_QUERY_LABELS,
        buckets=QUERY_BUCKETS,
    ),
    _make_counter(
        "queries_total",
        "Total number of SQL queries processed: answered, or failed because of the service",
        *make_attempts("count", *_QUERY_SOURCES),
        labels=_QUERY_LABELS,
    ),
    _make_gauge(
        "active_connections",
        "Number of active database connections",
        vocabulary.POOL_IN_USE,
        labels=[vocabulary.DATABASE_TYPE],
    ),
    _make_counter(
        "cache_operations_total",
        "Total cache operations",
        *make_attempts("count", vocabulary.CACHE_ACCESS),
        labels=[vocabulary.CACHE_OPERATION, vocabulary.CACHE_TYPE, vocabulary.HIT_MISS],
        allowed=_is_cache_combination,
    ),
    _make_counter(
        "security_events_total",
        "Security events detected",
        *vocabulary.SECURITY_EVENTS.values(),
        labels=[
            Label("event_type", vocabulary.EVENT_TYPE, "@event"),
            Label("severity", vocabulary.SEVERITY, "@severity"),
        ],
        allowed=lambda labels, _: vocabulary.SECURITY_EVENTS[labels["event_type"]].severity == labels["severity"],
    ),
    _make_gauge(
        "memory_usage_bytes", "Resident memory of the service's processes in bytes", unit="bytes", mode="livemostrecent"
    ),
    _make_gauge(
        "cpu_usage_percent",
        "CPU used by the service's processes, in percent of what they may use (0 to 100)",
        unit="percent",
        mode="livemostrecent",
    ),
    # questions
    _make_counter(
        "question_outcomes_total",
        "Questions by how they ended and where the statement came from",
        vocabulary.QUESTION,
        labels=[Label("outcome", vocabulary.OUTCOME, "@outcome"), _REASON, vocabulary.SOURCE],
        allowed=lambda labels, _: OUTCOME_BY_REASON[labels["reason"]] == labels["outcome"],
    ),
    _make_timer(
        "stage_duration_seconds",
        "Time spent in each stage of a question",
        vocabulary.STAGE_OPERATION,
        Feed(vocabulary.CACHE_ACCESS, "seconds", {"stage": "cache"}),
        labels=[vocabulary.STAGE],
        buckets=STAGE_BUCKETS,
    ),
    _make_counter(
        "database_queries_total",
        "Attempted questions by database: answered, or failed because of the service",
        *make_attempts("count", vocabulary.QUESTION),
        labels=[vocabulary.DATABASE, Label("success", vocabulary.SUCCESS, "@success")],
    ),
    _make_timer(
        "database_query_duration_seconds",
        "Time spent on answered questions, by database",
        Feed(vocabulary.QUESTION, "seconds", outcomes=("answered",)),
        labels=[vocabulary.DATABASE],
        buckets=DATABASE_BUCKETS,
    ),
    _make_gauge("questions_running", "Questions being worked on", vocabulary.QUESTIONS_RUNNING),
    _make_gauge("questions_waiting", "Questions that wait for others to end", vocabulary.QUESTIONS_WAITING),
    _make_gauge("questions_limit", "Questions that may run at once", vocabulary.QUESTIONS_LIMIT),
    _make_counter(
        "fallbacks_total",
        "Questions that went to the rules engine because the model failed",
        vocabulary.FALLBACK,
        labels=[vocabulary.REASON],
        allowed=lambda labels, _: labels["reason"] in ("model_unavailable", "model_invalid"),
    ),
    _make_counter(
        "coalesced_questions_total",
        "Questions that waited for an equal one instead of being worked on twice",
        vocabulary.COALESCED,
    ),
    _make_counter(
        "question_verdicts_total",
        "Verdicts of the question guard, by its layers",
        vocabulary.QUESTION_VERDICT,
        labels=[vocabulary.LAYER, vocabulary.GRADE],
    ),
    _make_counter("feedback_total", "Ratings given by analysts", vocabulary.FEEDBACK, labels=[vocabulary.RATING]),
    # jobs
    _make_gauge("job_questions_waiting", "Questions of jobs that wait", vocabulary.JOB_WAITING, mode="livemax"),
    _make_gauge(
        "job_questions_running", "Questions of jobs in the hand of a worker", vocabulary.JOB_RUNNING, mode="livemax"
    ),
    _make_gauge(
        "job_oldest_age_seconds",
        "Age of the oldest job that no worker has begun",
        vocabulary.JOB_OLDEST,
        unit="seconds",
        mode="livemax",
    ),
    _make_gauge(
        "job_worker_beat_timestamp_seconds",
        "When a worker of jobs last said that it lives, in Unix time",
        vocabulary.JOB_BEAT,
        unit="seconds",
        mode="livemax",
        unwatched="rules and panels look at its age",
    ),
    _make_counter(
        "job_changes_total",
        "Jobs submitted, begun, ended by how, and told or not to their address",
        vocabulary.SECURITY_EVENTS["job_change"],
        labels=[vocabulary.JOB_CHANGE],
    ),
    _make_counter(
        "job_questions_total",
        "Tries to answer a question of a job, by how they ended",
        vocabulary.JOB_QUESTION,
        labels=[Label("outcome", vocabulary.OUTCOME, "@outcome")],
    ),
    _make_timer(
        "job_wait_seconds",
        "Time that questions of jobs waited for a worker",
        Feed(vocabulary.JOB_QUESTION, "wait_seconds"),
        buckets=WAIT_BUCKETS,
    ),
    _make_timer(
        "job_run_seconds", "Time that a try of a question took", vocabulary.JOB_QUESTION, buckets=QUERY_BUCKETS
    ),
    _make_counter(
        "job_retries_total",
        "Questions of jobs that were asked again because the service could not answer, or ended meanwhile",
        vocabulary.JOB_RETRIED,
        labels=[vocabulary.REASON],
        allowed=_is_passing,
    ),
    _make_counter(
        "job_dead_letters_total",
        "Questions of jobs that were given up after all tries",
        vocabulary.JOB_GIVEN_UP,
        labels=[vocabulary.REASON],
        allowed=_is_passing,
    ),
    _make_counter(
        "schedule_changes_total",
        "Schedules made, changed and deleted, and due times by what became of them",
        vocabulary.SECURITY_EVENTS["schedule_change"],
        labels=[vocabulary.SCHEDULE_CHANGE],
    ),
    _make_counter(
        "job_webhooks_total",
        "Calls that told the address of a job that it has ended, by how they ended",
        vocabulary.JOB_WEBHOOK,
        labels=[Label("outcome", vocabulary.OUTCOME, "@outcome")],
        allowed=lambda labels, _: labels["outcome"] in ("answered", "failed", "invalid"),
    ),
    # HTTP
    _make_counter(
        "http_requests_total",
        "HTTP requests answered",
        vocabulary.HTTP_REQUEST,
        labels=[vocabulary.METHOD, vocabulary.ROUTE, vocabulary.STATUS],
        allowed=lambda labels, declared: labels["method"] in declared.methods.get(labels["route"], ()),
    ),
    _make_timer(
        "http_request_duration_seconds",
        "Time to answer an HTTP request",
        vocabulary.HTTP_REQUEST,
        labels=[vocabulary.ROUTE],
        buckets=QUERY_BUCKETS,
    ),
    _make_counter(
        "errors_total",
        "HTTP requests that ended in an error, by reason",
        Feed(vocabulary.HTTP_REQUEST, "errors"),
        labels=[_REASON],
        allowed=lambda labels, _: labels["reason"] != "ok",
    ),
    _make_counter(
        "http_failures_total",
        "HTTP requests beside questions and probes that failed because of the service",
        Feed(vocabulary.HTTP_REQUEST, "failed"),
        labels=[vocabulary.ROUTE],
    ),
    # dependencies
    _make_gauge(
        "dependency_up",
        "1 when the last health check of the dependency succeeded, else 0",
        vocabulary.DEPENDENCY_UP,
        labels=[vocabulary.DEPENDENCY],
        mode="livemin",
    ),
    _make_gauge(
        "connection_pool_limit",
        "Connections that may be in use at once",
        vocabulary.POOL_LIMIT,
        labels=[vocabulary.DATABASE_TYPE],
    ),
    _make_gauge(
        "connection_pool_use_ratio",
        "Connections in use per connection that may be, of the worker whose pool is fullest",
        vocabulary.POOL_USE,
        unit="ratio",
        labels=[vocabulary.DATABASE],
        mode="livemax",
    ),
    _make_gauge(
        "writing_logins",
        "1 where the login of the database may write, which no statement needs, else 0",
        vocabulary.WRITING_LOGINS,
        labels=[vocabulary.DATABASE],
        mode="livemax",
    ),
    _make_gauge(
        "schema_objects_left_out",
        "Tables and views of the database that are not offered, whole or for some columns, by cause",
        vocabulary.OBJECTS_LEFT_OUT,
        labels=[vocabulary.DATABASE, vocabulary.CAUSE],
        mode="livemax",
    ),
    _make_timer(
        "connection_wait_seconds",
        "Time spent waiting for a database connection",
        vocabulary.CONNECTION_WAIT,
        labels=[vocabulary.DATABASE],
        buckets=CONNECTION_BUCKETS,
    ),
    _make_counter(
        "connection_timeouts_total",
        "Times that no database connection came free in time",
        Feed(vocabulary.CONNECTION_WAIT, "timed_out"),
        labels=[vocabulary.DATABASE],
    ),
    _make_counter(
        "database_sessions_left_total",
        "Database sessions that could not be ended at their deadline",
        vocabulary.SESSION_LEFT,
        labels=[vocabulary.DATABASE],
    ),
    _make_gauge(
        "cache_entries", "Answers held by the memory cache", vocabulary.CACHE_ENTRIES, labels=[vocabulary.CACHE_TYPE]
    ),
    _make_counter(
        "llm_requests_total",
        "Calls of the language model",
        vocabulary.LLM_REQUEST,
        labels=[*_LLM_LABELS, vocabulary.LLM_OUTCOME],
    ),
    _make_timer(
        "llm_request_duration_seconds",
        "Time that a call of the language model took",
        vocabulary.LLM_REQUEST,
        labels=_LLM_LABELS,
        buckets=LLM_BUCKETS,
    ),
    _make_counter(
        "llm_tokens_total",
        "Tokens sent to and received from the language model",
        Feed(vocabulary.LLM_REQUEST, "input_tokens", {"direction": "input"}),
        Feed(vocabulary.LLM_REQUEST, "output_tokens", {"direction": "output"}),
        labels=[*_LLM_LABELS, vocabulary.TOKEN_DIRECTION],
    ),
    _make_counter(
        "llm_cost_usd_total",
        "US dollars spent on the language model, at the configured prices",
        Feed(vocabulary.LLM_REQUEST, "cost_usd"),
        labels=_LLM_LABELS,
    ),
    _make_counter(
        "llm_unpriced_requests_total",
        "Calls of the language model whose cost is unknown because no price is configured",
        Feed(vocabulary.LLM_REQUEST, "unpriced"),
        labels=_LLM_LABELS,
    ),
    _make_counter(
        "llm_sent_bytes_total",
        "Bytes of prompt that left for the language model",
        Feed(vocabulary.LLM_REQUEST, "sent_bytes"),
        unit="bytes",
        labels=_LLM_LABELS,
    ),
    # audit record
    _make_counter(
        "audit_records_total", "Audit records made durable", vocabulary.AUDIT_RECORDED, labels=[vocabulary.SINK]
    ),
    _make_counter(
        "audit_write_failures_total",
        "Failed writes of the audit record",
        vocabulary.AUDIT_FAILURE,
        labels=[vocabulary.SINK],
    ),
    _make_timer(
        "audit_settle_duration_seconds",
        "Time that a request waited for its audit records to be durable",
        vocabulary.AUDIT_SETTLE,
        buckets=SYNC_BUCKETS,
    ),
    _make_gauge(
        "audit_free_bytes", "Free space of the audit volume", vocabulary.AUDIT_FREE_BYTES, unit="bytes", mode="livemin"
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
        unwatched="rules and panels look at its age",
    ),
    _make_gauge(
        "audit_checkpoint_fingerprint",
        "Start of the MAC of a record at the last checkpoint, as a number: an anchor outside of the record",
        vocabulary.AUDIT_FINGERPRINT,
        mode="livemostrecent",
        unwatched="an anchor: audit verify --fingerprint compares it with the record",
    ),
    *business.METRICS,
    *quality_metrics.METRICS,
    *own_metrics.METRICS,
)

BY_NAME: dict[str, Metric] = {PREFIX + metric.name: metric for metric in METRICS}
OF_CANARIES = (BY_NAME[PREFIX + "canary_questions_total"],)
"""Counters whose label values the worker of jobs knows once it has read the file of canaries."""
OF_ROUTES = (BY_NAME[PREFIX + "http_failures_total"],)
"""Counters that an alert looks at and whose label values, the routes, are known only once the web has been built."""
