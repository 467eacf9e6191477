"""How values are written for those who read them."""

from __future__ import annotations

from datetime import UTC, datetime


def format_moment(seconds: float) -> str:
    """A Unix time as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def escape_unprintable(value: object, keep: str = "\n") -> str:
    """Text in which nothing hides: what does not print, such as a change of direction, is shown by its number."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c in keep or c.isprintable() else f"\\u{ord(c):04x}" for c in text)
