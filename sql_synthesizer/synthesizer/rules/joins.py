"""How tables link: declared foreign keys, and columns that are named like another table's key."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache

from sql_synthesizer.model import Schema, Table
from sql_synthesizer.synthesizer.rules.draft import NotUnderstood
from sql_synthesizer.synthesizer.rules.names import key_columns
from sql_synthesizer.synthesizer.rules.query import Link
from sql_synthesizer.synthesizer.rules.text import split_name

MAX_HOPS = 4


class JoinGraph:
    """The tables of a schema as nodes and their links as edges."""

    def __init__(self, schema: Schema) -> None:
        self._edges: dict[str, list[Link]] = defaultdict(list)
        for link in schema_links(schema):
            if link.child.name != link.parent.name:
                self._edges[link.child.name].append(link)
                self._edges[link.parent.name].append(link)

    def direct_links(self, one: Table, other: Table) -> list[Link]:
        """The links between two tables."""
        return [link for link in self._edges[one.name] if other.name in {link.child.name, link.parent.name}]

    def distance(self, start: Table, goal: Table) -> int | None:
        """How many joins lie between two tables; None when they are not linked."""
        paths = self._shortest_paths({start.name}, goal)
        return len(paths[0]) if paths else (0 if start.name == goal.name else None)

    def connect(self, root: Table, others: Iterable[Table]) -> list[Link]:
        """The links that join ``others`` to ``root``, in order. Raises NotUnderstood when there is not one best way."""
        joined = {root.name}
        chosen: list[Link] = []
        waiting = {table.name: table for table in others if table.name != root.name}
        while waiting:
            routes = {name: self._shortest_paths(joined, table) for name, table in waiting.items()}
            if not all(routes.values()):
                lost = next(name for name, paths in routes.items() if not paths)
                raise NotUnderstood(f"how {lost} is linked to {root.name}")
            nearest = min(routes, key=lambda name: len(routes[name][0]))
            if len(routes[nearest]) > 1:
                raise NotUnderstood(f"which link between {nearest} and {root.name} is meant")
            if _through_shared_parent(routes[nearest][0], joined | set(waiting)):
                raise NotUnderstood(f"how {nearest} is linked to {root.name}")
            for link in routes[nearest][0]:
                chosen.append(link)
                joined |= {link.child.name, link.parent.name}
            waiting = {name: table for name, table in waiting.items() if name not in joined}
        return chosen

    def _shortest_paths(self, joined: set[str], goal: Table) -> list[list[Link]]:
        """All shortest ways from the joined tables to ``goal``."""
        layer: list[tuple[str, list[Link]]] = [(name, []) for name in sorted(joined)]
        seen = set(joined)
        for _ in range(MAX_HOPS):
            following = [
                (other, [*path, link])
                for name, path in layer
                for link in self._edges[name]
                if (other := link.parent.name if link.child.name == name else link.child.name) not in seen
            ]
            if found := [path for name, path in following if name == goal.name]:
                return found
            seen |= {name for name, _ in following}
            layer = following
        return []


def schema_links(schema: Schema) -> Iterator[Link]:
    """The links between tables: declared foreign keys, and columns named like one other table's key."""
    for table in schema.tables:
        declared: set[str] = set()
        for key in table.foreign_keys:
            target = schema.table(key.target)
            if target is not None:
                declared |= {name.casefold() for name in key.columns}
                yield Link(table, key.columns, target, key.target_columns)
        yield from _implied_links(schema, table, declared)


def _through_shared_parent(path: list[Link], mentioned: set[str]) -> bool:
    """Whether two tables would be joined only because both refer to a third that nobody mentioned."""
    return any(a.parent.name == b.parent.name and a.parent.name not in mentioned for a, b in itertools.pairwise(path))


def _implied_links(schema: Schema, table: Table, declared: set[str]) -> Iterator[Link]:
    """Links that no foreign key declares: a column named like one other table's single-column key."""
    own = {c.name.casefold() for c in key_columns(table)} if len(key_columns(table)) == 1 else set()
    for column in table.columns:
        words = split_name(column.name)
        if column.name.casefold() in declared | own:
            continue
        targets = [
            (other, key)
            for other in schema.tables
            if other.name != table.name and len(key_columns(other)) == 1 and (key := key_columns(other)[0])
            if key.kind is column.kind and _is_key_name(words, split_name(other.name), split_name(key.name))
        ]
        if len(targets) == 1:
            other, key = targets[0]
            yield Link(table, (column.name,), other, (key.name,))


def _is_key_name(words: tuple[str, ...], table: tuple[str, ...], key: tuple[str, ...]) -> bool:
    if words == table or (len(words) > 1 and words[-1] == "id" and words[:-1] in {table, table[-1:]}):
        return True
    return len(key) > 1 and key[-1] == "id" and words == key


def is_to_many(link: Link, source: str) -> bool:
    """Whether going over ``link`` from the table ``source`` can meet several rows."""
    if link.child.name == source:
        return False
    own = {column.name.casefold() for column in key_columns(link.child)}
    return own != {name.casefold() for name in link.columns}


def fan_out_tables(links: Iterable[Link], source: str) -> set[str]:
    """The joined tables of which several rows can belong to one row of ``source``."""
    remaining, reached, many = list(links), {source}, set[str]()
    while remaining:
        ready = [link for link in remaining if reached & {link.child.name, link.parent.name}]
        if not ready:
            break
        for link in ready:
            start, end = link.child.name, link.parent.name
            if start not in reached:
                start, end = end, start
            reached.add(end)
            if start in many or is_to_many(link, start):
                many.add(end)
            remaining.remove(link)
    return many


@lru_cache(maxsize=64)
def graph_of(schema: Schema) -> JoinGraph:
    """The graph of a schema, built once."""
    return JoinGraph(schema)
