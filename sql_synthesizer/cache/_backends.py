"""Where cached bytes are kept: what every place has to offer, and this process as one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from cachetools import TLRUCache

PREFIX = "sql-synthesizer:"
"""What every key starts with, so that they can be told from others of a shared server."""
MEMORY_BYTES = 64_000_000
"""What the memory cache may hold in all."""


class Backend(Protocol):
    """Bytes under a key. Everything may raise; ``try_lock`` returns how to unlock, or None while it is held."""

    def get(self, key: str) -> bytes | None: ...
    def set(self, key: str, value: bytes, ttl: int) -> None: ...
    def try_lock(self, key: str, lease: int) -> Callable[[], object] | None: ...
    def ping(self, timeout: float) -> None: ...
    def close(self) -> None: ...

    def is_refusal(self, error: Exception) -> bool:
        """Whether the backend works and only did not do this one thing, such as keep an item over its size."""


class MemoryBackend:
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

    def try_lock(self, key: str, lease: int) -> Callable[[], object]:  # the local lock is enough
        return lambda: None

    def ping(self, timeout: float) -> None:
        """Memory is always there."""

    def close(self) -> None:
        with self._lock:
            self._items.clear()

    def is_refusal(self, error: Exception) -> bool:
        """A value over all that may be held is refused."""
        return isinstance(error, ValueError)
