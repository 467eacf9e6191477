"""When a common table expression may refer to itself: where its form says that it ends.

A form cannot prove that; it keeps out what plainly does not end. The rest is bounded at run time: each statement has a
time limit, and most servers count the rounds.
"""

from __future__ import annotations

from sqlglot import exp

from sql_synthesizer.guard.statement.nodes import MAX_SERIES, refuse_statement

_COMPARISONS = (exp.LT, exp.LTE, exp.GT, exp.GTE, exp.EQ, exp.NEQ, exp.Between)
_CONDITIONS = (*_COMPARISONS, exp.In, exp.Is, exp.Like, exp.NullSafeNEQ)


def check_recursion(reference: exp.Table, cte: exp.Expr) -> None:
    """Refuses a reference of ``cte`` to itself unless it is in the second part of a UNION, and that may end.

    It may where the part joins on columns of both sides, has a condition on a column that it can come to break, or the
    UNION has a LIMIT. What counts without reading anything else may count to ``MAX_SERIES``. Raises StatementRefused.
    """
    union = cte.this
    step = union.expression.unnest() if isinstance(union, exp.Union) else None
    if not isinstance(step, exp.Select):
        refuse_statement("recursion", "A recursive expression is a query, UNION, and a SELECT that refers to it.")
    # From a nested query, or referred to twice, the rows would multiply in each round.
    if reference.find_ancestor(exp.Query) is not step or _count_references(step, cte) > 1:
        refuse_statement(
            "recursion", "The second part of a recursive expression refers to it once, in its FROM clause."
        )
    joins, where = step.args.get("joins") or (), step.args.get("where")
    clauses = [join.args["on"] for join in joins if join.args.get("on")] + ([where.this] if where else [])
    conditions = [found for clause in clauses for found in clause.find_all(*_CONDITIONS)]
    if (limit := union.args.get("limit")) is not None:
        _check_bound(limit.args.get("expression"))
    elif not any(join.args.get("using") for join in joins) and not any(_can_end(c, step) for c in conditions):
        refuse_statement("recursion", "The second part of a recursive expression needs a condition that ends it.")
    if not joins:
        for condition in conditions:
            for part in condition.iter_expressions() if isinstance(condition, _COMPARISONS) else ():
                _check_bound(part)


def _count_references(step: exp.Expr, cte: exp.Expr) -> int:
    name = cte.alias.casefold()
    return sum(not table.db and table.name.casefold() == name for table in step.find_all(exp.Table))


def _can_end(condition: exp.Expr, step: exp.Expr) -> bool:
    """Whether a condition is on a column, and not that a growing number is larger than a constant."""
    if condition.find(exp.Column) is None:
        return False
    lower = isinstance(condition, exp.GT | exp.GTE) and isinstance(condition.this, exp.Column)
    upper = isinstance(condition, exp.LT | exp.LTE) and isinstance(condition.expression, exp.Column)
    constant = condition.args.get("expression" if lower else "this") if lower or upper else None
    shrinks = any(expression.find(exp.Sub, exp.Neg, exp.Div) for expression in step.expressions)
    return constant is None or constant.find(exp.Column) is not None or shrinks


def _check_bound(bound: exp.Expr | None) -> None:
    if isinstance(bound, exp.Literal) and not bound.is_string and float(bound.name) > MAX_SERIES:
        refuse_statement("result_size", f"A recursive expression may count to {MAX_SERIES:,} at most.")
