"""How a question is taken back while it is worked on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sql_synthesizer.errors import Cancelled


class Cancellation:
    """Lets another thread take work back; whoever does the work says what stops it, as long as it can be stopped."""

    def __init__(self) -> None:
        self.cancelled = False
        self._lock = threading.Lock()
        self._stops: list[Callable[[], None]] = []

    def cancel(self) -> None:
        """Stops what is being done now, and lets nothing further begin; callable more than once."""
        with self._lock:
            if not self.cancelled:
                self.cancelled = True
                for stop in self._stops:
                    stop()

    def check(self) -> None:
        """Raises Cancelled when the work was taken back."""
        if self.cancelled:
            raise Cancelled

    @contextmanager
    def stopping(self, stop: Callable[[], None]) -> Iterator[None]:
        """Calls ``stop``, which must not block, if the work is taken back within the ``with`` block.

        Raises Cancelled if it has been before.
        """
        with self._lock:
            self.check()
            self._stops.append(stop)
        try:
            yield
        finally:
            with self._lock:
                self._stops.remove(stop)
