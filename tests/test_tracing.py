"""Traces: spans as a collector receives them."""

from __future__ import annotations

import socket
from collections import deque
from contextvars import copy_context

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from sql_synthesizer.errors import Declined, PoolTimeout, QuestionRefused
from sql_synthesizer.monitoring import tail
from sql_synthesizer.monitoring.tail import TailObserver
from sql_synthesizer.monitoring.tracing import QUEUE, SpanExport
from sql_synthesizer.settings import Settings
from sql_synthesizer.telemetry import Telemetry, vocabulary
from sql_synthesizer.telemetry.testing import MemoryObserver
from sql_synthesizer.telemetry.traceparent import format_traceparent, parse_traceparent
from tests.support.otlp import Collector, attributes
from tests.support.serving import ends


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in ("ENDPOINT", "TRACES_ENDPOINT", "TIMEOUT", "TRACES_TIMEOUT"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)


@pytest.fixture
def collector():
    with Collector() as collector:
        yield collector


def observed(endpoint, *, sample_ratio=1.0, log_text=False):
    facade = Telemetry(sample_ratio=sample_ratio)
    settings = Settings(otlp_endpoint=endpoint, log_text=log_text)
    facade.observers += [TailObserver(settings, facade, [SpanExport(settings, facade)]), MemoryObserver()]
    return facade


@pytest.fixture
def facade(collector):
    facade = observed(collector.url)
    yield facade
    facade.close()


def request(facade, error=None, parent=None):
    """What one question through the web leaves."""
    labels = {"method": "POST", "route": "/api/query", "status": "2xx"}
    with facade.operation(vocabulary.HTTP_REQUEST, parent=parent, **labels) as http:
        http.trace.question_id, http.trace.actor = "q1", "key1"
        http.details.status = 200
        with facade.operation(
            vocabulary.QUESTION, query_type="select", database_type="sqlite", source="llm"
        ) as question:
            known = question.details
            known.question, known.sql, known.database, known.row_count = "how many?", "SELECT 1", "shop", 1
            with facade.operation(vocabulary.STAGE_OPERATION, stage="synthesize"):
                llm = {"provider": "openai", "model": "small", "outcome": "success"}
                with facade.operation(vocabulary.LLM_REQUEST, **llm) as model:
                    reply = model.details
                    reply.input_tokens, reply.output_tokens, reply.reply_model = 12, 3, "small-1"
            with facade.operation(vocabulary.STAGE_OPERATION, stage="execute") as stage:
                ran = stage.details
                ran.database_type, ran.database, ran.sql = "postgresql", "shop", "SELECT 1"
                if error is not None:
                    raise error
    return http


def received(collector, facade, count):
    facade.fold()
    return {span.name: span for span in collector.wait(count)}


NAMES = {"POST /api/query", "question", "synthesize", "chat small", "SELECT shop"}


def test_a_request_is_one_trace_without_orphans(collector, facade):
    http = request(facade)
    spans = received(collector, facade, 5)
    assert set(spans) == NAMES
    assert {span.trace_id.hex() for span in spans.values()} == {http.trace.trace_id}
    ids = {span.span_id for span in spans.values()}
    root = spans["POST /api/query"]
    assert root.span_id.hex() == http.span_id
    assert root.parent_span_id == b""
    assert {span.parent_span_id for span in spans.values() if span is not root} <= ids
    assert spans["chat small"].parent_span_id == spans["synthesize"].span_id
    assert collector.paths == ["/v1/traces"]
    assert collector.resource["service.name"] == "sql-synthesizer"
    for span in spans.values():
        assert span.end_time_unix_nano >= span.start_time_unix_nano > 1e18
        assert attributes(span)["sql_synthesizer.question_id"] == "q1"
        assert attributes(span)["sql_synthesizer.outcome"] == "answered"


def test_a_remote_parent_is_kept(collector, facade):
    request(facade, parent=("a" * 32, "b" * 16, True))
    root = received(collector, facade, 5)["POST /api/query"]
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == ("a" * 32, "b" * 16)


def test_a_job_is_sent_and_processed_in_one_trace(collector, facade):
    with facade.operation(vocabulary.JOB_SUBMIT) as sent:
        sent.details.job_id, sent.details.questions = "j1", 2
    for position in (0, 1):
        parent = parse_traceparent(format_traceparent(sent))
        with facade.operation(vocabulary.JOB_QUESTION, parent=parent) as tried:
            details = tried.details
            details.job_id, details.position, details.attempt, details.wait_seconds = "j1", position, 1, 0.5
    facade.fold()
    first, *processed = collector.wait(3)
    assert (first.name, first.kind) == ("send jobs", Span.SpanKind.SPAN_KIND_PRODUCER)
    common = {
        "messaging.system": "sql_synthesizer",
        "messaging.destination.name": "jobs",
        "messaging.message.conversation_id": "j1",
    }
    assert {**common, "messaging.operation.type": "send", "messaging.batch.message_count": 2}.items() <= attributes(
        first
    ).items()
    for position, span in enumerate(processed):
        assert (span.name, span.kind) == ("process jobs", Span.SpanKind.SPAN_KIND_CONSUMER)
        assert (span.trace_id, span.parent_span_id) == (first.trace_id, first.span_id)
        assert [(link.trace_id, link.span_id) for link in span.links] == [(first.trace_id, first.span_id)]
        own = {"sql_synthesizer.position": position, "sql_synthesizer.attempt": 1, "sql_synthesizer.wait": 0.5}
        assert {**common, **own, "messaging.operation.type": "process"}.items() <= attributes(span).items()


def test_names_follow_the_semantic_conventions(collector, facade):
    request(facade)
    spans = received(collector, facade, 5)
    root, query, chat = spans["POST /api/query"], spans["SELECT shop"], spans["chat small"]
    assert (root.kind, query.kind, chat.kind) == (
        Span.SpanKind.SPAN_KIND_SERVER,
        Span.SpanKind.SPAN_KIND_CLIENT,
        Span.SpanKind.SPAN_KIND_CLIENT,
    )
    assert spans["question"].kind == Span.SpanKind.SPAN_KIND_INTERNAL
    expected = {"http.request.method": "POST", "http.route": "/api/query", "http.response.status_code": 200}
    assert expected.items() <= attributes(root).items()
    expected = {"db.system.name": "postgresql", "db.namespace": "shop", "db.operation.name": "SELECT"}
    assert expected.items() <= attributes(query).items()
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "small",
        "gen_ai.response.model": "small-1",
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 3,
    }
    assert expected.items() <= attributes(chat).items()


@pytest.mark.parametrize("log_text", [False, True])
def test_text_appears_only_where_it_is_switched_on(collector, log_text):
    facade = observed(collector.url, log_text=log_text)
    request(facade)
    facade.close()
    spans = {span.name: attributes(span) for span in collector.wait(5)}
    assert (spans["SELECT shop"].get("db.query.text") == "SELECT 1") is log_text
    assert (spans["question"].get("sql_synthesizer.question") == "how many?") is log_text


@pytest.mark.parametrize(
    ("error", "code", "type"),
    [
        (PoolTimeout(), Status.StatusCode.STATUS_CODE_ERROR, "pool_timeout"),
        (ZeroDivisionError(), Status.StatusCode.STATUS_CODE_ERROR, "internal"),
        (Declined(), Status.StatusCode.STATUS_CODE_UNSET, "declined"),
    ],
)
def test_only_failures_of_the_service_have_the_status_error(collector, facade, error, code, type):
    with pytest.raises(error.__class__):
        request(facade, error)
    span = received(collector, facade, 5)["SELECT shop"]
    assert span.status.code == code
    assert attributes(span)["error.type"] == type


def test_security_events_are_events_of_their_span(collector, facade):
    with pytest.raises(QuestionRefused):
        request(facade, QuestionRefused(event="sql_injection_attempt"))
    spans = received(collector, facade, 5)
    assert [event.name for span in spans.values() for event in span.events] == ["sql_injection_attempt"]
    assert attributes(spans["SELECT shop"].events[0])["sql_synthesizer.severity"] == "high"


def test_unsampled_traces_send_nothing(collector):
    facade = observed(collector.url, sample_ratio=0)
    request(facade)
    facade.close()
    assert collector.spans == []


def test_events_of_spans_that_never_close_are_let_go(monkeypatch):
    monkeypatch.setattr(tail, "HELD", 1000)
    facade = observed(None)

    def leave_open():
        facade.operation(vocabulary.COMMAND).__enter__()
        facade.emit(vocabulary.EVENTS["access_denied"])

    for _ in range(3000):
        copy_context().run(leave_open)
    facade.fold()
    assert facade.observers[0]._held == 1000
    facade.observers[0].close()


def dropped(facade):
    """How many spans were counted as dropped."""
    facade.fold()
    return sum(event.count for event in facade.observers[1].events("telemetry_dropped"))


def test_a_dead_collector_costs_spans_which_are_counted():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        facade = observed(f"http://127.0.0.1:{unused.getsockname()[1]}")
        request(facade)
        facade.fold()
        ends(facade.observers[0].close)
    assert dropped(facade) == 5


def test_a_collector_that_never_answers_does_not_hold_the_shutdown():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        facade = observed(f"http://127.0.0.1:{silent.getsockname()[1]}")
        for _ in range(2 * QUEUE):
            with facade.operation(vocabulary.COMMAND):
                pass
        facade.fold()
        ends(facade.observers[0].close)
    assert dropped(facade) > 0


class Contested(deque):
    """Somebody else empties the queue after the first span was taken from it."""

    def popleft(self):
        span = super().popleft()
        self.clear()
        return span


def test_closing_while_a_batch_is_taken_does_no_harm(collector, facade):
    facade.observers[0]._keepers[0]._outbox._queue = Contested()
    request(facade)
    assert len(received(collector, facade, 1)) == 1
    facade.close()
    assert len(collector.spans) == 1
    assert facade.observers[1].events("telemetry_error") == []


def test_standard_variables_are_honoured(collector, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{collector.url}/elsewhere")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    facade = observed("http://127.0.0.1:9")
    request(facade)
    facade.close()
    collector.wait(5)
    assert collector.paths == ["/elsewhere"]
    assert collector.resource["deployment.environment.name"] == "test"
