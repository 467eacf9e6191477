"""The W3C ``traceparent`` header: reading it and writing it."""

from __future__ import annotations

import re

from sql_synthesizer.telemetry import Operation

_COMMENT = re.compile(r" /\*traceparent='[0-9a-f-]{55}'\*/\Z")


def parse_traceparent(header: str | None) -> tuple[str, str, bool] | None:
    """(trace id, span id, sampled) of a W3C ``traceparent`` header, or None when it is absent or malformed."""
    parts = (header or "").strip().split("-")
    if len(parts) < 4 or len(parts[0]) != 2 or parts[0] == "ff" or (parts[0] == "00" and len(parts) != 4):
        return None
    version, trace_id, span_id, flags = parts[:4]
    if (len(trace_id), len(span_id), len(flags)) != (32, 16, 2) or not parse_hex(trace_id) or not parse_hex(span_id):
        return None
    if parse_hex(version) is None or parse_hex(flags) is None:
        return None
    return trace_id, span_id, bool(int(flags, 16) & 1)


def parse_hex(text: str) -> int | None:
    """The number that lower-case hexadecimal digits stand for; None for anything else."""
    return int(text, 16) if text and all(c in "0123456789abcdef" for c in text) else None


def format_comment(operation: Operation) -> str:
    """The comment that names the trace in a statement, as sqlcommenter does; empty unless it is digits alone."""
    header = format_traceparent(operation)
    return f" /*traceparent='{header}'*/" if parse_traceparent(header) else ""


def find_comment(sql: str) -> str:
    """The comment that ``format_comment`` has put at the end of a statement; empty when there is none."""
    found = _COMMENT.search(sql)
    return found[0] if found else ""


def format_traceparent(operation: Operation) -> str:
    """The W3C ``traceparent`` header that makes ``operation`` the parent."""
    return f"00-{operation.trace.trace_id}-{operation.span_id}-{'01' if operation.trace.sampled else '00'}"
