"""The public face of the audit record: security events by name, also in somebody else's process."""

from __future__ import annotations

import atexit
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sql_synthesizer import settings
from sql_synthesizer.audit import AuditLog
from sql_synthesizer.errors import ConfigurationError, InvalidRequest
from sql_synthesizer.monitoring.metrics import report_security_event
from sql_synthesizer.telemetry import Telemetry, default
from sql_synthesizer.telemetry.vocabulary import OTHER

UNKNOWN_LIMIT = 100
"""Unknown types that are warned about."""

_logger = logging.getLogger(__name__)


class SecurityAuditLogger:
    """Reports security events to a facade, by default the process's own; metrics and record agree by construction.

    With ``directory`` it also writes the record there, for processes in which nothing else does. Raises
    ConfigurationError when the facade already records elsewhere.
    """

    def __init__(self, telemetry: Telemetry | None = None, *, directory: Path | str | None = None) -> None:
        self._telemetry = telemetry or default
        self._unknown: set[str] = set()
        if directory is not None:
            self._record_in(Path(directory))

    def log_event(
        self,
        event_type: str,
        details: Mapping[str, Any] | None = None,
        severity: str = "info",
        *,
        actor: str = "",
        address: str = "",
    ) -> None:
        """Reports one event; older spellings of types are understood.

        The severity of a type is the catalogue's; another one that is given, other than the default, is kept in the
        record beside it. An unknown type is reported as ``other``, of the severity given, and named in the record.
        ``actor`` and ``address`` are who caused it, and from where; the current operation's when they are not given.
        Returns when the record is durable. Raises AuditUnavailable when it cannot be kept, and InvalidRequest when
        ``details`` is no mapping.
        """
        if details is not None and not isinstance(details, Mapping):
            raise InvalidRequest(
                f"The details of a security event are a mapping, not {type(details).__name__}.",
                hint='Give names and values, such as {"rule": "r1"}.',
            )
        facts = {str(key): value for key, value in (details or {}).items()}
        if "count" in facts:
            facts["given_count"] = facts.pop("count")
        trace = self._telemetry.trace()
        if actor or address:
            role = trace.role if actor in ("", trace.actor) else ""
            trace = replace(trace, actor=actor or trace.actor, role=role, address=address or trace.address)
        event = report_security_event(self._telemetry, event_type, severity, facts, trace)
        if event.type.name == OTHER != event_type:
            self._warn_unknown_type(str(event_type))
        if self._telemetry.recorder is not None:
            self._telemetry.recorder.settle(event.trace.ticket)

    def _record_in(self, directory: Path) -> None:
        recorder = self._telemetry.recorder
        if recorder is None:
            log = AuditLog(settings.load(audit_dir=directory), self._telemetry)
            self._telemetry.recorder = log
            atexit.register(log.close)
        elif not isinstance(recorder, AuditLog) or recorder.directory.resolve() != directory.resolve():
            raise ConfigurationError("The audit record of this process is already kept elsewhere.")

    def _warn_unknown_type(self, event_type: str) -> None:
        if event_type not in self._unknown and len(self._unknown) < UNKNOWN_LIMIT:
            self._unknown.add(event_type)
            _logger.warning("unknown security event type %.100r is recorded as other", event_type)
