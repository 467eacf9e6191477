"""How a moment is written for those who read it."""

from __future__ import annotations

from datetime import UTC, datetime


def format_moment(seconds: float) -> str:
    """A Unix time as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
