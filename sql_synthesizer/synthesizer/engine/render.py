"""From a plan to SQL: tables are joined as the links of the schema say."""

from __future__ import annotations

import re

from sqlglot import exp

from sql_synthesizer.model import ColumnKind, Table
from sql_synthesizer.model.dialects import DIALECTS, DialectRow
from sql_synthesizer.synthesizer.engine.joins import Joins, Tree
from sql_synthesizer.synthesizer.engine.lexicon import ROLES
from sql_synthesizer.synthesizer.engine.plan import Condition, Constant, Order, Plan, Ref, Term
from sql_synthesizer.synthesizer.rules.spelling import COMPARISONS, build_identifier, build_pattern, build_table

_INVERSE = {"=": "!=", "!=": "=", ">": "<=", "<": ">=", ">=": "<", "<=": ">"}
_AGGREGATES: dict[str, type[exp.AggFunc]] = {"sum": exp.Sum, "avg": exp.Avg, "min": exp.Min, "max": exp.Max}
_SETS: dict[str, type[exp.SetOperation]] = {"intersect": exp.Intersect, "except": exp.Except, "union": exp.Union}


class Unjoined(Exception):
    """No links join the tables of the plan."""


def to_sql(plan: Plan, joins: Joins) -> tuple[str, float]:
    """The plan as text in the schema's dialect, and what its joins cost. Raises Unjoined."""
    row = DIALECTS[joins.schema.dialect]
    builder = _Builder(joins, row)
    tree = builder.build_query(plan)
    return tree.sql(dialect=row.sqlglot), builder.cost


def _cues(plan: Plan) -> tuple[tuple[frozenset[str], float], ...]:
    """What links cost more, by words in the names of their columns."""
    return tuple((names, 0.5) for index, (_, names) in enumerate(ROLES) if plan.cue is not None and index != plan.cue)


class _Builder:
    def __init__(self, joins: Joins, dialect: DialectRow) -> None:
        self._graph = joins
        self._dialect = dialect
        self.cost = 0.0

    def build_query(self, plan: Plan) -> exp.Query:
        """The SELECT, combined with another where the plan says so."""
        select = self._build_select(plan)
        if plan.combined is None:
            return select
        kind, other = plan.combined
        return _SETS[kind](this=select, expression=self._build_select(other), distinct=True)

    def _build_select(self, plan: Plan) -> exp.Select:
        tables = plan.tables()
        tree = self._graph.connect(tables, _cues(plan))
        if tree is None:
            raise Unjoined(", ".join(table.name for table in tables))
        self.cost += tree.cost
        several = bool(tree.links)
        shown: list[exp.Expr] = [self._term(term, several=several) for term in plan.select]
        if plan.share:
            shown = [*shown[:-1], self._percentage(plan, several=several)]
        select = exp.select(*shown).from_(build_table(tree.root, self._dialect))
        for table, condition in self._joins(tree):
            select = select.join(build_table(table, self._dialect), on=condition)
        for either in plan.where:
            select = select.where(exp.or_(*(self._condition(c, several=several) for c in either)))
        if plan.groups:
            select = select.group_by(*(self._term(t, several=several) for t in dict.fromkeys(plan.groups)))
        for having in plan.having:
            select = select.having(self._condition(having, several=several))
        orders = [self._ordered(order, several=several) for order in plan.orders]
        if plan.within:
            return self._rank_within(plan, select, [self._term(t, several=several) for t in plan.within], orders)
        if plan.over:
            inner = exp.select(exp.alias_(shown[-1], "number")).from_(select.args["from_"])
            select.set("expressions", inner.expressions)
            return exp.select(_AGGREGATES[plan.over](this=exp.column("number"))).from_(select.subquery("counted"))
        select = select.order_by(*orders) if orders else select
        if plan.limit is not None:
            select = select.limit(plan.limit)
        return select.distinct() if plan.distinct else select

    def _ordered(self, order: Order, *, several: bool) -> exp.Ordered:
        term = self._term(order.term, several=several)
        return exp.Ordered(this=term, desc=order.descending, nulls_first=not order.descending)

    def _percentage(self, plan: Plan, *, several: bool) -> exp.Expr:
        """How many of a hundred rows fulfil the conditions."""
        fulfilled = exp.and_(*(exp.or_(*(self._condition(c, several=several) for c in e)) for e in plan.share))
        number = exp.Sum(this=exp.Case().when(fulfilled, exp.convert(1)).else_(exp.convert(0)))
        return exp.Div(
            this=exp.Mul(this=exp.Literal.number("100.0"), expression=number), expression=exp.Count(this=exp.Star())
        )

    def _rank_within(
        self, plan: Plan, select: exp.Select, groups: list[exp.Expr], orders: list[exp.Ordered]
    ) -> exp.Select:
        """The first rows of each group, with those that tie with the last of them."""
        names: list[exp.Identifier] = []
        for place, (term, shown) in enumerate(zip(plan.select, select.expressions, strict=True)):
            name = term.ref.column.name if term.ref is not None else "number"
            if name in {known.name for known in names}:
                name = f"{name}_{place + 1}"
            names.append(self._identifier(name))
            shown.replace(exp.alias_(shown.copy(), names[-1].copy()))
        rank = exp.Window(this=exp.Anonymous(this="RANK"), partition_by=groups, order=exp.Order(expressions=orders))
        ranked = select.select(exp.alias_(rank, "place")).subquery("ranked")
        found = exp.select(*(exp.Column(this=name.copy()) for name in names)).from_(ranked)
        return found.where(exp.column("place") <= exp.convert(plan.limit)).distinct()

    def _joins(self, tree: Tree) -> list[tuple[Table, exp.Expr]]:
        joined = {tree.root.name}
        found: list[tuple[Table, exp.Expr]] = []
        for link in tree.links:
            table = link.parent if link.child.name in joined else link.child
            joined.add(table.name)
            pairs = zip(link.columns, link.target_columns, strict=True)
            condition = exp.and_(
                *(
                    self._column(link.child, a, several=True).eq(self._column(link.parent, b, several=True))
                    for a, b in pairs
                )
            )
            found.append((table, condition))
        return found

    # --- names ------------------------------------------------------------------------------

    def _identifier(self, name: str) -> exp.Identifier:
        return build_identifier(name, self._dialect)

    def _column(self, table: Table, name: str, *, several: bool) -> exp.Column:
        return exp.Column(this=self._identifier(name), table=self._identifier(table.name) if several else None)

    # --- values -----------------------------------------------------------------------------

    def _term(self, term: Term, *, several: bool) -> exp.Expr:
        if term.ref is None:
            return exp.Count(this=exp.Star())
        column: exp.Expr = self._column(term.ref.table, term.ref.column.name, several=several)
        if term.bucket:
            column = exp.TimeToStr(this=column, format=exp.Literal.string(term.bucket))
        if not term.aggregate:
            return column
        if term.aggregate == "count":
            return exp.Count(this=exp.Distinct(expressions=[column]) if term.distinct else column)
        return _AGGREGATES[term.aggregate](this=exp.Distinct(expressions=[column]) if term.distinct else column)

    def _condition(self, condition: Condition, *, several: bool) -> exp.Expr:
        term = self._term(condition.term, several=several)
        operator, negated = condition.operator, condition.negated
        if condition.plan is not None:
            inner = self._build_select(condition.plan)
            if operator == "in":
                return self._membership(term, inner, condition)
            operator = _INVERSE[operator] if negated else operator
            return COMPARISONS[operator](this=term, expression=exp.Subquery(this=inner))
        if condition.other is not None:
            right = self._term(condition.other, several=several)
            return COMPARISONS[_INVERSE[operator] if negated else operator](this=term, expression=right)
        if operator in COMPARISONS:
            operator = _INVERSE[operator] if negated else operator
            return COMPARISONS[operator](this=term, expression=self._literal(condition.values[0], condition.term.ref))
        built = self._other(term, condition)
        return exp.not_(exp.paren(built)) if negated else built

    def _membership(self, term: exp.Expr, inner: exp.Select, condition: Condition) -> exp.Expr:
        shown = condition.plan.select[0] if condition.plan else None
        column = shown.ref.column if shown is not None and shown.ref is not None else None
        if condition.negated and column is not None and column.nullable and not column.primary_key:
            inner = inner.where(exp.not_(exp.Is(this=inner.selects[0].copy(), expression=exp.null())))
        found = exp.In(this=term, query=exp.Subquery(this=inner))
        return exp.not_(found) if condition.negated else found

    def _other(self, term: exp.Expr, condition: Condition) -> exp.Expr:
        values, ref = condition.values, condition.term.ref
        if condition.operator == "null":
            return exp.Is(this=term, expression=exp.null())
        if condition.operator == "between":
            return exp.Between(this=term, low=self._literal(values[0], ref), high=self._literal(values[1], ref))
        if condition.operator == "in":
            return term.isin(*(self._literal(v, ref) for v in values))
        return build_pattern(term, condition.operator, str(values[0]), self._dialect)

    def _literal(self, value: Constant, ref: Ref | None) -> exp.Expr:
        if isinstance(value, float):
            return exp.convert(int(value) if value == int(value) else value)
        if (
            ref is not None
            and ref.column.kind in {ColumnKind.DATE, ColumnKind.DATETIME}
            and not self._dialect.dates_are_text
        ) and re.match(r"\d{4}-\d{2}-\d{2}", value):
            return exp.cast(exp.Literal.string(value), "date")
        return exp.Literal.string(value)
