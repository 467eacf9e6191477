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
    """A time limit on the monotonic clock; ``fired`` once it has passed under watch."""

    at: float
    fired: bool = False


class Watchdog:
    """Calls an action when its limit passes, again and again until the limit is lifted.

    An action runs under the lock that lifting needs, so none runs after its limit was lifted; it must not block.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._actions: dict[Limit, Callable[[], None]] = {}
        self._wake = float("inf")
        self._thread: threading.Thread | None = None
        self._closed = False

    @contextmanager
    def watch(self, limit: Limit, action: Callable[[], None]) -> Iterator[None]:
        """Calls ``action`` when the ``with`` block runs past its limit."""
        with self._condition:
            self._actions[limit] = action
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._watch_limits, name="watchdog", daemon=True)
                self._thread.start()
            if limit.at < self._wake:
                self._wake = limit.at
                self._condition.notify()
        try:
            yield
        finally:
            with self._condition:
                del self._actions[limit]

    def expire(self, limit: Limit) -> None:
        """Lets a limit that is watched pass now."""
        with self._condition:
            limit.at = self._wake = time.monotonic()
            self._condition.notify()

    def close(self) -> None:
        """Ends the thread once nothing is watched any more."""
        with self._condition:
            self._closed = True
            self._condition.notify()

    def _watch_limits(self) -> None:
        with self._condition:
            while True:
                now = time.monotonic()
                for limit, action in self._actions.items():
                    if limit.at <= now:
                        limit.fired = True
                        limit.at = now + REPEAT
                        action()
                self._wake = min((limit.at for limit in self._actions), default=now + IDLE)
                notified = self._condition.wait(max(0.0, self._wake - now))
                if not self._actions and (self._closed or not notified):
                    self._thread = None
                    self._wake = float("inf")
                    return
