"""One plain sentence that says what a query does."""

from __future__ import annotations

from sql_synthesizer.synthesizer.rules.dates import Span
from sql_synthesizer.synthesizer.rules.query import Constant, Filter, Link, Order, Query, Term
from sql_synthesizer.synthesizer.rules.text import words

_AGGREGATES = {"sum": "the sum of", "avg": "the average of", "min": "the smallest", "max": "the largest"}
_OPERATORS = {
    "=": "is",
    "!=": "is not",
    ">": "is more than",
    "<": "is less than",
    ">=": "is at least",
    "<=": "is at most",
    "in": "is one of",
    "contain": "contains",
    "start": "starts with",
    "end": "ends with",
}
_BUCKETS = {"%Y": "year", "%Y-%m": "month", "%Y-%m-%d": "day"}


def explain(query: Query) -> str:
    """Says what is shown, from which rows, and in what order."""
    parts = [f"Shows {'distinct ' if query.distinct else ''}{_listed([_term(t, query) for t in query.select])}"]
    if query.links or any(term.ref for term in query.select):
        parts.append(f"from {_listed(list(dict.fromkeys(_tables(query))))}")
    conditions = [_filter(f, query) for f in [*query.filters, *query.having]]
    conditions += [f"nothing in {_other(link, query)} belongs to it" for link in query.absent]
    if conditions:
        parts.append("where " + (" or " if query.either else " and ").join(conditions))
    if query.groups:
        parts.append("for each " + _listed([_term(t, query) for t in dict.fromkeys(query.groups)]))
    if query.orders:
        parts.append("sorted by " + _listed([_order(o, query) for o in query.orders]))
    if query.limit is not None:
        parts.append("keeping the first row" if query.limit == 1 else f"keeping the first {query.limit} rows")
    return ", ".join(parts).replace(", from", " from", 1) + "."


def _tables(query: Query) -> list[str]:
    joined = [table.name for link in query.links for table in (link.child, link.parent)]
    return [words(query.root.name), *(words(name) for name in joined)]


def _other(link: Link, query: Query) -> str:
    return words(link.parent.name if link.child.name == query.root.name else link.child.name)


def _term(term: Term, query: Query) -> str:
    if term.ref is None:
        return f"the number of rows in {words(term.tables()[0].name)}"
    name = words(term.ref.column.name)
    if query.links:
        name = f"{words(term.ref.table.name)} {name}"
    if term.bucket:
        return f"{_BUCKETS[term.bucket]} of {name}"
    if term.aggregate == "count":
        return f"the number of {'different ' if term.distinct else ''}values of {name}"
    return f"{_AGGREGATES[term.aggregate]} {name}" if term.aggregate else name


def _filter(condition: Filter, query: Query) -> str:
    term = _term(condition.term, query)
    if condition.operator == "null":
        return f"{term} is {'known' if condition.negated else 'missing'}"
    values = [_constant(value) for value in condition.constants]
    denied = "not " if condition.negated else ""
    if condition.operator == "between":
        return f"{term} is {denied}from {values[0]} to {values[1]}"
    if condition.operator == "span" and isinstance(span := condition.constants[0], Span):
        return f"{term} is {denied}on or after {span.start} and before {span.end}"
    operator = _OPERATORS[condition.operator]
    if isinstance(condition.constants[0], Span):
        operator = "is before" if condition.operator == "<" else "is on or after"
    return f"{denied}{term} {operator} {' or '.join(values)}"


def _constant(value: Constant) -> str:
    if isinstance(value, Span):
        return value.start.isoformat()
    if isinstance(value, float):
        return f"{value:.15g}"
    return f"'{value}'" if isinstance(value, str) else str(value).lower()


def _order(order: Order, query: Query) -> str:
    return f"{_term(order.term, query)}, {'largest' if order.descending else 'smallest'} first"


def _listed(texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
