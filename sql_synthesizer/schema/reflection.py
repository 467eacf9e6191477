"""Reading what a database holds."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import Inspector
from sqlalchemy.exc import SAWarning

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.model import UNSEEN, Cause, Column, LeftOut, Schema, Table
from sql_synthesizer.model.dialects import DIALECTS, SYSTEM_SCHEMAS
from sql_synthesizer.schema.definitions import WHOLE, Key
from sql_synthesizer.schema.lineage import read_lineage
from sql_synthesizer.schema.marks import Names, suggest_names
from sql_synthesizer.schema.readers import read_relations
from sql_synthesizer.schema.relations import COLUMNS_IN_ALL, MAX_COLUMNS, MAX_TABLES, Chooser, Relation
from sql_synthesizer.settings import DatabaseSettings

logger = logging.getLogger("sql_synthesizer.schema")

FAULTS_HINT = "Write table, table.column or schema.table.column as GET /api/schema and the database list them."


def reflect_schema(connection: Connection, config: DatabaseSettings, dialect: str) -> Schema:
    """Reads the tables and views that may be asked; at most 5,000 of them, of 1,000 columns each.

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

        def read(schema: str | None) -> list[Relation]:
            chooser = Chooser(config, lineage, schema or inspector.default_schema_name or "")
            return read_relations(inspector, dialect, schema, chooser)

        listed = [found for schema in schemas for found in read(schema)]
        named = [found for schema in others for found in read(schema)]
    names = Names()
    for found in listed + named:
        names.add(found.key, found.column_names, qualified=found.schema in others)
        if found.columns and (found.is_view or found.key in lineage.views):
            lineage.add_view(found.key, found.column_names)
        for column in found.columns:
            if column.computed is not None:
                lineage.add_generated(found.key, column.name.casefold(), column.computed)
    orders = {found.key: found.column_names for found in listed + named if found.columns}
    marks = _Marks(
        lineage.spread(names.find(config.hidden), orders),
        lineage.spread(names.find(config.sensitive), orders),
        names.find(config.shareable),
    )
    catalogs = DIALECTS[dialect].catalogs
    catalog = str(connection.scalar(text(catalogs))) if catalogs else ""
    offered = [found for found in listed if found.listed and not marks.is_hidden(found)]
    return replace(_build_schema(config, dialect, offered, marks), catalog=catalog), faults + names.find_faults(config)


def _build_schema(config: DatabaseSettings, dialect: str, offered: Iterable[Relation], marks: _Marks) -> Schema:
    tables: dict[str, Table] = {}
    left_out: list[LeftOut] = []
    columns = 0
    for found in sorted(offered, key=lambda found: (found.name.casefold(), found.name)):
        columns += len(found.columns[:MAX_COLUMNS])
        full = len(tables) == MAX_TABLES or columns > COLUMNS_IN_ALL
        fault = found.fault or (Cause.TOO_MANY if full else Cause.SHADOWED if found.name in tables else None)
        if fault is not None:
            left_out.append(LeftOut(found.name, fault))
            continue
        tables[found.name] = _build_table(found, marks)
        denied = sum(not column.readable for column in found.columns)
        for cause, number in ((Cause.FORBIDDEN, denied), (Cause.TOO_MANY, len(found.columns) - MAX_COLUMNS)):
            if number > 0:
                left_out.append(LeftOut(found.name, cause, number))
    if left_out:
        told = Counter(one.cause for one in left_out)
        causes = ", ".join(f"{number} {cause}" for cause, number in told.items())
        logger.warning("database %s: left out of its schema: %s", config.name, causes)
    known = {**{name.casefold(): table for name, table in tables.items()}, **tables}
    schema = make_schema(config.name, dialect, tuple(_with_visible_keys(table, known) for table in tables.values()))
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
    hidden = marks.hidden.get(found.key, set()) | {c.name.casefold() for c in found.columns if not c.readable}
    sensitive = marks.sensitive.get(found.key, set())
    shareable = marks.shareable.get(found.key, set()) - sensitive
    shown = tuple(
        Column(
            name=column.name,
            kind=column.kind,
            type=column.type,
            primary_key=column.name in found.primary,
            nullable=column.nullable and column.name not in found.primary,
            sensitive=column.name.casefold() in sensitive,
            shareable=column.name.casefold() in shareable,
            comment=column.comment,
        )
        for column in found.columns[:MAX_COLUMNS]
        if column.name.casefold() not in hidden
    )
    # What is sensitive and not among the columns shown cannot be recorded when it is read.
    gone = hidden.intersection(found.column_names) | sensitive.intersection(found.column_names[MAX_COLUMNS:])
    if found.partial:
        gone.add(UNSEEN)
    home = "" if found.schema else found.key[0]
    return Table(found.name, shown, found.keys, found.schema, found.comment, tuple(sorted(gone)), home)


def _with_visible_keys(table: Table, tables: Mapping[str, Table]) -> Table:
    """The table without foreign keys of and to what may not be read, the rest in a fixed order."""

    def is_visible(owner: Table | None, columns: tuple[str, ...]) -> bool:
        return owner is not None and not any(name.casefold() in owner.hidden for name in columns)

    def find(name: str) -> Table | None:
        return tables.get(name) or tables.get(name.casefold())

    keys = {
        key
        for key in table.foreign_keys
        if is_visible(table, key.columns) and is_visible(find(key.target), key.target_columns)
    }
    ordered = sorted(keys, key=lambda key: (key.columns, key.target))
    return replace(table, foreign_keys=tuple(ordered))
