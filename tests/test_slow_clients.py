"""No client holds a thread that is slow, idle or gone; what the server refuses by itself is a reply like any other."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sql_synthesizer.web import connection, worker
from sql_synthesizer.web.app import SECURITY_HEADERS
from tests.support.app import App
from tests.support.clients import Server, is_closed, listening, read_reply
from tests.support.serving import HANG, until

pytestmark = pytest.mark.boundary

MANY = 24
"""Three clients for each thread."""
HOST = b"Host: 127.0.0.1\r\n"
POST = b"POST /api/query HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
GET = b"GET /health/live HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
QUESTION = b'{"question": "how many customers are there"}'
LARGE = b"GET /openapi/swagger/js/swagger-ui-bundle.js HTTP/1.1\r\n" + HOST + b"\r\n"


def asks(body: bytes) -> bytes:
    return POST + b"Content-Length: %d\r\n\r\n" % len(body) + body


SLOW = {
    "nothing": b"",
    "half a request line": b"GET /heal",
    "half a header": GET + b"X-Slow: ",
    "no byte of the body": POST + b"Content-Length: 44\r\n\r\n",
    "one byte of the body": POST + b"Content-Length: 44\r\n\r\n{",
    "a size of a chunk": CHUNKED + b"2c",
    "half a chunk": CHUNKED + b"2c\r\n{",
    "no last chunk": CHUNKED + b"2c\r\n" + QUESTION + b"\r\n",
    "half a trailer": CHUNKED + b"2c\r\n" + QUESTION + b"\r\n0\r\nX-Slow: ",
    "waiting to be told to go on": POST + b"Content-Length: 44\r\nExpect: 100-continue\r\n\r\n",
    "half a second request": GET + b"\r\n" + GET,
    "not closing": GET + b"Connection: close\r\n\r\n",
    "not reading": LARGE,
}


@pytest.fixture
def server(app: App) -> Iterator[Server]:
    with listening(app) as made:
        yield made


@pytest.mark.parametrize("sent", SLOW.values(), ids=SLOW.keys())
def test_slow_clients_hold_no_thread(server: Server, sent: bytes) -> None:
    with server.clients(MANY, sent, window=1024):
        assert server.is_alive()
        assert server.exchange(asks(QUESTION)).json()["row_count"] == 1


class Clock:
    """The clock of the worker, which the test can put forward."""

    ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in (connection, worker):
        monkeypatch.setattr(module, "time", made)
    return made


def received(server: Server) -> int:
    """Bytes of requests that have not come whole."""
    return sum(len(client.received) + (client.request is not None) for client in list(server.worker._waiting))


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("half a request line", connection.HEAD_WITHIN),
        ("half a header", connection.HEAD_WITHIN),
        ("one byte of the body", connection.allowed_time(65_536)),
        ("half a chunk", connection.allowed_time(65_536)),
    ],
)
def test_a_request_that_does_not_come_whole_is_refused(server: Server, clock: Clock, name: str, limit: float) -> None:
    with server.clients(MANY, SLOW[name]) as clients:
        until(lambda: len(server.worker._waiting) == MANY and all(not c.idle for c in list(server.worker._waiting)))
        clock.ahead = limit
        for client in clients:
            reply = read_reply(client)
            assert (reply.status, reply.json()["reason"]) == (408, "request_timeout")
            assert is_closed(client)
    until(lambda: server.app.counted("errors_total", reason="request_timeout") == MANY)


@pytest.mark.parametrize("name", ["half a request line", "half a header", "one byte of the body", "half a chunk"])
def test_a_client_that_sends_now_and_then_has_no_more_time(server: Server, clock: Clock, name: str) -> None:
    with closing(server.connect(SLOW[name])) as client:
        came = until(lambda: received(server))
        until(lambda: all(not other.idle for other in list(server.worker._waiting)))
        (waited,) = server.worker._waiting
        deadline = waited.deadline
        clock.ahead = 6.0
        client.sendall(b"x")
        until(lambda: received(server) > came)
        assert waited.deadline == deadline
        clock.ahead = 30.0
        assert read_reply(client).status == 408


REFUSED = {
    "no request line": (b"\r\n\r\n", 400, "invalid_request"),
    "half a request line": (b"GET /\r\n\r\n", 400, "invalid_request"),
    "a line feed alone": (b"GET / HTTP/1.1\n", 400, "invalid_request"),
    "a line feed alone in the header": (GET + b"X: y\n", 400, "invalid_request"),
    "no such version": (b"GET / HTTP/9.9\r\n\r\n", 400, "invalid_request"),
    "a method in small letters": (b"get / HTTP/1.1\r\n\r\n", 400, "invalid_request"),
    "a folded line": (GET + b"X: y\r\n z\r\n\r\n", 400, "invalid_request"),
    "a second host": (GET + HOST + b"\r\n", 400, "invalid_request"),
    "an expectation": (GET + b"Expect: more\r\n\r\n", 400, "invalid_request"),
    "two lengths": (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "invalid_request"),
    "length and chunks": (POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "invalid_request"),
    "chunked twice": (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n", 400, "invalid_request"),
    "another coding last": (POST + b"Transfer-Encoding: gzip\r\n\r\n", 400, "invalid_request"),
    "a coding that nobody knows": (POST + b"Transfer-Encoding: xchunked\r\n\r\n", 501, "unknown_coding"),
    "a negative length": (POST + b"Content-Length: -1\r\n\r\n", 400, "invalid_request"),
    "a negative chunk": (CHUNKED + b"-1\r\n", 400, "invalid_request"),
    "a chunk that is not a number": (CHUNKED + b"zz\r\n", 400, "invalid_request"),
    "a chunk with a prefix": (CHUNKED + b"0x2\r\n", 400, "invalid_request"),
    "a size without an end": (CHUNKED + b"1;" + b"x" * 9_000, 400, "invalid_request"),
    "a chunk without its end": (CHUNKED + b"2\r\nabcd\r\n0\r\n\r\n", 400, "invalid_request"),
    "a long address": (b"GET /" + b"x" * 5_000 + b" HTTP/1.1\r\n\r\n", 414, "address_too_long"),
    "an address without an end": (b"GET /" + b"x" * 5_000, 414, "address_too_long"),
    "a long field": (GET + b"X: " + b"y" * 9_000 + b"\r\n\r\n", 431, "header_too_large"),
    "many fields": (GET + b"X: y\r\n" * 70 + b"\r\n", 431, "header_too_large"),
    "fields without an end": (GET + b"X: y\r\n" * 6_000, 431, "header_too_large"),
    "a large body": (POST + b"Content-Length: 9999999\r\n\r\n{", 413, "request_too_large"),
    "a large chunk": (CHUNKED + b"ffffff\r\n{", 413, "request_too_large"),
    "chunks without an end": (CHUNKED + (b"1000\r\n" + b" " * 4096 + b"\r\n") * 17, 413, "request_too_large"),
    "more framing than body": (CHUNKED + (b"1;" + b"x" * 8_000 + b"\r\n \r\n") * 20, 413, "request_too_large"),
}


@pytest.mark.parametrize(("sent", "status", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_the_server_refuses_is_a_reply_like_any_other(
    server: Server, sent: bytes, status: int, reason: str
) -> None:
    app = server.app
    with closing(server.connect(sent)) as client:
        reply = read_reply(client)
        client.shutdown(socket.SHUT_WR)
        assert is_closed(client)
    assert (reply.status, reply.json()["reason"]) == (status, reason)
    expected = {*SECURITY_HEADERS, ("Cache-Control", "no-store"), ("Content-Type", "application/json")}
    assert expected | {("Connection", "close")} <= set(reply.headers.items())
    assert "default-src 'self'" in reply.headers["Content-Security-Policy"]
    (record,) = app.records()
    event = "request_too_large" if status in (413, 414, 431) else "invalid_request"
    assert (record["event_type"], record["address"]) == (event, "127.0.0.1")
    assert record["trace_id"] == reply.headers["X-Trace-Id"] == reply.json()["trace_id"]
    assert app.counted("security_events_total", event_type=event) == 1
    assert app.counted("http_requests_total", status=f"{status // 100}xx") == 1
    assert app.counted("errors_total", reason=reason) == 1


def test_refusals_are_counted_each_and_recorded_together(server: Server) -> None:
    server.app.rooms.telemetry.recorder._folding._clock = lambda: 0.0  # type: ignore[union-attr]
    for _ in range(60):
        assert server.exchange(b"GET /\r\n\r\n").status == 400
    until(lambda: sum(record.get("count", 1) for record in server.app.records()) == 60)
    assert len(server.app.records()) < 30
    assert server.app.counted("http_requests_total", method="other", route="unmatched", status="4xx") == 60


def test_a_request_may_come_byte_by_byte(server: Server) -> None:
    chunked = CHUNKED + b"a;x=y\r\n" + QUESTION[:10] + b"\r\n22\r\n" + QUESTION[10:] + b"\r\n0\r\nX: y\r\n\r\n"
    with closing(server.connect()) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for request in (asks(QUESTION), chunked, b"\r\n" + GET + b"\r\n"):
            for byte in request:
                client.sendall(bytes([byte]))
            assert read_reply(client).status == 200


def test_requests_may_come_together(server: Server) -> None:
    chunked = CHUNKED + b"2c\r\n" + QUESTION + b"\r\n0\r\n\r\n"
    with closing(server.connect((asks(QUESTION) + chunked + GET + b"\r\n") * 3)) as client:
        client.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: client.recv(65536), b""))
    assert received.count(b"HTTP/1.1 200 ") == 9


def test_a_body_that_nobody_read_is_not_the_next_request(server: Server) -> None:
    hidden = GET + b"X-Hidden: y\r\n\r\n"
    with closing(
        server.connect(b"POST /nothing HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(hidden))
    ) as client:
        client.sendall(hidden + GET + b"\r\n")
        assert [read_reply(client).status for _ in range(2)] == [404, 200]
    with closing(server.connect(GET + b"Content-Length: 9999999\r\n\r\n" + hidden)) as client:
        assert read_reply(client).headers["Connection"] == "close"
        assert is_closed(client)


def test_a_client_that_asks_is_told_to_go_on(server: Server) -> None:
    with closing(server.connect(POST + b"Content-Length: 44\r\nExpect: 100-continue\r\n\r\n")) as client:
        assert read_reply(client).status == 100
        client.sendall(QUESTION)
        assert read_reply(client).json()["row_count"] == 1
    too_large = server.exchange(POST + b"Content-Length: 9999999\r\nExpect: 100-continue\r\n\r\n")
    assert too_large.status == 413


def test_a_slow_reader_gets_all_of_it(server: Server) -> None:
    whole = server.exchange(LARGE).body
    assert len(whole) > 1_000_000
    with server.clients(MANY, LARGE, window=1024) as clients:
        assert server.is_alive()
        for client in clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            assert read_reply(client).body == whole


@pytest.mark.parametrize(("name", "value"), [("allowed_time", lambda _size: 0.0), ("UNSENT_BYTES", 0)])
def test_a_reply_that_is_not_taken_is_cut(app: App, name: str, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, name, value)
    with listening(app, keepalive=300) as server, server.clients(MANY, LARGE, window=1024):
        until(lambda: server.worker.nr == MANY)
        until(lambda: server.worker.nr_conns == 0)


@pytest.mark.parametrize("sent", SLOW.values(), ids=SLOW.keys())
def test_nothing_is_left_of_clients_that_are_gone(server: Server, sent: bytes) -> None:
    with server.clients(MANY, sent) as clients:
        for client in clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # as if its machine failed
    assert server.is_alive()
    until(lambda: server.worker.nr_conns == 0)


def test_when_too_many_come_the_oldest_have_to_go(app: App) -> None:
    with listening(app, worker_connections=MANY) as server, server.clients(3 * MANY, SLOW["half a header"]) as slow:
        assert server.is_alive()
        assert is_closed(slow[0])
        until(lambda: server.worker.nr_conns < MANY)


def test_when_too_many_come_idle_ones_go_first(app: App) -> None:
    with listening(app, worker_connections=MANY) as server, server.clients(MANY - 2, SLOW["half a header"]) as slow:
        with closing(server.connect(GET + b"\r\n")) as idle:
            assert read_reply(idle).status == 200
            with closing(server.connect(GET)):
                assert is_closed(idle)
        for client in slow:
            client.sendall(b"\r\n\r\n")
            assert read_reply(client).status == 200


def test_an_idle_connection_ends(app: App) -> None:
    with listening(app, keepalive=1) as server, closing(server.connect(GET + b"\r\n")) as client:
        assert read_reply(client).status == 200
        assert is_closed(client)
    assert app.records() == []


def test_without_descriptors_an_idle_client_makes_room(server: Server) -> None:
    def fail() -> None:
        raise OSError(errno.EMFILE, "too many open files")

    with closing(server.connect(GET + b"\r\n")) as idle:
        assert read_reply(idle).status == 200
        until(lambda: server.worker._waiting)
        server.worker.method_queue.defer(server.worker.accept, SimpleNamespace(accept=fail))
        assert is_closed(idle)
    assert server.is_alive()


def test_a_recycled_worker_answers_first(app: App) -> None:
    with listening(app, max_requests=3) as server:
        with server.clients(3, GET) as clients:
            for client in clients:
                client.sendall(b"\r\n")
                reply = read_reply(client)
                assert reply.status == 200
            assert reply.headers["Connection"] == "close"
        server.thread.join(HANG)
        assert not server.thread.is_alive()


def test_a_stop_does_not_wait_for_slow_clients(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(app) as server, server.clients(MANY, SLOW["half a header"]) as slow, server.clients(MANY) as idle:
        until(lambda: server.worker.nr_conns == 2 * MANY)
        server.worker.handle_exit(15, None)
        assert [read_reply(client).status for client in slow] == [408] * MANY
        assert all(is_closed(client) for client in idle)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_the_end_of_a_body_is_found_wherever_the_network_cuts_it(data: st.DataObject) -> None:
    chunks = data.draw(st.lists(st.binary(min_size=1, max_size=40), max_size=6))
    extension = data.draw(st.sampled_from([b"", b";a=b", b' ; a="\t;"']))
    framed = b"".join(b"%x%s\r\n%s\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
    sent = CHUNKED + framed + b"0\r\n" + data.draw(st.sampled_from([b"", b"X: y\r\n"])) + b"\r\n" + GET
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=8)))
    ours, other = socket.socketpair()
    with closing(ours), closing(other):
        client = connection.Connection(make_config(), connection.ClientSocket(ours), ("127.0.0.1", 1), ("", 2), 65_536)
        came = [client.receive(piece) for piece in pieces(sent, cuts) if not client.request or not client.advance()]
        assert any(came)
        assert client.request is not None
        assert client.request.body is not None
        assert client.request.body.read() == b"".join(chunks)
        assert client.ends_cleanly()
        client.sock.close()


def pieces(sent: bytes, cuts: list[int]) -> list[bytes]:
    return [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True) if end > start]


def make_config() -> Any:
    from gunicorn.config import Config  # noqa: PLC0415

    return Config()
