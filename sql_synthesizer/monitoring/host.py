"""What a process that embeds the service does by itself: the span of its own OpenTelemetry that is current."""

from __future__ import annotations

import sys


def current_span() -> tuple[str, str, bool] | None:
    """(trace id, span id, sampled) of the host's current OpenTelemetry span; None where it has none.

    Nothing is imported: a host that has spans has imported it.
    """
    api = sys.modules.get("opentelemetry.trace")
    found = None if api is None else api.get_current_span().get_span_context()
    if found is None or not found.is_valid:
        return None
    return f"{found.trace_id:032x}", f"{found.span_id:016x}", bool(found.trace_flags & 1)
