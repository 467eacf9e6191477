"""Traces for a collector: finished OpenTelemetry spans, sent over OTLP.

A collector that is down costs spans, which are counted, and nothing else.
"""

from __future__ import annotations

import logging
import os
import socket

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event as SdkEvent
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from sql_synthesizer import __version__
from sql_synthesizer.monitoring.outbox import Outbox
from sql_synthesizer.monitoring.spans import SCHEMA_URL, Fragment, Span
from sql_synthesizer.settings import Settings, read_variable
from sql_synthesizer.telemetry import Telemetry, vocabulary

EXPORT_TIMEOUT = 2.0
"""Seconds that one export may take, unless OTEL_EXPORTER_OTLP_TIMEOUT says otherwise."""
QUEUE = 4_096
"""Spans that may wait for the collector."""


class SpanExport:
    """Sends the spans of kept traces to the collector."""

    def __init__(self, settings: Settings, facade: Telemetry, exporter: SpanExporter | None = None) -> None:
        self._exporter = exporter or _make_exporter(settings)
        self._facade = facade
        self._outbox = Outbox("the collector of spans", self._send, self._report_dropped, capacity=QUEUE)
        self._scope = InstrumentationScope("sql_synthesizer", __version__, SCHEMA_URL)
        self._resource = Resource.create(
            {
                "service.name": settings.service_name,
                "service.version": __version__,
                "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
            },
            SCHEMA_URL,
        )
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)  # it would log each failed batch

    def keep(self, fragment: Fragment) -> None:
        """Queues the spans."""
        for span in fragment.spans:
            self._outbox.put(self._readable_span(fragment.trace.trace_id, span))

    def close(self) -> None:
        """Sends what waits, for a moment."""
        self._outbox.close(self._exporter.shutdown)

    def _send(self, batch: list[ReadableSpan]) -> bool:
        return self._exporter.export(batch) is SpanExportResult.SUCCESS

    def _report_dropped(self, count: int) -> None:
        self._facade.emit(vocabulary.TELEMETRY_DROPPED, count=count, signal="traces")

    def _readable_span(self, trace_id: str, span: Span) -> ReadableSpan:
        parent = _span_context(trace_id, span.parent_id, remote=span.remote) if span.parent_id else None
        return ReadableSpan(
            span.name,
            context=_span_context(trace_id, span.span_id),
            parent=parent,
            links=[Link(parent)] if parent and span.linked else (),
            resource=self._resource,
            attributes=span.attributes,
            events=[SdkEvent(event.name, event.attributes, event.time_ns) for event in span.events],
            kind=SpanKind[span.kind.upper()],
            status=Status(StatusCode.ERROR, span.reason) if span.failed else Status(StatusCode.UNSET),
            start_time=span.started_ns,
            end_time=span.started_ns + span.duration_ns,
            instrumentation_scope=self._scope,
        )


def _span_context(trace_id: str, span_id: str, *, remote: bool = False) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=remote, trace_flags=TraceFlags(1))


def _make_exporter(settings: Settings) -> SpanExporter:
    endpoint = None
    if settings.otlp_endpoint and not read_variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        endpoint = f"{settings.otlp_endpoint.rstrip('/')}/v1/traces"
    given = read_variable("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT") or read_variable("OTEL_EXPORTER_OTLP_TIMEOUT")
    return OTLPSpanExporter(endpoint, timeout=None if given else EXPORT_TIMEOUT)
