"""Traces: finished OpenTelemetry spans, built from closed operations with the facade's own ids.

Names and attributes follow the semantic conventions 1.44, whose generative AI part has left the packaged constants.
A collector that is down costs spans, which are counted, and nothing else.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event as SpanEvent
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import AttributeValue

from sql_synthesizer import __version__
from sql_synthesizer.model.masking import mask_secrets, mask_statement
from sql_synthesizer.settings import Settings, read_variable
from sql_synthesizer.telemetry import Event, Fact, Operation, Telemetry, vocabulary

EXPORT_TIMEOUT = 2.0
"""Seconds that one export may take, and that closing waits, unless OTEL_EXPORTER_OTLP_TIMEOUT says otherwise."""
QUEUE = 4_096
"""Spans that may wait for the collector."""
BATCH = 512
DELAY = 1.0
"""Seconds that spans are gathered before they are sent."""
HELD_EVENTS = 1_000
"""Open spans for which security events are held."""

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
OWN = "sql_synthesizer."
"""Prefix of attributes that the conventions do not have."""

_CLOSING = frozenset(type.event for type in vocabulary.OPERATIONS.values() if type.event)
"""Events that mark the end of an operation, as its span does."""

_logger = logging.getLogger(__name__)

SpanShape = tuple[str, SpanKind, dict[str, AttributeValue]]


class TracingObserver:
    """Sends a span for every closed operation of a sampled trace; security events become span events."""

    signal = "traces"

    def __init__(self, settings: Settings, facade: Telemetry, exporter: SpanExporter | None = None) -> None:
        self._text = settings.log_text
        self._sender = _Sender(exporter or _make_exporter(settings), self._report_dropped)
        self._facade = facade
        self._held: OrderedDict[str, list[SpanEvent]] = OrderedDict()
        self._scope = InstrumentationScope("sql_synthesizer", __version__, SCHEMA_URL)
        self._resource = Resource.create(
            {
                "service.name": settings.service_name,
                "service.version": __version__,
                "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
            },
            SCHEMA_URL,
        )

    def fold(self, facts: Sequence[Fact]) -> None:
        """Builds the spans of a batch and queues them."""
        for fact in facts:
            if isinstance(fact, Operation):
                if fact.trace.sampled:
                    self._sender.put(self._build_span(fact))
            elif isinstance(fact, Event) and fact.span_id and fact.trace.sampled:
                self._hold_event(fact)

    def close(self) -> None:
        """Sends what waits, for ``EXPORT_TIMEOUT`` seconds at most."""
        self._sender.close()

    def _report_dropped(self, count: int) -> None:
        self._facade.emit(vocabulary.TELEMETRY_DROPPED, count=count, signal=self.signal)

    def _hold_event(self, event: Event) -> None:
        """Holds a security event until its span closes; the oldest span that never does is evicted."""
        if not event.type.audited or event.type.name in _CLOSING:
            return
        attributes = {OWN + "severity": event.type.severity}
        if reason := event.details.get("reason"):
            attributes["error.type"] = str(reason)
        self._held.setdefault(event.span_id, []).append(SpanEvent(event.type.name, attributes, event.time_ns))
        if len(self._held) > HELD_EVENTS:
            self._held.popitem(last=False)

    def _build_span(self, operation: Operation) -> ReadableSpan:
        name, kind, attributes = _SHAPES.get(operation.type.name, _internal_shape)(operation)
        trace = operation.trace
        attributes[OWN + "outcome"] = operation.outcome
        if trace.question_id:
            attributes[OWN + "question_id"] = trace.question_id
        if operation.reason != "ok":
            attributes["error.type"] = operation.reason
        if self._text:
            attributes |= _text_attributes(operation)
        failed = operation.outcome == "failed"
        remote = operation.type is vocabulary.HTTP_REQUEST
        return ReadableSpan(
            name,
            context=_span_context(trace.trace_id, operation.span_id),
            parent=_span_context(trace.trace_id, operation.parent_id, remote=remote) if operation.parent_id else None,
            resource=self._resource,
            attributes=attributes,
            events=self._held.pop(operation.span_id, ()),
            kind=kind,
            status=Status(StatusCode.ERROR, operation.reason) if failed else Status(StatusCode.UNSET),
            start_time=operation.started_ns,
            end_time=operation.started_ns + operation.duration_ns,
            instrumentation_scope=self._scope,
        )


def _span_context(trace_id: str, span_id: str, *, remote: bool = False) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=remote, trace_flags=TraceFlags(1))


def _label_attributes(operation: Operation) -> dict[str, AttributeValue]:
    return {OWN + name: value for name, value in operation.labels.items()}


def _known_attributes(attributes: Mapping[str, AttributeValue | None]) -> dict[str, AttributeValue]:
    return {name: value for name, value in attributes.items() if value is not None}


def _internal_shape(operation: Operation) -> SpanShape:
    return operation.type.name, SpanKind.INTERNAL, _label_attributes(operation)


def _http_shape(operation: Operation) -> SpanShape:
    method, route = operation.labels.get("method", ""), operation.labels.get("route", "")
    status = {"http.response.status_code": operation.details.status}
    attributes = _known_attributes({"http.request.method": method, "http.route": route, **status})
    return f"{method} {route}".strip() or "HTTP", SpanKind.SERVER, attributes


def _question_shape(operation: Operation) -> SpanShape:
    details = operation.details
    known = _known_attributes({OWN + "database": details.database, OWN + "row_count": details.row_count})
    return "question", SpanKind.INTERNAL, _label_attributes(operation) | known


def _stage_shape(operation: Operation) -> SpanShape:
    stage = operation.labels.get("stage", "stage")
    if stage != "execute":
        return stage, SpanKind.INTERNAL, _label_attributes(operation)
    details = operation.details
    database = details.database or ""
    attributes = _label_attributes(operation) | {
        "db.system.name": details.database_type or "other_sql",
        "db.namespace": database,
        "db.operation.name": "SELECT",
    }
    return f"SELECT {database}".strip(), SpanKind.CLIENT, attributes


def _cache_shape(operation: Operation) -> SpanShape:
    return f"cache {operation.labels.get('operation', '')}".strip(), SpanKind.INTERNAL, _label_attributes(operation)


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
        "gen_ai.response.finish_reasons": details.finish_reason and [details.finish_reason],
        "gen_ai.usage.input_tokens": details.input_tokens,
        "gen_ai.usage.output_tokens": details.output_tokens,
        "http.response.status_code": details.status,
        OWN + "llm_failure": details.failure,
    }
    return f"chat {labels.get('model', '')}", SpanKind.CLIENT, _known_attributes(attributes)


_SHAPES: dict[str, Callable[[Operation], SpanShape]] = {
    vocabulary.HTTP_REQUEST.name: _http_shape,
    vocabulary.QUESTION.name: _question_shape,
    vocabulary.STAGE_OPERATION.name: _stage_shape,
    vocabulary.CACHE_ACCESS.name: _cache_shape,
    vocabulary.LLM_REQUEST.name: _model_shape,
}


def _text_attributes(operation: Operation) -> dict[str, str]:
    found = {}
    if operation.details.sql is not None:
        found["db.query.text"] = mask_statement(operation.details.sql[:8_192])
    if operation.details.question is not None:
        found[OWN + "question"] = mask_secrets(operation.details.question[:8_192])
    return found


def _make_exporter(settings: Settings) -> SpanExporter:
    endpoint = None
    if settings.otlp_endpoint and not read_variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        endpoint = f"{settings.otlp_endpoint.rstrip('/')}/v1/traces"
    given = read_variable("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT") or read_variable("OTEL_EXPORTER_OTLP_TIMEOUT")
    return OTLPSpanExporter(endpoint, timeout=None if given else EXPORT_TIMEOUT)


class _Sender:
    """A bounded queue of spans and the thread that exports them."""

    def __init__(self, exporter: SpanExporter, dropped: Callable[[int], None]) -> None:
        self._exporter = exporter
        self._dropped = dropped
        self._queue: deque[ReadableSpan] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._reachable = True
        self._thread: threading.Thread | None = None
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)  # it would log each failed batch

    def put(self, span: ReadableSpan) -> None:
        """Queues a span; drops and counts it when too many wait. Called by the folding thread alone."""
        if len(self._queue) >= QUEUE:
            self._dropped(1)
            return
        self._queue.append(span)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run_sender, name="spans", daemon=True)
            self._thread.start()
        if len(self._queue) >= BATCH:
            self._wake.set()

    def close(self) -> None:
        """Ends the thread; what cannot be sent in time is counted."""
        deadline = time.monotonic() + EXPORT_TIMEOUT
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()))
        self._exporter.shutdown()
        if left := self._take_spans(QUEUE):
            self._dropped(len(left))

    def _run_sender(self) -> None:
        while not self._closing:
            self._wake.wait(DELAY)
            self._wake.clear()
            while self._queue and self._send_batch():
                pass
        deadline = time.monotonic() + EXPORT_TIMEOUT
        while self._queue and self._send_batch() and time.monotonic() < deadline:
            pass

    def _take_spans(self, most: int) -> list[ReadableSpan]:
        """The oldest spans. Closing takes what is left, perhaps while the thread takes a batch."""
        taken: list[ReadableSpan] = []
        with suppress(IndexError):
            while len(taken) < most:
                taken.append(self._queue.popleft())
        return taken

    def _send_batch(self) -> bool:
        """Exports one batch; whether the collector took it. A batch that it did not take is not tried again."""
        batch = self._take_spans(BATCH)
        if not batch:
            return False
        try:
            taken = self._exporter.export(batch) is SpanExportResult.SUCCESS
        except Exception:  # noqa: BLE001  # a broken collector must not affect the service
            taken = False
        if not taken:
            self._dropped(len(batch))
        if taken != self._reachable:
            self._reachable = taken
            _logger.log(
                logging.INFO if taken else logging.WARNING,
                "the collector of spans is %s",
                "reachable again" if taken else "not reachable; spans are dropped and counted",
            )
        return taken
