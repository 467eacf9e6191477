"""What of a question a plan leaves unserved: operations, constants and names that were read and have no effect."""

from __future__ import annotations

from collections.abc import Iterator

from sql_synthesizer.synthesizer.engine.plan import Condition, Plan, Term
from sql_synthesizer.synthesizer.engine.resolve import Assignment
from sql_synthesizer.synthesizer.engine.spans import Item

_COMPARING = ("compare", "more", "between", "contain", "start", "end", "null")
_NEGATING = ("not", "except")
_SORTING = ("super", "popular", "order", "asc", "desc")


def unserved(items: list[Item], assignment: Assignment, plan: Plan) -> dict[str, float]:
    """How many operations, constants and names have no effect in the plan."""
    conditions = [c for part in _parts(plan) for c in _conditions(part)]
    terms = [term for part in _parts(plan) for term in _terms(part)]
    sorts = any(part.orders or part.limit for part in _parts(plan)) or any(t.aggregate in {"max", "min"} for t in terms)
    turned = any(c.negated or c.operator in {"!=", "null"} for c in conditions)
    turned = turned or any(part.combined is not None for part in _parts(plan))
    compared = sum(c.operator not in {"=", "in"} or c.plan is not None or bool(c.term.bucket) for c in conditions)
    lost = [
        _any(items, "count", "agg", "measure") and not any(t.aggregate for t in terms) and not sorts,
        _any(items, *_SORTING) and not sorts,
        _any(items, *_NEGATING) and not turned,
        _any(items, "each", "bucket") and not any(part.groups for part in _parts(plan)),
    ]
    asked = sum(item.kind == "key" and bool(item.key(*_COMPARING)) for item in items)
    constants = sum(len(c.values) for c in conditions) + sum(part.limit is not None for part in _parts(plan))
    given = sum(item.kind in {"number", "text"} for item in items)
    used = {table.name for part in _parts(plan) for table in part.tables()}
    return {
        "lost": sum(lost),
        "uncompared": max(0, asked - compared),
        "unused": max(0, given - constants),
        "echo": any(c.operator == "=" and c.term in plan.select for c in _conditions(plan)),
        "dropped": sum(table.name not in used for table, _ in assignment.chosen.values()),
    }


def _any(items: list[Item], *kinds: str) -> bool:
    return any(item.kind == "key" and item.key(*kinds) is not None for item in items)


def _parts(plan: Plan) -> Iterator[Plan]:
    yield plan
    for condition in _conditions(plan):
        if condition.plan is not None:
            yield from _parts(condition.plan)
    if plan.combined is not None:
        yield from _parts(plan.combined[1])


def _conditions(plan: Plan) -> list[Condition]:
    return [*(c for either in plan.where for c in either), *plan.having]


def _terms(plan: Plan) -> list[Term]:
    return [*plan.select, *(o.term for o in plan.orders), *(c.term for c in plan.having)]
