"""Which tables and columns a statement reads, by its text and what is known of the schema."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from sql_synthesizer.model import Schema
from sql_synthesizer.model.dialects import DIALECTS

Names = Mapping[str, frozenset[str]]
"""Table -> its columns that are read, all in lower case."""
Tables = Mapping[str, str]
"""What a query calls a table -> its name, both in lower case."""


def find_names(sql: str, schema: Schema) -> Names:
    """The names of the schema that a statement reads; none of one that cannot be parsed.

    A column that does not say of which table it is belongs to the one that has it now, else to the only one.
    """
    try:
        tree = sqlglot.parse_one(sql, dialect=DIALECTS[schema.dialect].sqlglot)
    except SqlglotError:
        return {}
    made = {cte.alias.casefold() for cte in tree.find_all(exp.CTE)}
    queries: dict[int, dict[str, str]] = defaultdict(dict)
    found: dict[str, set[str]] = defaultdict(set)
    for table in tree.find_all(exp.Table):
        name = table.name.casefold()
        if name not in made:
            queries[id(table.find_ancestor(exp.Select))][table.alias_or_name.casefold()] = name
            found[name].update()
    for column in tree.find_all(exp.Column):
        if (owner := _find_owner(column, queries, schema)) is not None:
            found[owner].add(column.name.casefold())
    return {name: frozenset(columns) for name, columns in found.items()}


def _find_owner(column: exp.Column, queries: Mapping[int, Tables], schema: Schema) -> str | None:
    for query in _queries_around(column):
        tables = queries.get(id(query), {})
        if column.table:
            if (name := tables.get(column.table.casefold())) is not None:
                return name
            continue
        for name in tables.values():
            if (known := schema.table(name)) and known.column(column.name):
                return name
        made = {select.alias.casefold() for select in query.selects if isinstance(select, exp.Alias)}
        if len(tables) == 1 and not query.args.get("joins") and column.name.casefold() not in made:
            return next(iter(tables.values()))
    return None


def _queries_around(node: exp.Expr) -> Iterator[exp.Select]:
    """The query that a node stands in, and those around that."""
    query = node.find_ancestor(exp.Select)
    while query is not None:
        yield query
        query = query.find_ancestor(exp.Select)
