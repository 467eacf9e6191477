"""Cached bytes in Redis."""

from __future__ import annotations

from collections.abc import Callable

import redis
from redis.exceptions import LockError

from sql_synthesizer.connecting.redis_pool import make_pool


class Redis:
    """One Redis server; a call is tried once, because the next question comes soon enough."""

    def __init__(self, url: str, timeout: float) -> None:
        self._url = url
        self._client = self._make_client(timeout)

    def _make_client(self, timeout: float) -> redis.Redis:
        return redis.Redis.from_pool(make_pool(self._url, timeout))

    def get(self, key: str) -> bytes | None:
        return self._client.get(key)  # type: ignore[return-value] # the stubs speak for the asynchronous client too

    def set(self, key: str, value: bytes, ttl: int) -> None:
        self._client.set(key, value, ex=ttl)

    def try_lock(self, key: str, lease: int) -> Callable[[], object] | None:
        lock = self._client.lock(key + ":lock", timeout=lease, thread_local=False)
        return lock.release if lock.acquire(blocking=False) else None

    def ping(self, timeout: float) -> None:
        with self._make_client(timeout) as probe:
            probe.ping()

    def close(self) -> None:
        self._client.close()

    def is_refusal(self, error: Exception) -> bool:
        return isinstance(error, redis.ResponseError | LockError)
