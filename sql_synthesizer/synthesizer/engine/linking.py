"""What in a schema and its data the words of a question can mean, and what each such link costs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz import fuzz

from sql_synthesizer.model import Column, ColumnKind, Schema, Table
from sql_synthesizer.synthesizer.engine.naming import (
    fold_words,
    is_flag,
    is_subsequence,
    keys_of,
    labels_of,
    name_words,
)
from sql_synthesizer.synthesizer.engine.synonyms import EXPANSIONS, synonyms
from sql_synthesizer.synthesizer.engine.words import Token, fold_text, stem_word

GENERIC = frozenset(
    stem_word(word)
    for word in "name id code number type text value date description titl detail count total full first last".split()
)
TYPO, ABBREVIATION, ALIAS, SYNONYM = 0.25, 0.12, 0.25, 0.36
FLAGS = frozenset(map(stem_word, ("is", "yn", "flag")))
"""Words that only say that a column is of yes and no."""
HEADED = 0.4
"""What half of a table's name costs when its last word is said: orders, for customer orders."""
LEAST_RATIO = 85.0
REMEMBERED = 4096
"""Words of questions whose costs are kept for a schema."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A table, or a column of it, and what it costs to read some words as it: 0 is as spelled."""

    table: Table
    column: Column | None
    cost: float


@dataclass(frozen=True, slots=True)
class _Entry:
    """A name as stems; ``own`` are words that only repeat the table."""

    table: Table
    column: Column | None
    words: tuple[str, ...]
    own: frozenset[str]
    joined: str
    verbal: bool = False  # ends with by: directed_by


class Names:
    """The names of a schema as folded words."""

    def __init__(self, schema: Schema) -> None:
        self._entries: list[_Entry] = []
        self._aliases: list[_Entry] = []
        self._table_words: dict[str, frozenset[str]] = {}
        for table in schema.tables:
            self._add_table(table)
        self.vocabulary = sorted({word for entry in self._entries for word in entry.words})
        self._by_word: dict[str, list[_Entry]] = {}
        for entry in self._entries:
            for word in set(entry.words):
                self._by_word.setdefault(word, []).append(entry)
        self._initialled: dict[str, list[_Entry]] = {}
        for entry in self._entries:
            rest = [word for word in entry.words if word not in entry.own]
            if len(rest) == 1:
                self._initialled.setdefault(rest[0], []).append(entry)
        self._costs: dict[str, dict[str, float]] = {}
        self._joined: dict[str, list[_Entry]] = {}
        for entry in self._entries:
            self._joined.setdefault(entry.joined, []).append(entry)

    def _add_table(self, table: Table) -> None:
        words = tuple(map(stem_word, fold_words(table.name)))
        words = _without_joints(words)
        self._table_words[table.name] = frozenset(words)
        prefixes = frozenset(word for word in words if word in {"ref", "tbl", "dim", "fact", "lookup", "data", "all"})
        kept = frozenset() if len(prefixes) == len(words) else prefixes
        self._entries.append(_Entry(table, None, words, kept, joined_name(table.name)))
        columns = [_without_joints(tuple(map(stem_word, name_words(table, column)))) for column in table.columns]
        shared = _shared_prefix(columns)
        for column, parts in zip(table.columns, columns, strict=True):
            own = frozenset(
                part
                for part in parts[:-1]
                if part in words
                or (len(parts) == 2 and "".join(words).startswith(part))
                or part == shared
                or (len(part) == 1 and any(w.startswith(part) for w in words))
            )
            if is_flag(column) and len(parts) > 1:
                own |= frozenset(parts) & FLAGS
            verbal = column.name.casefold().endswith("by")
            self._entries.append(_Entry(table, column, parts, own, joined_name(column.name), verbal))
            self._add_aliases(table, column, parts)

    def _add_aliases(self, table: Table, column: Column, parts: tuple[str, ...]) -> None:
        """A key is called id whatever its name; what names the rows is called name, a single date date."""
        dates = [c for c in table.columns if is_time(c)]
        if (
            dates == [column]
            and column.kind in {ColumnKind.DATE, ColumnKind.DATETIME}
            and stem_word("date") not in parts
        ):
            self._aliases.append(_Entry(table, column, (stem_word("date"),), frozenset(), "date"))
        if is_key(table, column) and "id" not in parts:
            self._aliases.append(_Entry(table, column, ("id",), frozenset(), "id"))
        labels = labels_of(table)
        if len(labels) == 2 and column in labels and parts[-1:] == (stem_word("name"),):
            self._aliases.append(_Entry(table, column, (stem_word("full"), stem_word("name")), frozenset(), "fullname"))
        if column in labels and len(labels) < len(table.columns) and stem_word("name") not in parts:
            self._aliases.append(_Entry(table, column, (stem_word("name"),), frozenset(), "name"))

    def lookup(self, words: tuple[str, ...], raw: str, joint: int = 0, initials: str = "") -> list[Hit]:
        """What these stems can mean, each table or column once, the cheapest first.

        ``raw`` are the words joined; ``joint`` is how many words stand before a preposition, 0 where there is none;
        ``initials`` are the first letters of all words, which a name may consist of: miles per gallon, mpg.
        """
        found: dict[tuple[str, str], Hit] = {}
        for entry in self._joined.get(raw, ()):
            _keep(found, Hit(entry.table, entry.column, 0.0))
        costs = [self.word_costs(word) for word in words]
        if all(costs):
            entries = {id(e): e for name in costs[0] for e in self._by_word[name]}
            if len(words) > 1:
                entries |= {id(e): e for name in costs[-1] for e in self._by_word[name]}
            for entry in entries.values():
                cost = self._cost(entry, words, costs, joint)
                if cost is not None:
                    _keep(found, Hit(entry.table, entry.column, cost))
        for entry in self._initialled.get(initials, ()) if len(initials) > 2 else ():
            _keep(found, Hit(entry.table, entry.column, ABBREVIATION))
        for entry in self._aliases:
            if words == entry.words or (
                len(words) == 2 and words[-1] == entry.words[0] and words[0] in self._table_words[entry.table.name]
            ):
                _keep(found, Hit(entry.table, entry.column, ALIAS))
        return sorted(found.values(), key=lambda hit: hit.cost)

    def word_costs(self, word: str) -> dict[str, float]:
        """The words of the schema that a word of a question can stand for, with costs."""
        if word not in self._costs:
            if len(self._costs) >= REMEMBERED:
                self._costs.clear()
            costs = ((name, _word_cost(word, name)) for name in self.vocabulary)
            self._costs[word] = {name: cost for name, cost in costs if cost is not None}
        return self._costs[word]

    def _cost(self, entry: _Entry, words: tuple[str, ...], costs: list[dict[str, float]], joint: int) -> float | None:
        """What it costs to read the words as this name; None where one of them has no part in it."""
        table = self._table_words[entry.table.name]
        used: set[str] = set()
        total, matched = 0.0, 0
        named: set[str] = set()
        for place, known in enumerate(costs):
            best = min(
                ((cost, name) for name, cost in known.items() if name in entry.words and name not in used), default=None
            )
            if best is None:
                if entry.column is None or len(words) == 1 or not (set(known) & table):
                    return None
                if place < joint or (not joint and place == len(words) - 1):
                    return None
                named |= set(known) & table
                continue
            used.add(best[1])
            total += best[0]
            matched += 1
        if not matched:
            return None
        if matched < len(words) and entry.verbal:
            return None
        if entry.column is None and joint and total > 0:
            return None
        if matched < len(words) and total > 0.1:
            return None
        left = [w for w in entry.words if w not in used and w not in entry.own]
        if not (used - entry.own):
            if left:
                return None
            left = []
        key = [w for w in entry.words if w not in entry.own] or list(entry.words)
        miss = len(left) / len(key)
        if miss and used <= GENERIC and not set(left) <= GENERIC:
            miss += 0.5
        tail = 0.1 if miss and entry.words[-1] not in used and entry.words[-1] not in GENERIC else 0.0
        if miss and matched < len(words):
            return None
        if words[0] == "number" and entry.words[0] != "number" and len(words) > 1:
            total += 0.2
        repeated = 0.03 if entry.own - used else 0.0
        return (
            total
            + (HEADED if entry.column is None and entry.words[-1] in used else 0.5) * miss
            + tail
            + repeated
            + (0.02 + 0.1 * (1 - len(named) / len(table)) if matched < len(words) else 0.0)
        )


_JOINTS = frozenset(stem_word(word) for word in ("of", "the", "by", "in", "on", "for", "and"))


def _without_joints(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for word in words if word not in _JOINTS) or words


def _keep(found: dict[tuple[str, str], Hit], hit: Hit) -> None:
    key = (hit.table.name, hit.column.name if hit.column else "")
    if key not in found or hit.cost < found[key].cost:
        found[key] = hit


def _shared_prefix(columns: Sequence[tuple[str, ...]]) -> str:
    """The first word of most columns of a table, as in emp_name, emp_dob."""
    firsts = [parts[0] for parts in columns if len(parts) > 1]
    if not firsts:
        return ""
    most = max(set(firsts), key=firsts.count)
    return most if firsts.count(most) >= max(3, 0.6 * len(columns)) else ""


def _word_cost(word: str, name: str) -> float | None:
    if word == name:
        return 0.0
    if len(name) >= 3 and len(word) > len(name) and word.startswith(name) and len(name) >= min(4, len(word) - 4):
        return ABBREVIATION
    if len(word) >= 4 and len(name) > len(word) and name.startswith(word) and len(name) - len(word) <= 4:
        return ABBREVIATION
    if (
        3 <= len(name) < len(word)
        and name[0] == word[0]
        and is_subsequence(name, word)
        and not set(name[1:]) & set("aeiou")
    ):
        return ABBREVIATION + 0.1
    if name in synonyms().get(word, ()):
        return SYNONYM
    near = len(word) >= 5 and len(name) >= 5 and word[0] == name[0] and abs(len(word) - len(name)) <= 2
    if near and fuzz.ratio(word, name) >= LEAST_RATIO:
        return TYPO
    return None


@lru_cache(maxsize=64)
def names_of(schema: Schema) -> Names:
    """The names of a schema, read once."""
    return Names(schema)


def is_key(table: Table, column: Column) -> bool:
    """Whether a column is the single key of its table."""
    return keys_of(table) == (column,)


def joined_name(name: str) -> str:
    """A name without case, accents and signs."""
    return re.sub(r"[\W_]+", "", fold_text(name)) or name


def is_time(column: Column) -> bool:
    """Whether a column holds dates, times or years."""
    name = column.name.casefold()
    return column.kind in {ColumnKind.DATE, ColumnKind.DATETIME} or "year" in name or "date" in name


def stems_of(tokens: Sequence[Token]) -> tuple[str, ...]:
    """The stems of some tokens, but for words that join the parts of a name."""
    found: list[str] = []
    for token in tokens:
        if token.lower in EXPANSIONS:
            found += map(stem_word, EXPANSIONS[token.lower])
        elif token.lower not in {"of", "the", "a", "an", "in", "for"}:
            found.append(token.stem)
    return tuple(found)
