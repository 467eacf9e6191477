"""How each kind of server is asked what a schema holds, in a few statements whatever the number of tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy
from sqlalchemy import Connection
from sqlalchemy.engine import Inspector
from sqlalchemy.engine.interfaces import ReflectedColumn, ReflectedForeignKeyConstraint
from sqlalchemy.engine.reflection import ObjectKind

from sql_synthesizer.model import Cause, ColumnKind, ForeignKey
from sql_synthesizer.model.dialects import DIALECTS, CatalogueQueries
from sql_synthesizer.schema.definitions import Key
from sql_synthesizer.schema.kinds import column_kind, named_kind, tidy_name, type_name
from sql_synthesizer.schema.lineage import fold_key
from sql_synthesizer.schema.relations import (
    Chooser,
    FoundColumn,
    Relation,
    describe_each,
    find_faults,
    group_keys,
    shorten_comment,
)

_FORBIDDEN = """
SELECT n.nspname, c.relname, a.attname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
AND (NOT has_schema_privilege(n.oid, 'USAGE')
OR (NOT has_table_privilege(c.oid, 'SELECT') AND NOT has_column_privilege(c.oid, a.attnum, 'SELECT')))"""

_EMPTY = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'm' AND NOT c.relispopulated"""


def read_relations(inspector: Inspector, dialect: str, schema: str | None, chooser: Chooser) -> list[Relation]:
    """What a schema holds; all of it is named, and what the settings choose is described."""
    connection = inspector.bind
    assert isinstance(connection, Connection)  # noqa: S101 - tells the type checker
    reader: _Sqlite | _Postgres | _Catalogue
    if dialect == "sqlite":
        reader = _Sqlite(connection, inspector)
    elif dialect == "postgresql":
        reader = _Postgres(connection, inspector, schema)
    else:
        queries = DIALECTS[dialect].catalogue
        reader = _Catalogue(connection, queries, schema, inspector.default_schema_name or "")
    read, rest = chooser.choose(reader.list_relations())
    described = describe_each(connection, reader.describe, [relation for relation in read if not relation.doubtful])
    for relation in read:
        if relation.doubtful:  # alone, so that the rest is described in bulk
            described += describe_each(connection, reader.describe, [relation])
    return [*rest, *find_faults(connection, described)]


def _to_column(column: ReflectedColumn, *, readable: bool) -> FoundColumn:
    return FoundColumn(
        str(column["name"]),
        column_kind(column["type"]),
        type_name(column["type"]),
        bool(column.get("nullable", True)),
        shorten_comment(column.get("comment")),
        column["computed"]["sqltext"] if "computed" in column else None,
        readable,
    )


def _foreign_key(found: ReflectedForeignKeyConstraint) -> ForeignKey:
    return ForeignKey(tuple(found["constrained_columns"]), found["referred_table"], tuple(found["referred_columns"]))


class _Postgres:
    """By SQLAlchemy's bulk reflection; beside it, what the role may not read."""

    def __init__(self, connection: Connection, inspector: Inspector, schema: str | None) -> None:
        self._connection, self._inspector, self._schema = connection, inspector, schema

    def list_relations(self) -> Iterator[Relation]:
        inspector, schema = self._inspector, self._schema
        foreign = getattr(inspector, "get_foreign_table_names")(schema)  # noqa: B009 - of its own inspector
        for name in (*inspector.get_table_names(schema), *foreign):
            yield Relation(name, schema)
        for name in (*inspector.get_view_names(schema), *inspector.get_materialized_view_names(schema)):
            yield Relation(name, schema, is_view=True)

    def describe(self, read: Sequence[Relation]) -> Iterator[Relation]:
        forbidden: dict[Key, set[str]] = defaultdict(set)
        for home, table, column in self._connection.execute(sqlalchemy.text(_FORBIDDEN)):
            forbidden[fold_key(home, table)].add(column)
        empty = {fold_key(*row) for row in self._connection.execute(sqlalchemy.text(_EMPTY))}
        inspector, schema, names = self._inspector, self._schema, [relation.name for relation in read]
        columns = inspector.get_multi_columns(schema, names, ObjectKind.ANY)
        primary = inspector.get_multi_pk_constraint(schema, names)
        foreign = inspector.get_multi_foreign_keys(schema, names)
        comments = inspector.get_multi_table_comment(schema, names, ObjectKind.ANY)
        for relation in read:
            key, denied = (schema, relation.name), forbidden.get(relation.key, set())
            if key in columns:
                yield replace(
                    relation,
                    columns=[_to_column(one, readable=one["name"] not in denied) for one in columns[key]],
                    primary=frozenset(primary[key]["constrained_columns"] if primary.get(key) else ()),
                    keys=tuple(map(_foreign_key, foreign.get(key, ()))),
                    comment=shorten_comment(comments[key]["text"] if comments.get(key) else None),
                    doubtful=relation.is_view,
                    fault=Cause.UNREADABLE if relation.key in empty else None,
                )


class _Sqlite:
    """By its pragmas; the tables in which virtual ones keep their data are not listed."""

    _COLUMNS = 'SELECT m.name, x.name, x.type, x."notnull", x.pk, x.hidden FROM ({}) m, pragma_table_xinfo(m.name) x'
    _KEYS = 'SELECT m.name, k.id, k."from", k."table", k."to", k.seq FROM ({}) m, pragma_foreign_key_list(m.name) k'
    _TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'"
    _ONE = "SELECT ? AS name"

    def __init__(self, connection: Connection, inspector: Inspector) -> None:
        self._connection, self._inspector = connection, inspector
        self._types: dict[str, tuple[ColumnKind, str]] = {}

    def list_relations(self) -> Iterator[Relation]:
        for schema, name, kind, *_ in self._connection.exec_driver_sql("PRAGMA table_list").fetchall():
            if schema == "main" and not name.startswith("sqlite_"):
                odd = kind not in ("table", "shadow")
                yield Relation(name, None, listed=kind != "shadow", is_view=kind == "view", doubtful=odd)

    def describe(self, read: Sequence[Relation]) -> Iterator[Relation]:
        given = (read[0].name,) if len(read) == 1 else ()
        tables = self._ONE if given else self._TABLES
        columns: dict[str, list[FoundColumn]] = defaultdict(list)
        primary: dict[str, dict[int, str]] = defaultdict(dict)
        generated: set[str] = set()
        for row in self._connection.exec_driver_sql(self._COLUMNS.format(tables), given):
            table, name, _, _, place, hidden = row
            if hidden == 1:  # an argument of a virtual table
                continue
            columns[table].append(self._make_column(*row[1:]))
            if hidden:
                generated.add(table)
            if place:
                primary[table.casefold()][place] = name
        keys = group_keys(self._read_keys(tables, given, primary))
        for relation in read:
            name, found = relation.name, columns[relation.name]
            owned = frozenset(primary[name.casefold()].values())
            found = self._with_expressions(name, found) if name in generated else found
            yield replace(relation, columns=found, primary=owned, keys=keys.get(name, ()))

    def _make_column(self, name: str, type: str, required: int, place: int, hidden: int) -> FoundColumn:
        if type not in self._types:
            known = getattr(self._connection.dialect, "_resolve_type_affinity")(type.upper())  # noqa: B009 - not public
            self._types[type] = column_kind(known), type_name(known)
        return FoundColumn(name, *self._types[type], not (required or place), computed="" if hidden else None)

    def _read_keys(
        self, tables: str, given: tuple[str, ...], primary: Mapping[str, Mapping[int, str]]
    ) -> Iterator[tuple[str, object, str, str, str]]:
        rows = self._connection.exec_driver_sql(self._KEYS.format(tables), given)
        for table, number, column, target, target_column, place in rows:
            own = target_column or primary.get(target.casefold(), {}).get(place + 1)
            if own is not None:
                yield table, number, column, target, own

    def _with_expressions(self, table: str, columns: Sequence[FoundColumn]) -> list[FoundColumn]:
        try:
            described = {str(one["name"]): one for one in self._inspector.get_columns(table)}
        except Exception:  # noqa: BLE001 - it parses the definition, and not every one that SQLite took
            described = {}
        found = {name: one["computed"]["sqltext"] for name, one in described.items() if "computed" in one}
        return [one if one.computed is None else replace(one, computed=found.get(one.name, "")) for one in columns]


class _Catalogue:
    """By the server's catalogue, which shows what the login may see."""

    def __init__(self, connection: Connection, queries: CatalogueQueries, schema: str | None, default: str) -> None:
        self._connection, self._queries, self._schema = connection, queries, schema
        self._given = {"schema": schema or default}
        self._odd: set[str] = set()

    def list_relations(self) -> Iterator[Relation]:
        for name, is_view, comment, odd in self._read(self._queries.tables):
            if odd:
                self._odd.add(name)
            yield Relation(name, self._schema, is_view=bool(is_view), comment=shorten_comment(comment))

    def describe(self, read: Sequence[Relation]) -> Iterator[Relation]:
        columns: dict[str, list[FoundColumn]] = defaultdict(list)
        primary: dict[str, set[str]] = defaultdict(set)
        for table, name, type, nullable, comment, expression, readable, owned in self._read(self._queries.columns):
            text = shorten_comment(comment)
            column = FoundColumn(name, named_kind(type), tidy_name(type), bool(nullable), text, expression)
            columns[table].append(column if readable else replace(column, readable=False))
            if owned:
                primary[table].add(name)
        keys = group_keys(self._read(self._queries.keys))
        partial = {row[0] for row in self._read(self._queries.partial)}
        for relation in read:
            name = relation.name
            yield replace(
                relation,
                columns=columns[name],
                primary=frozenset(primary[name]),
                keys=keys.get(name, ()),
                doubtful=name in self._odd,
                partial=name in partial,
                fault=None if columns[name] else Cause.UNREADABLE,
            )

    def _read(self, query: str) -> Sequence[Sequence[Any]]:
        return self._connection.execute(sqlalchemy.text(query), self._given).fetchall() if query else ()
