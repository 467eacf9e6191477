"""How many rows a call such as ``generate_series(1, 10)`` makes, where its arguments say so."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

from sqlglot import exp

_STEP = re.compile(r"(-?\d{1,4}) (minute|hour|day|week|month|quarter|year)s?\Z", re.IGNORECASE)
_STEP_DAYS = {"minute": 1 / 1440, "hour": 1 / 24, "day": 1, "week": 7, "month": 28, "quarter": 89, "year": 365}
_LONG_DAYS = _STEP_DAYS | {"month": 31, "quarter": 92, "year": 366}
_TODAY = (exp.CurrentDate, exp.CurrentTimestamp, exp.Localtimestamp)
_MAX_DEPTH = 8
_MAX_DIGITS = 9


def series_length(arguments: list[exp.Expr]) -> float | None:
    """Rows between two whole numbers or days, at most; None when the arguments do not give it."""
    if not 1 <= len(arguments) <= 3:
        return None
    bounds = [exp.Literal.number(0), *arguments] if len(arguments) == 1 else arguments
    texts = [_constant_text(bound) for bound in bounds]
    try:
        numbers = [int(text or "") for text in texts]
    except ValueError:
        return _dates_length(bounds[0], bounds[1], texts[2] if len(texts) == 3 else "1 day")
    step = numbers[2] if len(numbers) == 3 else 1
    return abs(numbers[1] - numbers[0]) // abs(step) + 1 if step else None


def _dates_length(first: exp.Expr, last: exp.Expr, step: str | None) -> float | None:
    match = _STEP.match(step or "")
    start, end = _day_number(first), _day_number(last)
    if match is None or not int(match[1]) or start is None or end is None:
        return None
    return abs(end - start) / (abs(int(match[1])) * _STEP_DAYS[match[2].lower()]) + 1


def _constant_text(node: exp.Expr) -> str | None:
    while isinstance(node, exp.Cast | exp.Paren | exp.Interval):
        unit = node.args.get("unit") if isinstance(node, exp.Interval) else None
        node = node.this
        if unit is not None and isinstance(node, exp.Literal):
            return f"{node.name} {unit.name}"
    if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal):
        return f"-{node.this.name}"
    return node.name if isinstance(node, exp.Literal) else None


def _day_number(node: exp.Expr, depth: int = 0) -> float | None:
    """The number of the day that an expression of constants and today means."""
    while isinstance(node, exp.Cast | exp.Paren):
        node = node.this
    if isinstance(node, exp.Literal) and node.is_string:
        try:
            return date.fromisoformat(node.name[:10]).toordinal()
        except ValueError:
            return None
    name = node.name.lower() if isinstance(node, exp.Anonymous) else ""
    if isinstance(node, _TODAY) or (name == "now" and not node.expressions):
        return datetime.now(UTC).toordinal()
    if name == "date_trunc" and len(node.expressions) == 2 and depth < _MAX_DEPTH:
        return _day_number(node.expressions[1], depth + 1)
    if isinstance(node, exp.Add | exp.Sub) and depth < _MAX_DEPTH:
        day, days = _day_number(node.this, depth + 1), _interval_days(node.expression)
        if day is not None and days is not None:
            return day + days if isinstance(node, exp.Add) else day - days
    return None


def _interval_days(node: exp.Expr) -> float | None:
    text = _constant_text(node) or ""
    match = _STEP.match(text)
    if match is not None:
        return int(match[1]) * _LONG_DAYS[match[2].lower()]
    return int(text) if text.isdecimal() and len(text) < _MAX_DIGITS else None
