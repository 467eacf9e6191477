"""Cached bytes in Memcached."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Callable
from typing import Any

from pymemcache.client.base import Client
from pymemcache.client.hash import HashClient
from pymemcache.exceptions import MemcacheClientError, MemcacheServerError, MemcacheUnexpectedCloseError

from sql_synthesizer.connecting import look_up
from sql_synthesizer.errors import ConfigurationError

DEAD_TIME = 1.0
"""Seconds that a failed server of several gets no keys."""


class _Sockets:
    """The module ``socket``, but for names that take too long."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout

    def __getattr__(self, name: str) -> Any:
        return getattr(socket, name)

    def getaddrinfo(self, host: str, port: int, *arguments: int) -> list[Any]:
        return look_up(host, port, self._timeout, *arguments)


class Memcached:
    """One or more Memcached servers, keys spread over them."""

    def __init__(self, servers: str, timeout: float) -> None:
        self._servers = [_parse_address(server) for server in servers.split(",")]
        self._client = HashClient(
            self._servers,
            connect_timeout=timeout,
            timeout=timeout,
            no_delay=True,
            use_pooling=True,
            default_noreply=False,
            retry_attempts=0,
            dead_timeout=DEAD_TIME,
            socket_module=_Sockets(timeout),
        )

    def get(self, key: str) -> bytes | None:
        return self._client.get(key)  # type: ignore[no-any-return] # pymemcache has no types

    def set(self, key: str, value: bytes, ttl: int) -> None:
        self._client.set(key, value, expire=ttl)

    def try_lock(self, key: str, lease: int) -> Callable[[], object] | None:
        name, token = key + ":lock", uuid.uuid4().bytes

        def unlock() -> None:
            if self._client.get(name) == token:
                self._client.delete(name)

        return unlock if self._client.add(name, token, expire=lease) else None

    def ping(self, timeout: float) -> None:
        for server in self._servers:
            probe = Client(server, connect_timeout=timeout, timeout=timeout, socket_module=_Sockets(timeout))
            try:
                probe.version()
            finally:
                probe.close()

    def close(self) -> None:
        self._client.close()

    def is_refusal(self, error: Exception) -> bool:
        refused = isinstance(error, MemcacheClientError | MemcacheServerError)
        return refused and not isinstance(error, MemcacheUnexpectedCloseError)


def _parse_address(server: str) -> tuple[str, int]:
    host, _, port = server.strip().rpartition(":")
    if not host or not port.isdigit():
        raise ConfigurationError(f"memcached_servers: {server.strip()!r} is not host:port.")
    return host.strip("[]"), int(port)
