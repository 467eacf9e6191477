"""What people call tables, columns and computed values: nouns for sentences and names for output columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Set as AbstractSet

from sql_synthesizer.model import ColumnKind, Table
from sql_synthesizer.synthesizer.rules.query import Query, Ref, Term
from sql_synthesizer.synthesizer.rules.text import plural_form, readable_name, singular_form

MAX_ALIAS_BYTES = 56
"""With a number after it, still whole in every database; PostgreSQL cuts names at 63 bytes."""

BUCKETS = {"%Y": "year", "%Y-%m": "month", "%Y-%m-%d": "day"}
DATED = frozenset({ColumnKind.DATE, ColumnKind.DATETIME, ColumnKind.TIME})


def rows_of(table: Table) -> str:
    """The rows of a table: order_items -> order items."""
    return plural_form(readable_name(table.name))


def row_of(table: Table) -> str:
    """One row of a table: order_items -> order item."""
    head, _, last = readable_name(table.name).rpartition(" ")
    return f"{head} {singular_form(last)}".strip()


def qualified_name(ref: Ref) -> str:
    """A column together with its table, which is not said twice: countries.name -> country name."""
    table, column = row_of(ref.table).split(), readable_name(ref.column.name).split()
    sizes = range(min(len(table), len(column)), -1, -1)
    shared = next(size for size in sizes if table[len(table) - size :] == column[:size])
    return " ".join(table + column[shared:])


def value_of(term: Term) -> str:
    """A computed value, or a column: number of orders, average price."""
    if term.ref is None:
        return f"number of {rows_of(term.tables()[0])}"
    column = readable_name(term.ref.column.name)
    if term.bucket:
        return f"{BUCKETS[term.bucket]} of {column}"
    if term.aggregate == "count":
        return f"number of distinct {plural_form(column)}"
    if term.aggregate in {"min", "max"}:
        return f"{extreme_word(term.ref, highest=term.aggregate == 'max')} {column}"
    means = {"sum": "sum of ", "avg": "average "}.get(term.aggregate, "")
    return f"{means}{'distinct ' if term.distinct else ''}{column}"


def extreme_word(ref: Ref, *, highest: bool) -> str:
    """What the first value in an order is called: highest, earliest."""
    if ref.column.kind in DATED:
        return "latest" if highest else "earliest"
    if ref.column.kind is ColumnKind.TEXT:
        return f"alphabetically {'last' if highest else 'first'}"
    return "highest" if highest else "lowest"


def column_aliases(query: Query) -> list[str]:
    """A name for each computed output column and each of several columns alike; empty where the own name will do."""
    taken = {column.name.casefold() for table in query.tables() for column in table.columns}
    own = Counter(t.ref.column.name.casefold() for t in query.select if t.ref and not t.computed)
    names: list[str] = []
    for term in query.select:
        if not term.computed and term.ref and own[term.ref.column.name.casefold()] == 1:
            names.append("")
            continue
        name = _unused_alias(qualified_name(term.ref) if term.ref and not term.computed else value_of(term), taken)
        names.append(name)
        taken.add(name)
    return names


def _unused_alias(phrase: str, taken: AbstractSet[str]) -> str:
    """The phrase in snake_case, with a number after it where another column has that name."""
    name = re.sub(r"\W+", "_", phrase.casefold()).encode()[:MAX_ALIAS_BYTES].decode(errors="ignore").strip("_")
    candidates = [name, *(f"{name}_{number}" for number in range(2, len(taken) + 3))]
    return next(candidate for candidate in candidates if candidate not in taken)
