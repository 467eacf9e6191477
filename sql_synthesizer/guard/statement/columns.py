"""Which sensitive and hidden columns a statement touches: rather too many than too few."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlglot import exp

from sql_synthesizer.guard.statement.names import Mark, StatementNames, fold_name, is_query
from sql_synthesizer.guard.statement.nodes import refuse_statement
from sql_synthesizer.model import Table


@dataclass(frozen=True, slots=True)
class Source:
    """One thing in a FROM clause. ``columns`` are names that it has for sure, as the server compares them."""

    node: exp.Expr
    alias: str
    table: Table | None
    columns: frozenset[str]


class Columns:
    """Finds out for each column in a statement which real columns it may mean."""

    def __init__(self, names: StatementNames) -> None:
        self.names = names
        self._index = names.index
        self._known: dict[int, list[Source]] = {}
        self._open: set[int] = set()

    def has_marked(self, *, hidden: bool) -> bool:
        """Whether a table that is read has columns of this kind."""
        return any(m.hidden == hidden for t in self.names.tables.values() for m in self._index.column_marks(t).values())

    def check_sensitive(self) -> tuple[str, ...]:
        """The sensitive columns, as ``table.column``, sorted. Raises StatementRefused when a hidden one is touched."""
        self._check_qualified()
        marks = {mark for _, mark in self.find_marked_references()}
        if any(mark.hidden for mark in marks):
            refuse_statement("column", "The statement names a column that its table does not have.")
        return tuple(sorted(mark.name for mark in marks))

    def find_marked_references(self) -> Iterator[tuple[exp.Expr, Mark]]:
        """Where in the tree, and which."""
        if not any(self._index.column_marks(t) for t in self.names.tables.values()):
            return
        for where, table in self.names.renamed.values():
            yield from ((where, mark) for mark in self._index.column_marks(table).values())
        for node in self.names.nodes:
            if isinstance(node, exp.Column):
                yield from ((node, mark) for mark in self._column_marks(node))
            elif isinstance(node, exp.Star) and not isinstance(node.parent, exp.Column) and not _is_counted(node):
                yield from ((node, mark) for mark in self._star_marks(node))
            elif isinstance(node, exp.Join):
                yield from ((node, mark) for mark in self._join_marks(node))

    def find_sources(self, select: exp.Select) -> list[Source]:
        """What the FROM clause of a query has, in its order but for what stands in parentheses."""
        found = self._known.get(id(select))
        if found is None:
            clause = select.args.get("from_")
            roots = [clause.this] if clause is not None else []
            roots += [join.this for join in select.args.get("joins") or ()]
            roots += select.args.get("laterals") or ()
            for root in roots:  # grows by the joins inside of joins
                roots += [join.this for join in root.args.get("joins") or ()]
                if isinstance(root, exp.Subquery) and not is_query(root.this):
                    roots.append(root.this)
            found = self._known[id(select)] = [self._build_source(root) for root in roots]
        return found

    def _build_source(self, root: exp.Expr) -> Source:
        meaning = self.names.meanings.get(id(root))
        alias = root.args.get("alias")
        if isinstance(meaning, Table):
            columns = frozenset() if alias is not None and alias.columns else self._index.column_names(meaning)
            return Source(root, fold_name(root.alias_or_name), meaning, columns)
        if isinstance(meaning, exp.CTE) and not (alias is not None and alias.columns):
            alias = meaning.args["alias"]
        if alias is not None and isinstance(alias, exp.TableAlias) and alias.columns:
            columns = frozenset(self._index.column_name(c) for c in alias.columns if isinstance(c, exp.Identifier))
        else:
            query = root.this if meaning is None else meaning.this
            columns = self._output_names(query) if isinstance(query, exp.Query) else frozenset()
        return Source(root, fold_name(root.alias_or_name), None, columns)

    def _output_names(self, query: exp.Expr) -> frozenset[str]:
        """Names that the result of a query has for sure."""
        while isinstance(query, exp.Subquery | exp.SetOperation):
            query = query.this
        if not isinstance(query, exp.Select) or id(query) in self._open:
            return frozenset()
        self._open.add(id(query))
        found: set[str] = set()
        for expression in query.expressions:
            star = expression.this if isinstance(expression, exp.Column) else expression
            if isinstance(expression, exp.Alias) and isinstance(expression.args.get("alias"), exp.Identifier):
                found.add(self._index.column_name(expression.args["alias"]))
            elif isinstance(star, exp.Star):
                alias = fold_name(expression.table) if isinstance(expression, exp.Column) else ""
                sources = [] if any(star.args.values()) else self.find_sources(query)
                found.update(*(source.columns for source in sources if alias in ("", source.alias)))
            elif isinstance(expression, exp.Column):
                found.add(self._index.column_name(expression.this))
        self._open.discard(id(query))
        return frozenset(found)

    # --- what a reference means -----------------------------------------------------------------

    def find_scopes(self, node: exp.Expr) -> Iterator[list[Source]]:
        """The FROM clauses that a column may refer to, from the inside."""
        below, above = node, node.parent
        while above is not None:
            if isinstance(above, exp.Select):
                yield self.find_sources(above)
            elif isinstance(above, exp.Subquery) and below is not above.this:
                # Servers take the ORDER BY behind a query in parentheses for the query's own.
                inner = above.unnest()
                if isinstance(inner, exp.Select):
                    yield self.find_sources(inner)
            below, above = above, above.parent

    def _column_marks(self, node: exp.Column) -> set[Mark]:
        scopes = list(self.find_scopes(node))
        name = fold_name(node.name)
        whole = isinstance(node.this, exp.Star)
        if node.table:
            alias = fold_name(node.table)
            sources = [source for scope in scopes for source in scope if source.alias == alias]
            tables = [source.table for source in sources if source.table is not None]
            return self._table_marks(tables if sources else self.names.tables.values(), None if whole else name)
        if not scopes:
            return set()
        if any(self._index.column_name(node.this) in source.columns for source in scopes[0]):
            scopes = scopes[:1]
        sources = [source for scope in scopes for source in scope if source.table is not None]
        found = self._table_marks((s.table for s in sources if s.table is not None), name)
        if self._index.dialect.has_row_values and not found:
            found = self._table_marks((s.table for s in sources if s.table is not None and s.alias == name), None)
        return found

    def _table_marks(self, tables: Iterable[Table], name: str | None) -> set[Mark]:
        """The marked columns of this name, or all."""
        marks = [self._index.column_marks(table) for table in tables]
        if name is None:
            return {mark for of_table in marks for mark in of_table.values()}
        return {of_table[name] for of_table in marks if name in of_table}

    def _star_marks(self, star: exp.Star) -> set[Mark]:
        select = star.find_ancestor(exp.Select)
        if select is None:
            return self._table_marks(self.names.tables.values(), None)
        if isinstance(select.parent, exp.Exists):
            return set()
        return self._table_marks((s.table for s in self.find_sources(select) if s.table is not None), None)

    def _join_marks(self, node: exp.Join) -> set[Mark]:
        tables = self.names.tables.values()
        if node.args.get("method") == "NATURAL":
            return self._table_marks(tables, None)
        return {
            mark for using in node.args.get("using") or () for mark in self._table_marks(tables, fold_name(using.name))
        }

    def _check_qualified(self) -> None:
        if not self._index.dialect.has_row_values:
            return
        for node in self.names.nodes:
            if isinstance(node, exp.Column) and isinstance(node.this, exp.Identifier) and node.table:
                alias, name = fold_name(node.table), fold_name(node.name)
                tables = self.names.aliases.get(alias)
                if not tables or alias in self.names.derived or id(tables[0]) in self.names.renamed:
                    continue
                if not any(name in self._index.folded_columns(table) for table in tables):
                    refuse_statement(
                        "column", "The statement names a column that its table does not have.", column=node.name
                    )


def _is_counted(star: exp.Star) -> bool:
    parent = star.parent
    return isinstance(parent, exp.Anonymous | exp.AnonymousAggFunc) and parent.name.lower() == "count"
