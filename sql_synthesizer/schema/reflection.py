"""Reading what a database holds."""

from __future__ import annotations

import hashlib
import logging
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, inspect, types
from sqlalchemy.engine import Inspector
from sqlalchemy.exc import CompileError, SAWarning

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.model import Cause, Column, ColumnKind, LeftOut, Schema, Table
from sql_synthesizer.model.dialects import DIALECTS, SYSTEM_SCHEMAS
from sql_synthesizer.schema.definitions import WHOLE, Key
from sql_synthesizer.schema.lineage import read_lineage
from sql_synthesizer.schema.marks import Names, suggest_names
from sql_synthesizer.schema.relations import MAX_TABLES, Relation, read_relations, shorten_comment
from sql_synthesizer.settings import DatabaseSettings

logger = logging.getLogger("sql_synthesizer.schema")

MAX_COLUMNS = 200
FAULTS_HINT = "Write table, table.column or schema.table.column as GET /api/schema and the database list them."
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
    """Reads the tables and views that may be asked; at most 500 of them, of 200 columns each.

    Raises ConfigurationError when the settings name what the database does not hold.
    """
    schema, faults = read_schema(connection, config, dialect)
    if faults:
        raise ConfigurationError(format_faults(config, faults), hint=FAULTS_HINT)
    return schema


def format_faults(config: DatabaseSettings, faults: Iterable[str]) -> str:
    """What ``read_schema`` found wrong, as one message."""
    return f"The settings of database {config.name} name what it does not hold:\n" + "\n".join(
        f"  {fault}" for fault in faults
    )


def read_schema(connection: Connection, config: DatabaseSettings, dialect: str) -> tuple[Schema, list[str]]:
    """As ``reflect_schema``, but for what the settings name in vain, which is told beside it."""
    inspector = inspect(connection)
    lineage = read_lineage(connection, dialect, marked=bool(config.hidden or config.sensitive))
    with warnings.catch_warnings():
        # A foreign key or type that SQLAlchemy does not understand is left out, which nobody can act upon.
        warnings.simplefilter("ignore", SAWarning)
        schemas, others, faults = _find_schemas(inspector, config, dialect)
        listed = [found for schema in schemas for found in read_relations(inspector, schema, config, lineage)]
        named = [found for schema in others for found in read_relations(inspector, schema, config, lineage)]
    names = Names()
    for found in listed + named:
        names.add(found.key, found.column_names, qualified=found.schema in others)
        if found.columns and (found.is_view or found.key in lineage.views):
            lineage.add_view(found.key, found.column_names)
        for column in found.columns:
            if "computed" in column:
                lineage.add_generated(found.key, column["name"].casefold(), column["computed"]["sqltext"])
    for key, columns in lineage.unserved.items():
        names.add(key, columns, qualified=all(found.key[0] != key[0] for found in listed), served=False)
        if key in lineage.views:
            lineage.add_view(key, columns)
    orders = {found.key: found.column_names for found in listed + named if found.columns}
    marks = _Marks(
        lineage.spread(names.find(config.hidden), orders),
        lineage.spread(names.find(config.sensitive), orders),
        names.find(config.shareable),
    )
    offered = [found for found in listed if found.listed and not marks.is_hidden(found)]
    return _build_schema(config, dialect, offered, marks), faults + names.find_faults(config)


def _build_schema(config: DatabaseSettings, dialect: str, offered: Iterable[Relation], marks: _Marks) -> Schema:
    tables: dict[str, Table] = {}
    left_out: list[LeftOut] = []
    for found in sorted(offered, key=lambda found: found.name.casefold()):
        fault = found.fault or (Cause.TOO_MANY if len(tables) == MAX_TABLES else None)
        if fault is not None:
            left_out.append(LeftOut(found.name, fault))
            continue
        tables.setdefault(found.name.casefold(), _build_table(found, marks))
        if (more := len(found.columns) - MAX_COLUMNS) > 0:
            left_out.append(LeftOut(found.name, Cause.TOO_MANY, more))
    if left_out:
        told = Counter(one.cause for one in left_out)
        causes = ", ".join(f"{number} {cause}" for cause, number in told.items())
        logger.warning("database %s: left out of its schema: %s", config.name, causes)
    schema = make_schema(config.name, dialect, tuple(_with_visible_keys(table, tables) for table in tables.values()))
    return replace(schema, left_out=tuple(left_out))


def make_schema(database: str, dialect: str, tables: tuple[Table, ...]) -> Schema:
    """A schema with the version that its content has."""
    version = hashlib.sha256(repr((dialect, tables)).encode()).hexdigest()[:16]
    return Schema(database, dialect, tables, version)


def hide_unknown(known: Schema, found: Schema) -> Schema:
    """The known schema, with columns hidden that only a schema found later has: what was hidden may be renamed."""
    tables: list[Table] = []
    for table in known.tables:
        later = found.table(table.name)
        names = {column.name.casefold() for column in later.columns}.union(later.hidden) if later is not None else set()
        new = names - {column.name.casefold() for column in table.columns} - set(table.hidden)
        tables.append(replace(table, hidden=tuple(sorted({*table.hidden, *new}))))
    same = tuple(tables) == known.tables
    return known if same else make_schema(known.database, known.dialect, tuple(tables))


def _find_schemas(
    inspector: Inspector, config: DatabaseSettings, dialect: str
) -> tuple[list[str | None], list[str | None], list[str]]:
    """The schemas to read, others that a setting names before a table, and what there is none of."""
    entries = [name.casefold() for name in (*config.hidden, *config.sensitive) if "." in name]
    main = DIALECTS[dialect].main_schema
    known = ([main] if main else inspector.get_schema_names()) if config.schemas or entries else []
    folded = {name.casefold(): name for name in known if name.casefold() not in SYSTEM_SCHEMAS}
    read: list[str | None] = [] if config.schemas else [None]
    faults: list[str] = []
    for name in config.schemas:
        if name in known or name.casefold() in folded:
            read.append(name if name in known else folded[name.casefold()])
        elif name.casefold() not in SYSTEM_SCHEMAS:
            faults.append(f"schemas: there is no {name}{suggest_names(name, list(folded))}")
    own = {(name or inspector.default_schema_name or "").casefold() for name in read}
    others: list[str | None] = [
        known for name, known in folded.items() if name not in own and any(e.startswith(f"{name}.") for e in entries)
    ]
    return [name for name in read if (name or "").casefold() not in SYSTEM_SCHEMAS], others, faults


@dataclass(frozen=True, slots=True)
class _Marks:
    """Which columns of which tables are marked, after the marks have followed the data."""

    hidden: Mapping[Key, set[str]]
    sensitive: Mapping[Key, set[str]]
    shareable: Mapping[Key, set[str]]

    def is_hidden(self, found: Relation) -> bool:
        """Whether nothing of it is left to be shown."""
        hidden = self.hidden.get(found.key, set())
        return WHOLE in hidden or bool(found.columns and hidden.issuperset(found.column_names))


def _build_table(found: Relation, marks: _Marks) -> Table:
    hidden = marks.hidden.get(found.key, set())
    sensitive = marks.sensitive.get(found.key, set())
    shareable = marks.shareable.get(found.key, set()) - sensitive
    shown = tuple(
        Column(
            name=name,
            kind=column_kind(column["type"]),
            type=_type_name(column["type"]),
            primary_key=name in found.primary,
            nullable=bool(column.get("nullable", True)) and name not in found.primary,
            sensitive=name.casefold() in sensitive,
            shareable=name.casefold() in shareable,
            comment=shorten_comment(column.get("comment")),
        )
        for column in found.columns[:MAX_COLUMNS]
        if (name := str(column["name"])).casefold() not in hidden
    )
    # What is sensitive and not among the columns shown cannot be recorded when it is read.
    gone = hidden.intersection(found.column_names) | sensitive.intersection(found.column_names[MAX_COLUMNS:])
    return Table(found.name, shown, found.keys, found.schema, found.comment, tuple(sorted(gone)))


def _type_name(type: types.TypeEngine[Any]) -> str:
    try:
        return "" if isinstance(type, types.NullType) else _TYPE_NOISE.sub("", str(type))
    except CompileError:
        return type.__class__.__name__


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
