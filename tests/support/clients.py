"""The web server's worker in this process, on an application of its own, and clients that behave as they like."""

from __future__ import annotations

import logging
import os
import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from gunicorn.config import Config
from gunicorn.util import load_class

from tests.support.app import App
from tests.support.serving import HANG, Reply


class Server:
    """A worker that listens on a port of its own; ``worker`` may be looked at while it runs."""

    def __init__(self, app: App, **options: Any) -> None:
        from sql_synthesizer.web import server  # noqa: PLC0415 - it reads the environment

        self.app = app
        config = Config()
        for name in config.settings.keys() & vars(server).keys() - {"logger_class", "bind"}:
            config.set(name, vars(server)[name])
        for name, value in options.items():
            config.set(name, value)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # so that a large reply does not fit in it
        self.port = self.listener.getsockname()[1]
        made: Any = load_class(config.worker_class_str)
        self.worker = made(1, os.getppid(), [self.listener], self, 60, config, logging.getLogger("gunicorn.error"))
        self.worker.log.access = lambda *_: None
        self.worker.tpool = self.worker.get_thread_pool()
        self.worker.poller = selectors.DefaultSelector()
        self.worker.method_queue.init()
        self.worker.load_wsgi()
        self.thread = threading.Thread(target=self.worker.run, name="worker")

    def wsgi(self) -> Any:
        return self.app.flask

    def connect(self, sent: bytes = b"", *, window: int | None = None) -> socket.socket:
        """A client that has sent this; ``window`` is how many bytes it takes before it reads."""
        client = socket.socket()
        client.settimeout(HANG)
        if window is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        client.connect(("127.0.0.1", self.port))
        client.sendall(sent)
        return client

    @contextmanager
    def clients(self, number: int, sent: bytes = b"", **options: Any) -> Iterator[list[socket.socket]]:
        with ExitStack() as stack:
            yield [stack.enter_context(closing(self.connect(sent, **options))) for _ in range(number)]

    def exchange(self, sent: bytes) -> Reply:
        """The reply to this, on a connection of its own."""
        with closing(self.connect(sent)) as client:
            return read_reply(client)

    def is_alive(self) -> bool:
        """Whether the service says so, to a client that comes now."""
        return self.exchange(b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").status == 200


def read_reply(client: socket.socket) -> Reply:
    """The next reply on a connection. Raises EOFError when it ends before that."""
    head, body = b"", b""
    while not head.endswith(b"\r\n\r\n"):
        head += _receive(client, 1)
    first, *lines = head.decode("latin-1").splitlines()
    headers = dict(line.split(": ", 1) for line in lines if line)
    while left := int(headers.get("Content-Length", "0")) - len(body):
        body += _receive(client, left)
    return Reply(int(first.split()[1]), headers, body)


def _receive(client: socket.socket, size: int) -> bytes:
    data = client.recv(size)
    if not data:
        raise EOFError
    return data


def is_closed(client: socket.socket) -> bool:
    """Waits for the other side to end the connection, and takes what it still sends."""
    try:
        while client.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


@contextmanager
def listening(app: App, **options: Any) -> Iterator[Server]:
    """A running worker, which is stopped as by SIGTERM."""
    server = Server(app, **options)
    server.thread.start()
    try:
        yield server
    finally:
        server.worker.handle_exit(15, None)
        server.thread.join(HANG)
        server.worker.tmp.close()
        assert not server.thread.is_alive(), "the worker does not stop"
