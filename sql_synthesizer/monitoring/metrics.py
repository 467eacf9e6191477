"""Metrics of the process: the names that code outside this product imports.

Importing this file attaches ``observer`` to the process's facade. The decorators report to that facade and start
its folding thread with the first call, so they work in a process that knows nothing else of this product;
what is pending is folded before the registry is collected, and at exit. A level that nobody reported is absent, not 0.
The service that ``serve`` runs has this facade for its own; other applications have one each.
"""

from __future__ import annotations

import asyncio
import atexit
import inspect
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import wraps
from typing import Any, Self, TypeVar, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from sql_synthesizer import telemetry
from sql_synthesizer.errors import Cancelled, UnexpectedError
from sql_synthesizer.monitoring.registry import Measured
from sql_synthesizer.telemetry import Event, Operation, Telemetry, Trace, vocabulary
from sql_synthesizer.telemetry.vocabulary import Declared, OperationType, Vocabulary

F = TypeVar("F", bound=Callable[..., Any])

_logger = logging.getLogger(__name__)


_measured = Measured(telemetry.default)
METRICS_REGISTRY: CollectorRegistry = _measured.registry
"""The registry of the process's facade. In multi-process mode only ``get_metrics`` merges those of all processes."""

observer = _measured.observer
"""The observer of the process's facade."""

QUERY_DURATION: Histogram = observer.client("query_duration_seconds")
QUERY_TOTAL: Counter = observer.client("queries_total")
ACTIVE_CONNECTIONS: Gauge = observer.client("active_connections")
CACHE_OPERATIONS: Counter = observer.client("cache_operations_total")
SECURITY_EVENTS: Counter = observer.client("security_events_total")
MEMORY_USAGE: Gauge = observer.client("memory_usage_bytes")
CPU_USAGE: Gauge = observer.client("cpu_usage_percent")

telemetry.default.observers.append(observer)
atexit.register(telemetry.default.fold)


def facade_metrics(facade: Telemetry) -> Measured:
    """The metrics of a facade: the process's own for the default one, else new ones."""
    return _measured if facade is telemetry.default else Measured(facade)


def declare(
    *,
    query_types: Iterable[str] = (),
    database_types: Iterable[str] = (),
    cache_types: Iterable[str] = (),
    cache_operations: Iterable[str] = (),
    event_types: Iterable[str] = (),
) -> None:
    """Lets the decorators and ``track_security_event`` export names of your own, which are ``other`` without this.

    At most 16 of each, of lower-case letters, digits and underscores; ValueError says what is too much. Call it before
    the decorators are applied. A declared event type is exported with the severity that it is reported with.
    """
    declared, events = telemetry.default.declared, tuple(event_types)
    for vocabulary_, names in (
        (vocabulary.QUERY_TYPE, query_types),
        (vocabulary.DATABASE_TYPE, database_types),
        (vocabulary.CACHE_TYPE, cache_types),
        (vocabulary.CACHE_OPERATION, cache_operations),
        (vocabulary.EVENT_TYPE, events),
    ):
        declared.declare_foreign(vocabulary_, names)
    for event in events:
        if declared.is_foreign(vocabulary.EVENT_TYPE, event):
            for severity in vocabulary.SEVERITY.values:
                SECURITY_EVENTS.labels(event, severity)


def track_query_metrics(query_type: str, database_type: str) -> Callable[[F], F]:
    """Decorates a function that runs a query: its calls are counted and timed, ``error`` when one raises.

    One that was cancelled neither succeeded nor failed, and is not counted.
    Plain functions, coroutine functions and objects that are called as one of the two can be decorated. Raises
    TypeError on a generator function. Names that nobody declared are ``other``, and so are those of pairs beyond the
    first 24 with a declared name: the series of one instance are bounded.
    """
    names = _known_label(vocabulary.QUERY_TYPE, query_type), _known_label(vocabulary.DATABASE_TYPE, database_type)
    if not _foreign_pairs.take(names, telemetry.default.declared):
        query_type, database_type = names = vocabulary.QUERY_TYPE(query_type), vocabulary.DATABASE_TYPE(database_type)
    for success in vocabulary.SUCCESS.values:
        QUERY_DURATION.labels(*names, success)
        QUERY_TOTAL.labels(*names, success)

    def open_query() -> Operation:
        return _open_operation(vocabulary.TRACKED_QUERY, query_type=query_type, database_type=database_type)

    def decorate(function: F) -> F:
        return cast("F", _tracked_function(function, open_query, _close_operation))

    return decorate


def track_cache_metrics(operation: str, cache_type: str) -> Callable[[F], F]:
    """Decorates a function that uses a cache: None is a miss, anything else a hit, an exception an error.

    Calls of ``set``, ``delete`` and ``clear``, which look nothing up, are ``ok`` or ``error``. The same kinds of
    functions can be decorated as above.
    """
    looks_up = operation not in ("set", "delete", "clear")
    results = ("hit", "miss", "error") if looks_up else ("ok", "error")
    names = _known_label(vocabulary.CACHE_OPERATION, operation), _known_label(vocabulary.CACHE_TYPE, cache_type)
    for result in results:
        CACHE_OPERATIONS.labels(*names, result)

    def open_access() -> Operation:
        return _open_operation(vocabulary.CACHE_ACCESS, operation=operation, cache_type=cache_type)

    def close_access(access: Operation, error: BaseException | None, result: object) -> None:
        found = results[result is None] if looks_up else "ok"
        access.labels["hit_miss"] = found if error is None else "error"
        _close_operation(access, error, result)

    def decorate(function: F) -> F:
        return cast("F", _tracked_function(function, open_access, close_access))

    return decorate


def track_security_event(event_type: str, severity: str) -> None:
    """Reports a security event. Its severity is the catalogue's; one that differs, except ``info``, is recorded.

    Older spellings of a type are accepted; an unknown one is ``other``, of the severity given if there is such. One
    that was declared keeps its name, and has the severity given.
    Raises AuditUnavailable when the audit recorder is full.
    """
    report_security_event(telemetry.default, event_type, severity, {})


def report_security_event(
    facade: Telemetry, event_type: str, severity: str, details: Mapping[str, Any], trace: Trace | None = None
) -> Event:
    """Reports a security event as ``track_security_event`` does, to ``facade``, with details and who it is about."""
    if facade is telemetry.default:
        _start_folding()
    name, given = str(event_type), str(severity)
    type = vocabulary.find_security_event(name, given)
    given_differently: dict[str, str] = {} if given in ("info", type.severity) else {"given_severity": given[:16]}
    if type.name == vocabulary.OTHER and facade.declared.is_foreign(vocabulary.EVENT_TYPE, name):
        given_differently[vocabulary.FOREIGN_EVENT] = name
    elif type.name == vocabulary.OTHER != name:
        given_differently["unknown_event_type"] = name[:64]
        facade.emit(vocabulary.LABEL_REFUSED)
    return facade.emit(type, trace, **{**details, **given_differently})


async def update_system_metrics(interval: float = 30.0) -> None:
    """Updates memory and CPU of this process and its children every ``interval`` seconds, without end.

    Under ``serve`` the metrics exporter does this for all processes of the service.
    """
    while True:
        try:
            await asyncio.to_thread(_measured.set_usage)
        except Exception as error:  # noqa: BLE001  # whatever the system refuses, the next round may have it
            _logger.warning("memory and CPU cannot be read: %s", type(error).__name__)
        await asyncio.sleep(interval)


def get_metrics() -> str:
    """All metrics in Prometheus' text format; in multi-process mode those of all processes, merged."""
    return generate_latest(_measured.read_fresh()).decode()


_folding_in = 0


def _start_folding() -> None:
    global _folding_in  # noqa: PLW0603  # once a process: threads do not survive a fork
    if _folding_in != os.getpid():
        _folding_in = os.getpid()
        telemetry.default.start()


class _ForeignPairs:
    """The pairs of query and database type with a declared name, which have a histogram each."""

    LIMIT = 24

    def __init__(self) -> None:
        self._pairs: set[tuple[str, str]] = set()

    def take(self, names: tuple[str, str], declared: Declared) -> bool:
        """Whether this pair may have series of its own."""
        kinds = (vocabulary.QUERY_TYPE, vocabulary.DATABASE_TYPE)
        if not any(declared.is_foreign(kind, name) for kind, name in zip(kinds, names, strict=True)):
            return True
        if len(self._pairs) < self.LIMIT:
            self._pairs.add(names)
        return names in self._pairs


_foreign_pairs = _ForeignPairs()


def _known_label(kind: Vocabulary, value: str) -> str:
    return value if telemetry.default.declared.is_foreign(kind, value) else kind(value)


def _open_operation(type: OperationType, **labels: Any) -> Operation:
    _start_folding()
    return telemetry.default.operation(type, **labels)


def _close_operation(operation: Operation, error: BaseException | None, result: object) -> None:  # noqa: ARG001
    if error is not None:  # not 'fail': the exceptions of foreign code are no security events of ours
        failure = UnexpectedError if isinstance(error, Exception) else Cancelled
        operation.error, operation.reason = error, failure.reason
    operation.close()


Begin = Callable[[], Operation]
End = Callable[[Operation, BaseException | None, object], None]


class _Call:
    """One call of a decorated function, reported when it ends."""

    def __init__(self, begin: Begin, end: End) -> None:
        self._begin = begin
        self._end = end
        self.result: object = None
        self.later = False
        """Whether what was called gave a coroutine, which is what is to be reported."""

    def __enter__(self) -> Self:
        self._operation = self._begin().__enter__()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if self.later:
            self._operation.leave()
        else:
            self._end(self._operation, error, self.result)


def _tracked_function(function: Callable[..., Any], begin: Begin, end: End) -> Callable[..., Any]:
    called = (function, getattr(function, "__call__", None))  # noqa: B004 - what an object's call is, not whether
    if any(inspect.isgeneratorfunction(each) or inspect.isasyncgenfunction(each) for each in called):
        name = getattr(function, "__qualname__", type(function).__name__)
        raise TypeError(f"{name} is a generator function: decorate what consumes it instead")

    async def await_result(awaited: Awaitable[Any]) -> Any:
        with _Call(begin, end) as call:
            call.result = await awaited
        return call.result

    if any(inspect.iscoroutinefunction(each) for each in called):

        @wraps(function)
        async def call_later(*args: Any, **kwargs: Any) -> Any:
            with _Call(begin, end) as call:
                call.result = await function(*args, **kwargs)
            return call.result

        return call_later

    @wraps(function)
    def call_now(*args: Any, **kwargs: Any) -> Any:
        with _Call(begin, end) as call:
            call.result = function(*args, **kwargs)
            call.later = inspect.iscoroutine(call.result)
        return await_result(call.result) if inspect.iscoroutine(call.result) else call.result

    return call_now
