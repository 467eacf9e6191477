"""How large the texts of a statement may become, and how long one call may look through them.

A server hears of no time limit in the middle of a function, nor between those of a row, so all calls of a statement
together have to be short. The time of one is taken to be the product of its two largest arguments: so long do a search,
a replacement and a comparison of sets take at worst.
"""

from __future__ import annotations

from sqlglot import exp

from sql_synthesizer.guard.statement import functions
from sql_synthesizer.guard.statement.columns import Columns, Source
from sql_synthesizer.guard.statement.names import fold_name, is_query
from sql_synthesizer.guard.statement.nodes import refuse_statement
from sql_synthesizer.model.dialects import SQLITE_VALUE_BYTES

MAX_WORK = 2 * 10**9
"""Bytes that a statement's calls may look at for a row: less than a second, measured by ``benchmarks/deadline.py``."""
LEAST = 100
"""Bytes that a call looks at for each byte of its largest argument, and what a stored value is taken to hold."""
STORED = {"sqlite": SQLITE_VALUE_BYTES}
"""sqlglot's name of a dialect -> what a stored value is taken to hold where that is known to be the most."""
PATTERN = {"sqlite": 1000}
"""sqlglot's name of a dialect -> how large the pattern of a LIKE or GLOB may be, where that is bounded."""
RECURSED = 10**7
"""What a text can become that a recursive expression makes longer by something in each round."""
LARGEST = {"sqlite": SQLITE_VALUE_BYTES, "mysql": 2**24}
"""sqlglot's name of a dialect -> how large a text can become: where it is not given, ``HUGE``."""
HUGE = 10**9
GATHERED = {"mysql": 2**20}
"""sqlglot's name of a dialect -> how large a text of many rows can become, where that is less."""
NUMBER = 8

_GATHERING = (exp.GroupConcat, exp.ArrayAgg, exp.JSONArrayAgg, exp.JSONObjectAgg)
_CALLS = (exp.Anonymous, exp.AnonymousAggFunc, exp.CombinedAggFunc)
_SEARCHES = (
    *(exp.StrPosition, exp.Trim, exp.Overlay, exp.Like, exp.ILike, exp.Glob, exp.SimilarTo, exp.RegexpLike),
    *(exp.RegexpILike, exp.RegexpFullMatch, exp.MatchAgainst, exp.ArrayContainsAll, exp.ArrayContainedBy),
    *(exp.ArrayOverlaps, exp.JSONBContains, exp.JSONExtract, exp.JSONExtractScalar, exp.JSONBExtract, exp.Distance),
    *(exp.JSONBExtractScalar, exp.JSONBDeleteAtPath, exp.JSONArrayContains, exp.Cast, exp.TryCast, exp.Soundex),
)
_SUMS = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.IntDiv)
_TEXTS = {exp.DType.TEXT, exp.DType.VARCHAR, exp.DType.CHAR, exp.DType.NCHAR, exp.DType.NVARCHAR}


def check_growth(columns: Columns) -> None:
    """Refuses a statement whose calls may look through too much. Raises StatementRefused."""
    sizes = _Sizes(columns)
    work = 0.0
    for node in columns.names.nodes:
        name = node.name.lower() if isinstance(node, _CALLS) else type(node).__name__.lower()
        if isinstance(node, _CALLS):
            looks = name not in functions.AGGREGATES and name not in functions.PASSING
        else:
            looks = isinstance(node, _SEARCHES) and not (isinstance(node, exp.Cast) and node.to.this in _TEXTS)
        if looks:
            work += _measure_work(name, node, sizes, columns.names.index.dialect.sqlglot)
            if work > MAX_WORK:
                refuse_statement(
                    "text_size",
                    f"What {name} is given may be too large.",
                    hint="Apply functions to the values before they are repeated or put together, not to the result.",
                    function=name,
                )


def _measure_work(name: str, call: exp.Expr, sizes: _Sizes, dialect: str) -> float:
    second, largest = sorted((0.0, 0.0, *(sizes.size_of(part) for part in call.iter_expressions())))[-2:]
    if name in ("like", "glob"):
        second = min(second, PATTERN.get(dialect, second))
    return largest * max(second * 20 if name in functions.DEAR else second, LEAST)


class _Sizes:
    """The bytes that the expressions of a statement may have at most."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._index = columns.names.index
        name = self._index.dialect.sqlglot
        self._stored = STORED.get(name, LEAST)
        self._largest = LARGEST.get(name, HUGE)
        self._gathered = GATHERED.get(name, self._largest)
        self._known: dict[tuple[int, float], float] = {}
        self._round = 0.0
        """What the columns are taken to hold of the recursive expression that is being looked at."""
        self._open: set[int] = set()

    def size_of(self, node: exp.Expr) -> float:
        """Of one expression; of a query, of its largest column."""
        key = (id(node), self._round)
        if key not in self._known:
            self._known[key] = min(self._measure(node), self._largest)
        return self._known[key]

    def _measure(self, node: exp.Expr) -> float:
        if isinstance(node, exp.Column):
            return self._measure_column(node)
        if isinstance(node, exp.Literal):
            return len(node.name) if node.is_string else NUMBER
        if isinstance(node, exp.Predicate | exp.Connector | exp.Not | exp.DataType | exp.Identifier | exp.Order):
            return NUMBER
        if isinstance(node, _GATHERING):
            return self._gathered
        if isinstance(node, exp.Query):
            return self._measure_output(node, None) or NUMBER
        if isinstance(node, exp.Array) and isinstance(node.expressions[0] if node.expressions else None, exp.Query):
            return self._gathered
        if isinstance(node, exp.Window | exp.Filter | exp.WithinGroup | exp.IgnoreNulls | exp.RespectNulls):
            return self.size_of(node.this)
        if isinstance(node, _SUMS):
            return max(map(self.size_of, node.flatten(unnest=False)))
        if isinstance(node, exp.DPipe):
            return sum(map(self.size_of, node.flatten(unnest=False)))
        return self._measure_call(node) if isinstance(node, _CALLS) else sum(map(self.size_of, node.iter_expressions()))

    def _measure_call(self, call: exp.Expr) -> float:
        name, parts = call.name.lower(), [self.size_of(part) for part in call.expressions]
        whole = sum(parts)
        if name in functions.GATHERING or (name == "array" and any(is_query(part) for part in call.expressions)):
            return self._gathered
        if (position := functions.SIZED.get(name)) is not None and position < len(parts):
            count = int(call.expressions[position].name)
            return count * (parts[0] if name == "repeat" else 4.0)
        if name in functions.PATTERNS:
            return whole * float(call.expressions[0].name.count("%") + 1) + 1000
        if name in functions.MULTIPLYING and len(parts) > 2:
            return parts[0] * max(1, parts[2])
        return whole * 6 if name in functions.ESCAPING else whole

    # --- columns ----------------------------------------------------------------------------

    def _measure_column(self, node: exp.Column) -> float:
        if not isinstance(node.this, exp.Identifier):
            return self._stored
        name, alias = self._index.column_name(node.this), fold_name(node.table)
        for scope in self._columns.find_scopes(node):
            sources = [source for source in scope if alias in ("", source.alias)]
            found = [size for source in sources if (size := self._measure_source(source, name)) is not None]
            if found:
                return max(found)
        return self._stored

    def _measure_source(self, source: Source, name: str | None) -> float | None:
        """Of a column of something in a FROM clause; None where it has no such column."""
        if source.table is not None:
            return self._stored if name is None or name in source.columns else None
        meaning = self._columns.names.meanings.get(id(source.node))
        derived = (source.node, meaning) if isinstance(meaning, exp.CTE) else (source.node,)
        query = derived[-1].this
        if not isinstance(query, exp.Query):
            return max(self._stored, sum(self.size_of(part) for part in source.node.iter_expressions()))
        aliases = [part.args.get("alias") for part in derived]
        renamed = any(isinstance(alias, exp.TableAlias) and alias.columns for alias in aliases)
        if renamed and name not in source.columns:
            return None
        return self._measure_output(query, None if renamed else name)

    def _measure_output(self, query: exp.Expr, name: str | None) -> float | None:
        """Of a column of a result; without a name, of the largest."""
        while isinstance(query, exp.Subquery):
            query = query.this
        if id(query) in self._open:
            return self._round
        if isinstance(query, exp.SetOperation):
            return self._measure_rounds(query, name)
        found: list[float | None] = []
        for expression in query.expressions:
            star = expression.this if isinstance(expression, exp.Column) else expression
            if isinstance(star, exp.Star) and isinstance(query, exp.Select):
                found += [self._measure_source(source, name) for source in self._columns.find_sources(query)]
            elif name is None or self._index.column_name(exp.to_identifier(expression.alias_or_name)) == name:
                found.append(self.size_of(expression))
        return max((size for size in found if size is not None), default=None)

    def _measure_rounds(self, union: exp.SetOperation, name: str | None) -> float | None:
        """Of both parts of a union, the second as often as it refers to the whole."""
        first = self._measure_output(union.this, name)
        if first is None:
            return None
        before = self._round
        self._open.add(id(union))
        rounds = []
        for taken in (first, 2 * first):
            self._round = taken
            rounds.append(self._measure_output(union.expression, None) or NUMBER)
        self._open.discard(id(union))
        self._round = before
        once, twice = rounds
        if twice <= once or once <= first:
            return max(first, once)
        return RECURSED if twice - once < 1.5 * first else self._largest
