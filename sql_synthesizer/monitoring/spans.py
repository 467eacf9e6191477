"""Spans: what closed operations are called, and what is said of them, in the facade's own ids.

Names and attributes follow the semantic conventions 1.44, whose generative AI part has left the packaged constants.
Attributes hold reasons and numbers; question text and SQL only where they are switched on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sql_synthesizer.model.masking import mask_secrets, mask_statement
from sql_synthesizer.telemetry import Event, Fact, Operation, Trace, vocabulary

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
OWN = "sql_synthesizer."
"""Prefix of attributes that the conventions do not have."""
TEXT_LIMIT = 8_192
"""Characters of a question or statement in a span."""

AttributeValue = str | bool | int | float | Sequence[str]
Attributes = dict[str, AttributeValue]
SpanShape = tuple[str, str, Attributes]
"""Name, kind as OpenTelemetry names it in small letters, and attributes."""

_CLOSING = frozenset(type.event for type in vocabulary.OPERATIONS.values() if type.event)
"""Events that mark the end of an operation, as its span does."""


@dataclass(slots=True)
class SpanEvent:
    """Something that happened within a span."""

    name: str
    time_ns: int
    attributes: Attributes


@dataclass(slots=True)
class Span:
    """A finished span. ``remote`` is whether its parent may be another process's, ``linked`` whether it links to it."""

    span_id: str
    parent_id: str
    name: str
    kind: str
    started_ns: int
    duration_ns: int
    reason: str
    failed: bool
    remote: bool
    attributes: Attributes
    events: list[SpanEvent] = field(default_factory=list)
    linked: bool = False


@dataclass(slots=True)
class Fragment:
    """The spans of a trace that closed in this process under one outermost span, ``root``; None before it has closed.

    ``failed`` is whether the service failed at any of them, ``slow`` whether the outermost one was slow.
    """

    trace: Trace
    spans: list[Span]
    root: Span | None
    failed: bool
    slow: bool


def build_fragment(trace: Trace, facts: Iterable[Fact], *, text: bool) -> Fragment:
    """The spans of closed operations, with the security events among the facts; with ``text`` questions and SQL too."""
    fragment = Fragment(trace, [], None, failed=False, slow=False)
    events: dict[str, list[SpanEvent]] = {}
    for fact in facts:
        if isinstance(fact, Operation):
            span = _build_span(fact, events.pop(fact.span_id, []), text=text)
            fragment.spans.append(span)
            fragment.failed = fragment.failed or span.failed
            if fact.span_id == trace.root_id:
                fragment.root, fragment.slow = span, fact.duration_ns >= fact.facade.slow_ns
        elif isinstance(fact, Event):
            events.setdefault(fact.span_id, []).append(_build_event(fact))
    return fragment


def is_span_event(event: Event) -> bool:
    """Whether an event is told within its span: security events are, unless they mark its end."""
    return event.type.audited and event.type.name not in _CLOSING


def _build_event(event: Event) -> SpanEvent:
    attributes: Attributes = {OWN + "severity": event.type.severity}
    if reason := event.details.get("reason"):
        attributes["error.type"] = str(reason)
    return SpanEvent(event.type.name, event.time_ns, attributes)


def _build_span(operation: Operation, events: list[SpanEvent], *, text: bool) -> Span:
    name, kind, attributes = _SHAPES.get(operation.type.name, _internal_shape)(operation)
    attributes[OWN + "outcome"] = operation.outcome
    if operation.trace.question_id:
        attributes[OWN + "question_id"] = operation.trace.question_id
    reason = operation.reason
    if reason == "ok" and operation.failed:
        reason = str(operation.details.status)
    if reason != "ok":
        attributes["error.type"] = reason
    if text:
        attributes |= _text_attributes(operation)
    return Span(
        operation.span_id,
        operation.parent_id,
        name,
        kind,
        operation.started_ns,
        operation.duration_ns,
        reason,
        operation.failed,
        operation.span_id == operation.trace.root_id,
        attributes,
        events,
        linked=operation.type is vocabulary.JOB_QUESTION and operation.parent_id != "",
    )


def _label_attributes(operation: Operation) -> Attributes:
    return {OWN + name: value for name, value in operation.labels.items()}


def _known_attributes(attributes: Mapping[str, AttributeValue | None]) -> Attributes:
    return {name: value for name, value in attributes.items() if value is not None}


def _internal_shape(operation: Operation) -> SpanShape:
    return operation.type.name, "internal", _label_attributes(operation)


def _http_shape(operation: Operation) -> SpanShape:
    method, route = operation.labels.get("method", ""), operation.labels.get("route", "")
    details = operation.details
    attributes: Mapping[str, AttributeValue | None] = {
        "http.request.method": method,
        "http.route": route,
        "url.scheme": details.scheme,
        "url.path": details.path,
        "http.response.status_code": details.status,
    }
    return f"{method} {route}".strip() or "HTTP", "server", _known_attributes(attributes)


def _question_shape(operation: Operation) -> SpanShape:
    details = operation.details
    known = _known_attributes({OWN + "database": details.database, OWN + "row_count": details.row_count})
    return "question", "internal", _label_attributes(operation) | known


def _stage_shape(operation: Operation) -> SpanShape:
    stage = operation.labels.get("stage", "stage")
    if stage != "execute":
        return stage, "internal", _label_attributes(operation)
    details = operation.details
    database = details.database or ""
    attributes = _label_attributes(operation) | {
        "db.system.name": details.database_type or "other_sql",
        "db.namespace": database,
        "db.operation.name": "SELECT",
    }
    return f"SELECT {database}".strip(), "client", attributes


def _cache_shape(operation: Operation) -> SpanShape:
    return f"cache {operation.labels.get('operation', '')}".strip(), "internal", _label_attributes(operation)


def _model_shape(operation: Operation) -> SpanShape:
    labels, details = operation.labels, operation.details
    attributes: dict[str, AttributeValue | None] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": labels.get("provider", ""),
        "gen_ai.request.model": labels.get("model", ""),
        "gen_ai.request.temperature": 0,
        OWN + "llm_outcome": labels.get("outcome", ""),
        "gen_ai.request.max_tokens": details.max_tokens,
        "gen_ai.response.model": details.reply_model,
        "gen_ai.response.id": details.reply_id,
        "gen_ai.response.finish_reasons": [details.finish_reason] if details.finish_reason else None,
        "gen_ai.usage.input_tokens": details.input_tokens,
        "gen_ai.usage.output_tokens": details.output_tokens,
        "http.response.status_code": details.status,
        OWN + "llm_failure": details.failure,
    }
    return f"chat {labels.get('model', '')}", "client", _known_attributes(attributes)


def _job_send_shape(operation: Operation) -> SpanShape:
    count = {"messaging.batch.message_count": operation.details.questions}
    return "send jobs", "producer", _messaging_attributes(operation, "send") | _known_attributes(count)


def _job_process_shape(operation: Operation) -> SpanShape:
    details = operation.details
    own = {OWN + "position": details.position, OWN + "attempt": details.attempt, OWN + "wait": details.wait_seconds}
    return "process jobs", "consumer", _messaging_attributes(operation, "process") | _known_attributes(own)


def _webhook_shape(operation: Operation) -> SpanShape:
    details = operation.details
    attributes: Mapping[str, AttributeValue | None] = {
        "http.request.method": "POST",
        "http.response.status_code": details.status,
        "http.request.resend_count": (details.attempt or 1) - 1 or None,
        "server.address": details.host,
    }
    return "POST", "client", _known_attributes(attributes)


def _messaging_attributes(operation: Operation, step: str) -> Attributes:
    attributes: Mapping[str, AttributeValue | None] = {
        "messaging.system": "sql_synthesizer",
        "messaging.operation.name": step,
        "messaging.operation.type": step,
        "messaging.destination.name": "jobs",
        "messaging.message.conversation_id": operation.details.job_id,
    }
    return _known_attributes(attributes)


_SHAPES: dict[str, Callable[[Operation], SpanShape]] = {
    vocabulary.HTTP_REQUEST.name: _http_shape,
    vocabulary.QUESTION.name: _question_shape,
    vocabulary.CANARY_QUESTION.name: _question_shape,
    vocabulary.STAGE_OPERATION.name: _stage_shape,
    vocabulary.CACHE_ACCESS.name: _cache_shape,
    vocabulary.LLM_REQUEST.name: _model_shape,
    vocabulary.JOB_SUBMIT.name: _job_send_shape,
    vocabulary.JOB_QUESTION.name: _job_process_shape,
    vocabulary.JOB_WEBHOOK.name: _webhook_shape,
}


def _text_attributes(operation: Operation) -> dict[str, str]:
    found = {}
    if operation.details.sql is not None:
        found["db.query.text"] = mask_statement(operation.details.sql[:TEXT_LIMIT])
    if operation.details.question is not None:
        found[OWN + "question"] = mask_secrets(operation.details.question[:TEXT_LIMIT])
    return found
