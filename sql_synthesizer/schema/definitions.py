"""What the definition of a view shows of the tables that it reads: rather too much than too little."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from sqlglot import exp, parse_one, tokenize
from sqlglot.errors import SqlglotError

from sql_synthesizer.model.dialects import DIALECTS

WHOLE = ""
"""Stands among the marked columns of a table for the table itself, with columns that are not known."""

Key = tuple[str, str]
"""Schema and name of a table, both casefolded."""
Marked = Mapping[Key, set[str]]
"""Table -> its marked columns, casefolded."""

_ANY = "*"
_QUERY = re.compile(r"\s*(?:\(|SELECT\b|WITH\b|CREATE\s+VIEW\b)", re.IGNORECASE)
_INDIRECT = re.compile(r"\b(?:pg_stat(?:s|istic)\w*|column_stats|\w+_to_xml\w*|ts_stat)\b|`\s*\(", re.IGNORECASE)
"""What shows tables that it does not name: samples of values, queries in a text, functions of one's own."""


def name_tokens(sql: str, dialect: str) -> Counter[str]:
    """How often each word stands in a text, casefolded. Raises SqlglotError."""
    return Counter(token.text.casefold() for token in tokenize(sql, read=DIALECTS[dialect].sqlglot))


class Definition:
    """A view's query. Without a text, or with one that tells too little, it may show anything."""

    def __init__(self, text: str | None, dialect: str) -> None:
        self.columns: Sequence[str] = ()
        """Casefolded names of its columns, as the query or the catalogue has them; empty where neither tells."""
        self._dialect = DIALECTS[dialect]
        self._tables: Counter[str] | None = None
        self._select: exp.Select | None = None
        self._unread = ""
        if text and not _INDIRECT.search(text):
            with suppress(SqlglotError):
                self._tables = name_tokens(text, dialect)
                self._unread = text if _QUERY.match(text) else ""

    def find_shown(self, marked: Marked, orders: Mapping[str, Sequence[str]]) -> set[str]:
        """Those of its columns that show marked ones; ``orders`` has the columns of tables, for a ``*``."""
        shown: set[str] = set()
        for (_, table), names in marked.items():
            if names and (self._tables is None or table in self._tables):
                shown |= self._find_of_table(table, names, orders)
        return shown

    def _read_query(self, tree: exp.Expr) -> None:
        words = Counter(node.name.casefold() for node in tree.find_all(exp.Identifier))
        query = tree.expression if isinstance(tree, exp.Create) else tree
        select = query.unnest() if isinstance(query, exp.Subquery) else query
        if not isinstance(select, exp.Select) or self._tables is None:
            return
        self._lost = set(self._tables - words)
        """Words that the tree has in another place than as a name."""
        self._aliases: dict[str, set[str]] = {}
        for table in select.find_all(exp.Table):
            self._aliases.setdefault(table.alias_or_name.casefold(), set()).add(table.name.casefold())
        given = tree.this.expressions if isinstance(tree, exp.Create) and isinstance(tree.this, exp.Schema) else []
        if not self.columns and not any(one.is_star for one in select.expressions):
            self.columns = tuple(one.alias_or_name.casefold() for one in given or select.expressions)
        parts = [part for name, part in select.args.items() if name != "expressions"]
        nodes = [node for part in parts for node in (part if isinstance(part, list) else [part])]
        self._elsewhere = {one for node in nodes if isinstance(node, exp.Expr) for one in self._find_references(node)}
        self._select = select

    def _find_of_table(self, table: str, names: set[str], orders: Mapping[str, Sequence[str]]) -> set[str]:
        if self._unread:  # most views read nothing that is marked
            text, self._unread = self._unread, ""
            with suppress(SqlglotError, RecursionError):
                self._read_query(parse_one(text, read=self._dialect.sqlglot))
        everything = set(self.columns) or {WHOLE}
        if self._tables is None or self._select is None or WHOLE in names:
            return everything | (names & {WHOLE})
        outputs = list(self._find_outputs(self._select, orders))

        def touches(references: Iterable[tuple[str, str]]) -> bool:
            return any(owner in ("", table) and (name == _ANY or name in names) for owner, name in references)

        if self._lost & names or touches(self._elsewhere):
            return everything
        if len(outputs) != len(self.columns):
            return everything if any(map(touches, outputs)) else set()
        return {column for column, output in zip(self.columns, outputs, strict=True) if touches(output)}

    def _find_outputs(self, select: exp.Select, orders: Mapping[str, Sequence[str]]) -> Iterator[set[tuple[str, str]]]:
        """What each result is made from; a ``*`` is written out where the order of its columns is known."""
        for one in select.expressions:
            star = one.this if isinstance(one, exp.Column) else one
            if not isinstance(star, exp.Star):
                yield set(self._find_references(one))
                continue
            alias = one.table.casefold() if isinstance(one, exp.Column) else ""
            tables = [name for name in _from_tables(select) if alias in ("", name.alias_or_name.casefold())]
            order = [(t.name.casefold(), column) for t in tables for column in orders.get(t.name.casefold(), (_ANY,))]
            yield from ({reference} for reference in order or [("", _ANY)])

    def _find_references(self, node: exp.Expr) -> Iterator[tuple[str, str]]:
        """The tables, empty where it is not plain which, and columns that a part of the query names."""
        for found in node.find_all(exp.Identifier, exp.Star, exp.Join, exp.TableAlias):
            parent = found.parent
            if isinstance(found, exp.Identifier | exp.Star):
                name = (
                    _ANY
                    if isinstance(found, exp.Star) or found.name.casefold() in self._dialect.row_ids
                    else found.name
                )
                if isinstance(parent, exp.Column):
                    owners = self._aliases.get(parent.table.casefold(), {""}) if found is parent.this else ()
                    yield from ((owner, name.casefold()) for owner in owners)
                elif not isinstance(parent, exp.Count | exp.Table | exp.TableAlias) and found.arg_key != "alias":
                    yield "", name.casefold()
            elif found.args.get("columns") or found.args.get("method"):  # names columns anew, or joins by all names
                yield "", _ANY


def _from_tables(select: exp.Select) -> list[exp.Table]:
    """The tables whose columns a ``*`` stands for, in order; none where that is not plain."""
    clause, joins = select.args.get("from_"), select.args.get("joins") or []
    roots = [*([clause.this] if clause is not None else []), *(join.this for join in joins)]
    merged = select.args.get("laterals") or any(join.args.get("using") for join in joins)
    plain = not merged and all(isinstance(one, exp.Table) and not one.args.get("joins") for one in roots)
    return roots if plain else []
