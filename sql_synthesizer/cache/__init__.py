"""The cache of answers: in memory, in Redis or in Memcached, and never a reason for a question to fail.

Values are JSON under a keyed hash, so that whoever can write to a shared cache can neither put words into
an answer nor code into this process. A backend that fails is left alone for a moment: questions go on
without it, each skipped access counted as an error.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import orjson

from sql_synthesizer.cache._backends import PREFIX, Backend, MemoryBackend
from sql_synthesizer.cache.entries import CachedAnswer, CachedPages, CacheEntry
from sql_synthesizer.errors import CacheUnavailable, ConfigurationError
from sql_synthesizer.settings import Settings
from sql_synthesizer.telemetry import Operation, Telemetry, vocabulary

T = TypeVar("T")
E = TypeVar("E", CachedAnswer, CachedPages)

BACK_OFF = 1.0
"""Seconds that a failed backend is left alone."""
WARN_INTERVAL = 10.0
"""Seconds between two log lines about refused accesses or values."""
POLL = 0.025
"""Seconds between two looks at a lock that another process holds."""

_HEADER = struct.Struct(">BQ")
_FORMAT = 1
_MAC_SIZE = 32

log = logging.getLogger(__name__)


class AnswerCache:
    """Answers by key. ``secret`` authenticates the values; processes that share a backend share it.

    ``type`` is ``memory``, ``redis``, ``memcached`` or ``off``. Raises ConfigurationError when the
    settings name no usable backend; it does not connect yet.
    """

    def __init__(self, settings: Settings, telemetry: Telemetry, secret: bytes) -> None:
        self.type: str = settings.cache
        self._telemetry = telemetry
        self._ttl = settings.cache_ttl
        self._entry_bytes = settings.cache_entry_bytes
        self._lease = math.ceil(settings.deadline) + 1
        self._naming = hmac.digest(secret, b"cache key", "sha256")
        self._sealing = hmac.digest(secret, b"cache value", "sha256")
        self._locks = _LocalLocks()
        self._down_until = 0.0
        self._warn_after = 0.0
        self._backend = _open_backend(settings)
        if isinstance(self._backend, MemoryBackend):
            memory = self._backend
            telemetry.read(vocabulary.CACHE_ENTRIES, lambda: [({"cache_type": self.type}, float(len(memory)))])

    def key(self, *parts: str) -> str:
        """A name for these parts that tells nothing about them."""
        texts = [part.encode("utf-8", "surrogatepass") for part in parts]
        message = b"".join(len(text).to_bytes(8, "big") + text for text in texts)
        return PREFIX + hmac.digest(self._naming, message, "sha256").hex()

    def get(self, key: str, kind: type[E]) -> E | None:
        """The entry last set, or None; never raises."""
        backend = self._backend
        if backend is None:
            return None
        with self._access_operation("get") as operation:
            worked, sealed = self._call_backend(lambda: backend.get(key))
            if not worked:
                self._mark_failed(operation)
                return None
            try:
                value = None if sealed is None else self._unseal_value(key, sealed, kind)
            except (ValueError, TypeError) as error:
                self._warn_throttled("a cached value was not used: %s", error)
                self._mark_failed(operation)
                return None
            operation.labels["hit_miss"] = "miss" if value is None else "hit"
            return value

    def set(self, key: str, value: CacheEntry, ttl: int | None = None) -> bool:
        """Keeps a value for ``ttl`` seconds (default: the setting); False when it is not kept. Never raises."""
        backend = self._backend
        if backend is None:
            return False
        seconds = ttl or self._ttl
        try:
            payload = orjson.dumps(value)
        except (TypeError, ValueError) as error:
            self._warn_throttled("an answer cannot be cached: %s", type(error).__name__)
            return False
        if len(payload) > self._entry_bytes:
            return False
        with self._access_operation("set") as operation:
            worked, _ = self._call_backend(lambda: backend.set(key, self._seal_value(key, payload, seconds), seconds))
            if worked:
                operation.labels["hit_miss"] = "ok"
            else:
                self._mark_failed(operation)
            return worked

    @contextmanager
    def lock(self, key: str, timeout: float) -> Iterator[bool]:
        """Held by one caller at a time, here and in the processes that share the backend.

        Yields True when it had to wait for another caller, so that looking again may save the work. After
        ``timeout`` seconds, or when the backend is down, the caller goes on without it. Never raises.
        """
        if self._backend is None:
            yield False
            return
        deadline = time.monotonic() + max(0.0, timeout)
        with self._locks.hold(key, deadline) as waited:
            unlock, waited_elsewhere = self._acquire_shared_lock(self._backend, key, deadline)
            try:
                yield waited or waited_elsewhere
            finally:
                if unlock is not None:
                    self._call_backend(unlock)

    def ping(self, timeout: float) -> None:
        """Returns when the backend answers within ``timeout`` seconds; raises CacheUnavailable."""
        if self._backend is None:
            return
        try:
            self._backend.ping(timeout)
        except Exception as error:  # noqa: BLE001 - clients raise what they like
            raise CacheUnavailable(details={"error": type(error).__name__}) from None
        self._down_until = 0.0

    def close(self) -> None:
        """Lets go of connections."""
        if self._backend is not None:
            self._backend.close()

    # --- access to the backend --------------------------------------------------------------

    def _access_operation(self, name: str) -> Operation:
        return self._telemetry.operation(vocabulary.CACHE_ACCESS, operation=name, cache_type=self.type)

    @staticmethod
    def _mark_failed(operation: Operation) -> None:
        operation.labels["hit_miss"] = "error"
        operation.fail(CacheUnavailable())

    def _call_backend(self, step: Callable[[], T]) -> tuple[bool, T | None]:
        now = time.monotonic()
        down_until = self._down_until
        if now < down_until:
            return False, None
        if down_until:
            # One caller tries the backend; the others keep away until it is known to answer.
            self._down_until = now + BACK_OFF
        try:
            result = step()
        except Exception as error:  # noqa: BLE001 - whatever breaks in a cache, questions go on
            if self._backend is not None and self._backend.is_refusal(error):
                self._down_until = 0.0
                self._warn_throttled("the cache refused an access: %s", type(error).__name__)
                return False, None
            self._down_until = time.monotonic() + BACK_OFF
            if not down_until:
                log.warning("the %s cache failed and is left alone for now: %s", self.type, type(error).__name__)
            return False, None
        if down_until:
            self._down_until = 0.0
            log.warning("the %s cache answers again", self.type)
        return True, result

    def _warn_throttled(self, text: str, reason: object) -> None:
        now = time.monotonic()
        if now >= self._warn_after:
            self._warn_after = now + WARN_INTERVAL
            log.warning(text, reason)

    def _acquire_shared_lock(
        self, backend: Backend, key: str, deadline: float
    ) -> tuple[Callable[[], object] | None, bool]:
        waited = False
        while True:
            worked, unlock = self._call_backend(lambda: backend.try_lock(key, self._lease))
            remaining = deadline - time.monotonic()
            if unlock is not None or not worked or remaining <= 0:
                return unlock, waited
            waited = True
            time.sleep(min(POLL, remaining))

    # --- envelope ---------------------------------------------------------------------------

    def _seal_value(self, key: str, payload: bytes, ttl: int) -> bytes:
        header = _HEADER.pack(_FORMAT, int((time.time() + ttl) * 1000))
        return self._compute_mac(key, header, payload) + header + payload

    def _unseal_value(self, key: str, sealed: bytes, kind: type[E]) -> E | None:
        """The entry, or None when its time is over. Raises ValueError, TypeError when it was not made here for this."""
        start = _MAC_SIZE + _HEADER.size
        mac, header, payload = sealed[:_MAC_SIZE], sealed[_MAC_SIZE:start], sealed[start:]
        if len(header) < _HEADER.size or not hmac.compare_digest(mac, self._compute_mac(key, header, payload)):
            raise ValueError("it is cut, foreign or forged")
        _, expires = _HEADER.unpack(header)
        if time.time() * 1000 >= expires:
            return None
        return kind(**orjson.loads(payload))

    def _compute_mac(self, key: str, header: bytes, payload: bytes) -> bytes:
        name = key.encode("utf-8", "surrogatepass")
        return hmac.digest(self._sealing, b"%d:%b%b%b" % (len(name), name, header, payload), hashlib.sha256)


def _open_backend(settings: Settings) -> Backend | None:
    """The backend that the settings name, not connected yet; None when the cache is off."""
    if settings.cache == "memory":
        return MemoryBackend(settings.cache_entries)
    if settings.cache == "memcached":
        from sql_synthesizer.cache._memcached import Memcached  # noqa: PLC0415

        return Memcached(settings.memcached_servers, settings.cache_timeout)
    if settings.cache == "redis":
        if settings.redis_url is None:
            raise ConfigurationError("The cache is 'redis', but REDIS_URL is not set.")
        from sql_synthesizer.cache._redis import Redis  # noqa: PLC0415

        try:
            return Redis(settings.redis_url.get_secret_value(), settings.cache_timeout)
        except ValueError:
            raise ConfigurationError("REDIS_URL is not a Redis URL, such as redis://127.0.0.1:6379/0.") from None
    return None


class _LocalLocks:
    """One lock a key, kept only while somebody holds or wants it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, tuple[threading.Lock, int]] = {}

    @contextmanager
    def hold(self, key: str, deadline: float) -> Iterator[bool]:
        """Yields whether it had to wait; goes on without the lock after ``deadline`` (monotonic seconds)."""
        with self._guard:
            lock, users = self._locks.get(key, (threading.Lock(), 0))
            self._locks[key] = (lock, users + 1)
        waited = not lock.acquire(blocking=False)
        held = not waited or lock.acquire(timeout=max(0.0, deadline - time.monotonic()))
        try:
            yield waited
        finally:
            if held:
                lock.release()
            with self._guard:
                lock, users = self._locks.pop(key)
                if users > 1:
                    self._locks[key] = (lock, users - 1)
