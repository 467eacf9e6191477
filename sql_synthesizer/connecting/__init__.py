"""Connections that are there in time: what cannot be interrupted is waited for in a thread of its own."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
LOOK_UPS = 64
"""Look-ups of names that may go on at a time; the system gives each up after some 30 seconds."""


class Waiter:
    """Calls what may hang, at most ``most`` at a time, and goes on without it when it takes too long."""

    def __init__(self, most: int) -> None:
        self._free = threading.BoundedSemaphore(most)

    def call(self, work: Callable[[], T], seconds: float, discard: Callable[[T], object] = lambda _: None) -> T:
        """What ``work`` returns or raises; what comes too late is given to ``discard``. Raises TimeoutError."""
        until = time.monotonic() + seconds
        if not self._free.acquire(timeout=max(0.0, seconds)):
            raise TimeoutError
        future: Future[T] = Future()
        threading.Thread(target=self._run, args=(work, future, discard), name="waiter", daemon=True).start()
        try:
            return future.result(max(0.0, until - time.monotonic()))
        except TimeoutError:
            # It ended just now, or with a TimeoutError of its own.
            if not future.cancel():
                return future.result()
            raise

    def _run(self, work: Callable[[], T], future: Future[T], discard: Callable[[T], object]) -> None:
        try:
            try:
                found = work()
            except Exception as error:  # noqa: BLE001 - raised where it is waited for
                if future.set_running_or_notify_cancel():
                    future.set_exception(error)
                return
            if future.set_running_or_notify_cancel():
                future.set_result(found)
            else:
                discard(found)
        finally:
            self._free.release()


_look_ups = Waiter(LOOK_UPS)


def look_up(host: str, port: int, seconds: float, *arguments: int) -> list[Any]:
    """What ``socket.getaddrinfo`` tells, within ``seconds``: a name server may never answer. Raises OSError."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return _look_ups.call(lambda: socket.getaddrinfo(host, port, *arguments), seconds)
    return socket.getaddrinfo(host, port, *arguments)


def find_addresses(host: str, port: int, seconds: float) -> list[str]:
    """The addresses of a host, each once. Raises OSError."""
    found = look_up(host, port, seconds, 0, socket.SOCK_STREAM)
    return list(dict.fromkeys(str(place[0]) for *_, place in found))
