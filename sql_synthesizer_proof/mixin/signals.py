"""What is looked at, by alerts with a threshold and by panels without: each expression once.

A function takes a scope and, where it looks back, a window.
"""

from __future__ import annotations

from sql_synthesizer.monitoring import catalog, slo
from sql_synthesizer_proof.mixin.promql import Expr, MetricSeries, Scope, ratio_of

M = Scope(f'job="{catalog.JOB}"')
"""What rules look at."""
OPTIONAL = ("cache", "model", "schema", "schema_.+")
"""Dependencies without which the service is degraded, not down."""
JOB_DEPENDENCY = ("job", "dependency")
LOCAL = ("instance", "database")
"""Where a fault of one database, or of the way to it from one instance, is to be seen."""
CACHE = ("instance", "cache_type")
REQUEST = ("instance", "route")


def failed_questions(m: Scope) -> MetricSeries:
    """Questions that the service failed to answer, of those that it attempted."""
    return m("queries_total").where(success="error")


def error_ratio(m: Scope, window: str) -> Expr:
    """Failures of the service per question, 0 to 1."""
    return ratio_of(failed_questions(m).rate(window), m("queries_total").rate(window))


def database_error_ratio(m: Scope, window: str) -> Expr:
    """Failures of the service per attempted question, 0 to 1, by database and instance."""
    questions = m("database_queries_total")
    return ratio_of(questions.where(success="error").rate(window, keep=LOCAL), questions.rate(window, keep=LOCAL))


def database_latency(m: Scope, window: str) -> Expr:
    """A quantile of the duration of answered questions, in seconds, by database and instance."""
    return m("database_query_duration_seconds").quantile(slo.LATENCY_QUANTILE, window, keep=LOCAL)


def pool_timeouts(m: Scope, window: str) -> Expr:
    """Times that no connection came free within the window, by database and instance."""
    return m("connection_timeouts_total").increase(window, keep=LOCAL)


def slow_ratio(m: Scope, window: str) -> Expr:
    """Successful questions over the latency bound per successful question, 0 to 1."""
    durations = m("query_duration_seconds").where(success="success")
    return Expr("1") - ratio_of(durations.within(slo.LATENCY_BOUND, window), durations.rate(window))


def time_down(series: MetricSeries) -> Expr:
    """Share of the last minutes that something spent at 0, 0 to 1."""
    return Expr("1") - series.over("avg_over_time", slo.FLAPPING_WINDOW)


def killed_processes(m: Scope, window: str) -> Expr:
    """Processes of the service within the window that a signal ended, by instance and part."""
    return m("processes_killed_total").increase(window, keep=("instance", "part"))


def latency_quantile(m: Scope, window: str, *, quantile: float = slo.LATENCY_QUANTILE) -> Expr:
    """A quantile of the duration of successful questions, in seconds."""
    return m("query_duration_seconds").where(success="success").quantile(quantile, window)


def request_failure_ratio(m: Scope, window: str) -> Expr:
    """Requests beside questions that failed because of the service, 0 to 1, by route and instance."""
    failed, requests = m("http_failures_total"), m("http_requests_total")
    return ratio_of(failed.rate(window, keep=REQUEST), requests.rate(window, keep=REQUEST))


def overload_ratio(m: Scope, window: str) -> Expr:
    """Questions turned away for overload per attempted question, 0 to 1, by instance."""
    overloaded, keep = m("question_outcomes_total").where(reason="overloaded"), ("instance",)
    return ratio_of(overloaded.rate(window, keep=keep), m("queries_total").rate(window, keep=keep))


def pool_use(m: Scope, window: str) -> Expr:
    """Connections in use per connection that may be, 0 to 1, by database, of the worker where most are."""
    return m("connection_pool_use_ratio").over("avg_over_time", window)


def left_sessions(m: Scope, window: str) -> Expr:
    """Sessions of databases within the window that could not be ended at their deadline."""
    return m("database_sessions_left_total").increase(window, keep=("database",))


def cache_lookups(m: Scope) -> MetricSeries:
    """Look-ups in the cache."""
    return m("cache_operations_total").where(operation="get")


def _error_ratio(operations: MetricSeries, window: str) -> Expr:
    return ratio_of(operations.where(hit_miss="error").rate(window, keep=CACHE), operations.rate(window, keep=CACHE))


def cache_error_ratio(m: Scope, window: str) -> Expr:
    """Cache operations that raised an error, 0 to 1, by cache and instance."""
    return _error_ratio(m("cache_operations_total"), window)


def lookup_error_ratio(m: Scope, window: str) -> Expr:
    """Look-ups that raised an error, 0 to 1, by cache and instance."""
    return _error_ratio(cache_lookups(m), window)


def hit_ratio(m: Scope, window: str) -> Expr:
    """Look-ups that found an answer, of those that hit or missed, 0 to 1."""
    keep = ("cache_type",)
    answered = cache_lookups(m).where(hit_miss=("hit", "miss"))
    return ratio_of(cache_lookups(m).where(hit_miss="hit").rate(window, keep=keep), answered.rate(window, keep=keep))


def answered_questions(m: Scope, window: str) -> Expr:
    """Answered questions per second, which all look in the cache; statements of analysts do not."""
    return m("question_outcomes_total").where(reason="ok", source=("llm", "rules", "cache")).rate(window)


def llm_failure_ratio(m: Scope, window: str) -> Expr:
    """Questions that the model failed on, of those that it was asked, 0 to 1, by instance.

    Fallbacks are counted, not failed calls: once the circuit breaker is open there are no calls.
    """
    keep = ("instance",)
    failed = m("fallbacks_total").rate(window, keep=keep)
    return ratio_of(failed, failed + m("llm_requests_total").where(outcome="success").rate(window, keep=keep))


def llm_spend(m: Scope, window: str) -> Expr:
    """US dollars spent on models within the window, by provider and model."""
    return m("llm_cost_usd_total").increase(window, keep=("provider", "model"))


def answer_rate(m: Scope, window: str) -> Expr:
    """Answered questions per question that was answered, declined or failed, 0 to 1."""
    questions = m("business_questions_total")
    understood = questions.where(outcome=("answered", "declined", "failed"))
    return ratio_of(questions.where(outcome="answered").increase(window), understood.increase(window))


def answer_cost(m: Scope, window: str) -> Expr:
    """US dollars spent on models within the window per answered question."""
    answered = m("business_questions_total").where(outcome="answered")
    return ratio_of(m("question_cost_usd_total").increase(window), answered.increase(window))


def team_budget(m: Scope) -> Expr:
    """What a team has used of its budget of the month, 1 for all of it; every process knows it."""
    return m("team_budget_used_ratio").grouped("max", "job", "caller_team")


def security_events(m: Scope, window: str, event_type: str) -> Expr:
    """Security events of one type within the window, of instances too that had counted some when they came."""
    return m("security_events_total").where(event_type=event_type).increase_born(window, keep=("event_type",))


def failed_verifications(m: Scope, window: str) -> Expr:
    """Verifications within the window that found an audit record bad, by instance."""
    events = m("security_events_total").where(event_type="audit_verification_failed")
    return events.increase_born(window, keep=("instance", "event_type"))


def grave_events(m: Scope, window: str) -> Expr:
    """Security events of high and critical severity per second."""
    return m("security_events_total").where(severity=("high", "critical")).rate(window)


def audit_failures(m: Scope, window: str) -> Expr:
    """Failed writes of the audit record within the window, by instance."""
    return m("audit_write_failures_total").increase(window, keep=("instance",))


def audit_unverified(m: Scope) -> Expr:
    """Seconds since the audit record was last found sound."""
    return m("audit_verified_age_seconds").selector()


def audit_clock_lead(m: Scope) -> Expr:
    """Seconds that the clock is ahead of the time that is known to have passed."""
    return m("audit_clock_lead_seconds").selector()


def audit_free(m: Scope) -> Expr:
    """Free bytes of the audit volume."""
    return m("audit_free_bytes").selector()


def fold_age(m: Scope) -> Expr:
    """Seconds since the telemetry of the slowest worker was last folded."""
    return m("last_fold_age_seconds").selector()


def clock_skew(m: Scope) -> Expr:
    """Seconds between the clock of a host and that of Prometheus, whichever is ahead."""
    clock = m("clock_timestamp_seconds").selector()
    return (clock - clock.call("timestamp")).call("abs")


def metrics_losses(m: Scope, window: str) -> Expr:
    """Times within the window that the directory of metric files was gone, by instance."""
    return m("metrics_directory_losses_total").increase(window, keep=("instance",))


def memory_use(m: Scope, window: str) -> Expr:
    """Resident memory of the service in bytes, smoothed."""
    return m("memory_usage_bytes").over("avg_over_time", window)


def cpu_use(m: Scope, window: str) -> Expr:
    """CPU of the service in percent of what it may use, smoothed."""
    return m("cpu_usage_percent").over("avg_over_time", window)


def refused_labels(m: Scope, window: str) -> Expr:
    """Label values outside their vocabulary within the window, by instance."""
    return m("label_values_refused_total").increase(window, keep=("instance",))


def uncounted_events(m: Scope, window: str) -> Expr:
    """Events on record within the window that a kill left uncounted, by instance."""
    return m("uncounted_events_total").increase(window, keep=("instance",))


def dropped_facts(m: Scope, window: str) -> Expr:
    """Facts that the telemetry dropped within the window, by signal and instance."""
    return m("telemetry_dropped_total").increase(window, keep=("instance", "signal"))


def canary_failures(m: Scope, window: str) -> Expr:
    """Times within the window that a question with a known result was not answered rightly, by its name."""
    return m("canary_questions_total").excluding(result="right").increase(window, keep=("canary",))


def schema_drift(m: Scope) -> Expr:
    """1 where a table or column that canaries read is gone."""
    return m("schema_drift").grouped("max", "job", "database", "object")


def regression(m: Scope) -> Expr:
    """1 where a series has taken a step for the worse."""
    return m("regression_detected").grouped("max", "job", "series")


def declined_ratio(m: Scope, window: str) -> Expr:
    """Questions that were declined, of those and the attempted, 0 to 1."""
    outcomes = m("question_outcomes_total")
    every = outcomes.where(outcome=("answered", "failed", "declined")).rate(window)
    return ratio_of(outcomes.where(outcome="declined").rate(window), every)


def empty_ratio(m: Scope, window: str) -> Expr:
    """Answers without a row, of all answers, 0 to 1."""
    return ratio_of(m("empty_answers_total").rate(window), answered_questions(m, window))


def repaired_ratio(m: Scope, window: str) -> Expr:
    """Statements that the model had to mend, per reply of its that could be used."""
    return ratio_of(m("repairs_total").rate(window), m("llm_requests_total").where(outcome="success").rate(window))


def fallback_ratio(m: Scope, window: str) -> Expr:
    """Questions that went to the embedded engine as the model failed, of those that the model was asked, 0 to 1."""
    failed = m("fallbacks_total").rate(window)
    return ratio_of(failed, failed + m("llm_requests_total").where(outcome="success").rate(window))


def jobs_waiting(m: Scope) -> Expr:
    """Questions of jobs that wait; every process exports the number of all."""
    return m("job_questions_waiting").grouped("max", "job")


def job_age(m: Scope) -> Expr:
    """Seconds that the oldest job that nobody began has waited."""
    return m("job_oldest_age_seconds").grouped("max", "job")


def job_silence(m: Scope) -> Expr:
    """Seconds since a worker of jobs last said that it lives."""
    return m("job_worker_beat_age_seconds").grouped("min", "job")


def lost_webhooks(m: Scope, window: str) -> Expr:
    """Jobs within the window whose address could not be told that they have ended."""
    return m("job_changes_total").where(change="undelivered").increase(window)


def dead_letters(m: Scope, window: str) -> Expr:
    """Questions of jobs that were given up within the window."""
    return m("job_dead_letters_total").increase(window)
