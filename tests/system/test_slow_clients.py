"""The service as a whole beside clients that are slow or idle, or send what is no request."""

from __future__ import annotations

import socket
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from sql_synthesizer.audit import read_records
from tests.support.clients import read_reply
from tests.support.serving import HANG, Service, fetch, service, until

pytestmark = pytest.mark.boundary

HEAD = b" HTTP/1.1\r\nHost: 127.0.0.1\r\n"
SLOW = (
    b"",
    b"GET /health/live" + HEAD + b"X: ",
    b"POST /api/query" + HEAD + b"Content-Length: 9\r\n\r\n{",
    b"POST /api/query" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\n{",
)


def connect(served: Service, sent: bytes) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", served.port), timeout=HANG)
    client.sendall(sent)
    return client


def test_slow_clients_stop_neither_the_service_nor_its_end(tmp_path: Path) -> None:
    with service(tmp_path) as served, ExitStack() as stack:
        for sent in SLOW:  # each kind beside those before it
            for _ in range(24):
                stack.enter_context(closing(connect(served, sent)))
            assert fetch(served.url + "/health/live").status == 200
            assert served.ask("how many customers are there").status == 200
        until(lambda: served.counted("app_up") == 1)
        assert served.stop() == 0


def test_what_is_no_request_is_in_every_signal(tmp_path: Path) -> None:
    with service(tmp_path) as served:
        with closing(connect(served, b"GET / HTTP/9.9\r\n\r\n")) as client:
            reply = read_reply(client)
        assert (reply.status, reply.json()["reason"]) == (400, "invalid_request")
        trace = reply.headers["X-Trace-Id"]
        (record,) = [r for r in read_records(served.state / "audit") if r["trace_id"] == trace]
        assert (record["event_type"], record["address"]) == ("invalid_request", "127.0.0.1")
        until(lambda: served.counted("security_events_total", event_type="invalid_request") == 1)
        until(lambda: served.counted("http_requests_total", route="unmatched", method="other", status="4xx") == 1)
        until(
            lambda: (
                {"invalid_request", "http_request"} <= {e["event"] for e in served.log() if e.get("trace_id") == trace}
            )
        )
