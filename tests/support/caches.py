"""Private Redis and Memcached servers on free ports."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support import program
from tests.support.ports import free_port
from tests.support.processes import ServerProcess
from tests.support.serving import HANG, until


class Server(ServerProcess):
    """A cache's server, which listens on ``port`` once it is started."""

    def __init__(self, command: list[str], port: int) -> None:
        self.port = port
        self.address = f"127.0.0.1:{port}"
        self.url = f"redis://{self.address}/0"
        self._command = command
        self.start()

    def start(self) -> None:
        """Starts the server, or starts it again, and returns when it accepts connections."""
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self._accepts)

    def _accepts(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"{self._command[0]} did not start on port {self.port}"
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), HANG):
            return True
        return False


def redis_server(directory: str | Path) -> Server:
    """A Redis server without persistence."""
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(directory)]
    return Server([program("redis-server"), *options], port)


def memcached_server() -> Server:
    """A Memcached server; as root it runs as nobody."""
    port = free_port()
    options = ["-l", "127.0.0.1", "-p", str(port), "-U", "0"]
    return Server([program("memcached"), *options, *(["-u", "nobody"] if os.geteuid() == 0 else [])], port)


def _served(server: Server) -> Iterator[Server]:
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="sqs-") as directory:
        for server in _served(redis_server(directory)):
            yield server.url


@pytest.fixture(scope="session")
def memcached_address() -> Iterator[str]:
    for server in _served(memcached_server()):
        yield server.address


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Server]:
    """A Redis of this test alone, to stop or freeze."""
    yield from _served(redis_server(tmp_path))


@pytest.fixture
def own_memcached() -> Iterator[Server]:
    """A Memcached of this test alone, to stop or freeze."""
    yield from _served(memcached_server())
