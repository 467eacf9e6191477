"""Reading what a database holds."""

from __future__ import annotations

import hashlib
import logging
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from sqlalchemy import Connection, inspect, types
from sqlalchemy.engine import Inspector
from sqlalchemy.engine.interfaces import ReflectedColumn, ReflectedForeignKeyConstraint, TableKey
from sqlalchemy.exc import CompileError, SAWarning, SQLAlchemyError

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.model import Column, ColumnKind, ForeignKey, Schema, Table
from sql_synthesizer.model.dialects import DIALECTS, SYSTEM_SCHEMAS
from sql_synthesizer.schema.definitions import WHOLE, Key
from sql_synthesizer.schema.lineage import Lineage, fold_key, read_lineage
from sql_synthesizer.schema.marks import Names, suggest_names
from sql_synthesizer.settings import DatabaseSettings

logger = logging.getLogger("sql_synthesizer.schema")
Found = TypeVar("Found")

MAX_TABLES = 500
MAX_COLUMNS = 200
COMMENT_CHARACTERS = 500
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


@dataclass(frozen=True, slots=True)
class _Relation:
    """A table or view as the database describes it; one that is not ``listed`` is read for its names alone."""

    name: str
    schema: str | None
    key: Key
    listed: bool
    columns: Sequence[ReflectedColumn] = ()
    primary: frozenset[str] = frozenset()
    keys: tuple[ForeignKey, ...] = ()
    comment: str = ""
    is_view: bool = False

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column["name"].casefold() for column in self.columns)


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
        listed = [found for schema in schemas for found in _read_relations(inspector, schema, config, lineage)]
        named = [found for schema in others for found in _read_relations(inspector, schema, config, lineage)]
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
    tables: dict[str, Table] = {}
    for found in listed:
        if found.listed and not marks.is_hidden(found):
            tables.setdefault(found.name.casefold(), _build_table(found, marks))
    return _build_schema(config, dialect, tables), faults + names.find_faults(config)


def _build_schema(config: DatabaseSettings, dialect: str, tables: Mapping[str, Table]) -> Schema:
    names = sorted(tables)
    if len(names) > MAX_TABLES:
        logger.warning("database %s: tables beyond the first %d are left out of its schema", config.name, MAX_TABLES)
    kept = {name: tables[name] for name in names[:MAX_TABLES]}
    return make_schema(config.name, dialect, tuple(_with_visible_keys(table, kept) for table in kept.values()))


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


def _read_relations(
    inspector: Inspector, schema: str | None, config: DatabaseSettings, lineage: Lineage
) -> Iterator[_Relation]:
    default = (inspector.default_schema_name or "") if schema is None else schema
    marks = [name.casefold() for name in (*config.hidden, *config.sensitive, *config.shareable)]
    allowed = {name.casefold() for name in config.tables}

    def choose(names: Iterable[str]) -> tuple[list[_Relation], list[_Relation]]:
        """Those to be read, and the rest."""
        read: list[_Relation] = []
        rest: list[_Relation] = []
        for name in sorted(names):
            if not name.startswith("sqlite_"):
                key = fold_key(default if schema is not None else lineage.homes.get(name, default), name)
                spelled = (key[1], ".".join(key))
                chosen = not allowed.isdisjoint(spelled) if allowed else key not in lineage.partitions
                relation = _Relation(name, schema, key, chosen)
                marked = any(mark == own or mark.startswith(f"{own}.") for mark in marks for own in spelled)
                (read if marked or (chosen and len(read) <= MAX_TABLES) else rest).append(relation)
        return read, rest

    read, rest = choose(inspector.get_table_names(schema))
    yield from (replace(relation, listed=False) for relation in rest)
    if read:
        yield from _read_tables(inspector, schema, read)
    read, rest = choose(inspector.get_view_names(schema))
    for view in read:
        try:
            columns = inspector.get_columns(view.name, schema)
        except SQLAlchemyError:
            logger.warning("database %s: the view %s cannot be read", config.name, view.name)
            rest.append(view)
            continue
        yield replace(view, columns=columns, is_view=True)
    yield from (replace(relation, listed=False) for relation in rest)


def _read_tables(inspector: Inspector, schema: str | None, read: Sequence[_Relation]) -> Iterator[_Relation]:
    names = [relation.name for relation in read]
    columns = inspector.get_multi_columns(schema, names)
    primary = inspector.get_multi_pk_constraint(schema, names)
    foreign = _read_optional(lambda: inspector.get_multi_foreign_keys(schema, names))
    comments = _read_optional(lambda: inspector.get_multi_table_comment(schema, names))
    for relation in read:
        key = (schema, relation.name)
        if key in columns:
            owned = frozenset(primary[key]["constrained_columns"] if primary.get(key) else ())
            keys = tuple(_foreign_key(found) for found in foreign.get(key, ()))
            comment = _shorten_comment(comments[key]["text"] if comments.get(key) else None)
            yield replace(relation, columns=columns[key], primary=owned, keys=keys, comment=comment)


def _read_optional(read: Callable[[], Mapping[TableKey, Found]]) -> Mapping[TableKey, Found]:
    """What ``read`` finds, where the database has such a thing."""
    try:
        return read()
    except NotImplementedError:
        return {}


@dataclass(frozen=True, slots=True)
class _Marks:
    """Which columns of which tables are marked, after the marks have followed the data."""

    hidden: Mapping[Key, set[str]]
    sensitive: Mapping[Key, set[str]]
    shareable: Mapping[Key, set[str]]

    def is_hidden(self, found: _Relation) -> bool:
        """Whether nothing of it is left to be shown."""
        hidden = self.hidden.get(found.key, set())
        return WHOLE in hidden or bool(found.columns and hidden.issuperset(found.column_names))


def _build_table(found: _Relation, marks: _Marks) -> Table:
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
            comment=_shorten_comment(column.get("comment")),
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
