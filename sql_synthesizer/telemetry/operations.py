"""What is reported: operations, events and readings, and the trace that they share."""

from __future__ import annotations

import contextvars
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, Protocol, Self, TypeVar

from sql_synthesizer.errors import OUTCOME_BY_REASON, Cancelled, SqlSynthesizerError
from sql_synthesizer.telemetry.vocabulary import EventType, OperationType, ReadingType

P = ParamSpec("P")
R = TypeVar("R")

current: contextvars.ContextVar[Operation | None] = contextvars.ContextVar("sql_synthesizer_operation", default=None)
"""The innermost open operation of this thread or task."""
_random = random.Random()
os.register_at_fork(after_in_child=_random.seed)


def carry(function: Callable[P, R]) -> Callable[P, R]:
    """``function``, to be called in another thread under what is current here: the operation, the host's own context.

    Tasks of asyncio and ``asyncio.to_thread`` do this by themselves; threads, timers, executors and queues do not. It
    may be called any number of times, also at once. Work in another process continues by ``format_traceparent``.
    """
    context = contextvars.copy_context()

    @wraps(function)
    def run_carried(*args: P.args, **kwargs: P.kwargs) -> R:
        return context.copy().run(function, *args, **kwargs)

    return run_carried


class Facade(Protocol):
    """What an operation reports to."""

    slow_ns: int

    def submit_operation(self, operation: Operation) -> None:
        """Takes in an operation that ended."""

    def report(self, operation: Operation) -> None:
        """Emits the event that stands for the operation's type."""

    def report_error(self, error: BaseException) -> None:
        """Emits the security event that an error stands for."""

    def settle(self) -> None:
        """Waits until the records of this request are durable. Raises AuditUnavailable."""


def new_trace(sample_ratio: float) -> Trace:
    """A trace of its own, sampled with this probability."""
    return Trace(f"{_random.getrandbits(128) or 1:032x}", sample_ratio >= 1 or _random.random() < sample_ratio)


@dataclass(slots=True)
class Trace:
    """What one request shares between its operations in this process.

    ``root_id`` is the span of the outermost one, ``ticket`` the last audit record that was caused.
    """

    trace_id: str
    sampled: bool
    root_id: str = ""
    question_id: str = ""
    actor: str = ""
    role: str = ""
    address: str = ""
    ticket: int = 0
    question: Details | None = None
    """Of the question that is being answered: calls of the model add there what they used."""


class Details:
    """What is known of an operation beside its labels, for spans, logs and the audit record; None is not known."""

    database: str | None = None
    database_type: str | None = None
    question: str | None = None
    sql: str | None = None
    """The statement as the guard let it through; ``statement`` is it as it was written."""
    statement: str | None = None
    tables: Sequence[str] | None = None
    row_count: int | None = None
    truncated: bool | None = None
    timings_ms: Mapping[str, float] | None = None
    question_id: str | None = None
    page: int | None = None
    path: str | None = None
    scheme: str | None = None
    job_id: str | None = None
    questions: int | None = None
    """Of a job."""
    position: int | None = None
    attempt: int | None = None
    wait_seconds: float | None = None
    host: str | None = None
    """That a webhook calls."""
    status: int | None = None
    """Of the HTTP reply: the service's own, or that of the model's endpoint."""
    timed_out: int | None = None
    failed: int | None = None
    sent_bytes: int | None = None
    max_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    """Of one call; ``cost_microusd``, in millionths, of all calls of a question that have a price."""
    cost_microusd: int | None = None
    unpriced: int | None = None
    """Calls without a price."""
    provider: str | None = None
    model: str | None = None
    team: str | None = None
    """Of the caller, and the share of its budget of the month that was used before, in thousandths."""
    budget_used: float | None = None
    topic: str | None = None
    saved_ms: float | None = None
    """Of an answer from the cache: what it took, and what its priced calls cost, when it was made."""
    saved_microusd: int | None = None
    saved_unpriced: int | None = None
    reply_model: str | None = None
    reply_id: str | None = None
    finish_reason: str | None = None
    failure: str | None = None

    def known(self) -> dict[str, object]:
        """Name -> value of all that was set, in the order in which it was."""
        return {name: value for name, value in vars(self).items() if value is not None}


class Operation:
    """A kind of work between its start and its end; use it as a context manager.

    ``labels`` may become metric labels; ``details`` reach spans, logs and the audit record. Times are
    nanoseconds: ``started_ns`` since the Unix epoch, ``duration_ns`` on the monotonic clock.
    """

    __slots__ = (
        "_start",
        "_token",
        "details",
        "duration_ns",
        "error",
        "facade",
        "labels",
        "parent_id",
        "reason",
        "reported",
        "span_id",
        "started_ns",
        "trace",
        "type",
    )

    def __init__(
        self, facade: Facade, type: OperationType, trace: Trace, parent_id: str, labels: dict[str, str]
    ) -> None:
        self.facade = facade
        self.type = type
        self.trace = trace
        self.parent_id = parent_id
        self.span_id = f"{_random.getrandbits(64) or 1:016x}"
        self.labels = labels
        self.details = Details()
        self.reason = "ok"
        self.reported = False
        self.error: BaseException | None = None
        self.duration_ns = 0

    def __enter__(self) -> Self:
        self._token = current.set(self)
        self.started_ns = time.time_ns()
        self._start = time.perf_counter_ns()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(error)

    @property
    def outcome(self) -> str:
        """Who has to act on how this ended; ``answered`` when nobody has."""
        return OUTCOME_BY_REASON.get(self.reason, "failed")

    @property
    def failed(self) -> bool:
        """Whether the service failed at it, as the outcome says, or the status of the HTTP reply."""
        return self.outcome == "failed" or self.labels.get("status") == "5xx"

    @property
    def notable(self) -> bool:
        """Whether its trace is kept whatever the ratio: it failed, or was slow."""
        return self.duration_ns >= self.facade.slow_ns or self.failed

    @property
    def milliseconds(self) -> float:
        """The duration in milliseconds, rounded to the microsecond."""
        return round(self.duration_ns / 1e6, 3)

    def fail(self, error: BaseException) -> None:
        """Notes the error that ended the operation, when it did not pass through the ``with`` block."""
        self.error = error
        self.reason = reason_of(error)
        if isinstance(error, SqlSynthesizerError):
            error.trace_id = self.trace.trace_id
            self.details.topic = error.topic
        self.facade.report_error(error)

    def leave(self) -> None:
        """Steps out of it without an end, and reports nothing."""
        current.reset(self._token)

    def close(self, error: BaseException | None = None) -> None:
        """Ends the operation and reports it; ``with`` does this by itself."""
        self.duration_ns = time.perf_counter_ns() - self._start
        try:
            if error is not None:
                self.fail(error)
        finally:
            try:
                self.facade.submit_operation(self)
            finally:
                with suppress(ValueError):  # a coroutine may be closed in another context than it began in
                    current.reset(self._token)

    def settle(self) -> None:
        """Reports the event of this operation now, and waits until it is durable. Raises AuditUnavailable."""
        self.duration_ns = time.perf_counter_ns() - self._start
        self.facade.report(self)
        self.facade.settle()


@dataclass(slots=True)
class Event:
    """A fact at a point in time. ``count`` is how many equal facts it stands for."""

    type: EventType
    time_ns: int
    trace: Trace
    span_id: str
    details: dict[str, Any] = field(default_factory=dict)
    count: float = 1


@dataclass(slots=True)
class Reading:
    """The level that a registered source had when it was asked."""

    type: ReadingType
    labels: Mapping[str, str]
    value: float


Fact = Operation | Event | Reading


def reason_of(error: BaseException) -> str:
    """The stable reason of an exception: its own, ``cancelled`` where it ends the task, or ``internal``."""
    if isinstance(error, SqlSynthesizerError):
        return error.reason
    return (SqlSynthesizerError if isinstance(error, Exception) else Cancelled).reason
