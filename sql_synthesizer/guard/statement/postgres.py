"""What sqlglot reads as PostgreSQL, and PostgreSQL's grammar does not have: refused before the server has to.

A statement that only one of the two can read is one that they might read differently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sqlglot import exp

from sql_synthesizer.guard.statement import functions
from sql_synthesizer.guard.statement.names import is_query
from sql_synthesizer.guard.statement.nodes import refuse_statement

KEYWORDS = frozenset(
    """
    all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate collation
    column concurrently constraint create cross current_catalog current_date current_role current_schema
    current_time current_timestamp current_user default deferrable desc distinct do else end except false fetch for
    foreign freeze from full grant group having ilike in initially inner intersect into is isnull join lateral
    leading left like limit localtime localtimestamp natural not notnull null offset on only or order outer overlaps
    placing primary references returning right select session_user similar some symmetric system_user table
    tablesample then to trailing true union unique user using variadic verbose when where window with
    """.split()
)
"""Words that are no names, of the server's appendix C (reserved, also those that may be functions)."""
_WORDS = {"current_date", "current_timestamp", "localtime", "localtimestamp", "current_time"}
"""Calls that have no empty parentheses."""
_LEAST = {"coalesce": 1, "greatest": 1, "least": 1, "nullif": 2}
"""Calls with a syntax of their own -> the arguments that they need."""
_TYPES = {"time", "timestamp", "char", "interval", "bit", "int", "integer", "numeric", "varchar"}
"""Names of types that are no names of functions."""
_COMPARED = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)
_QUANTIFIED = (*_COMPARED, exp.Like, exp.ILike)
_INDEXED = (exp.Column, exp.Paren, exp.Subquery, exp.Bracket, exp.Array, exp.Dot)


def check_postgres(nodes: Iterable[exp.Expr]) -> None:
    """Refuses what PostgreSQL has another syntax for, or none. Raises StatementRefused."""
    for node in nodes:
        check = _CHECKS.get(type(node))
        if check is not None and not check(node):
            refuse_statement(
                "syntax",
                f"PostgreSQL has no such syntax around {type(node).__name__.upper()}.",
                node=type(node).__name__,
            )


def _is_name(node: exp.Expr) -> bool:
    if node.args.get("quoted") or node.name.lower() not in KEYWORDS:
        return True
    parent = node.parent
    if isinstance(parent, exp.Column):
        word = not parent.table and node.name.lower() in functions.LISTS["postgres"].session_words
        return word or (node.arg_key == "this" and bool(parent.table))
    return isinstance(parent, exp.Alias) or (
        isinstance(parent, exp.Table) and node.arg_key == "this" and bool(parent.db)
    )


def _is_join(node: exp.Expr) -> bool:
    conditioned = bool(node.args.get("on") or node.args.get("using"))
    side, kind, method = ((node.args.get(key) or "").upper() for key in ("side", "kind", "method"))
    if method == "NATURAL":
        return not conditioned and kind != "CROSS"
    if kind == "CROSS":
        return not conditioned and not side
    return (conditioned or not (side or kind)) and (kind != "OUTER" or bool(side)) and not method


def _is_subquery(node: exp.Expr) -> bool:
    inner = node.this
    if node.args.get("sample"):
        return False
    if isinstance(inner, exp.Table):
        return any(not _is_listed(join) for join in inner.args.get("joins") or ())
    if isinstance(inner, exp.Subquery) and inner.args.get("alias"):
        return bool(inner.args.get("joins"))
    if isinstance(inner, exp.Query) and isinstance(node.parent, exp.SetOperation | None):
        return not any(node.args.get(clause) and inner.args.get(clause) for clause in ("limit", "offset", "order"))
    return True


def _is_listed(join: exp.Expr) -> bool:
    """Whether a join is a comma."""
    return not any(join.args.get(key) for key in ("on", "using", "side", "kind", "method"))


def _is_operand(node: exp.Expr) -> bool:
    return not any(isinstance(part, _COMPARED) for part in (node.this, node.expression))


def _is_quantifier(node: exp.Expr) -> bool:
    return (
        isinstance(node.parent, _QUANTIFIED) and node.arg_key == "expression" and not isinstance(node.this, exp.Tuple)
    )


def _is_call(node: exp.Expr) -> bool:
    name, count = node.name.lower(), len(node.expressions)
    if name == "array":
        return count == 1 and is_query(node.expressions[0])
    return name not in _TYPES and count >= _LEAST.get(name, 0) and (count > 0 or name not in _WORDS)


def _is_index(node: exp.Expr) -> bool:
    return isinstance(node.this, _INDEXED) and len(node.expressions) == 1


def _is_type(node: exp.Expr) -> bool:
    sizes = (part for part in node.expressions if isinstance(part, exp.DataTypeParam))
    nested = node.args.get("nested") and node.this is not exp.DType.ARRAY
    return (
        not nested and node.this is not exp.DType.CHARACTER_SET and not any(isinstance(s.this, exp.Var) for s in sizes)
    )


def _is_union(node: exp.Expr) -> bool:
    first = node.this
    bare = isinstance(first, exp.Select) and any(first.args.get(key) for key in ("order", "limit", "offset"))
    named = node.expression.args.get("with_")  # without parentheses only the whole may begin with WITH
    return not bare and not named and not any(node.args.get(key) for key in ("by_name", "side", "kind", "on"))


def _is_tuple(node: exp.Expr) -> bool:
    return bool(node.expressions) or isinstance(node.parent, exp.Group | exp.GroupingSets)


def _is_star(node: exp.Expr) -> bool:
    return not any(node.args.values()) and isinstance(node.parent, exp.Select | exp.Column | exp.Anonymous | exp.Alias)


_CHECKS: dict[type[exp.Expr], Callable[[exp.Expr], bool]] = {
    exp.Identifier: _is_name,
    exp.Join: _is_join,
    exp.Subquery: _is_subquery,
    exp.Any: _is_quantifier,
    exp.All: _is_quantifier,
    exp.Anonymous: _is_call,
    exp.Bracket: _is_index,
    exp.DataType: _is_type,
    exp.Tuple: _is_tuple,
    exp.Star: _is_star,
    exp.Alias: lambda node: isinstance(node.parent, exp.Select) and not node.this.is_star,
    exp.Glob: lambda _: False,
    exp.Slice: lambda node: not node.args.get("step"),
    exp.Chr: lambda node: not node.args.get("charset"),
    exp.Collate: lambda node: isinstance(node.expression, exp.Identifier),
    exp.Is: lambda node: isinstance(node.expression, exp.Null | exp.Boolean),
    exp.In: lambda node: bool(
        node.expressions or node.args.get("query") or node.args.get("unnest") or node.args.get("field")
    ),
    exp.Overlaps: lambda node: all(isinstance(part, exp.Tuple) for part in (node.this, node.expression)),
    exp.Group: lambda node: not any(node.args.get(key) for key in ("all", "totals")),
    exp.Rollup: lambda node: bool(node.expressions),
    exp.Cube: lambda node: bool(node.expressions),
    exp.TableSample: lambda node: bool(node.args.get("method")) and not node.args.get("bucket_numerator"),
    **dict.fromkeys((exp.Union, exp.Except, exp.Intersect), _is_union),
    **dict.fromkeys(_COMPARED, _is_operand),
}
"""Node type -> whether PostgreSQL's grammar has what stands there."""
