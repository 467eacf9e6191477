"""A collector for tests: takes spans over OTLP/HTTP with protobuf bodies and keeps them."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """``spans`` as received; ``url`` is the endpoint without the signal's path."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.resource: dict[str, Any] = {}
        self.paths: list[str] = []
        self._arrived = threading.Condition()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector._take(self.path, ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def _take(self, path: str, request: ExportTraceServiceRequest) -> None:
        with self._arrived:
            self.paths.append(path)
            for group in request.resource_spans:
                self.resource = attributes(group.resource)
                for scope in group.scope_spans:
                    self.spans.extend(scope.spans)
            self._arrived.notify_all()

    def wait(self, count: int, limit: float = 10) -> list[Span]:
        """The spans once at least ``count`` have arrived."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.spans) >= count, limit), f"only {len(self.spans)} spans"
            return list(self.spans)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def attributes(holder: Any) -> dict[str, Any]:
    """The attributes of a span, event or resource as plain values."""
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in holder.attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    """A running collector."""
    collector = Collector()
    try:
        yield collector
    finally:
        collector.close()
