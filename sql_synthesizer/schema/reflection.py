"""Reading what a database holds."""

from __future__ import annotations

import hashlib
import logging
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from sqlalchemy import Connection, inspect, types
from sqlalchemy.engine import Inspector
from sqlalchemy.engine.interfaces import ReflectedColumn, ReflectedForeignKeyConstraint, TableKey
from sqlalchemy.exc import CompileError, SAWarning, SQLAlchemyError

from sql_synthesizer.model import Column, ColumnKind, ForeignKey, Schema, Table
from sql_synthesizer.model.dialects import SYSTEM_SCHEMAS
from sql_synthesizer.settings import DatabaseSettings

logger = logging.getLogger("sql_synthesizer.schema")
Found = TypeVar("Found")

MAX_TABLES = 500
MAX_COLUMNS = 200
COMMENT_CHARACTERS = 500
_KINDS: tuple[tuple[type[types.TypeEngine[Any]], ColumnKind], ...] = (
    (types.Boolean, ColumnKind.BOOLEAN),
    (types.Integer, ColumnKind.INTEGER),
    (types.Numeric, ColumnKind.NUMBER),
    (types.Float, ColumnKind.NUMBER),
    (types.DateTime, ColumnKind.DATETIME),
    (types.Date, ColumnKind.DATE),
    (types.Time, ColumnKind.TIME),
    (types.JSON, ColumnKind.OTHER),
    (types.String, ColumnKind.TEXT),
    (types.Uuid, ColumnKind.TEXT),
)
_TYPE_NOISE = re.compile(r' (?:CHARACTER SET|COLLATE) (?:"[^"]*"|\S+)')


def column_kind(type: types.TypeEngine[Any]) -> ColumnKind:
    """The kind of value that a column type holds."""
    # By name: importing a dialect for its types would load it where it is not used.
    name = type.__class__.__name__
    if name == "DOMAIN":
        return column_kind(getattr(type, "data_type", types.NULLTYPE))
    if name == "TINYINT" and getattr(type, "display_width", None) == 1:
        return ColumnKind.BOOLEAN
    if name == "YEAR":
        return ColumnKind.INTEGER
    return next((kind for family, kind in _KINDS if isinstance(type, family)), ColumnKind.OTHER)


def reflect_schema(connection: Connection, config: DatabaseSettings, dialect: str) -> Schema:
    """Reads the tables and views that may be asked; at most 500 of them, of 200 columns each."""
    inspector = inspect(connection)
    tables: dict[str, Table] = {}
    with warnings.catch_warnings():
        # A foreign key or type that SQLAlchemy does not understand is left out, which nobody can act upon.
        warnings.simplefilter("ignore", SAWarning)
        for schema in config.schemas or (None,):
            if (schema or "").casefold() not in SYSTEM_SCHEMAS:
                for table in _read_tables(inspector, schema, config):
                    tables.setdefault(table.name.casefold(), table)
    names = sorted(tables)
    if len(names) > MAX_TABLES:
        logger.warning("database %s: %d tables are left out of its schema", config.name, len(names) - MAX_TABLES)
    kept = {name: tables[name] for name in names[:MAX_TABLES]}
    visible = tuple(_with_visible_keys(table, kept) for table in kept.values())
    version = hashlib.sha256(repr((dialect, visible)).encode()).hexdigest()[:16]
    return Schema(config.name, dialect, visible, version)


def _read_tables(inspector: Inspector, schema: str | None, config: DatabaseSettings) -> Iterator[Table]:
    tables = _allowed_names(inspector.get_table_names(schema), config)
    if tables:
        columns = inspector.get_multi_columns(schema, tables)
        primary = inspector.get_multi_pk_constraint(schema, tables)
        foreign = _read_optional(lambda: inspector.get_multi_foreign_keys(schema, tables))
        comments = _read_optional(lambda: inspector.get_multi_table_comment(schema, tables))
        for name in tables:
            key = (schema, name)
            if key in columns:
                owned = frozenset(primary[key]["constrained_columns"] if primary.get(key) else ())
                shown = tuple(_visible_columns(name, columns[key], owned, config))
                keys = tuple(_foreign_key(found) for found in foreign.get(key, ()))
                comment = _shorten_comment(comments[key]["text"] if comments.get(key) else None)
                yield Table(name, shown, keys, schema, comment, _hidden_columns(name, shown, config))
    for name in _allowed_names(inspector.get_view_names(schema), config):
        try:
            found = inspector.get_columns(name, schema)
        except SQLAlchemyError:
            logger.warning("database %s: the view %s cannot be read", config.name, name)
            continue
        shown = tuple(_visible_columns(name, found, frozenset(), config))
        yield Table(name, shown, (), schema, hidden=_hidden_columns(name, shown, config))


def _read_optional(read: Callable[[], Mapping[TableKey, Found]]) -> Mapping[TableKey, Found]:
    """What ``read`` finds, where the database has such a thing."""
    try:
        return read()
    except NotImplementedError:
        return {}


def _allowed_names(names: Iterable[str], config: DatabaseSettings) -> list[str]:
    allowed = {name.casefold() for name in config.tables}
    hidden = {name.casefold() for name in config.hidden}
    return sorted(
        name
        for name in names
        if (not allowed or name.casefold() in allowed)
        and name.casefold() not in hidden
        and not name.startswith("sqlite_")
    )[: MAX_TABLES + 1]


def _visible_columns(
    table: str, found: Iterable[ReflectedColumn], primary: frozenset[str], config: DatabaseSettings
) -> Iterator[Column]:
    sensitive = {name.casefold() for name in config.sensitive}
    shareable = {name.casefold() for name in config.shareable}
    hidden = {name.casefold() for name in config.hidden}
    for column in list(found)[:MAX_COLUMNS]:
        name = str(column["name"])
        path = f"{table}.{name}".casefold()
        if path not in hidden:
            yield Column(
                name=name,
                kind=column_kind(column["type"]),
                type=_type_name(column["type"]),
                primary_key=name in primary,
                nullable=bool(column.get("nullable", True)) and name not in primary,
                sensitive=path in sensitive,
                shareable=path in shareable and path not in sensitive,
                comment=_shorten_comment(column.get("comment")),
            )


def _hidden_columns(table: str, shown: Iterable[Column], config: DatabaseSettings) -> tuple[str, ...]:
    """The columns that the settings hide, and those they call sensitive that are not among the columns shown."""
    named = {name.casefold() for name in config.hidden}
    named |= {name.casefold() for name in config.sensitive} - {f"{table}.{c.name}".casefold() for c in shown}
    start = f"{table}.".casefold()
    return tuple(sorted(name.removeprefix(start) for name in named if name.startswith(start)))


def _type_name(type: types.TypeEngine[Any]) -> str:
    try:
        return "" if isinstance(type, types.NullType) else _TYPE_NOISE.sub("", str(type))
    except CompileError:
        return type.__class__.__name__


def _shorten_comment(text: str | None) -> str:
    return (text or "")[:COMMENT_CHARACTERS]


def _foreign_key(found: ReflectedForeignKeyConstraint) -> ForeignKey:
    return ForeignKey(tuple(found["constrained_columns"]), found["referred_table"], tuple(found["referred_columns"]))


def _with_visible_keys(table: Table, tables: Mapping[str, Table]) -> Table:
    """The table without foreign keys of and to what may not be read, the rest in a fixed order."""

    def is_visible(owner: Table | None, columns: tuple[str, ...]) -> bool:
        return owner is not None and not any(name.casefold() in owner.hidden for name in columns)

    keys = {
        key
        for key in table.foreign_keys
        if is_visible(table, key.columns) and is_visible(tables.get(key.target.casefold()), key.target_columns)
    }
    ordered = sorted(keys, key=lambda key: (key.columns, key.target))
    return replace(table, foreign_keys=tuple(ordered))
