"""Which words can mean which table or column of a schema, and how sure that is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from sql_synthesizer.model import Column, ColumnKind, Schema, Table
from sql_synthesizer.synthesizer.rules.text import split_name, word_stem

EXACT, QUALIFIED, SHORTENED, PARTIAL = 1.0, 0.95, 0.8, 0.6
LONGEST_NAME = 6
LONGEST_COMMENT = 3
"""Words of a comment that still is another name; a longer one is a description."""
LINKING = frozenset({"of", "the"})
"""Words that join the parts of a name and tell no two names apart."""

_GENERIC_TAILS = frozenset({"name", "code", "id", "number", "type", "text", "value", "flag"})
_GENERIC_HEADS = frozenset({"is", "has", "was"})
_CONTAINERS = frozenset({"data", "info", "information", "list", "record", "table", "detail", "master"})
_LABELS = ("name", "full name", "display name")
_TITLES = ("title", "label", "caption")
_PREFIXES = frozenset({"ref", "tbl", "dim", "fact", "lookup"})


@dataclass(frozen=True, slots=True)
class Hit:
    """A table, or a column of it, that words can mean; ``quality`` is between 0 and 1."""

    table: Table
    column: Column | None
    quality: float


class Names:
    """An index from the joined, folded words of a name to what it can mean."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._hits: dict[str, dict[tuple[str, str], Hit]] = defaultdict(dict)
        self.words: set[str] = set()
        for table in schema.tables:
            self._add_table(table)

    def lookup(self, words: tuple[str, ...]) -> tuple[Hit, ...]:
        """What these words (in the singular) can mean, the surest first."""
        found = self._hits.get("".join(words)) or self._hits.get("~" + "".join(map(word_stem, words))) or {}
        return tuple(sorted(found.values(), key=lambda hit: -hit.quality))

    def _add_table(self, table: Table) -> None:
        words = split_name(table.name)
        self._add_spelling(words, Hit(table, None, EXACT))
        if len(words) > 1 and words[0] in _PREFIXES:
            self._add_spelling(words[1:], Hit(table, None, QUALIFIED))
        for index in range(1, len(words)):
            self._add_spelling(words[index:], Hit(table, None, PARTIAL))
        if len(words) > 1 and words[-1] in _CONTAINERS:
            self._add_spelling(words[:-1], Hit(table, None, SHORTENED))
        for column in table.columns:
            for spelling, quality in _name_spellings(words, split_name(column.name), column):
                self._add_spelling(spelling, Hit(table, column, quality))

    def _add_spelling(self, words: tuple[str, ...], hit: Hit) -> None:
        self.words.update(words)
        words = tuple(word for word in words if word not in LINKING) or words
        key = (hit.table.name, hit.column.name if hit.column else "")
        for form in ("".join(words), "~" + "".join(map(word_stem, words))):
            known = self._hits[form].get(key)
            if known is None or known.quality < hit.quality:
                self._hits[form][key] = hit


def _name_spellings(
    table: tuple[str, ...], words: tuple[str, ...], column: Column
) -> Iterator[tuple[tuple[str, ...], float]]:
    yield words, EXACT
    yield (*table, *words), QUALIFIED
    own = words
    for size in range(len(table), 0, -1):
        if len(words) > size and all(map(_is_abbreviation, words, table[-size:])):
            own = words[size:]
            yield own, QUALIFIED
            break
    comment = split_name(column.comment)
    if column.comment and len(comment) <= LONGEST_COMMENT:
        yield comment, SHORTENED
    if column.primary_key and words[-1] == "id":
        yield ("id",), SHORTENED
    if own[0] in _GENERIC_HEADS and len(own) > 1:
        yield own[1:], QUALIFIED
    if len(own) > 1 and own[-1] in _GENERIC_TAILS and not _is_key(column):
        yield own[:-1], SHORTENED
        yield words[:-1], SHORTENED
    for start in range(len(own)):
        for end in range(start + 1, len(own) + 1):
            part = own[start:end]
            if part != own and not set(part) <= {"id", "of", "in", "at", "by", "is"} and not _is_key(column):
                yield part, PARTIAL


def _is_abbreviation(short: str, word: str) -> bool:
    return short == word or (len(short) >= 3 and word.startswith(short))


def _is_key(column: Column) -> bool:
    return column.primary_key or split_name(column.name)[-1:] == ("id",)


def label_columns(table: Table) -> tuple[Column, ...]:
    """The columns that say to a person which row is meant; all that are not sensitive when none stands out."""
    own = split_name(table.name)
    by_name = {_own_name(own, column): column for column in table.columns if not column.sensitive}
    for name in _LABELS:
        if name in by_name:
            return (by_name[name],)
    if "first name" in by_name and "last name" in by_name:
        return (by_name["first name"], by_name["last name"])
    for name in _TITLES:
        if name in by_name:
            return (by_name[name],)
    same = [c for c in table.columns if split_name(c.name) == own and c.kind is ColumnKind.TEXT]
    tails = [
        c
        for name, c in by_name.items()
        if name.endswith(" name") and c.kind is ColumnKind.TEXT and len(name.split()) == 2
    ]
    if same or len(tails) == 1:
        return tuple(same or tails)
    return tuple(c for c in table.columns if not c.sensitive)


def _own_name(table: tuple[str, ...], column: Column) -> str:
    words = split_name(column.name)
    if len(words) > len(table) and words[: len(table)] == table:
        words = words[len(table) :]
    elif len(words) > 1 and words[0] == table[-1]:
        words = words[1:]
    return " ".join(words)


def has_label(table: Table) -> bool:
    """Whether some columns stand out as the name of a row."""
    return len(label_columns(table)) < len([c for c in table.columns if not c.sensitive])


def key_columns(table: Table) -> tuple[Column, ...]:
    """The primary key; where none is declared, a column called id or <table>_id."""
    declared = tuple(c for c in table.columns if c.primary_key)
    if declared:
        return declared
    own = split_name(table.name)
    return tuple(c for c in table.columns if split_name(c.name) in {("id",), (*own, "id"), (own[-1], "id")})[:1]


@lru_cache(maxsize=64)
def names_of(schema: Schema) -> Names:
    """The index of a schema, built once."""
    return Names(schema)
