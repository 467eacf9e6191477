"""Facts are folded into counts, sums and levels."""

from __future__ import annotations

from contextlib import suppress

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from sql_synthesizer.errors import Declined, Overloaded, PoolTimeout, QuestionRefused, RateLimited, StatementInvalid
from sql_synthesizer.monitoring.observer import MetricsObserver
from sql_synthesizer.telemetry import Reading, Telemetry, vocabulary
from sql_synthesizer.telemetry.vocabulary import EventType
from tests.support.metrics import PREFIX


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def facade(registry):
    facade = Telemetry()
    facade.observers.append(MetricsObserver(registry, facade.declared))
    return facade


@pytest.fixture
def sample(registry, facade):
    def read(name, **labels):
        facade.fold()
        return registry.get_sample_value(PREFIX + name, labels)

    return read


def ask(facade, error=None):
    labels = {"query_type": "select", "database_type": "sqlite", "source": "rules"}
    with suppress(type(error) if error else Exception), facade.operation(vocabulary.QUESTION, **labels):
        if error is not None:
            raise error


@pytest.mark.parametrize(
    ("error", "success", "outcome", "reason"),
    [
        (None, "success", "answered", "ok"),
        (PoolTimeout(), "error", "failed", "pool_timeout"),
        (Overloaded(), "error", "failed", "overloaded"),
        (ZeroDivisionError(), "error", "failed", "internal"),
        (Declined(), None, "declined", "declined"),
        (QuestionRefused(), None, "refused", "question_refused"),
        (StatementInvalid(), None, "invalid", "statement_invalid"),
        (RateLimited(), None, "limited", "rate_limited"),
        (KeyboardInterrupt(), None, "cancelled", "cancelled"),
    ],
)
def test_only_what_was_attempted_is_counted_and_timed(facade, sample, error, success, outcome, reason):
    ask(facade, error)
    for verdict in ("success", "error"):
        labels = {"query_type": "select", "database_type": "sqlite", "success": verdict}
        counted = 1 if verdict == success else None
        assert sample("queries_total", **labels) == counted
        assert sample("query_duration_seconds_count", **labels) == counted
    assert sample("question_outcomes_total", outcome=outcome, reason=reason, source="rules") == 1


def test_equal_facts_add_up_over_batches(facade, sample):
    for _ in range(1000):
        ask(facade)
    assert sample("queries_total", query_type="select", database_type="sqlite", success="success") == 1000
    assert sample("security_events_total", event_type="query_execution", severity="info") == 1000


def test_an_event_counts_as_many_as_it_stands_for(facade, sample):
    facade.emit(vocabulary.EVENTS["access_denied"], count=40)
    facade.emit(vocabulary.AUDIT_RECORDED, count=3, sink="file")
    assert sample("security_events_total", event_type="access_denied", severity="medium") == 40
    assert sample("audit_records_total", sink="file") == 3


def test_http_errors_are_counted_by_reason_and_successes_are_not(facade, sample, registry):
    with facade.operation(vocabulary.HTTP_REQUEST, method="GET", route="other", status="2xx"):
        pass
    with (
        pytest.raises(Declined),
        facade.operation(vocabulary.HTTP_REQUEST, method="POST", route="other", status="4xx"),
    ):
        raise Declined
    assert sample("errors_total", reason="declined") == 1
    assert sample("errors_total", reason="ok") is None
    assert sample("http_requests_total", method="POST", route="other", status="4xx") == 1
    assert sample("label_values_refused_total") == 0


def test_details_with_numbers_feed_counters(facade, sample):
    facade.declared.declare(vocabulary.PROVIDER, "openai")
    facade.declared.declare(vocabulary.MODEL, "small")
    with facade.operation(vocabulary.LLM_REQUEST, provider="openai", model="small", outcome="success") as operation:
        details = operation.details
        details.input_tokens, details.output_tokens, details.cost_usd, details.sent_bytes = 120, 30, 0.5, 900
    labels = {"provider": "openai", "model": "small"}
    assert sample("llm_tokens_total", **labels, direction="input") == 120
    assert sample("llm_tokens_total", **labels, direction="output") == 30
    assert sample("llm_cost_usd_total", **labels) == 0.5
    assert sample("llm_sent_bytes_total", **labels) == 900
    assert sample("llm_unpriced_requests_total", **labels) is None


@pytest.mark.parametrize("value", ["bobby'; drop table", 7, ["list"], b"bytes"])
def test_a_value_outside_its_vocabulary_becomes_other(facade, sample, value):
    facade.emit(vocabulary.FEEDBACK, rating=value)
    assert sample("feedback_total", rating="other") == 1
    assert sample("label_values_refused_total") == 1


def test_refused_values_are_not_remembered(facade, registry):
    observer = facade.observers[0]
    for number in range(3000):
        facade.emit(vocabulary.FEEDBACK, rating=f"value {number}")
    facade.fold()
    assert generate_latest(registry).decode().count("feedback_total{") == 1
    assert all(len(series._children) <= 1 for feeds in observer._feeds.values() for series in feeds)
    assert len(observer._logged) <= 100


def test_a_missing_label_takes_the_vocabularys_word_for_it(facade, sample):
    with facade.operation(vocabulary.QUESTION, database_type="sqlite"):
        pass
    assert sample("queries_total", query_type="unknown", database_type="sqlite", success="success") == 1
    assert sample("question_outcomes_total", outcome="answered", reason="ok", source="none") == 1
    assert sample("label_values_refused_total") == 0


def test_a_bad_fact_does_not_cost_the_others(facade, sample):
    facade.emit(vocabulary.AUDIT_RECORDED, count="many", sink="file")
    facade.emit(vocabulary.AUDIT_RECORDED, count=float("nan"), sink="file")
    facade.emit(vocabulary.AUDIT_RECORDED, count=-5, sink="file")
    facade.emit(vocabulary.AUDIT_RECORDED, count=2, sink="file")
    assert sample("audit_records_total", sink="file") == 2
    assert sample("telemetry_errors_total", signal="metrics") == 1


def test_a_level_nobody_reported_is_absent(facade, sample, registry):
    assert sample("audit_free_bytes") is None
    facade.observers[0].fold([Reading(vocabulary.AUDIT_FREE_BYTES, {}, 17.0)])
    assert sample("audit_free_bytes") == 17


def test_levels_are_read_from_their_sources(facade, registry):
    facade.read(vocabulary.POOL_IN_USE, lambda: [({"database_type": "postgresql"}, 4)])
    facade.fold(readings=True)
    assert registry.get_sample_value(PREFIX + "active_connections", {"database_type": "postgresql"}) == 4


def test_unknown_types_of_facts_are_ignored(facade, registry):
    facade.emit(EventType("something_else"))
    facade.fold()
    assert registry.get_sample_value(PREFIX + "telemetry_errors_total", {"signal": "metrics"}) == 0


def test_precreated_series_stand_at_zero(registry):
    observer = MetricsObserver(registry, vocabulary.Declared())
    observer.precreate({"database_type": ["postgresql"], "cache_type": ["redis"]})
    text = generate_latest(registry).decode()
    assert 'queries_total{database_type="postgresql",query_type="join",success="error"} 0.0' in text
    assert 'hit_miss="error",operation="get"} 0.0' in text
    assert 'database_type="mysql"' not in text
    assert 'hit_miss="hit",operation="set"' not in text
    assert "active_connections{" not in text


def test_sampled_operations_leave_an_exemplar(facade, registry):
    ask(facade)
    trace_id = facade._queue[0].trace.trace_id
    facade.fold()
    family = next(f for f in registry.collect() if f.name == PREFIX + "query_duration_seconds")
    assert {s.exemplar.labels["trace_id"] for s in family.samples if s.exemplar} == {trace_id}


def test_unsampled_operations_leave_none(registry):
    facade = Telemetry(sample_ratio=0)
    facade.observers.append(MetricsObserver(registry, facade.declared))
    ask(facade)
    facade.fold()
    assert not any(s.exemplar for family in registry.collect() for s in family.samples)
