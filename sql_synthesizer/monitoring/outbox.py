"""A bounded queue whose thread hands what waits on in batches, to something that may be slow, broken or gone."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

CLOSE_WAIT = 2.0
"""Seconds that closing waits for what is still to be handed on."""
DELAY = 1.0
"""Seconds that items are gathered."""

_logger = logging.getLogger(__name__)

T = TypeVar("T")


class Outbox(Generic[T]):
    """Hands batches to ``send``, which says whether it took them; what it does not take, ``dropped`` counts.

    ``target`` is what the log calls the other side. At most ``capacity`` items wait.
    """

    def __init__(
        self,
        target: str,
        send: Callable[[list[T]], bool],
        dropped: Callable[[int], None],
        *,
        capacity: int = 4_096,
        batch: int = 512,
    ) -> None:
        self._target = target
        self._send = send
        self._dropped = dropped
        self._capacity = capacity
        self._batch = batch
        self._queue: deque[T] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._reachable = True
        self._thread: threading.Thread | None = None

    def put(self, item: T) -> None:
        """Queues an item; drops and counts it when too many wait. Called by the folding thread alone."""
        if len(self._queue) >= self._capacity:
            self._dropped(1)
            return
        self._queue.append(item)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run_thread, name=self._target, daemon=True)
            self._thread.start()
        if len(self._queue) >= self._batch:
            self._wake.set()

    def close(self, release: Callable[[], None]) -> None:
        """Ends the thread, then calls ``release``; what cannot be handed on in time is counted."""
        deadline = time.monotonic() + CLOSE_WAIT
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()))
        release()
        if left := self._take_items(self._capacity):
            self._dropped(len(left))

    def _run_thread(self) -> None:
        while not self._closing:
            self._wake.wait(DELAY)
            self._wake.clear()
            while self._queue and self._send_batch():
                pass
        deadline = time.monotonic() + CLOSE_WAIT
        while self._queue and self._send_batch() and time.monotonic() < deadline:
            pass

    def _take_items(self, most: int) -> list[T]:
        """The oldest items. Closing takes what is left, perhaps while the thread takes a batch."""
        taken: list[T] = []
        with suppress(IndexError):
            while len(taken) < most:
                taken.append(self._queue.popleft())
        return taken

    def _send_batch(self) -> bool:
        """Hands one batch on; whether it was taken. A batch that was not is not tried again."""
        batch = self._take_items(self._batch)
        if not batch:
            return False
        try:
            taken = self._send(batch)
        except Exception:  # noqa: BLE001  # whatever is broken there must not affect the service
            taken = False
        if not taken:
            self._dropped(len(batch))
        if taken != self._reachable:
            self._reachable = taken
            _logger.log(
                logging.INFO if taken else logging.WARNING,
                "%s %s",
                self._target,
                "is reachable again" if taken else "is not reachable; what it does not take is dropped and counted",
            )
        return taken
