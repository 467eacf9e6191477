"""A thread that acts on work which has passed its time limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

REPEAT = 0.05
"""Seconds between two calls of an action that has not had its effect yet."""
IDLE = 10.0
"""Seconds after which the thread ends when there is nothing to watch."""


@dataclass(slots=True, eq=False)
class Limit:
    """A time limit; ``fired`` once it has passed."""

    at: float
    action: Callable[[], None]
    fired: bool = False


class Watchdog:
    """Calls an action when its limit passes, again and again until the limit is lifted.

    An action runs under the lock that lifting needs, so none runs after its limit was lifted; it must not block.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._limits: set[Limit] = set()
        self._wake = float("inf")
        self._thread: threading.Thread | None = None
        self._closed = False

    @contextmanager
    def limit(self, at: float, action: Callable[[], None]) -> Iterator[Limit]:
        """Watches the ``with`` block until ``at`` on the monotonic clock."""
        limit = Limit(at, action)
        with self._condition:
            self._limits.add(limit)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._watch_limits, name="watchdog", daemon=True)
                self._thread.start()
            if at < self._wake:
                self._wake = at
                self._condition.notify()
        try:
            yield limit
        finally:
            with self._condition:
                self._limits.discard(limit)

    def close(self) -> None:
        """Ends the thread once nothing is watched any more."""
        with self._condition:
            self._closed = True
            self._condition.notify()

    def _watch_limits(self) -> None:
        with self._condition:
            while True:
                now = time.monotonic()
                for limit in [limit for limit in self._limits if limit.at <= now]:
                    limit.fired = True
                    limit.at = now + REPEAT
                    limit.action()
                self._wake = min((limit.at for limit in self._limits), default=now + IDLE)
                notified = self._condition.wait(max(0.0, self._wake - now))
                if not self._limits and (self._closed or not notified):
                    self._thread = None
                    self._wake = float("inf")
                    return
