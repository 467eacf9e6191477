"""Logs: one JSON line each on standard output, for ordinary log records and for what the facade reports.

Lines are written by a thread of their own from a bounded buffer: a standard output that blocks or is closed
costs lines, which are counted, and never blocks a request or the folding of other signals.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from logging.handlers import QueueHandler
from queue import SimpleQueue

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from sql_synthesizer import telemetry
from sql_synthesizer.model.masking import mask_secrets
from sql_synthesizer.settings import Settings
from sql_synthesizer.telemetry import Event, Fact, Operation, Telemetry, Trace, vocabulary
from sql_synthesizer.telemetry.operations import current
from sql_synthesizer.telemetry.vocabulary import EventType, OperationType

BUFFER_BYTES = 8_000_000
"""What may wait to be written before further lines are dropped."""
CLOSE_WAIT = 1.0
"""Seconds that closing waits for standard output."""
TEXT_LIMIT = 8_192
"""Characters of one value in a line."""

LOGGED = (vocabulary.HTTP_REQUEST, vocabulary.QUESTION, vocabulary.CANARY_CHECK)
"""Operations that are a line each."""
_TEXT = frozenset({"question", "sql"})
_SHOWN = frozenset(
    {
        *("reason", "outcome", "rule", "layer", "error", "class", "needed", "role", "given_severity", "event_type"),
        *("grade", "cause", "change", "job_id", "schedule_id", "action", "kind", "file", "sequence", "faults"),
        *("database", "database_type", "query_type", "source", "row_count", "truncated", "milliseconds", "columns"),
    }
)
"""Details of an event that are logged; others are for the audit record only."""

_turns: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)
"""Process -> the lock under which its lines are written: its handlers share one standard output."""

_NUMBER_OF_LEVEL = {name.lower(): number for name, number in logging.getLevelNamesMapping().items()}
_LEVEL_OF_SEVERITY = {"medium": "warning", "high": "error", "critical": "critical"}


def mask_text(text: str) -> str:
    """``text`` without secrets, and cut at ``TEXT_LIMIT``."""
    return mask_secrets(text[:TEXT_LIMIT])


def mask_value(value: object, depth: int = 4) -> object:
    """``value`` with every string in it masked; what is no JSON type becomes text."""
    if isinstance(value, str):
        return mask_text(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if depth and isinstance(value, Mapping):
        return {mask_text(str(key)): mask_value(item, depth - 1) for key, item in value.items()}
    if depth and isinstance(value, (list, tuple)):
        return [mask_value(item, depth - 1) for item in value]
    return mask_text(str(value))


def encode_line(record: Mapping[str, object]) -> bytes:
    """One JSON line; whatever a value holds, it cannot start a second line."""
    try:
        return orjson.dumps(record, default=str, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z)
    except TypeError:  # lone surrogates, integers beyond 64 bits, keys that are no text
        return json.dumps(record, default=str, skipkeys=True).encode() + b"\n"


class LineHandler(QueueHandler):
    """Hands lines to a thread that writes them to a file descriptor; never blocks.

    Lines that do not fit into ``capacity`` bytes, or cannot be written, are counted by ``facade``.
    """

    def __init__(self, facade: Telemetry, descriptor: int = 1, capacity: int = BUFFER_BYTES) -> None:
        super().__init__(SimpleQueue())
        self._facade = facade
        self._descriptor = descriptor
        self._capacity = capacity
        self._pid = 0

    def prepare(self, record: logging.LogRecord) -> bytes:
        """The line of a record."""
        return self.format(record).encode()

    def enqueue(self, record: bytes) -> None:  # type: ignore[override]  # what 'prepare' returns
        """Queues whole lines, or drops and counts them when too much waits already."""
        if self._pid != os.getpid():  # threads do not survive a fork, and what waited is the parent's
            self._start_writer()
        if self._queued - self._written + len(record) > self._capacity:
            self._report_dropped(record)
        else:
            self._queued += len(record)
            self.queue.put_nowait(record)

    def flush(self) -> None:
        """Ends the thread when it has written everything, and waits ``CLOSE_WAIT`` for that; a line starts another."""
        if self._pid == os.getpid():
            self._pid = 0
            self.queue.put_nowait(b"")
            self._thread.join(CLOSE_WAIT)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Logs the origin of a record that cannot be formatted, and nothing of its content."""
        line = {"level": "error", "logger": __name__, "event": f"unprintable log record from {record.name}"}
        self.enqueue(encode_line(line))

    def _start_writer(self) -> None:
        # no Queue with a limit: a finalizer may log while its own thread is in 'put', and would wait for itself
        lines: SimpleQueue[bytes] = SimpleQueue()
        self.queue, self._queued, self._written, self._pid = lines, 0, 0, os.getpid()
        self._thread = threading.Thread(target=self._write_lines, args=(lines,), name="log-lines", daemon=True)
        self._thread.start()

    def _write_lines(self, waiting: SimpleQueue[bytes]) -> None:
        while lines := waiting.get():
            try:
                with _turns[os.getpid()]:
                    _write_bytes(self._descriptor, memoryview(lines))
            except OSError:
                self._report_dropped(lines)
            self._written += len(lines)

    def _report_dropped(self, lines: bytes) -> None:
        self._facade.emit(vocabulary.TELEMETRY_DROPPED, count=lines.count(b"\n"), signal="logs")


def _write_bytes(descriptor: int, view: memoryview) -> None:
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            time.sleep(0.05)


class LogObserver:
    """One line for each closed HTTP request and question, and for each security event."""

    signal = "logs"

    def __init__(self, settings: Settings, facade: Telemetry, output: LineHandler | None = None) -> None:
        self._output = output or LineHandler(facade)
        self._text = settings.log_text
        self._least = _NUMBER_OF_LEVEL[settings.log_level]

    def fold(self, facts: Sequence[Fact]) -> None:
        """Writes the lines of a batch at once."""
        lines = [encode_line(record) for fact in facts if (record := self._fact_record(fact)) is not None]
        if lines:
            self._output.enqueue(b"".join(lines))

    def close(self) -> None:
        """Waits a moment for standard output."""
        self._output.flush()

    def _fact_record(self, fact: Fact) -> dict[str, object] | None:
        if isinstance(fact, Operation):
            if fact.type in LOGGED:
                return self._operation_record(fact)
        elif fact.type is vocabulary.AUDIT_CHECKPOINT:
            return _checkpoint_record(fact)
        elif isinstance(fact, Event) and fact.type.audited:
            return self._event_record(fact)
        return None

    def _operation_record(self, operation: Operation) -> dict[str, object] | None:
        probe = operation.labels.get("route", "").startswith(vocabulary.PROBES)  # logged at debug when they succeed
        level = "error" if operation.outcome == "failed" else "debug" if probe and operation.reason == "ok" else "info"
        if _NUMBER_OF_LEVEL[level] < self._least:
            return None
        ended = operation.started_ns + operation.duration_ns
        record = _base_record(ended, level, operation.type, operation.trace)
        record |= operation.labels
        details = operation.details.known()
        record |= {"ms": operation.milliseconds, "reason": operation.reason, "outcome": operation.outcome}
        if operation.type is vocabulary.HTTP_REQUEST:
            record["status"] = details.get("status", operation.labels.get("status"))
        else:
            record |= {name: details[name] for name in ("database", "row_count", "timings_ms") if name in details}
            if self._text:
                record |= {name: mask_text(str(details[name])) for name in _TEXT if name in details}
        return record

    def _event_record(self, event: Event) -> dict[str, object] | None:
        level = _LEVEL_OF_SEVERITY.get(event.type.severity, "info")
        if _NUMBER_OF_LEVEL[level] < self._least:
            return None
        record = _base_record(event.time_ns, level, event.type, event.trace)
        record |= {"severity": event.type.severity, "address": event.trace.address}
        if event.count != 1:
            record["count"] = event.count
        shown = _SHOWN | _TEXT if self._text else _SHOWN
        record["details"] = {name: mask_value(value) for name, value in event.details.items() if name in shown}
        return record


def _checkpoint_record(event: Event) -> dict[str, object]:
    """Logged at any level: shipped checkpoints are the anchors that ``audit verify`` compares a record with."""
    return {"time": datetime.fromtimestamp(event.time_ns / 1e9, UTC), "event": event.type.name, **event.details}


def _base_record(time_ns: int, level: str, type: OperationType | EventType, trace: Trace) -> dict[str, object]:
    return {
        "time": datetime.fromtimestamp(time_ns / 1e9, UTC),
        "level": level,
        "logger": "sql_synthesizer.security" if isinstance(type, EventType) else "sql_synthesizer.operation",
        "event": type.name,
        "trace_id": trace.trace_id,
        "question_id": trace.question_id,
        "actor": trace.actor,
    }


def configure_logging(settings: Settings, output: LineHandler | None = None) -> None:
    """Routes every log record of the process, whoever's logger it came from, to JSON lines on standard output."""
    handler = output or LineHandler(telemetry.default)
    before: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _add_context,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *before,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=before,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _mask_values,
            lambda _logger, _name, record: encode_line(record).decode(),
        ],
    )
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for name in ("gunicorn.error", "gunicorn.access", "werkzeug"):
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
    logging.captureWarnings(capture=True)


def _add_context(_logger: WrappedLogger, _name: str, record: EventDict) -> EventDict:
    operation = current.get()
    if operation is not None:
        trace = operation.trace
        record.update(trace_id=trace.trace_id, question_id=trace.question_id, actor=trace.actor)
    return record


def _mask_values(_logger: WrappedLogger, _name: str, record: EventDict) -> EventDict:
    return {key: mask_value(value) for key, value in record.items()}
