"""Locks on guessing: each lasts twice as long as the one before, for a network and for a key."""

from __future__ import annotations

import math
import threading
import time
from functools import partial
from typing import NamedTuple

from cachetools import TTLCache
from limits import parse
from limits.strategies import FixedWindowRateLimiter

from sql_synthesizer.access._limits import Counter
from sql_synthesizer.settings import Settings

USED = 30 * 86_400
"""Seconds after its last use for which a network is known to use a key."""


class Lock(NamedTuple):
    """Who is locked, for how many more seconds, and how many locks its series has."""

    target: str
    seconds: int
    locks: int


class Lockout:
    """Counts wrong keys by network and by key id. State is bounded, and in Redis where requests are counted there.

    More wrong keys than ``failed_login_limit`` from one network, or than twice that for one key, start a lock of
    ``lock_seconds``; each further one of a series lasts twice as long, ``lock_max_seconds`` at most. A series is
    forgotten when its last lock has been over for ``lock_max_seconds``.
    """

    def __init__(self, settings: Settings, counter: Counter) -> None:
        limit = parse(settings.failed_login_limit) if settings.failed_login_limit else None
        # a window of the key's overlaps two of a network's, so that one network alone never locks a key
        self._limits = (limit, type(limit)(2 * limit.amount, limit.multiples)) if limit else ()
        self._first, self._longest = settings.lock_seconds, settings.lock_max_seconds
        self._counter = counter
        self._locking = threading.Lock()
        self._used: TTLCache[tuple[str, str], bool] = TTLCache(10_000, USED)

    def check(self, network: str, key_id: str) -> Lock | None:
        """The lock that keeps a network from trying a key (no id: a malformed one), unless it has used that key."""
        for target, _ in zip(_lock_targets(network, key_id), self._limits, strict=False):
            lock = self._counter.call_limiter(partial(self._load_lock, target))
            if lock.seconds:
                return None if key_id and self._has_used_key(network, key_id) else lock
        return None

    def count_failure(self, network: str, key_id: str) -> Lock | None:
        """Counts a wrong key; returns the lock that it starts."""
        for target, limit in zip(_lock_targets(network, key_id), self._limits, strict=False):
            if not self._counter.hit(limit, "failures", target):
                with self._locking:
                    return self._counter.call_limiter(partial(self._start_lock, target))
        return None

    def remember_use(self, network: str, key_id: str) -> None:
        """Remembers that this network has used this key."""
        with self._locking:
            self._used[network, key_id] = True
        if self._counter.shared:
            self._counter.call_limiter(partial(_set_counter, f"used/{key_id}/{network}", USED, 1))

    def _has_used_key(self, network: str, key_id: str) -> bool:
        with self._locking:
            known = (network, key_id) in self._used
        return known or self._counter.call_limiter(lambda limiter: limiter.storage.get(f"used/{key_id}/{network}")) > 0

    def _load_lock(self, target: str, limiter: FixedWindowRateLimiter) -> Lock:
        count = limiter.storage.get(f"lock/{target}")
        left = limiter.storage.get_expiry(f"lock/{target}") - time.time() - self._longest if count else 0.0
        return Lock(target, max(0, math.ceil(left)), count)

    def _start_lock(self, target: str, limiter: FixedWindowRateLimiter) -> Lock:
        lock = self._load_lock(target, limiter)
        if not lock.seconds:
            lock = Lock(target, min(self._first << min(lock.locks, 20), self._longest), lock.locks + 1)
            _set_counter(f"lock/{target}", lock.seconds + self._longest, lock.locks, limiter)
        return lock


def _lock_targets(network: str, key_id: str) -> tuple[str, ...]:
    return (network, f"key:{key_id}") if key_id else (network,)


def _set_counter(name: str, seconds: int, value: int, limiter: FixedWindowRateLimiter) -> None:
    limiter.storage.clear(name)
    limiter.storage.incr(name, seconds, value)
