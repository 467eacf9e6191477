"""How workers hear of a new job before they look again: by a bell that may fail, as they look all the same."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import redis

from sql_synthesizer.connecting.redis_pool import make_pool
from sql_synthesizer.errors import ConfigurationError

CHANNEL = "sql-synthesizer:jobs"
RETRY = 1.0
"""Seconds until Redis is tried again after it failed."""
LOG_INTERVAL = 60.0
"""Seconds between two log lines about it."""

log = logging.getLogger(__name__)


class RedisBell:
    """Rings through a channel of Redis. Raises ConfigurationError when ``url`` is none of Redis.

    Nobody waits for it: it is rung in a thread, at most once at a time, and what it does not carry is found by polling.
    """

    def __init__(self, url: str | None, timeout: float) -> None:
        try:
            self._redis = redis.Redis(connection_pool=make_pool(url or "", timeout))
        except ValueError:
            raise ConfigurationError(
                "Jobs are to wake workers through Redis, and no Redis is named.",
                hint="Set REDIS_URL, or SQL_SYNTHESIZER_JOB_WAKEUPS=poll.",
            ) from None
        self._rung = threading.Event()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._told = float("-inf")

    def ring(self) -> None:
        """Tells the workers that there is something to do; returns at once."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():  # threads do not survive a fork
                self._thread = threading.Thread(target=self._run_thread, name="bell", daemon=True)
                self._thread.start()
        self._rung.set()

    def listen(self, wake: Callable[[], None], ended: threading.Event) -> None:
        """Calls ``wake`` whenever it rings, until ``ended``."""
        while not ended.is_set():
            try:
                with self._redis.pubsub(ignore_subscribe_messages=True) as channel:  # type: ignore[no-untyped-call]
                    channel.subscribe(CHANNEL)
                    while not ended.is_set():
                        if channel.get_message(timeout=RETRY):
                            wake()
            except (redis.RedisError, OSError) as error:
                self._tell(error)
                ended.wait(RETRY)

    def close(self) -> None:
        """Lets go of the connections."""
        self._closed.set()
        self._rung.set()
        if self._thread is not None:
            self._thread.join()
        self._redis.close()

    def _run_thread(self) -> None:
        while True:
            self._rung.wait()
            self._rung.clear()
            if self._closed.is_set():
                return
            try:
                self._redis.publish(CHANNEL, "")
            except (redis.RedisError, OSError) as error:
                self._tell(error)
                self._closed.wait(RETRY)

    def _tell(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._told > LOG_INTERVAL:
            self._told = now
            log.warning("Redis carries no wake-ups of jobs (%s); workers poll", type(error).__name__)
