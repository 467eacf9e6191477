"""Where the data of a table shows again, by the server's catalogue: partitions, children, views, generated columns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from sqlalchemy import Connection, text
from sqlglot.errors import SqlglotError

from sql_synthesizer.model.dialects import DIALECTS, SYSTEM_SCHEMAS
from sql_synthesizer.schema.definitions import WHOLE, Definition, Key, name_tokens

_POSTGRES_CHILDREN = """
SELECT pn.nspname, p.relname, cn.nspname, c.relname, c.relispartition FROM pg_inherits i
JOIN pg_class p ON p.oid = i.inhparent AND p.relkind IN ('r', 'p', 'f') JOIN pg_namespace pn ON pn.oid = p.relnamespace
JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace"""
_POSTGRES_HOMES = """
SELECT c.relname, n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND pg_table_is_visible(c.oid)"""


@dataclass(slots=True)
class Lineage:
    """``children`` are pairs of parent and child; ``homes`` has the schemas of tables that need not be qualified."""

    dialect: str
    views: dict[Key, Definition] = field(default_factory=dict)
    children: list[tuple[Key, Key]] = field(default_factory=list)
    partitions: set[Key] = field(default_factory=set)
    homes: dict[str, str] = field(default_factory=dict)
    generated: list[tuple[Key, str, set[str] | None]] = field(default_factory=list)
    """Table, column, and the words of what the column is computed from where that can be read."""

    def add_view(self, key: Key, columns: Sequence[str]) -> None:
        """Notes the columns of a view; one that the catalogue does not define may show anything."""
        self.views.setdefault(key, Definition(None, self.dialect)).columns = columns

    def add_generated(self, key: Key, column: str, expression: str) -> None:
        """Notes a column that is computed from others of its table; ``expression`` is empty where it is not known."""
        words = None
        with suppress(SqlglotError):
            words = set(name_tokens(expression, self.dialect)) or None
        self.generated.append((key, column, words))

    def spread(self, given: Mapping[Key, set[str]], orders: Mapping[Key, Sequence[str]]) -> dict[Key, set[str]]:
        """The marked columns with all that show the same data."""
        marked = defaultdict(set, {key: set(names) for key, names in given.items()})
        by_name: dict[str, Sequence[str]] = {}
        for (_, name), order in orders.items():
            by_name[name] = order if by_name.get(name, order) == order else ("*",)
        size = -1
        while size != (size := sum(map(len, marked.values()))):
            for parent, child in self.children:
                marked[child] |= marked[parent]
                marked[parent] |= marked[child] & {*orders.get(parent, marked[child]), WHOLE}
            for key, column, words in self.generated:
                if marked[key] and (words is None or words & marked[key]):
                    marked[key].add(column)
            for key, view in self.views.items():
                others = {other: names for other, names in marked.items() if other != key}
                marked[key] |= view.find_shown(others, by_name)
        return dict(marked)


def read_lineage(connection: Connection, dialect: str, *, marked: bool) -> Lineage:
    """What the catalogue tells; views only where something is marked."""
    lineage = Lineage(dialect)
    if dialect == "postgresql":
        for parent_schema, parent, schema, child, is_partition in connection.execute(text(_POSTGRES_CHILDREN)):
            key = fold_key(schema, child)
            lineage.children.append((fold_key(parent_schema, parent), key))
            if is_partition:
                lineage.partitions.add(key)
        lineage.homes = {row.relname: row.nspname for row in connection.execute(text(_POSTGRES_HOMES))}
    query = DIALECTS[dialect].views
    if marked and query:
        for schema, name, sql in connection.execute(text(query)):
            if schema.casefold() not in SYSTEM_SCHEMAS:
                lineage.views[fold_key(schema, name)] = Definition(sql, dialect)
    return lineage


def fold_key(schema: str, name: str) -> Key:
    """Where the lineage has a table."""
    return schema.casefold(), name.casefold()
