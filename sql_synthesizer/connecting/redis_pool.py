"""Connections to Redis whose time to connect is bounded in all: name, every address, and TLS."""

from __future__ import annotations

import socket
import time

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from sql_synthesizer.connecting import find_addresses


class _BoundedConnection(redis.Connection):
    def _connect(self) -> socket.socket:
        host, seconds = self.host, float(self.socket_connect_timeout or 0)
        until = time.monotonic() + seconds
        fault: OSError = TimeoutError("no address answered in time")
        try:
            for address in find_addresses(host, self.port, seconds):
                self.host, self.socket_connect_timeout = address, until - time.monotonic()
                if self.socket_connect_timeout <= 0:
                    break
                try:
                    return super()._connect()  # type: ignore[no-any-return, no-untyped-call]
                except OSError as error:
                    fault = error
        finally:
            self.host, self.socket_connect_timeout = host, seconds
        raise fault


class _BoundedTls(redis.SSLConnection, _BoundedConnection):
    pass


_CLASSES: dict[str, type[redis.Connection]] = {"redis": _BoundedConnection, "rediss": _BoundedTls}


def make_pool(url: str, timeout: float) -> redis.ConnectionPool:
    """A pool whose calls are tried once, and each wait ends after ``timeout`` seconds. Raises ValueError."""
    found = _CLASSES.get(url.partition(":")[0].lower())
    given = {} if found is None else {"connection_class": found}
    return redis.ConnectionPool.from_url(
        url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0), **given
    )
