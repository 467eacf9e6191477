"""The security officer's page: events to be shown, and the records that it shows."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from sql_synthesizer.telemetry import vocabulary
from tests.support.app import App

ROW = re.compile(r'<td class="when"><a href="([^"]+)">')


def rows(page: str) -> list[str]:
    """The addresses of the records shown."""
    return [unescape(address) for address in ROW.findall(page)]


def emit(app: App, name: str = "query_execution", *, actor: str = "key-1", **details: Any) -> str:
    """Records an event of somebody else; returns its trace id."""
    with app.rooms.telemetry.operation(vocabulary.COMMAND) as operation:
        operation.trace.actor, operation.trace.address = actor, "192.0.2.1"
        app.rooms.telemetry.emit(vocabulary.SECURITY_EVENTS[name], **details)
        app.rooms.telemetry.settle()
        return operation.trace.trace_id
