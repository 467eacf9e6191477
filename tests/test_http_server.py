"""The server that scrapes, pages and stand-ins share: its bounds, and its end."""

from __future__ import annotations

import socket
import threading
from contextlib import closing

import pytest

from sql_synthesizer.monitoring.http_server import HttpHandler, HttpServer
from tests.support.serving import Reply, fetch, until


class Handler(HttpHandler):
    protocol_version = "HTTP/1.1"
    timeout = None
    server: HttpServer[str]

    def do_GET(self) -> None:
        if self.path == "/broken":
            raise LookupError("a bug")
        if self.path == "/gone":
            raise ConnectionResetError
        self.send_reply(200, self.server.owner, headers={"Cache-Control": "private"})

    do_HEAD = do_GET


def connect(server: HttpServer[str], request: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    connection.sendall(request)
    return connection


def get(server: HttpServer[str], path: str = "/") -> Reply:
    return fetch(f"http://127.0.0.1:{server.port}{path}")


def test_a_reply_is_harmless_unless_it_says_otherwise() -> None:
    with HttpServer(Handler, "käse\udc80") as server:
        reply = get(server)
        with closing(connect(server, b"HEAD / HTTP/1.0\r\n\r\n")) as connection:
            head = b"".join(iter(lambda: connection.recv(65536), b""))
    assert reply.body == "käse?".encode()
    assert head.endswith(b"\r\n\r\n")
    assert b"Content-Length: 6\r\n" in head
    wanted = {
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Security-Policy": "default-src 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "private",
        "Server": "sql-synthesizer ",
    }
    assert wanted.items() <= reply.headers.items()


def test_a_connection_is_cut_after_its_time_however_busy_it_is() -> None:
    with HttpServer(Handler, "", limit=0.1) as server, closing(connect(server, b"GET / HTTP/1.1\r\n")) as busy:
        until(lambda: is_cut(busy))
        assert get(server).status == 200


def is_cut(connection: socket.socket) -> bool:
    """Whether the other end is gone, while this one goes on sending."""
    try:
        connection.sendall(b"X-More: 1\r\n")
        return connection.recv(1, socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_so_many_are_served_at_once() -> None:
    with HttpServer(Handler, "", connections=2) as server:
        held = [connect(server), connect(server)]
        until(lambda: len(server._open) == 2)
        with closing(connect(server)) as third:
            assert third.recv(1) == b""
        held.pop().close()
        until(lambda: len(server._open) == 1)
        assert get(server).status == 200
        held.pop().close()


def test_the_end_waits_for_nobody_and_leaves_nothing() -> None:
    before = set(threading.enumerate())
    with HttpServer(Handler, "") as server:
        idle = connect(server)
        kept = connect(server, b"GET / HTTP/1.1\r\n\r\n")
        assert kept.recv(1)
        until(lambda: len(server._open) == 2)
    assert set(threading.enumerate()) <= before
    assert idle.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        connect(server)
    idle.close()
    kept.close()


def test_a_bug_is_told_and_a_client_that_hangs_up_is_not(capfd: pytest.CaptureFixture[str]) -> None:
    with HttpServer(Handler, "") as server:
        for path in ("/gone", "/broken"):
            with closing(connect(server, f"GET {path} HTTP/1.0\r\n\r\n".encode())) as connection:
                assert connection.recv(1) == b""
    told = capfd.readouterr().err
    assert "a bug" in told
    assert "ConnectionResetError" not in told


def test_version_6_of_the_protocol() -> None:
    with HttpServer(Handler, "six", "::1") as server:
        assert fetch(f"http://[::1]:{server.port}/").body == b"six"


def test_a_used_port_is_an_error() -> None:
    with HttpServer(Handler, "") as server, pytest.raises(OSError, match="in use"):
        HttpServer(Handler, "", port=server.port)
