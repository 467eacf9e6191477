"""Which tables a statement reads, and what each name in a FROM clause stands for."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase

from sqlglot import exp

from sql_synthesizer.guard.statement.functions import LISTS
from sql_synthesizer.guard.statement.nodes import refuse_statement
from sql_synthesizer.guard.statement.recursion import check_recursion
from sql_synthesizer.model import Schema, Table
from sql_synthesizer.model.dialects import DIALECTS, SYSTEM_SCHEMAS, NameCase

_ASCII_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
_TABLE_FUNCTIONS = (exp.Anonymous, exp.AnonymousAggFunc)


@dataclass(frozen=True, slots=True)
class Mark:
    """A column that is not for everyone: ``name`` is ``table.column``; a hidden one does not exist for a statement."""

    name: str
    hidden: bool


def fold_name(name: str) -> str:
    """A name without regard to case and accents, so that no server takes two names for one that differ here."""
    if name.isascii():
        return name.lower()
    plain = unicodedata.normalize("NFKD", name.casefold()).replace("\u0131", "i")
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


def _server_name(name: str, case: NameCase, *, quoted: bool) -> str:
    """A name as the server compares it: without regard to case at most where every server disregards it."""
    if case == "exact" or (case == "unquoted" and quoted):
        return name
    return name.lower() if name.isascii() else name.translate(_ASCII_LOWER)


class TableIndex:
    """The tables of a schema, found by the way a statement of its dialect names them."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.dialect = DIALECTS[schema.dialect]
        self._by_name: dict[str, list[Table]] = defaultdict(list)
        for table in schema.tables:
            self._by_name[_server_name(table.name, self.dialect.table_names, quoted=True)].append(table)
        self._marks = {id(t): self._build_marks(t) for t in schema.tables}
        self._columns = {id(t): frozenset(fold_name(c.name) for c in t.columns) for t in schema.tables}
        self._catalogue: dict[str, Table] = {}
        for table in LISTS[self.dialect.sqlglot].catalogues:
            self._catalogue[f"{table.schema}.{table.name}" if table.schema else table.name] = table
            if table.schema == self.dialect.searched_schema:
                self._catalogue[table.name] = table

    def _build_marks(self, table: Table) -> dict[str, Mark]:
        marks = {fold_name(c.name): Mark(f"{table.name}.{c.name}", hidden=False) for c in table.columns if c.sensitive}
        key = next((marks[fold_name(c.name)] for c in table.columns if c.sensitive and c.primary_key), None)
        if table.hidden:
            key = Mark(f"{table.name}.rowid", hidden=True)
        if key is not None:
            names = {fold_name(c.name) for c in table.columns}
            marks |= {name: key for name in self.dialect.row_ids if name not in names}
        return marks | {fold_name(name): Mark(f"{table.name}.{name}", hidden=True) for name in table.hidden}

    def table_name(self, identifier: exp.Identifier) -> str:
        """The name of a table that the server looks up."""
        return _server_name(identifier.name, self.dialect.table_names, quoted=bool(identifier.args.get("quoted")))

    def column_name(self, identifier: exp.Expr) -> str:
        """The name of a column as the server compares it."""
        return _server_name(identifier.name, self.dialect.column_names, quoted=bool(identifier.args.get("quoted")))

    def column_names(self, table: Table) -> frozenset[str]:
        """The names of a table's columns as the server compares them."""
        return frozenset(_server_name(c.name, self.dialect.column_names, quoted=True) for c in table.columns)

    def find_table(self, node: exp.Table, *, catalogues: bool) -> Table:
        """The table that a reference means. Raises StatementRefused."""
        name, schema = self.table_name(node.this), node.db.casefold() or None
        prefix = self.dialect.system_prefix
        if schema in SYSTEM_SCHEMAS or (prefix and name.casefold().startswith(prefix)):
            listed = self._catalogue.get(f"{schema}.{name.casefold()}" if schema else name.casefold())
            if catalogues and listed is not None:
                return listed
            refuse_statement(
                "system_catalog", "System tables are not allowed; GET /api/schema describes the data.", table=name
            )
        found = [t for t in self._by_name.get(name, ()) if schema is None or self._schema_of(t) == schema]
        if not found:
            near = self.schema.table(name)
            hint = f"Write the table's name as {near.name}." if near is not None and schema is None else None
            refuse_statement(
                "unknown_table", "The statement names a table that is not in the schema.", hint=hint, table=name
            )
        if len(found) > 1:
            refuse_statement(
                "ambiguous_table", "Several schemas have a table of that name; write schema.table.", table=name
            )
        return found[0]

    def _schema_of(self, table: Table) -> str:
        return (table.schema or table.home or self.dialect.main_schema or self.schema.database).casefold()

    def column_marks(self, table: Table) -> dict[str, Mark]:
        """Folded name of each sensitive or hidden column -> what it is."""
        return self._marks.get(id(table), {})

    def folded_columns(self, table: Table) -> frozenset[str]:
        """The folded names of the table's columns."""
        known = self._columns.get(id(table))
        return known if known is not None else frozenset(fold_name(c.name) for c in table.columns)


class StatementNames:
    """The real tables of one tree and the names under which each is referred to."""

    def __init__(self, nodes: Iterable[exp.Expr], index: TableIndex, *, catalogues: bool = False) -> None:
        self.index = index
        self.nodes = list(nodes)
        self.tables: dict[str, Table] = {}
        self.meanings: dict[int, Table | exp.CTE] = {}
        """id of a node in a FROM clause -> the table or common table expression that it names."""
        self.aliases: dict[str, list[Table]] = defaultdict(list)
        self.derived: set[str] = set()
        self.renamed: dict[int, tuple[exp.Expr, Table]] = {}
        """id of a table whose columns the statement names anew -> where, and the table."""
        self._catalogues = catalogues
        for node in self.nodes:
            if isinstance(node, exp.Table):
                self._add_reference(node)
            elif (alias := node.args.get("alias")) is not None and isinstance(alias, exp.TableAlias):
                if isinstance(node, exp.Subquery) and not is_query(node.this):
                    refuse_statement("table", "Tables in parentheses have no common name; name each table inside them.")
                self.derived.add(fold_name(alias.name))

    def _add_reference(self, node: exp.Table) -> None:
        alias = fold_name(node.alias_or_name)
        if isinstance(node.this, _TABLE_FUNCTIONS):
            if node.args.get("db") is not None:
                refuse_statement("function", "A function is not called by its schema's name.")
            self.derived.add(alias or fold_name(node.this.name))
        elif not isinstance(node.this, exp.Identifier):
            refuse_statement("table", "A table is not written as a plain name.")
        elif node.args.get("db") is None and (cte := self._find_cte(node)) is not None:
            self.meanings[id(node)] = cte
            self.derived.add(alias)
        else:
            self._add_table(node, alias)

    def _add_table(self, node: exp.Table, alias: str) -> None:
        table = self.index.find_table(node, catalogues=self._catalogues)
        self.tables[table.name] = table
        self.meanings[id(node)] = table
        self.aliases[alias].append(table)
        if (given := node.args.get("alias")) is not None and given.columns:
            self.renamed[id(table)] = (node, table)
        if table.schema is not None and node.args.get("db") is None and not self.index.dialect.main_schema:
            node.set("db", exp.to_identifier(table.schema))

    def _find_cte(self, node: exp.Table) -> exp.CTE | None:
        """The common table expression of this name that is visible here."""
        name = self.index.table_name(node.this)
        below: exp.Expr = node
        above = node.parent
        while above is not None:
            if isinstance(above, exp.With):
                visible = self._visible_ctes(above, below, node, name)
            elif isinstance(below, exp.With):
                visible = []
            else:
                clause = above.args.get("with_")
                visible = clause.expressions if clause is not None else []
            for cte in visible:
                if self._cte_name(cte) == name:
                    return cte
            below, above = above, above.parent
        return None

    def _visible_ctes(self, clause: exp.With, inside: exp.Expr, node: exp.Table, name: str) -> list[exp.CTE]:
        """What a reference to ``name`` inside of one of the clause's expressions may mean."""
        ctes: list[exp.CTE] = clause.expressions
        place = next(n for n, cte in enumerate(ctes) if cte is inside)
        recursive = bool(clause.args.get("recursive"))
        if self._cte_name(inside) == name:
            if recursive:
                check_recursion(node, inside)
                return [ctes[place]]
            if self.index.dialect.recurses_unasked:
                refuse_statement("recursion", "A common table expression that refers to itself needs WITH RECURSIVE.")
        if recursive and any(self._cte_name(cte) == name for cte in ctes[place + 1 :]):
            refuse_statement("recursion", "A common table expression is used before it is defined; put it first.")
        return ctes[:place]

    def _cte_name(self, cte: exp.Expr) -> str:
        return self.index.table_name(cte.args["alias"].this)


def drop_catalog(tree: exp.Expr, schema: Schema) -> None:
    """Leaves the name of the schema's own catalogue out before names: nothing else can be meant."""
    for node in tree.find_all(exp.Table, exp.Column) if schema.catalog else ():
        named = node.args.get("catalog")
        if isinstance(named, exp.Identifier) and named.name == schema.catalog:
            node.set("catalog", None)


def is_query(node: exp.Expr) -> bool:
    """Whether parentheses hold a query, in any number of further ones, and not tables."""
    while isinstance(node, exp.Subquery) and not node.args.get("joins"):
        node = node.this
    return isinstance(node, exp.Query) and not isinstance(node, exp.Subquery)
