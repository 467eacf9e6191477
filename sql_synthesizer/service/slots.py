"""Who may work at once, who waits for it, and who is turned away: fair by caller, and never past a deadline."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sql_synthesizer.errors import Overloaded
from sql_synthesizer.model import Question

WEIGHT = 0.1
"""How much the latest piece of work counts in the mean time that one takes."""


@dataclass(slots=True, eq=False)
class _Waiter:
    called: threading.Event = field(default_factory=threading.Event)
    granted: bool = False


class Slots:
    """``size`` slots for work that waits for databases and models, and a queue for as many again as ``queue`` says.

    A slot that comes free goes to the caller who has the fewest; among equals to the one who was served longest ago.
    """

    def __init__(self, size: int, queue: int) -> None:
        self.size = size
        self._most = size + queue
        self._mutex = threading.Lock()
        self._inside = 0
        self._held: Counter[str] = Counter()
        self._running = 0
        self._waiting: dict[str, deque[_Waiter]] = {}
        """Caller -> who waits, in order; the callers in the order in which they had a slot."""
        self._mean = 0.0
        """Seconds that a slot is held."""

    @property
    def running(self) -> int:
        """Slots that are held."""
        return self._running

    @property
    def waiting(self) -> int:
        """Who waits for a slot."""
        with self._mutex:
            return sum(map(len, self._waiting.values()))

    @contextmanager
    def enter(self, identity: str) -> Iterator[None]:
        """Counts a request with all that is done for it. Raises Overloaded when there are too many.

        Then the caller who has the most that wait loses the latest of them, if it is another one.
        """
        with self._mutex:
            if self._inside >= self._most:
                self._make_room(identity)
            self._inside += 1
        try:
            yield
        finally:
            with self._mutex:
                self._inside -= 1

    @contextmanager
    def hold(self, question: Question) -> Iterator[None]:
        """Gives the slot back that ``acquire`` took for this question."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._release(question.caller.identity, time.monotonic() - began)

    def acquire(self, question: Question) -> bool:
        """Takes a slot for the question's caller, and says whether it had to wait.

        Raises Overloaded when its turn would come too late for its deadline, and Cancelled.
        """
        identity = question.caller.identity
        with self._mutex:
            if self._running < self.size:
                self._grant(identity)
                return False
            wait, most = self._expect_wait(identity), question.remaining() - self._mean
            if wait > most:
                raise _overload(wait)
            waiter = _Waiter()
            self._waiting.setdefault(identity, deque()).append(waiter)
        try:
            with question.cancellation.stopping(waiter.called.set):
                waiter.called.wait(max(0.0, most))
            question.cancellation.check()
        except BaseException:
            self._give_up(identity, waiter)
            raise
        if not self._is_granted(identity, waiter):
            raise _overload(wait)
        return True

    # --- under the lock ---------------------------------------------------------------------

    def _grant(self, identity: str) -> None:
        self._running += 1
        self._held[identity] += 1

    def _release(self, identity: str, seconds: float) -> None:
        with self._mutex:
            self._mean += (seconds - self._mean) * (WEIGHT if self._mean else 1.0)
            self._running -= 1
            self._held[identity] -= 1
            if not self._held[identity]:
                del self._held[identity]
            self._call_next()

    def _call_next(self) -> None:
        if not self._waiting:
            return
        identity = min(self._waiting, key=lambda name: self._held[name])
        queue = self._waiting.pop(identity)
        waiter = queue.popleft()
        if queue:
            self._waiting[identity] = queue
        self._grant(identity)
        waiter.granted = True
        waiter.called.set()

    def _is_granted(self, identity: str, waiter: _Waiter) -> bool:
        with self._mutex:
            if not waiter.granted:
                self._forget(identity, waiter)
            return waiter.granted

    def _give_up(self, identity: str, waiter: _Waiter) -> None:
        if self._is_granted(identity, waiter):
            self._release(identity, self._mean)

    def _forget(self, identity: str, waiter: _Waiter) -> None:
        queue = self._waiting.get(identity)
        if queue is not None and waiter in queue:
            queue.remove(waiter)
            if not queue:
                del self._waiting[identity]

    def _make_room(self, identity: str) -> None:
        greedy = max(self._waiting, key=lambda name: len(self._waiting[name]), default=identity)
        most = len(self._waiting.get(greedy, ()))
        if greedy == identity or most <= len(self._waiting.get(identity, ())) + 1:
            raise _overload(self._expect_wait(identity))
        waiter = self._waiting[greedy][-1]
        self._forget(greedy, waiter)
        waiter.called.set()

    def _expect_wait(self, identity: str) -> float:
        """Seconds until the caller's next has its turn, if all take as long as the latest did."""
        own = len(self._waiting.get(identity, ()))
        ahead = sum(min(len(queue), own + 1) for name, queue in self._waiting.items() if name != identity) + own
        return (ahead + 1) * self._mean / self.size


def _overload(wait: float) -> Overloaded:
    """The error of who would have had to wait for so many seconds."""
    return Overloaded(retry_after=max(1, math.ceil(wait)))
