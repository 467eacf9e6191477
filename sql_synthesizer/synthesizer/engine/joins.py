"""How tables link: declared keys, keys by name, and the smallest tree that joins the tables of a plan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from sql_synthesizer.model import Column, ColumnKind, Schema, Table
from sql_synthesizer.synthesizer.engine.naming import fold_words, keys_of
from sql_synthesizer.synthesizer.engine.words import stem_word
from sql_synthesizer.synthesizer.rules.joins import schema_links
from sql_synthesizer.synthesizer.rules.query import Link
from sql_synthesizer.synthesizer.rules.text import split_name

MAX_TABLES = 8
SHARED_PARENT = 1.3
"""What it costs to join two tables only because both refer to a third that nobody spoke of."""
NUMBERS = (ColumnKind.INTEGER, ColumnKind.NUMBER)
DATES = (ColumnKind.DATE, ColumnKind.DATETIME)


@dataclass(frozen=True, slots=True)
class Tree:
    """Joined tables and the links between them; ``cost`` counts links, those that are guessed more."""

    root: Table
    links: tuple[Link, ...]
    cost: float


class Joins:
    """The links of a schema; ``cost`` of a link is 1 when declared."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._edges: dict[str, list[tuple[Link, float]]] = defaultdict(list)
        self._graded: dict[str, list[tuple[Table, Column, int]]] = {}
        declared = list(schema_links(schema))
        pairs = {frozenset({link.child.name, link.parent.name}) for link in declared}
        for link in declared:
            self._add(link, 1.0 + 0.01 * _place(link))
        for link in _named_alike(schema):
            if frozenset({link.child.name, link.parent.name}) not in pairs:
                self._add(link, 1.6)
        for link in _shared_columns(schema):
            if link.parent.name not in self._reach((link.child.name,), ()):
                self._add(link, 2.0)

    def _add(self, link: Link, cost: float) -> None:
        if link.child.name != link.parent.name:
            self._edges[link.child.name].append((link, cost))
            self._edges[link.parent.name].append((link, cost))

    def refers(self, table: Table, column: Column) -> bool:
        """Whether a column refers to another table's key."""
        return any(link.child.name == table.name and column.name in link.columns for link, _ in self._edges[table.name])

    def graded(self, dims: str) -> list[tuple[Table, Column, int]]:
        """The columns whose names hold one of these words, or that hold dates, and the place of the word."""
        if dims not in self._graded:
            stems = [stem_word(word) for word in dims.split()]
            self._graded[dims] = [
                (table, column, place)
                for table in self.schema.tables
                for column in table.columns
                if column not in keys_of(table) and (place := _place_of(column, stems)) is not None
            ]
        return self._graded[dims]

    def children(self, table: Table) -> list[Table]:
        """The tables that refer to a table."""
        found = {link.child.name: link.child for link, _ in self._edges[table.name] if link.parent.name == table.name}
        return list(found.values())

    def links_between(self, one: Table, other: Table) -> list[Link]:
        """The direct links of two tables."""
        return [link for link, _ in self._edges[one.name] if other.name in {link.child.name, link.parent.name}]

    def distance(self, one: str, other: str) -> float:
        """The cost of the cheapest way between two tables; 99 when there is none."""
        return self._distances(one).get(other, 99.0)

    @lru_cache(maxsize=1024)  # noqa: B019
    def _distances(self, start: str) -> dict[str, float]:
        return {name: cost for name, (cost, _) in self._reach((start,), ()).items()}

    def _reach(
        self, starts: Iterable[str], cues: tuple[tuple[frozenset[str], float], ...]
    ) -> dict[str, tuple[float, tuple[Link, ...]]]:
        """Table -> (cost, links) of the cheapest way from the starts."""
        best: dict[str, tuple[float, tuple[Link, ...]]] = dict.fromkeys(starts, (0.0, ()))
        start_set = frozenset(best)
        waiting = set(best)
        done: set[str] = set()
        while waiting:
            name = min(waiting, key=lambda n: (best[n][0], n))
            waiting.discard(name)
            done.add(name)
            cost, path = best[name]
            for link, weight in self._edges[name]:
                other = link.parent.name if link.child.name == name else link.child.name
                turn = bool(path) and name not in start_set and path[-1].parent.name == link.parent.name == name
                total = cost + weight + _cue_cost(link, cues) + (SHARED_PARENT if turn else 0.0)
                if other not in done and (other not in best or total < best[other][0] - 1e-9):
                    best[other] = (total, (*path, link))
                    waiting.add(other)
        return best

    def connect(self, tables: list[Table], cues: tuple[tuple[frozenset[str], float], ...] = ()) -> Tree | None:
        """The cheapest tree found that joins the tables: the nearest is joined first, from each possible start."""
        if len(tables) > MAX_TABLES:
            return None
        trees = [tree for start in tables if (tree := self._grow(start, tables, cues))]
        return min(trees, key=lambda tree: tree.cost, default=None)

    def _grow(self, start: Table, tables: list[Table], cues: tuple[tuple[frozenset[str], float], ...]) -> Tree | None:
        joined, links, cost = {start.name}, list[Link](), 0.0
        missing = {table.name for table in tables} - joined
        while missing:
            ways = self._reach(sorted(joined), cues)
            known = [name for name in sorted(missing) if name in ways]
            if len(known) < len(missing):
                return None
            nearest = min(known, key=lambda name: ways[name][0])
            cost += ways[nearest][0]
            for link in ways[nearest][1]:
                links.append(link)
                joined |= {link.child.name, link.parent.name}
            missing -= joined
        return Tree(start, tuple(links), cost)


def _place_of(column: Column, stems: list[str]) -> int | None:
    words = [stem_word(word) for word in fold_words(column.name)]
    for place, stem in enumerate(stems):
        if any(stem == word or (len(stem) > 3 and word.endswith(stem)) for word in words):
            return place
    date = stem_word("date")
    return stems.index(date) if column.kind in DATES and date in stems else None


def _place(link: Link) -> int:
    """The place of the key among the columns of its table: of two keys to one table the first is the subject's."""
    return [column.name for column in link.child.columns].index(link.columns[0]) if link.columns else 0


def _cue_cost(link: Link, cues: tuple[tuple[frozenset[str], float], ...]) -> float:
    """Less where words of the question stand in the name of the key."""
    words = {word for name in link.columns for word in split_name(name)}
    return sum((weight for cue, weight in cues if cue & words), 0.0)


def _named_alike(schema: Schema) -> Iterable[Link]:
    """Links between columns of the same name and kind, one of which is a key or called id or code."""
    places: dict[str, list[tuple[Table, Column]]] = defaultdict(list)
    for table in schema.tables:
        for column in table.columns:
            places[column.name.casefold()].append((table, column))
    for name, found in places.items():
        words = split_name(name)
        keyed = [(t, c) for t, c in found if c in keys_of(t) and len(keys_of(t)) == 1]
        if len(found) < 2 or words in {("id",), ("name",), ("code",), ("number",)} or not keyed:
            continue
        parents = keyed
        for table, column in found:
            for parent, key in parents:
                same = key.kind is column.kind or (key.kind in NUMBERS and column.kind in NUMBERS)
                if table.name != parent.name and same:
                    yield Link(table, (column.name,), parent, (key.name,))


def _shared_columns(schema: Schema) -> Iterable[Link]:
    """Links by a column that is no key; the table in which it comes first is the one referred to."""
    places: dict[tuple[str, ColumnKind], list[tuple[int, Table, Column]]] = defaultdict(list)
    for table in schema.tables:
        for place, column in enumerate(table.columns):
            words = split_name(column.name)
            if len(words) > 1 and words[-1] in {"id", "code", "name", "no"} and words[-2] not in {"first", "last"}:
                places[column.name.casefold(), column.kind].append((place, table, column))
    for found in places.values():
        (_, parent, key), *others = sorted(found, key=lambda place: (place[0], place[1].name))
        for _, table, column in others:
            yield Link(table, (column.name,), parent, (key.name,))


@lru_cache(maxsize=64)
def joins_of(schema: Schema) -> Joins:
    """The links of a schema, found once."""
    return Joins(schema)
