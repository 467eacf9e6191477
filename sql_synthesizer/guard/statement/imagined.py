"""A schema made up from a statement's own tables, to judge the statement where no database is at hand."""

from __future__ import annotations

from sqlglot import exp
from sqlglot.errors import SqlglotError

from sql_synthesizer.errors import StatementRefused
from sql_synthesizer.guard.statement.catalogues import is_catalogue
from sql_synthesizer.guard.statement.grammar import load_grammar
from sql_synthesizer.guard.statement.names import TableIndex
from sql_synthesizer.guard.statement.reading import parse_query
from sql_synthesizer.model import Column, ColumnKind, Schema, Table


def imagined_schema(sql: str, dialect: str) -> Schema:
    """A schema in which every table that ``sql`` names exists, with every column that it names; no catalogue does.

    ``dialect`` is one of ``dialects.DIALECTS``. Of what cannot be read nothing exists. Never raises.
    """
    empty = Schema("imagined", dialect, ())
    grammar = load_grammar(dialect)
    try:
        tree = parse_query(sql, grammar)
    except (StatementRefused, SqlglotError, RecursionError):
        return empty
    index = TableIndex(empty)
    names = sorted({node.name for node in tree.find_all(exp.Column) if isinstance(node.this, exp.Identifier)})
    columns = tuple(Column(name, ColumnKind.TEXT) for name in names)
    found: dict[tuple[str, str | None], Table] = {}
    for node in tree.find_all(exp.Table):
        if not isinstance(node.this, exp.Identifier):
            continue
        name, schema = index.table_name(node.this), node.db or None
        if not is_catalogue(name, node.db, node.catalog):
            found[name, schema and schema.casefold()] = Table(name, columns, schema=schema)
    qualified = {name for name, schema in found if schema is not None}
    tables = [table for (name, schema), table in found.items() if schema is not None or name not in qualified]
    return Schema("imagined", dialect, tuple(tables))
