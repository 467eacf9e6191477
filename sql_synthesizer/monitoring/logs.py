"""Logs: one JSON line each on standard output, for ordinary log records and for what the facade reports.

Lines are written by a thread of their own from a bounded buffer: a standard output that blocks or is closed
costs lines, which are counted, and never holds up a request or the folding of other signals.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

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

_SECRETS = re.compile(
    r"(?P<url>://)[^\s:/@\"']*:\S*@"
    r"|(?P<key>\b(?:sqs_|sk-))[\w-]{4,}"
    r"|(?P<scheme>\b(?:Bearer|Basic)\s+)[\w.~+/=-]+"
    r"|(?P<field>\b(?:password|passwd|pwd|secret|token|api_?key)\b[\"']?\s*[=:]\s*[\"']?)[^\s\"',;&]+",
    re.IGNORECASE,
)

_TEXT = frozenset({"question", "sql"})
_PROBES = ("/health", "/metrics")
"""Routes that machines ask all the time; their good answers are logged at debug."""
_SHOWN = frozenset(
    {
        *("reason", "outcome", "rule", "layer", "error", "class", "needed", "role", "given_severity", "event_type"),
        *("grade", "cause", "change", "action", "kind", "file", "sequence", "faults"),
        *("database", "database_type", "query_type", "source", "row_count", "truncated", "milliseconds", "columns"),
    }
)
"""Details of an event that stand in its line; others are for the audit record."""

_NUMBER_OF_LEVEL = {name.lower(): number for name, number in logging.getLevelNamesMapping().items()}
_LEVEL_OF_SEVERITY = {"medium": "warning", "high": "error", "critical": "critical"}


def mask_text(text: str) -> str:
    """``text`` without passwords in URLs, API keys and authorization values, and cut at ``TEXT_LIMIT``."""
    return _SECRETS.sub(lambda found: f"{found[found.lastgroup or 0]}***", text[:TEXT_LIMIT])


def mask_value(value: Any, depth: int = 4) -> Any:
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


def encode_line(record: Mapping[str, Any]) -> bytes:
    """One JSON line; whatever a value holds, it cannot start a second line."""
    try:
        return orjson.dumps(record, default=str, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z)
    except TypeError:  # lone surrogates, integers beyond 64 bits, keys that are no text
        return json.dumps(record, default=str, skipkeys=True).encode() + b"\n"


class LineWriter:
    """Writes to a file descriptor from a thread. ``dropped`` counts the lines that were lost since last asked."""

    def __init__(self, descriptor: int = 1, capacity: int = BUFFER_BYTES) -> None:
        self._descriptor = descriptor
        self._capacity = capacity
        self._reset_state()

    def _reset_state(self) -> None:
        self._pid = os.getpid()
        self._waiting: deque[tuple[bytes, int]] = deque()
        self._bytes = 0
        self._dropped = 0
        self._writing = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def write(self, data: bytes, lines: int = 1) -> None:
        """Takes whole lines in, or drops and counts them when too much waits already; never blocks."""
        if self._pid != os.getpid():  # threads do not survive a fork, and what waited is the parent's
            self._reset_state()
        with self._changed:
            if self._bytes + len(data) > self._capacity:
                self._dropped += lines
                return
            self._waiting.append((data, lines))
            self._bytes += len(data)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run_writer, name="log-lines", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self, limit: float = CLOSE_WAIT) -> bool:
        """Waits until everything is written, ``limit`` seconds at most; whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._writing, limit)

    def take_dropped(self) -> int:
        """How many lines were lost since the last call."""
        with self._changed:
            dropped, self._dropped = self._dropped, 0
            return dropped

    def _run_writer(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting)
                batch = list(self._waiting)
                self._waiting.clear()
                self._writing = True
            data = b"".join(part for part, _ in batch)
            lost = 0 if self._write_bytes(data) else sum(lines for _, lines in batch)
            with self._changed:
                self._bytes -= len(data)
                self._dropped += lost

    def _write_bytes(self, data: bytes) -> bool:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:
                time.sleep(0.05)
            except OSError:
                return False
        return True


output = LineWriter()
"""Where the lines of this process go."""


class LogObserver:
    """One line for each closed HTTP request and question, and for each security event."""

    signal = "logs"

    def __init__(self, settings: Settings, facade: Telemetry, writer: LineWriter | None = None) -> None:
        self._facade = facade
        self._writer = writer or output
        self._text = settings.log_text
        self._least = _NUMBER_OF_LEVEL[settings.log_level]

    def fold(self, facts: Sequence[Fact]) -> None:
        """Writes the lines of a batch at once."""
        lines = [encode_line(record) for fact in facts if (record := self._fact_record(fact)) is not None]
        if lines:
            self._writer.write(b"".join(lines), len(lines))
        if dropped := self._writer.take_dropped():
            self._facade.emit(vocabulary.TELEMETRY_DROPPED, count=dropped, signal="logs")

    def close(self) -> None:
        """Waits a moment for standard output."""
        self._writer.flush()

    def _fact_record(self, fact: Fact) -> dict[str, Any] | None:
        if isinstance(fact, Operation):
            if fact.type is vocabulary.HTTP_REQUEST or fact.type is vocabulary.QUESTION:
                return self._operation_record(fact)
        elif fact.type is vocabulary.AUDIT_CHECKPOINT:
            return _checkpoint_record(fact)
        elif isinstance(fact, Event) and fact.type.audited:
            return self._event_record(fact)
        return None

    def _operation_record(self, operation: Operation) -> dict[str, Any] | None:
        probe = operation.labels.get("route", "").startswith(_PROBES)
        level = "error" if operation.outcome == "failed" else "debug" if probe else "info"
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

    def _event_record(self, event: Event) -> dict[str, Any] | None:
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


def _checkpoint_record(event: Event) -> dict[str, Any]:
    """A line at any level: what left the machine is what a cut record is compared with."""
    return {"time": datetime.fromtimestamp(event.time_ns / 1e9, UTC), "event": event.type.name, **event.details}


def _base_record(time_ns: int, level: str, type: OperationType | EventType, trace: Trace) -> dict[str, Any]:
    return {
        "time": datetime.fromtimestamp(time_ns / 1e9, UTC),
        "level": level,
        "logger": "sql_synthesizer.security" if isinstance(type, EventType) else "sql_synthesizer.operation",
        "event": type.name,
        "trace_id": trace.trace_id,
        "question_id": trace.question_id,
        "actor": trace.actor,
    }


def configure_logging(settings: Settings, writer: LineWriter | None = None) -> None:
    """Routes every log record of the process, whoever's logger it came from, to JSON lines on standard output."""
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
    handler = _Handler(writer or output)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for name in ("gunicorn.error", "gunicorn.access", "werkzeug"):
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
    logging.captureWarnings(capture=True)


class _Handler(logging.Handler):
    """Hands formatted records to the writer, in place of the lock-and-write of a stream handler."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._writer.write(self.format(record).encode())
        except Exception:  # noqa: BLE001  # as every handler of the standard library: logging never raises
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """A record that cannot be formatted leaves its place of origin behind, and nothing that it carried."""
        line = {"level": "error", "logger": __name__, "event": f"unprintable log record from {record.name}"}
        self._writer.write(encode_line(line))

    def flush(self) -> None:
        self._writer.flush()


def _add_context(_logger: WrappedLogger, _name: str, record: EventDict) -> EventDict:
    operation = current.get()
    if operation is not None:
        trace = operation.trace
        record.update(trace_id=trace.trace_id, question_id=trace.question_id, actor=trace.actor)
    return record


def _mask_values(_logger: WrappedLogger, _name: str, record: EventDict) -> EventDict:
    return {key: mask_value(value) for key, value in record.items()}
