"""What the names in a schema say: their words, which columns name a row to people, and which identify it."""

from __future__ import annotations

from functools import lru_cache

from sql_synthesizer.model import Column, ColumnKind, Table
from sql_synthesizer.synthesizer.engine.words import fold_text
from sql_synthesizer.synthesizer.rules.names import key_columns, label_columns
from sql_synthesizer.synthesizer.rules.text import split_name

_TAILS = {
    "name": "name", "id": "id", "code": "code", "no": "number", "num": "number", "number": "number", "date": "date",
    "type": "type", "desc": "description", "year": "year", "price": "price", "phone": "phone", "address": "address",
    "location": "location", "title": "title", "count": "count", "time": "time", "status": "status",
}  # fmt: skip

_PERSONAL = {
    short + tail: (part, "name") for short, part in (("f", "first"), ("l", "last")) for tail in ("name", "nm")
} | {"firstname": ("first", "name"), "lastname": ("last", "name")}
"""First and last names as they are shortened."""


def fold_words(name: str) -> tuple[str, ...]:
    """The words of a name, without case and accents as those of a question."""
    return tuple(fold_text(word) or word for word in split_name(name))


def name_words(table: Table, column: Column) -> tuple[str, ...]:
    """The words of a column's name, also where they are written as one: cname, flno, stuid."""
    words = fold_words(column.name)
    if words[-1] in _PERSONAL:
        return (*words[:-1], *_PERSONAL[words[-1]])
    if len(words) > 1 and words[-1] == "name" and words[-2] in {"l", "f"}:
        return (*words[:-2], {"l": "last", "f": "first"}[words[-2]], "name")
    if len(words) != 1 or len(words[0]) < 3:
        return words
    owner = "".join(split_name(table.name))
    for tail, meaning in _TAILS.items():
        rest = words[0].removesuffix(tail)
        if (
            rest
            and rest != words[0]
            and (owner.startswith(rest) or (is_subsequence(rest, owner) and rest[0] == owner[0]) or len(rest) > 3)
        ):
            return (rest, meaning)
    return words


def is_flag(column: Column) -> bool:
    """Whether a column says yes or no: is_open, abandoned_yn."""
    words = split_name(column.name)
    if len(words) < 2 or column.kind in {ColumnKind.DATE, ColumnKind.DATETIME}:
        return column.kind is ColumnKind.BOOLEAN
    return column.kind is ColumnKind.BOOLEAN or words[-1] in {"yn", "flag"} or words[0] == "is"


def labels_of(table: Table) -> tuple[Column, ...]:
    """The columns that say to a person which row is meant; the key where none stands out."""
    found = label_columns(table)
    parts = {name_words(table, c)[-2:]: c for c in reversed(table.columns) if not c.sensitive}
    if len(found) != 1 and ("first", "name") in parts and ("last", "name") in parts:
        return (parts["first", "name"], parts["last", "name"])
    visible = [column for column in table.columns if not column.sensitive]
    if len(found) < len(visible) or len(visible) == 1:
        return found
    for tail in ("name", "title"):
        named = [c for c in visible if name_words(table, c)[-1] == tail and c.kind is ColumnKind.TEXT]
        if named:
            return (named[0],)
    return found


def has_labels(table: Table) -> bool:
    """Whether some columns stand out as the name of a row."""
    return len(labels_of(table)) < sum(not column.sensitive for column in table.columns)


@lru_cache(maxsize=2048)
def keys_of(table: Table) -> tuple[Column, ...]:
    """The primary key; where none is declared, what looks like one: id, team_id, tid."""
    found = key_columns(table)
    if found:
        return found
    owner = "".join(split_name(table.name))
    for column in table.columns:
        words = name_words(table, column)
        if words[-1] == "id" and len(words) == 2 and owner.startswith(words[0]):
            return (column,)
    return ()


def is_subsequence(short: str, long: str) -> bool:
    """Whether the signs of one word stand in another in the same order."""
    signs = iter(long)
    return all(sign in signs for sign in short)
