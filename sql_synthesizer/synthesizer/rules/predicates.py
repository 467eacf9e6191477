"""Filters in words: the status is 'shipped', the order date is in 2025."""

from __future__ import annotations

import calendar
import datetime as dt

from sql_synthesizer.model import Kind
from sql_synthesizer.synthesizer.rules.dates import Span, month_span, year_span
from sql_synthesizer.synthesizer.rules.query import Constant, Filter
from sql_synthesizer.synthesizer.rules.text import words
from sql_synthesizer.synthesizer.rules.wording import rows_of

_COMPARED = {
    "=": "is",
    "!=": "is not",
    ">": "is more than",
    "<": "is less than",
    ">=": "is at least",
    "<=": "is at most",
}
_MATCHED = {"contain": ("contains", "contain"), "start": ("starts with", "start with"), "end": ("ends with", "end with")}
_COUNTED = {">": "more than", ">=": "at least", "=": "exactly"}


def predicate(subject: str, condition: Filter) -> str:
    """What a filter says of ``subject``, a column as the sentence calls it."""
    negated = condition.negated
    if condition.operator == "null":
        return f"{subject} is {'known' if negated else 'missing'}"
    said = f"{subject} {_said(condition)}"
    unknown_excluded = condition.term.ref is not None and condition.term.ref.column.nullable
    if (negated or condition.operator == "!=") and unknown_excluded and condition.constants[0] not in {True, False}:
        return said.replace(subject, f"{subject} is known and", 1)
    return said


def counted(condition: Filter) -> str:
    """A condition on how many rows belong to each; joins leave no group with none."""
    rows, number = rows_of(condition.term.tables()[0]), _constant(condition.constants[0])
    operator = condition.operator
    if operator in {"<", "<="}:
        return f"with at least one but {'fewer than' if operator == '<' else 'at most'} {number} {rows}"
    if operator == "!=":
        return f"with any number of {rows} but {number}"
    return f"with {_COUNTED[operator]} {number} {rows if number != '1' else rows}"


def _said(condition: Filter) -> str:
    operator, first = condition.operator, condition.constants[0]
    is_ = "is not" if condition.negated else "is"
    values = [_constant(value) for value in condition.constants]
    if operator in _MATCHED:
        positive, bare = _MATCHED[operator]
        return f"{f'does not {bare}' if condition.negated else positive} {values[0]}"
    if operator == "between":
        return f"{is_} from {values[0]} to {values[1]}"
    if operator == "in" and condition.negated:
        return f"is neither {' nor '.join(values)}"
    if operator == "span" and isinstance(first, Span):
        return f"{is_} {_days(first)}"
    if isinstance(first, Span):
        return f"is {'before' if operator == '<' else 'on or after'} {values[0]}"
    said = _COMPARED.get(operator, "is") + " " + " or ".join(values)
    return said.replace("is ", "is not ", 1) if condition.negated and operator != "!=" else said
