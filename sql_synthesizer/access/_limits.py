"""Fixed-window counters, in memory or in Redis."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from cachetools import LRUCache
from limits import RateLimitItem
from limits.storage import RedisStorage, Storage
from limits.strategies import FixedWindowRateLimiter

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.settings import Settings

BACK_OFF = 1.0
"""Seconds until Redis is tried again after it failed."""
LOG_INTERVAL = 60.0
"""Seconds between two log lines about it."""
WINDOWS = 10_000
"""Windows in memory at most; the least recently used is evicted."""

log = logging.getLogger(__name__)
R = TypeVar("R")


class MemoryStorage(Storage):
    """Counts in a bounded number of windows; the library's own grows with its callers and starts timer threads."""

    STORAGE_SCHEME = None
    base_exceptions = ValueError

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._windows: LRUCache[str, tuple[int, float]] = LRUCache(WINDOWS)

    def _read_window(self, key: str) -> tuple[int, float]:
        count, end = self._windows.get(key, (0, 0.0))
        return (count, end) if time.monotonic() < end else (0, 0.0)

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        with self._lock:
            count, end = self._read_window(key)
            self._windows[key] = (count + amount, end or time.monotonic() + expiry)
            return count + amount

    def get(self, key: str) -> int:
        with self._lock:
            return self._read_window(key)[0]

    def get_expiry(self, key: str) -> float:
        with self._lock:
            end = self._read_window(key)[1]
        return time.time() + max(0.0, end - time.monotonic())

    def check(self) -> bool:
        return True

    def clear(self, key: str) -> None:
        with self._lock:
            self._windows.pop(key, None)

    def reset(self) -> int | None:
        with self._lock:
            self._windows.clear()
        return None


class Counter:
    """Fixed windows that begin at the first hit, in memory or in Redis; without Redis, each process counts alone."""

    def __init__(self, settings: Settings) -> None:
        self._memory = FixedWindowRateLimiter(MemoryStorage())
        self.shared = (
            FixedWindowRateLimiter(_make_redis_storage(settings)) if settings.rate_limit_storage == "redis" else None
        )
        self._down_until = 0.0
        self._failed = 0
        self._log_after = 0.0

    def hit(self, item: RateLimitItem, scope: str, identity: str) -> bool:
        """Counts; False when it is over the limit."""
        return self.call_limiter(lambda limiter: bool(limiter.hit(item, scope, identity)))

    def seconds_left(self, item: RateLimitItem, scope: str, identity: str) -> int:
        """Whole seconds until the window ends, at least 1."""
        stats = self.call_limiter(lambda limiter: limiter.get_window_stats(item, scope, identity))
        return max(1, min(math.ceil(stats.reset_time - time.time()), item.get_expiry()))

    def call_limiter(self, call: Callable[[FixedWindowRateLimiter], R]) -> R:
        """Runs a call against Redis, or against memory when Redis is not configured or does not answer."""
        now = time.monotonic()
        if self.shared is not None and now >= self._down_until:
            if self._down_until:
                # Half open: one caller tries Redis, and the others count in memory until it has answered.
                self._down_until = now + BACK_OFF
            try:
                result = call(self.shared)
            except Exception as error:  # noqa: BLE001 - whatever the client raises, memory counts
                self._down_until = time.monotonic() + BACK_OFF
                self._log_redis_failure(error)
            else:
                self._down_until = 0.0
                return result
        return call(self._memory)

    def _log_redis_failure(self, error: Exception) -> None:
        self._failed += 1
        now = time.monotonic()
        if now >= self._log_after:
            self._log_after = now + LOG_INTERVAL
            log.warning(
                "rate limits are counted in memory: Redis failed %d times: %s", self._failed, type(error).__name__
            )
            self._failed = 0


def _make_redis_storage(settings: Settings) -> Storage:
    if settings.redis_url is None:
        raise ConfigurationError("rate_limit_storage is 'redis', but REDIS_URL is not set.")
    from sql_synthesizer.connecting.redis_pool import make_pool  # noqa: PLC0415

    url = settings.redis_url.get_secret_value()
    try:
        pool = make_pool(url, settings.cache_timeout)
        return RedisStorage(url, connection_pool=pool, key_prefix="sql-synthesizer-limits")
    except ValueError:
        raise ConfigurationError("REDIS_URL is not a Redis URL, such as redis://127.0.0.1:6379/0.") from None
