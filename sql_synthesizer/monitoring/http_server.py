"""A small HTTP server for scrapes, pages and stand-ins, which no client can hold that is slow, idle or gone."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any, ClassVar, Generic, Self, TypeVar

CONNECTIONS = 32
"""Connections that are served at once unless the server says otherwise; further ones are closed."""
IDLE_LIMIT = 5.0
"""Seconds that a connection may stay silent."""
CONNECTION_LIMIT = 10.0
"""Seconds after which a connection is cut, however slowly its other end reads or writes."""
TEXT, HTML, JSON = "text/plain; charset=utf-8", "text/html; charset=utf-8", "application/json"

Owner = TypeVar("Owner")


class HttpServer(ThreadingTCPServer, Generic[Owner]):
    """Listens at once, and serves while it is used as a context manager; nothing of it is left afterwards.

    ``owner`` is what the handlers show, ``limit`` is in seconds. Port 0 takes a free port. Raises OSError when the
    address cannot be had.
    """

    allow_reuse_address = True
    request_queue_size = CONNECTIONS

    def __init__(
        self,
        handler: type[HttpHandler],
        owner: Owner,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        connections: int = CONNECTIONS,
        limit: float = CONNECTION_LIMIT,
    ) -> None:
        self.owner = owner
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._connections, self._limit = connections, limit
        self._open: dict[Any, float] = {}
        self._thread = threading.Thread(target=self.serve_forever, name=f"http-{handler.__module__}")
        super().__init__((host, port), handler)
        self.port = int(self.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # so that 'serve_forever' need not wait for its next poll
        self.shutdown()
        self._thread.join()
        self._cut_connections(time.monotonic())
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Takes a connection, if one more may be open."""
        if len(self._open) >= self._connections:
            self.shutdown_request(request)
            return
        self._open[request] = time.monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Ends a connection."""
        self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Cuts connections that last too long; called between two polls."""
        self._cut_connections(time.monotonic() - self._limit)

    def _cut_connections(self, moment: float) -> None:
        """Cuts what was open at this moment already."""
        for request, since in list(self._open.items()):
            if since <= moment:
                with suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of a client that hangs up."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class HttpHandler(BaseHTTPRequestHandler):
    """Answers one connection of an HttpServer, and logs nothing."""

    server: HttpServer[Any]
    timeout: ClassVar[float | None] = IDLE_LIMIT
    disable_nagle_algorithm = True
    server_version = "sql-synthesizer"
    sys_version = ""

    def send_reply(
        self,
        status: int,
        body: str | bytes = b"",
        content_type: str = TEXT,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Sends a whole reply; ``headers`` are further ones, or others than those that keep a page harmless."""
        content = body.encode(errors="replace") if isinstance(body, str) else body
        self.send_head(status, len(content), {"Content-Type": content_type, **(headers or {})})
        if self.command != "HEAD":
            self.wfile.write(content)

    def send_head(self, status: int, length: int, headers: Mapping[str, str]) -> None:
        """Sends the head of a reply whose body has ``length`` bytes."""
        self.send_response(status)
        for name, value in {
            "Content-Length": str(length),
            "Content-Security-Policy": "default-src 'none'",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
            **headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes and views of a page are not logged."""
