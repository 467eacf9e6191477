"""The one facade through which the service reports what it does.

Rooms open operations and emit events; observers (metrics, traces, logs) and the recorder (audit) listen.
On the request path a closed operation or an event is appended to a bounded queue and nothing more; a
thread folds the queue into the observers in small batches. Observers may fail or fall behind: that is
counted, never raised. The recorder may not: ``settle`` raises when a record is not durable.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from sql_synthesizer.errors import ConfigurationError, SqlSynthesizerError, UnexpectedError
from sql_synthesizer.telemetry import vocabulary
from sql_synthesizer.telemetry.operations import Event, Fact, Operation, Reading, Trace, current, new_trace
from sql_synthesizer.telemetry.vocabulary import Declared, EventType, OperationType, ReadingType

FOLD_INTERVAL = 0.2
"""Seconds between folds: what a kill may lose of the metrics."""
READING_INTERVAL = 1.0
"""Seconds between two looks at a reading."""
CHUNK = 256
"""Facts folded before other threads get a turn."""

_facades: weakref.WeakSet[Telemetry] = weakref.WeakSet()


class Observer(Protocol):
    """Turns facts into metrics, spans or lines. Its exceptions are counted and go no further."""

    signal: str

    def fold(self, facts: Sequence[Fact]) -> None:
        """Takes in a batch, oldest first; called by one thread at a time."""

    def close(self) -> None:
        """Writes out what is held; called once, after the last fold."""


class Recorder(Protocol):
    """Keeps the audit record."""

    def append(self, event: Event) -> int:
        """Takes the record in and returns its ticket. Raises AuditUnavailable when it cannot hold more."""

    def settle(self, ticket: int) -> None:
        """Returns when every record up to ``ticket`` is durable; raises AuditUnavailable otherwise."""

    def close(self) -> None:
        """Makes everything durable and lets go of the files."""


class Telemetry:
    """Where the rooms of one application report and its listeners listen.

    ``sample_ratio`` is the share of new traces kept, 0 to 1. Several facades in a process have nothing in common but
    trace ids: an operation within one of another facade continues its trace, with actor and record of its own.
    """

    def __init__(self, *, capacity: int = 20_000, sample_ratio: float = 1.0) -> None:
        self.observers: list[Observer] = []
        self.recorder: Recorder | None = None
        self.levels = True
        """Whether readings are taken; off in a process that lives for one command."""
        self.sample_ratio = sample_ratio
        self.slow_ns = sys.maxsize
        """Nanoseconds from which on an operation is slow; unless somebody says it, none is."""
        self.capacity = capacity
        self.declared = Declared()
        """The label values that this application's configuration brings."""
        self._queue: deque[Fact] = deque()
        self._readings: dict[ReadingType, Callable[[], Iterable[tuple[Mapping[str, str], float]]]] = {}
        self._dropped = 0
        self._errors: Counter[str] = Counter()
        self._born = time.time()
        self._read_at = 0.0
        self._fold_lock = threading.RLock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._before: list[Observer] | None = None
        _facades.add(self)

    # --- ownership --------------------------------------------------------------------------

    def claim(self) -> None:
        """Takes this facade for one application, until ``close``.

        Raises ConfigurationError when another has it, or an audit record is kept through it already.
        """
        if self._before is not None or self.recorder is not None:
            raise ConfigurationError(
                "This telemetry facade already reports for an application, or keeps an audit record.",
                hint="Let each application have its own: 'build_rooms' makes one where none is given.",
            )
        self._before = list(self.observers)

    def _release_claim(self) -> None:
        """Lets the next application have it, as it was before; what reports to it still finds the first observers."""
        self.recorder = None
        if self._before is not None:
            self.observers, self._before = self._before, None
            self._readings.clear()

    # --- reporting --------------------------------------------------------------------------

    def operation(
        self, type: OperationType, *, parent: tuple[str, str, bool] | None = None, **labels: str
    ) -> Operation:
        """Opens an operation under ``parent``, else under the current one, else a new trace.

        ``parent`` is a remote (trace id, span id, sampled), as ``parse_traceparent`` returns it; what is under it
        shares neither caller nor record with what is current here.
        """
        above = current.get()
        if parent is None and above is not None:
            if above.facade is self:
                return Operation(self, type, above.trace, above.span_id, labels)
            parent = above.trace.trace_id, above.span_id, above.trace.sampled
        trace, span_id = (Trace(parent[0], parent[2]), parent[1]) if parent is not None else (self._new_trace(), "")
        if type.inner and parent is None:
            trace.sampled = False
        root = Operation(self, type, trace, span_id, labels)
        trace.root_id = root.span_id
        return root

    def emit(self, type: EventType, trace: Trace | None = None, /, *, count: float = 1, **details: Any) -> Event:
        """Reports a fact; an audited one is handed to the recorder first. Raises AuditUnavailable when that is full.

        ``trace`` says who it is about when that is not the current operation's caller.
        """
        above = current.get()
        trace = trace or self.trace()
        event = Event(type, time.time_ns(), trace, above.span_id if above is not None else "", details, count)
        if type.audited and self.recorder is not None:
            trace.ticket = self.recorder.append(event)
        self._enqueue_fact(event)
        return event

    def submit_operation(self, operation: Operation) -> None:
        """Takes in an operation that ended."""
        self._enqueue_fact(operation)
        if not operation.reported:
            self.report(operation)

    def report(self, operation: Operation) -> None:
        """Emits the event that stands for the operation's type, with what is known of it."""
        operation.reported = True
        if operation.type.event is not None:
            details: dict[str, Any] = {**operation.labels, **operation.details.known()}
            details |= {"reason": operation.reason, "outcome": operation.outcome}
            self.emit(vocabulary.EVENTS[operation.type.event], milliseconds=operation.milliseconds, **details)

    def report_error(self, error: BaseException) -> None:
        """Emits the security event that an error stands for, once, however many operations it passes."""
        told = error.__cause__ if isinstance(error, UnexpectedError) else None
        if getattr(told or error, "reported", False) or not isinstance(error, Exception):
            return
        error.reported = True  # type: ignore[attr-defined]
        if not isinstance(error, SqlSynthesizerError):
            self.emit(vocabulary.EVENTS["unexpected_error"], reason="internal", error=type(error).__name__)
        elif error.event is not None:
            self.emit(vocabulary.EVENTS[error.event], count=1, **{**error.details, "reason": error.reason})

    def settle(self) -> None:
        """Waits until the audit records of this request are durable. Raises AuditUnavailable."""
        above = self.current()
        if above is None or self.recorder is None or not above.trace.ticket:
            return
        with self.operation(vocabulary.AUDIT_SETTLE):
            self.recorder.settle(above.trace.ticket)
        above.trace.ticket = 0

    def read(self, type: ReadingType, source: Callable[[], Iterable[tuple[Mapping[str, str], float]]]) -> None:
        """Registers who is asked for a level; the last registration of a type wins."""
        self._readings[type] = source

    # --- context ----------------------------------------------------------------------------

    def trace(self) -> Trace:
        """The trace of the current operation, continued where that is another facade's; or a new one."""
        above = current.get()
        if above is None:
            return self._new_trace()
        return above.trace if above.facade is self else Trace(above.trace.trace_id, above.trace.sampled)

    def current(self) -> Operation | None:
        """The innermost open operation of this thread or task; None when it is another facade's."""
        above = current.get()
        return above if above is not None and above.facade is self else None

    # --- folding ----------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the folding thread; does nothing when it runs."""
        if self._thread is None or not self._thread.is_alive():
            self._stop.clear()
            self._thread = threading.Thread(target=self._run_folding, name="telemetry", daemon=True)
            self._thread.start()

    def fold(self, *, readings: bool = False) -> None:
        """Hands everything queued to the observers, and all levels if they are due or asked for."""
        with self._fold_lock:
            waiting = len(self._queue)
            for _ in range(0, waiting, CHUNK):
                self._deliver_batch([self._queue.popleft() for _ in range(min(CHUNK, len(self._queue)))])
                time.sleep(0)
            now = time.monotonic()
            if readings or now - self._read_at >= READING_INTERVAL:
                self._read_at = now
                self._deliver_batch(
                    [*self._collect_losses(), *(self._collect_readings(waiting) if self.levels else ())]
                )

    def close(self) -> None:
        """Stops the thread, folds what is left, closes observers and recorder, and lets go of them."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
            self._thread = None
        if self.recorder is not None:
            self.recorder.close()
        self.fold(readings=True)
        for observer in self.observers:
            self._call_observer(observer, observer.close)
        self.fold(readings=True)  # what closing them has lost
        self._release_claim()

    def reset_after_fork(self) -> None:
        """Lets go of what a forked child has inherited: the parent's facts, its thread and its locks."""
        self._queue.clear()
        self._dropped, self._errors = 0, Counter()
        self._fold_lock = threading.RLock()
        self._stop = threading.Event()
        self._thread = None
        self._born = time.time()

    def _run_folding(self) -> None:
        while not self._stop.wait(FOLD_INTERVAL):
            self.fold()

    def _deliver_batch(self, batch: list[Fact]) -> None:
        for observer in self.observers:
            self._call_observer(observer, lambda observer=observer: observer.fold(batch))  # type: ignore[misc]

    def _call_observer(self, observer: Observer, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception:  # noqa: BLE001 - a broken observer is counted, and harms nobody
            self._errors[observer.signal] += 1

    def _collect_losses(self) -> list[Fact]:
        """What observers did not get or could not take since the last time."""
        dropped, self._dropped = self._dropped, 0
        failed, self._errors = self._errors, Counter()
        counts = [(vocabulary.TELEMETRY_DROPPED, "all", dropped)] if dropped else []
        counts += [(vocabulary.TELEMETRY_ERROR, signal, count) for signal, count in failed.items()]
        now = time.time_ns()
        return [Event(type, now, self._new_trace(), "", {"signal": signal}, count) for type, signal, count in counts]

    def _collect_readings(self, waiting: int) -> Iterator[Reading]:
        yield Reading(vocabulary.LAST_FOLD, {}, time.time())
        yield Reading(vocabulary.WORKER_START, {}, self._born)
        yield Reading(vocabulary.TELEMETRY_QUEUE, {}, waiting)
        for type, source in list(self._readings.items()):
            try:
                yield from [Reading(type, labels, value) for labels, value in source()]
            except Exception:  # noqa: BLE001 - as a broken observer
                self._errors["metrics"] += 1

    def _enqueue_fact(self, fact: Fact) -> None:
        if not self.observers:
            return
        if len(self._queue) >= self.capacity:
            self._dropped += 1
            return
        self._queue.append(fact)

    def _new_trace(self) -> Trace:
        return new_trace(self.sample_ratio)


default = Telemetry()
"""The facade of this process: what the decorators of ``monitoring.metrics`` report to."""


def _after_fork() -> None:
    """A child reports nothing that its parent will report."""
    for facade in list(_facades):
        facade.reset_after_fork()


os.register_at_fork(after_in_child=_after_fork)
