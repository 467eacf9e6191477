"""A collector for tests: takes spans over OTLP/HTTP with protobuf bodies and keeps them."""

from __future__ import annotations

import gzip
import threading
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from sql_synthesizer.monitoring.http_server import HttpHandler, HttpServer
from tests.support.serving import HANG


class Collector:
    """``spans`` as received; ``url`` is the endpoint without the signal's path."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.resource: dict[str, Any] = {}
        self.paths: list[str] = []
        self._arrived = threading.Condition()
        self._server = HttpServer(_Handler, self)
        self.url = f"http://127.0.0.1:{self._server.port}"

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__()

    def take(self, path: str, request: ExportTraceServiceRequest) -> None:
        with self._arrived:
            self.paths.append(path)
            for group in request.resource_spans:
                self.resource = attributes(group.resource)
                for scope in group.scope_spans:
                    self.spans.extend(scope.spans)
            self._arrived.notify_all()

    def wait(self, count: int) -> list[Span]:
        """The spans once at least ``count`` have arrived."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.spans) >= count, HANG), f"only {len(self.spans)} spans"
            return list(self.spans)


class _Handler(HttpHandler):
    server: HttpServer[Collector]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.owner.take(self.path, ExportTraceServiceRequest.FromString(body))
        self.send_reply(200)


def attributes(holder: Any) -> dict[str, Any]:
    """The attributes of a span, event or resource as plain values."""
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in holder.attributes}
