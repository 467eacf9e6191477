"""What a statement is changed into so that it does without hidden and sensitive columns."""

from __future__ import annotations

from sqlglot import exp

from sql_synthesizer.guard.statement import functions
from sql_synthesizer.guard.statement.columns import Columns, Source
from sql_synthesizer.guard.statement.names import fold_name
from sql_synthesizer.guard.statement.nodes import refuse_statement
from sql_synthesizer.model import MASK

_CALLS = frozenset("upper lower length char_length trim ltrim rtrim btrim substr substring left right concat".split())
_AGGREGATES = frozenset("count sum avg min max group_concat string_agg array_agg listagg any_value".split())
_TRANSPARENT = (
    exp.Alias,
    exp.Paren,
    exp.DPipe,
    exp.Concat,
    exp.Substring,
    exp.Trim,
    exp.Distinct,
    exp.Order,
    exp.Ordered,
)
_COLLECTING = (exp.GroupConcat, exp.ArrayAgg)
_HINT = "Read it as a column of the result, where it comes as ***, or leave it out."


def expand_stars(columns: Columns, *, sensitive: bool) -> bool:
    """Writes out each ``*`` over a table with hidden columns, or with sensitive ones; whether there was one.

    Raises StatementRefused where it is ambiguous which columns the ``*`` stands for.
    """
    changed = False
    for select in [node for node in columns.names.nodes if isinstance(node, exp.Select)]:
        expressions: list[exp.Expr] = []
        for expression in select.expressions:
            written = _expand_star(expression, select, columns, sensitive=sensitive)
            expressions += written or [expression]
            changed = changed or bool(written)
        select.set("expressions", expressions)
    return changed


def _expand_star(expression: exp.Expr, select: exp.Select, columns: Columns, *, sensitive: bool) -> list[exp.Expr]:
    alias = fold_name(expression.table) if isinstance(expression, exp.Column) else None
    star = expression.this if isinstance(expression, exp.Column) else expression
    if not isinstance(star, exp.Star) or isinstance(select.parent, exp.Exists):
        return []
    sources = columns.find_sources(select)
    meant = [source for source in sources if alias in (None, source.alias)]
    if not any(_has_marked_columns(source, columns, sensitive=sensitive) for source in meant):
        return []
    joins = select.args.get("joins") or ()
    merged = alias is None and any(join.args.get("using") or join.args.get("method") for join in joins)
    nested = any(source.node.args.get("joins") or not source.alias for source in sources)
    if merged or nested or any(star.args.values()) or select.args.get("laterals"):
        refuse_statement("star", "It is ambiguous which columns the * stands for here; name the columns.")
    return [part for source in meant for part in _source_columns(source, columns, sensitive=sensitive)]


def _has_marked_columns(source: Source, columns: Columns, *, sensitive: bool) -> bool:
    marks = columns.names.index.column_marks(source.table).values() if source.table is not None else ()
    return any(mark.hidden or sensitive for mark in marks)


def _source_columns(source: Source, columns: Columns, *, sensitive: bool) -> list[exp.Expr]:
    alias = source.node.args.get("alias")
    name = alias.this if isinstance(alias, exp.TableAlias) else source.node.this
    name = name if isinstance(name, exp.Identifier) else exp.to_identifier(source.node.name)
    if source.table is None or not _has_marked_columns(source, columns, sensitive=sensitive):
        return [exp.Column(this=exp.Star(), table=name.copy())]
    return [exp.column(exp.to_identifier(c.name, quoted=True), table=name.copy()) for c in source.table.columns]


def mask_columns(columns: Columns) -> tuple[str, ...]:
    """Puts ``***`` in the place of each result column that reads sensitive ones; the names of these, sorted.

    Raises StatementRefused where a sensitive column decides about rows, order or another value.
    """
    found = list(columns.find_marked_references())
    places: dict[int, tuple[exp.Select, set[int]]] = {}
    for node, mark in found:
        if mark.hidden:
            refuse_statement("column", "The statement names a column that its table does not have.")
        select, place = _find_result_column(node, mark.name)
        places.setdefault(id(select), (select, set()))[1].add(place)
    for select, masked in places.values():
        _check_positions(select, masked)
        expressions = list(select.expressions)
        select.set("expressions", [_mask_expression(e) if n in masked else e for n, e in enumerate(expressions)])
    return tuple(sorted({mark.name for _, mark in found}))


def _find_result_column(node: exp.Expr, name: str) -> tuple[exp.Select, int]:
    """The query and the number of its result column that a node is a part of."""
    below, above = node, node.parent
    while above is not None and _is_transparent(above):
        below, above = above, above.parent
    if not isinstance(above, exp.Select) or below.arg_key != "expressions" or isinstance(node, exp.Join):
        refuse_statement(
            "sensitive_column", f"The column {name} may be read, but not compared.", hint=_HINT, columns=name
        )
    return above, next(n for n, expression in enumerate(above.expressions) if expression is below)


def _is_transparent(node: exp.Expr) -> bool:
    """Whether a value that goes through this node decides about nothing, not even about an error."""
    if isinstance(node, exp.Anonymous):
        name = node.name.lower()
        return name in _CALLS or (name in _AGGREGATES and len(node.expressions) == 1)
    return isinstance(node, (*_TRANSPARENT, *_COLLECTING))


def _check_positions(select: exp.Select, masked: set[int]) -> None:
    for key in ("group", "order"):
        clause = select.args.get(key)
        for number in clause.find_all(exp.Literal) if clause is not None else ():
            if number.is_int and int(number.name) - 1 in masked:
                refuse_statement("sensitive_column", "Rows cannot be sorted or grouped by a masked column.", hint=_HINT)


def _mask_expression(expression: exp.Expr) -> exp.Expr:
    value: exp.Expr = exp.Literal.string(MASK)
    calls = expression.find_all(exp.Anonymous, *_COLLECTING)
    if any(not isinstance(call, exp.Anonymous) or call.name.lower() in functions.AGGREGATES for call in calls):
        value = exp.Anonymous(this="max", expressions=[value])
    name = expression.alias_or_name or next((call.name for call in expression.find_all(exp.Anonymous)), "")
    return exp.Alias(this=value, alias=exp.to_identifier(name or "masked", quoted=True))
