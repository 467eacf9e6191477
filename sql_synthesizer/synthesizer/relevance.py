"""Which tables of a large schema a question may be about, so that nobody has to look at all of them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from sql_synthesizer.model import Schema, Table, ValueLookup
from sql_synthesizer.synthesizer.exposure import sensitive_names
from sql_synthesizer.synthesizer.rules.text import singular_form

MOST_TABLES = 100
"""Tables that a question is read with: it takes the longer to read, the more pairs of them there are."""
MOST_KEPT = MOST_TABLES // 4
"""Tables with sensitive columns that every question is read with, as far as there are as many."""
LOOKUPS = 40
"""Words of a question that are looked up among the values."""
_WORD = re.compile(r"[^\W\d_]+|\d+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_TOKEN = re.compile(r"\w+")


def name_words(text: str) -> frozenset[str]:
    """The words of a question, or of a name in any case style, without plural endings."""
    return frozenset(singular_form(word.lower()) for word in _WORD.findall(_HUMP.sub(" ", text)))


@dataclass(frozen=True, slots=True, eq=False)
class _Version:
    """A schema as the key of a cache: to look at all of it would take longer than to find anything."""

    schema: Schema

    def __hash__(self) -> int:
        return hash((self.schema.database, self.schema.version))

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, _Version) and other.schema
        return isinstance(same, Schema) and (
            same is self.schema
            or (bool(same.version) and (same.database, same.version) == (self.schema.database, self.schema.version))
        )


@dataclass(slots=True)
class _Index:
    """Where each word stands in the names of tables and of their columns, by the tables' places."""

    tables: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    columns: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    names: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    near: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Tables that a foreign key joins."""
    kept: list[int] = field(default_factory=list)
    """Tables with sensitive columns."""
    secrets: frozenset[str] = frozenset()


@lru_cache(maxsize=16)
def _index_of(version: _Version) -> _Index:
    index = _Index()
    places = {table.name: place for place, table in enumerate(version.schema.tables)}
    for place, table in enumerate(version.schema.tables):
        index.names[table.name.casefold()].append(place)
        for word in name_words(f"{table.name} {table.comment}"):
            index.tables[word].append(place)
        for word in name_words(" ".join(column.name for column in table.columns)):
            index.columns[word].append(place)
        for target in (places.get(key.target) for key in table.foreign_keys):
            if target is not None:
                index.near[place].add(target)
                index.near[target].add(place)
        if any(column.sensitive for column in table.columns):
            index.kept.append(place)
    index.secrets = sensitive_names(version.schema)
    return index


def relevant_schema(schema: Schema, question: str, values: ValueLookup) -> Schema:
    """The schema, cut to the tables that the question most likely is about where it has more than 100."""
    if len(schema.tables) <= MOST_TABLES:
        return schema
    index = _index_of(_Version(schema))
    scores: dict[int, float] = defaultdict(float)

    def add(places: Iterable[int], weight: float) -> None:
        for place in places:
            scores[place] += weight

    for word in name_words(question):
        for known, weight in ((index.tables, 4.0), (index.columns, 1.0)):
            places = known.get(word, ())
            add(places, weight / (1 + len(places)) + weight / 100)  # the rarer, the more it says
    tokens = [token.casefold() for token in _TOKEN.findall(question)]
    add((place for token in tokens for place in index.names.get(token, ())), 100.0)
    for token in tokens[:LOOKUPS]:
        add((place for match in values.find(token) for place in index.names.get(match.table.casefold(), ())), 2.0)
    return _cut(schema, index, sorted(scores, key=lambda place: (-scores[place], place)))


def _cut(schema: Schema, index: _Index, ranked: Sequence[int]) -> Schema:
    """The best tables with what they are joined to, in the order of the schema."""
    chosen = set(index.kept[:MOST_KEPT])
    kept = len(chosen)
    for place in [*ranked, *range(len(schema.tables))]:
        if len(chosen) >= MOST_TABLES:
            break
        chosen.add(place)
        if len(chosen) - kept <= MOST_TABLES // 2:
            chosen.update(sorted(index.near.get(place, ()))[:8])
    tables: tuple[Table, ...] = tuple(schema.tables[place] for place in sorted(chosen))
    known = {table.name for table in tables}
    return replace(
        schema, tables=tuple(_with_keys_to(known, table) for table in tables), left_out=(), secrets=index.secrets
    )


def _with_keys_to(known: set[str], table: Table) -> Table:
    return replace(table, foreign_keys=tuple(key for key in table.foreign_keys if key.target in known))
