"""Filters in words: the status is 'shipped', the order date is in 2025."""

from __future__ import annotations

import calendar
import datetime as dt

from sql_synthesizer.synthesizer.rules.dates import Span
from sql_synthesizer.synthesizer.rules.query import Constant, Filter
from sql_synthesizer.synthesizer.rules.wording import rows_of

_COMPARED = {"=": "", "!=": "", ">": "more than ", "<": "less than ", ">=": "at least ", "<=": "at most "}
_COUNTED = {
    "=": "exactly",
    "!=": "any number but",
    ">": "more than",
    ">=": "at least",
    "<": "at least one but fewer than",
    "<=": "at least one but at most",
}
"""Joins leave no group with none."""
_MATCHED = {
    "contain": ("contains", "contain"),
    "start": ("starts with", "start with"),
    "end": ("ends with", "end with"),
}


def predicate_text(subject: str, condition: Filter) -> str:
    """What a filter says of ``subject``, a column as the sentence calls it."""
    if condition.operator == "null":
        return f"{subject} is {'known' if condition.negated else 'missing'}"
    denied = condition.negated or condition.operator == "!="
    nullable = condition.term.ref is not None and condition.term.ref.column.nullable
    return f"{subject} {'is known and ' if denied and nullable else ''}{_comparison_text(condition, denied=denied)}"


def count_text(condition: Filter) -> str:
    """A condition on how many rows belong to each."""
    number = _constant_text(condition.constants[0])
    return f"{_COUNTED[condition.operator]} {number} {rows_of(condition.term.tables()[0])}"


def _comparison_text(condition: Filter, *, denied: bool) -> str:
    operator, first = condition.operator, condition.constants[0]
    values = [_constant_text(value) for value in condition.constants]
    is_ = "is not" if denied else "is"
    if operator in _MATCHED:
        positive, bare = _MATCHED[operator]
        return f"{f'does not {bare}' if denied else positive} {values[0]}"
    if operator == "in":
        return f"is neither {' nor '.join(values)}" if denied else f"is {' or '.join(values)}"
    if operator == "between":
        return f"{is_} from {values[0]} to {values[1]}"
    if operator == "span" and isinstance(first, Span):
        return f"{is_} {_span_text(first)}"
    if isinstance(first, Span):
        return f"{is_} {'before' if operator == '<' else 'on or after'} {values[0]}"
    return f"{is_} {_COMPARED[operator]}{values[0]}"


def _span_text(span: Span) -> str:
    last = span.end - dt.timedelta(days=1)
    if span.start == last:
        return f"on {last}"
    year = span.start.year
    if (span.start, last) == (dt.date(year, 1, 1), dt.date(year, 12, 31)):
        return f"in {year}"
    days = calendar.monthrange(year, span.start.month)[1]
    if (span.start.day, last) == (1, span.start.replace(day=days)):
        return f"in {span.start:%B %Y}"
    return f"from {span.start} to {last}"


def _constant_text(value: Constant) -> str:
    if isinstance(value, Span):
        return value.start.isoformat()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return f"'{value}'" if isinstance(value, str) else str(value).lower()
