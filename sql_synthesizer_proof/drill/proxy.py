"""A connection that can be cut or slowed down: bytes go through unchanged until then."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import Self


class Proxy:
    """Listens on a free port and passes connections on to ``port`` of this machine.

    While ``closed``, connections are refused and open ones cut; each new one waits ``delay`` seconds first.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.address = f"127.0.0.1:{self.port}"
        self.delay = 0.0
        self._closed = False
        self._ended = False
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept_connections, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        self._cut_connections()

    def close(self) -> None:
        """Cuts what is open and refuses what comes."""
        self._closed = True
        self._cut_connections()

    def open(self) -> None:
        """Lets connections through again."""
        self._closed = False

    def _cut_connections(self) -> None:
        for near in list(self._open):
            with suppress(OSError):
                near.shutdown(socket.SHUT_RDWR)

    def _accept_connections(self) -> None:
        while not self._ended:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._open.add(near)  # before the look, so that 'close' cuts what comes too late to be refused
            if self._closed:
                self._open.discard(near)
                near.close()
            else:
                threading.Thread(target=self._serve_connection, args=(near,), name="proxied", daemon=True).start()

    def _serve_connection(self, near: socket.socket) -> None:
        time.sleep(self.delay)
        with near, suppress(OSError), socket.create_connection(("127.0.0.1", self._target), timeout=5) as far:
            far.settimeout(None)
            back = threading.Thread(target=self._pass_bytes, args=(far, near), name="proxied-back", daemon=True)
            back.start()
            self._pass_bytes(near, far)
            back.join()
        self._open.discard(near)

    @staticmethod
    def _pass_bytes(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
