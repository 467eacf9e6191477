"""The tables and views of a schema, as the database describes each: one that cannot be read costs only itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import sqlalchemy
from sqlalchemy.engine import Connection, Inspector
from sqlalchemy.engine.interfaces import ReflectedColumn, ReflectedForeignKeyConstraint, TableKey
from sqlalchemy.exc import SQLAlchemyError

from sql_synthesizer.errors import SqlSynthesizerError
from sql_synthesizer.model import Cause, ForeignKey
from sql_synthesizer.schema.definitions import Key
from sql_synthesizer.schema.lineage import Lineage, fold_key
from sql_synthesizer.settings import DatabaseSettings

Found = TypeVar("Found")

MAX_TABLES = 500
COMMENT_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view as the database describes it; one that is not ``listed`` is read for its names alone.

    ``fault`` is why it cannot be offered.
    """

    name: str
    schema: str | None
    key: Key
    listed: bool
    columns: Sequence[ReflectedColumn] = ()
    primary: frozenset[str] = frozenset()
    keys: tuple[ForeignKey, ...] = ()
    comment: str = ""
    is_view: bool = False
    fault: Cause | None = None

    @property
    def column_names(self) -> tuple[str, ...]:
        """Its columns, casefolded."""
        return tuple(column["name"].casefold() for column in self.columns)


def read_relations(
    inspector: Inspector, schema: str | None, config: DatabaseSettings, lineage: Lineage
) -> Iterator[Relation]:
    """What a schema holds; all of it is named, and what the settings choose is described."""
    default = (inspector.default_schema_name or "") if schema is None else schema
    marks = [name.casefold() for name in (*config.hidden, *config.sensitive, *config.shareable)]
    allowed = {name.casefold() for name in config.tables}
    own, virtual = _find_sqlite_kinds(inspector)

    def choose(names: Iterable[str]) -> tuple[list[Relation], list[Relation]]:
        """Those to be read, and the rest."""
        read: list[Relation] = []
        rest: list[Relation] = []
        for name in sorted(names):
            if not name.startswith("sqlite_"):
                key = fold_key(default if schema is not None else lineage.homes.get(name, default), name)
                spelled = (key[1], ".".join(key))
                chosen = not allowed.isdisjoint(spelled) if allowed else key not in lineage.partitions | own
                relation = Relation(name, schema, key, chosen)
                marked = any(mark == own or mark.startswith(f"{own}.") for mark in marks for own in spelled)
                if marked or (chosen and len(read) < MAX_TABLES):
                    read.append(relation)
                else:
                    rest.append(replace(relation, fault=Cause.TOO_MANY if chosen else None))
        return read, rest

    read, rest = choose(inspector.get_table_names(schema))
    yield from rest
    for relation in _read_each(inspector, schema, read) if read else ():
        yield _probe(inspector, relation) if relation.key in virtual else relation
    read, rest = choose(inspector.get_view_names(schema))
    yield from rest
    for view in read:
        try:
            columns = inspector.get_columns(view.name, schema)
        except SQLAlchemyError:
            yield replace(view, is_view=True, fault=Cause.UNREADABLE)
        else:
            yield _probe(inspector, replace(view, columns=columns, is_view=True))


def _find_sqlite_kinds(inspector: Inspector) -> tuple[set[Key], set[Key]]:
    """Of SQLite, the tables in which virtual ones keep their data, and those virtual ones."""
    if inspector.dialect.name != "sqlite":
        return set(), set()
    own: set[Key] = set()
    virtual: set[Key] = set()
    for row in _bind(inspector).exec_driver_sql("PRAGMA table_list"):
        if row[2] in ("shadow", "virtual"):
            (own if row[2] == "shadow" else virtual).add(fold_key("main", row[1]))
    return own, virtual


def _bind(inspector: Inspector) -> Connection:
    assert isinstance(inspector.bind, Connection)  # noqa: S101 - tells the type checker
    return inspector.bind


def _probe(inspector: Inspector, relation: Relation) -> Relation:
    """The relation, with a fault where SQLite, which describes also what it cannot read, cannot read it."""
    if inspector.dialect.name == "sqlite":
        query = sqlalchemy.select(sqlalchemy.literal(1)).select_from(
            sqlalchemy.table(relation.name, schema=relation.schema)
        )
        try:
            # A view is only prepared, as it may be slow; a virtual table may fail at its first row.
            _bind(inspector).execute(query.where(sqlalchemy.false()) if relation.is_view else query.limit(1)).close()
        except SQLAlchemyError:
            return replace(relation, fault=Cause.UNREADABLE)
    return relation


def _read_each(inspector: Inspector, schema: str | None, read: Sequence[Relation]) -> list[Relation]:
    """All tables at once, or each alone where one of them cannot be read."""
    try:
        return list(_read_tables(inspector, schema, read))
    except SqlSynthesizerError:
        raise
    except Exception:  # noqa: BLE001 - SQLAlchemy parses definitions, and not every one that a server took
        if len(read) == 1:
            return [replace(read[0], fault=Cause.UNREADABLE)]
        return [found for relation in read for found in _read_each(inspector, schema, [relation])]


def _read_tables(inspector: Inspector, schema: str | None, read: Sequence[Relation]) -> Iterator[Relation]:
    names = [relation.name for relation in read]
    columns = inspector.get_multi_columns(schema, names)
    primary = inspector.get_multi_pk_constraint(schema, names)
    foreign = _read_optional(lambda: inspector.get_multi_foreign_keys(schema, names))
    comments = _read_optional(lambda: inspector.get_multi_table_comment(schema, names))
    for relation in read:
        key = (schema, relation.name)
        if key not in columns:
            yield replace(relation, fault=Cause.UNREADABLE)
            continue
        owned = frozenset(primary[key]["constrained_columns"] if primary.get(key) else ())
        keys = tuple(_foreign_key(found) for found in foreign.get(key, ()))
        comment = shorten_comment(comments[key]["text"] if comments.get(key) else None)
        yield replace(relation, columns=columns[key], primary=owned, keys=keys, comment=comment)


def _read_optional(read: Callable[[], Mapping[TableKey, Found]]) -> Mapping[TableKey, Found]:
    """What ``read`` finds, where the database has such a thing."""
    try:
        return read()
    except NotImplementedError:
        return {}


def shorten_comment(text: str | None) -> str:
    """What is kept of a comment."""
    return (text or "")[:COMMENT_CHARACTERS]


def _foreign_key(found: ReflectedForeignKeyConstraint) -> ForeignKey:
    return ForeignKey(tuple(found["constrained_columns"]), found["referred_table"], tuple(found["referred_columns"]))
