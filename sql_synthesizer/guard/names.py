"""Which tables a statement reads, and which of their sensitive columns it touches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from sqlglot import exp

from sql_synthesizer.guard.nodes import refuse
from sql_synthesizer.model import Schema, Table

SYSTEM_SCHEMAS = frozenset(
    {"information_schema", "pg_catalog", "pg_toast", "mysql", "performance_schema", "sys", "system", "metadata"}
)
_SYSTEM_PREFIX = {"sqlite": "sqlite_", "postgres": "pg_"}
_TABLE_FUNCTIONS = (exp.Anonymous, exp.AnonymousAggFunc)


class TableIndex:
    """The tables of a schema, found by the way a statement of its dialect names them."""

    def __init__(self, schema: Schema, dialect: str) -> None:
        self.schema = schema
        self.dialect = dialect
        self._by_name: dict[str, list[Table]] = defaultdict(list)
        for table in schema.tables:
            self._by_name[self._fold(table.name)].append(table)
        self._sensitive = {
            id(t): {c.name.casefold(): f"{t.name}.{c.name}" for c in t.columns if c.sensitive} for t in schema.tables
        }
        self._columns = {id(t): frozenset(c.name.casefold() for c in t.columns) for t in schema.tables}

    def _fold(self, name: str) -> str:
        return name.casefold() if self.dialect in {"sqlite", "trino"} else name

    def spelled(self, identifier: exp.Identifier) -> str:
        """The name that the server looks up."""
        if self.dialect == "postgres" and not identifier.args.get("quoted"):
            return identifier.name.lower()
        return self._fold(identifier.name)

    def find(self, node: exp.Table) -> Table:
        """The table that a reference means. Raises StatementRefused."""
        identifier, qualifier = node.this, node.args.get("db")
        name = self.spelled(identifier)
        schema = qualifier.name.casefold() if qualifier is not None else None
        if schema in SYSTEM_SCHEMAS or name.casefold().startswith(_SYSTEM_PREFIX.get(self.dialect, "\0")):
            refuse("system_catalog", "System tables are not allowed; GET /api/schema describes the data.", table=name)
        found = [t for t in self._by_name.get(name, ()) if schema is None or self._schema_of(t) == schema]
        if not found:
            near = self.schema.table(name)
            hint = f"Write the table's name as {near.name}." if near is not None and schema is None else None
            refuse("unknown_table", "The statement names a table that is not in the schema.", hint=hint, table=name)
        if len(found) > 1:
            refuse("ambiguous_table", "Several schemas have a table of that name; write schema.table.", table=name)
        return found[0]

    def _schema_of(self, table: Table) -> str:
        return (table.schema or ("main" if self.dialect == "sqlite" else self.schema.database)).casefold()

    def sensitive(self, table: Table) -> dict[str, str]:
        """Folded name of each sensitive column -> ``table.column``."""
        return self._sensitive[id(table)]

    def columns(self, table: Table) -> frozenset[str]:
        """The folded names of the table's columns."""
        return self._columns[id(table)]


class Names:
    """The real tables of one tree and the names under which each is referred to."""

    def __init__(self, nodes: Iterable[exp.Expr], index: TableIndex) -> None:
        self._index = index
        self._nodes = list(nodes)
        self._aliases: dict[str, list[Table]] = defaultdict(list)
        self._derived: set[str] = set()
        self._renamed: list[Table] = []
        self.tables: dict[str, Table] = {}
        for node in self._nodes:
            if isinstance(node, exp.Table):
                self._add(node)
            elif (alias := node.args.get("alias")) is not None and isinstance(alias, exp.TableAlias):
                if isinstance(node, exp.Subquery) and not _is_query(node.this):
                    refuse("table", "Tables in parentheses have no common name; name each table inside them.")
                self._derived.add(alias.name.casefold())

    def _add(self, node: exp.Table) -> None:
        alias = node.alias_or_name.casefold()
        if isinstance(node.this, _TABLE_FUNCTIONS):
            if node.args.get("db") is not None:
                refuse("function", "A function is not called by its schema's name.")
            self._derived.add(alias or node.this.name.casefold())
        elif not isinstance(node.this, exp.Identifier):
            refuse("table", "A table is not written as a plain name.")
        elif node.args.get("db") is None and self._is_cte(node):
            self._derived.add(alias)
        else:
            table = self._index.find(node)
            self.tables[table.name] = table
            self._aliases[alias].append(table)
            if (given := node.args.get("alias")) is not None and given.columns:
                self._renamed.append(table)
            if table.schema is not None and node.args.get("db") is None and self._index.dialect != "sqlite":
                node.set("db", exp.to_identifier(table.schema))

    def _is_cte(self, node: exp.Table) -> bool:
        """Whether a common table expression of this name is visible here."""
        name = self._index.spelled(node.this)
        below: exp.Expr = node
        above = node.parent
        while above is not None:
            if isinstance(above, exp.With):
                visible = _before(above.expressions, below)
                if self._index.dialect == "sqlite" and self._index.spelled(below.args["alias"].this) == name:
                    refuse("recursion", "A common table expression refers to itself; recursion is not allowed.")
            elif isinstance(below, exp.With):
                visible = iter(())
            else:
                clause = above.args.get("with_")
                visible = iter(clause.expressions) if clause is not None else iter(())
            if any(self._index.spelled(cte.args["alias"].this) == name for cte in visible):
                return True
            below, above = above, above.parent
        return False

    # --- columns --------------------------------------------------------------------------------

    def sensitive(self) -> tuple[str, ...]:
        """Each sensitive column that is touched, as ``table.column``, sorted; rather too many than too few."""
        self._check_qualified()
        if not any(self._index.sensitive(t) for t in self.tables.values()):
            return ()
        found: set[str] = set()
        for table in self._renamed:
            found.update(self._index.sensitive(table).values())
        for node in self._nodes:
            if isinstance(node, exp.Column):
                found.update(self._touched_by(node))
            elif isinstance(node, exp.Star) and not _is_counted(node):
                if not isinstance(node.parent, exp.Column):
                    found.update(self._all_of(_direct_tables(node)))
            elif isinstance(node, exp.Join):
                found.update(self._touched_by_join(node))
        return tuple(sorted(found))

    def _check_qualified(self) -> None:
        # PostgreSQL reads table.name as the call name(table) when there is no such column.
        if self._index.dialect != "postgres":
            return
        for node in self._nodes:
            if isinstance(node, exp.Column) and isinstance(node.this, exp.Identifier) and node.table:
                alias = node.table.casefold()
                tables = self._aliases.get(alias)
                known = not tables or alias in self._derived or tables[0] in self._renamed
                if not known and not any(node.name.casefold() in self._index.columns(t) for t in tables or ()):
                    refuse("column", "The statement names a column that its table does not have.", column=node.name)

    def _touched_by(self, node: exp.Column) -> Iterator[str]:
        name = node.name.casefold()
        if node.table:
            tables = self._aliases.get(node.table.casefold())
            if tables is None:
                tables = [] if node.table.casefold() in self._derived else list(self.tables.values())
        else:
            tables = list(self.tables.values())
            if self._index.dialect == "postgres":
                for table in self._aliases.get(name, ()):
                    yield from self._index.sensitive(table).values()
        for table in tables:
            sensitive = self._index.sensitive(table)
            if isinstance(node.this, exp.Star):
                yield from sensitive.values()
            elif name in sensitive:
                yield sensitive[name]

    def _touched_by_join(self, node: exp.Join) -> Iterator[str]:
        using = {i.name.casefold() for i in node.args.get("using") or ()}
        natural = node.args.get("method") == "NATURAL"
        for table in self.tables.values():
            for name, full in self._index.sensitive(table).items():
                if natural or name in using:
                    yield full

    def _all_of(self, nodes: list[exp.Table] | None) -> Iterator[str]:
        """The sensitive columns of these tables; of all tables when it is not known which."""
        if nodes is None:
            tables = list(self.tables.values())
        else:
            tables = [t for n in nodes for t in self._aliases.get(n.alias_or_name.casefold(), ())]
        for table in tables:
            yield from self._index.sensitive(table).values()


def _before(ctes: list[exp.Expr], cte: exp.Expr) -> Iterator[exp.Expr]:
    for other in ctes:
        if other is cte:
            return
        yield other


def _is_query(node: exp.Expr) -> bool:
    """Whether parentheses hold a query, in any number of further ones, and not tables."""
    while isinstance(node, exp.Subquery) and not node.args.get("joins"):
        node = node.this
    return isinstance(node, exp.Query) and not isinstance(node, exp.Subquery)


def _is_counted(star: exp.Star) -> bool:
    parent = star.parent
    return isinstance(parent, exp.Anonymous | exp.AnonymousAggFunc) and parent.name.lower() == "count"


def _direct_tables(star: exp.Star) -> list[exp.Table] | None:
    """The tables in the FROM clause that a ``*`` stands for."""
    select = star.find_ancestor(exp.Select)
    if select is None:
        return None
    clause = select.args.get("from_")
    roots = [clause.this] if clause is not None else []
    roots += [join.this for join in select.args.get("joins") or ()]
    for root in roots:  # grows by the joins inside of joins
        roots += [join.this for join in root.args.get("joins") or ()]
        if isinstance(root, exp.Subquery) and not _is_query(root.this):
            return None
    return [root for root in roots if isinstance(root, exp.Table)]
