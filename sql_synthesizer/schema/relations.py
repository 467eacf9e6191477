"""The tables and views of a database as it describes them: read in bulk, and what is broken costs only itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from sql_synthesizer.model import Cause, ColumnKind, ForeignKey
from sql_synthesizer.schema.definitions import Key
from sql_synthesizer.schema.lineage import Lineage, fold_key
from sql_synthesizer.settings import DatabaseSettings

MAX_TABLES = 5_000
MAX_COLUMNS = 1_000
COLUMNS_IN_ALL = 200_000
COMMENT_CHARACTERS = 500
PROBES = 50
"""Views that are looked at in one statement."""
_NO_PRIVILEGE = "42501"
"""PostgreSQL's insufficient_privilege."""


@dataclass(frozen=True, slots=True)
class FoundColumn:
    """A column; ``computed`` is what it is generated from, None where it is not, empty where that is not known."""

    name: str
    kind: ColumnKind
    type: str
    nullable: bool = True
    comment: str = ""
    computed: str | None = None
    readable: bool = True


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view as the database describes it; one that is not ``listed`` is read for its names alone.

    ``fault`` is why it cannot be offered; ``doubtful`` whether it may not be readable although it is described;
    ``partial`` whether it may have columns that the server does not tell this login.
    """

    name: str
    schema: str | None
    key: Key = ("", "")
    listed: bool = True
    columns: Sequence[FoundColumn] = ()
    primary: frozenset[str] = frozenset()
    keys: tuple[ForeignKey, ...] = ()
    comment: str = ""
    is_view: bool = False
    doubtful: bool = False
    partial: bool = False
    fault: Cause | None = None

    @property
    def column_names(self) -> tuple[str, ...]:
        """Its columns, casefolded."""
        return tuple(column.name.casefold() for column in self.columns)


@dataclass(frozen=True, slots=True)
class Chooser:
    """Which relations of a schema are to be read, by the settings."""

    config: DatabaseSettings
    lineage: Lineage
    default: str
    """The schema of what needs no qualification."""

    def choose(self, relations: Iterable[Relation]) -> tuple[list[Relation], list[Relation]]:
        """Those to be read, and the rest, each with its key."""
        config, lineage = self.config, self.lineage
        marks = [name.casefold() for name in (*config.hidden, *config.sensitive, *config.shareable)]
        named = {".".join(parts[:n]) for parts in (mark.split(".") for mark in marks) for n in (1, 2, 3)}
        allowed = {name.casefold() for name in config.tables}
        read: list[Relation] = []
        rest: list[Relation] = []
        for relation in sorted(relations, key=lambda relation: relation.name):
            home = relation.schema or lineage.homes.get(relation.name, self.default)
            key = fold_key(home, relation.name)
            spelled = {key[1], ".".join(key)}
            chosen = relation.listed and key not in lineage.partitions
            chosen = not allowed.isdisjoint(spelled) if allowed else chosen
            found = replace(relation, key=key, listed=chosen)
            if not named.isdisjoint(spelled) or (chosen and len(read) < MAX_TABLES):
                read.append(found)
            else:
                rest.append(replace(found, fault=Cause.TOO_MANY if chosen else None))
        return read, rest


Describe = Callable[[Sequence[Relation]], Iterable[Relation]]
"""Gives relations their columns and keys."""


def describe_each(connection: Connection, describe: Describe, read: Sequence[Relation]) -> list[Relation]:
    """All relations at once, or each alone where one of them cannot be described."""
    try:
        with _undone(connection):
            return list(describe(read)) if read else []
    except SQLAlchemyError as error:
        if connection.invalidated:  # nothing could be described any more
            raise
        if len(read) == 1:
            return [replace(read[0], fault=_cause_of(error))]
        return [found for relation in read for found in describe_each(connection, describe, [relation])]


def _cause_of(error: SQLAlchemyError) -> Cause:
    state = getattr(getattr(error, "orig", None), "sqlstate", "")
    return Cause.FORBIDDEN if state == _NO_PRIVILEGE else Cause.UNREADABLE


@contextmanager
def _undone(connection: Connection) -> Iterator[None]:
    """Keeps an error from ending the transaction, as it does in PostgreSQL."""
    if connection.dialect.name != "postgresql":
        yield
        return
    connection.exec_driver_sql("SAVEPOINT reading")
    try:
        yield
    finally:
        if not connection.invalidated:
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT reading")
            connection.exec_driver_sql("RELEASE SAVEPOINT reading")


def find_faults(connection: Connection, relations: Iterable[Relation]) -> Iterator[Relation]:
    """The relations, those with a fault that the login may not or nobody can read."""
    doubted: list[Relation] = []
    for relation in relations:
        if relation.fault is None and relation.listed and relation.columns:
            if not any(column.readable for column in relation.columns):
                yield replace(relation, fault=Cause.FORBIDDEN)
                continue
            if relation.doubtful:
                doubted.append(relation)
                continue
        yield relation
    for start in range(0, len(doubted), PROBES):
        yield from _probe(connection, doubted[start : start + PROBES])


def _probe(connection: Connection, relations: Sequence[Relation]) -> Iterator[Relation]:
    """Prepares to read all, and where that fails each half of them."""
    try:
        with _undone(connection):
            connection.execute(sqlalchemy.union_all(*map(_probe_query, relations))).fetchall()
    except SQLAlchemyError:
        if connection.invalidated:
            raise
        if len(relations) == 1:
            yield replace(relations[0], fault=Cause.UNREADABLE)
            return
        middle = len(relations) // 2
        yield from _probe(connection, relations[:middle])
        yield from _probe(connection, relations[middle:])
    else:
        yield from relations


def _probe_query(relation: Relation) -> sqlalchemy.Select[int]:
    column = next(column.name for column in relation.columns if column.readable)
    table = sqlalchemy.table(relation.name, sqlalchemy.column(column), schema=relation.schema)
    query = sqlalchemy.select(table.c[column])
    # A view is only prepared, as it may be slow; another may fail at its first row.
    query = query.where(sqlalchemy.false()) if relation.is_view else query.limit(1)
    return sqlalchemy.select(sqlalchemy.literal(1)).select_from(query.subquery())


def shorten_comment(text: str | None) -> str:
    """What is kept of a comment."""
    return (text or "")[:COMMENT_CHARACTERS]


def group_keys(rows: Iterable[Sequence[Any]]) -> Mapping[str, tuple[ForeignKey, ...]]:
    """Table -> its foreign keys, from rows of table, constraint, column, target and target column, in their order."""
    parts: dict[tuple[str, object], list[tuple[str, str, str]]] = {}
    for table, constraint, *part in rows:
        parts.setdefault((table, constraint), []).append((part[0], part[1], part[2]))
    keys: dict[str, tuple[ForeignKey, ...]] = {}
    for (table, _), found in parts.items():
        key = ForeignKey(tuple(one[0] for one in found), found[0][1], tuple(one[2] for one in found))
        keys[table] = (*keys.get(table, ()), key)
    return keys
