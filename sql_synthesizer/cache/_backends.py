"""Where cached bytes are kept: this process, Redis or Memcached."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any, Protocol

import redis
from cachetools import TLRUCache
from pymemcache.client.base import Client as MemcachedClient
from pymemcache.client.hash import HashClient
from pymemcache.exceptions import MemcacheClientError, MemcacheServerError, MemcacheUnexpectedCloseError
from redis.backoff import NoBackoff
from redis.exceptions import LockError
from redis.retry import Retry

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.settings import Settings

PREFIX = "sql-synthesizer:"
"""What every key starts with, so that a shared Redis can be cleared of them alone."""
MEMORY_BYTES = 64_000_000
"""What the memory cache may hold in all."""
DEAD_TIME = 1.0
"""Seconds that a failed server of several gets no keys."""


class Backend(Protocol):
    """Bytes under a key. Everything may raise; ``try_lock`` returns how to unlock, or None while it is held."""

    def get(self, key: str) -> bytes | None: ...
    def set(self, key: str, value: bytes, ttl: int) -> None: ...
    def delete(self, key: str) -> None: ...
    def clear(self) -> None: ...
    def try_lock(self, key: str, lease: int) -> Callable[[], Any] | None: ...
    def ping(self, timeout: float) -> None: ...
    def close(self) -> None: ...


class Memory:
    """Bounded in entries and bytes; the least recently used go first."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._lock = threading.Lock()
        self._items: TLRUCache[str, tuple[int, bytes]] = TLRUCache(
            MEMORY_BYTES, ttu=lambda _, item, now: now + item[0], getsizeof=lambda item: len(item[1]) + 256
        )

    def __len__(self) -> int:
        with self._lock:
            self._items.expire()
            return len(self._items)

    def get(self, key: str) -> bytes | None:
        with self._lock:
            item = self._items.get(key)
        return None if item is None else item[1]

    def set(self, key: str, value: bytes, ttl: int) -> None:
        with self._lock:
            self._items[key] = (ttl, value)
            while len(self._items) > self._entries:
                self._items.popitem()

    def delete(self, key: str) -> None:
        with self._lock:
            self._items.pop(key, None)

    def clear(self) -> None:
        with self._lock:
            self._items.clear()

    def try_lock(self, key: str, lease: int) -> Callable[[], Any]:  # the local lock is enough
        return lambda: None

    def ping(self, timeout: float) -> None:
        """Memory is always there."""

    def close(self) -> None:
        self.clear()


class Redis:
    """One Redis server; a call is tried once, because the next question comes soon enough."""

    def __init__(self, url: str, timeout: float) -> None:
        self._url = url
        self._client = self._connect(timeout)

    def _connect(self, timeout: float) -> redis.Redis:
        return redis.Redis.from_url(
            self._url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0)
        )

    def get(self, key: str) -> bytes | None:
        return self._client.get(key)  # type: ignore[return-value] # the stubs speak for the asynchronous client too

    def set(self, key: str, value: bytes, ttl: int) -> None:
        self._client.set(key, value, ex=ttl)

    def delete(self, key: str) -> None:
        self._client.delete(key)

    def clear(self) -> None:
        for key in self._client.scan_iter(match=PREFIX + "*", count=1000):
            self._client.delete(key)

    def try_lock(self, key: str, lease: int) -> Callable[[], Any] | None:
        lock = self._client.lock(key + ":lock", timeout=lease, thread_local=False)
        return lock.release if lock.acquire(blocking=False) else None

    def ping(self, timeout: float) -> None:
        with self._connect(timeout) as probe:
            probe.ping()

    def close(self) -> None:
        self._client.close()


class Memcached:
    """One or more Memcached servers, keys spread over them."""

    def __init__(self, servers: str, timeout: float) -> None:
        self._servers = [_address(server) for server in servers.split(",")]
        self._client = HashClient(
            self._servers,
            connect_timeout=timeout,
            timeout=timeout,
            no_delay=True,
            use_pooling=True,
            default_noreply=False,
            retry_attempts=0,
            dead_timeout=DEAD_TIME,
        )

    def get(self, key: str) -> bytes | None:
        return self._client.get(key)  # type: ignore[no-any-return] # pymemcache has no types

    def set(self, key: str, value: bytes, ttl: int) -> None:
        self._client.set(key, value, expire=ttl)

    def delete(self, key: str) -> None:
        self._client.delete(key)

    def clear(self) -> None:
        self._client.flush_all()

    def try_lock(self, key: str, lease: int) -> Callable[[], Any] | None:
        name, token = key + ":lock", uuid.uuid4().bytes

        def unlock() -> None:
            if self._client.get(name) == token:
                self._client.delete(name)

        return unlock if self._client.add(name, token, expire=lease) else None

    def ping(self, timeout: float) -> None:
        for server in self._servers:
            probe = MemcachedClient(server, connect_timeout=timeout, timeout=timeout)
            try:
                probe.version()
            finally:
                probe.close()

    def close(self) -> None:
        self._client.close()


def is_refusal(error: Exception) -> bool:
    """Whether the backend works and only did not do this one thing, such as keep an item over its size."""
    refusals = (redis.ResponseError, LockError, MemcacheClientError, MemcacheServerError)
    return isinstance(error, refusals) and not isinstance(error, MemcacheUnexpectedCloseError)


def open_backend(settings: Settings) -> Backend | None:
    """The backend that the settings name, not connected yet; None when the cache is off. Raises ConfigurationError."""
    if settings.cache == "memory":
        return Memory(settings.cache_entries)
    if settings.cache == "memcached":
        return Memcached(settings.memcached_servers, settings.cache_timeout)
    if settings.cache == "redis":
        if settings.redis_url is None:
            raise ConfigurationError("The cache is 'redis', but REDIS_URL is not set.")
        try:
            return Redis(settings.redis_url.get_secret_value(), settings.cache_timeout)
        except ValueError:
            raise ConfigurationError("REDIS_URL is not a Redis URL, such as redis://127.0.0.1:6379/0.") from None
    return None


def _address(server: str) -> tuple[str, int]:
    host, _, port = server.strip().rpartition(":")
    if not host or not port.isdigit():
        raise ConfigurationError(f"memcached_servers: {server.strip()!r} is not host:port.")
    return host.strip("[]"), int(port)
