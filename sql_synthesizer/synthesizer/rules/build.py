"""From a query to a sqlglot tree and to SQL text in the database's dialect."""

from __future__ import annotations

from sqlglot import exp

from sql_synthesizer.model import ColumnKind, Table
from sql_synthesizer.model.dialects import DIALECTS, DialectRow
from sql_synthesizer.synthesizer.rules.dates import Span
from sql_synthesizer.synthesizer.rules.joins import fan_out_tables
from sql_synthesizer.synthesizer.rules.names import key_columns
from sql_synthesizer.synthesizer.rules.query import Constant, Filter, Link, Query, Ref, Term
from sql_synthesizer.synthesizer.rules.spelling import (
    COMPARISONS,
    PATTERNS,
    build_identifier,
    build_pattern,
    build_table,
)
from sql_synthesizer.synthesizer.rules.wording import column_aliases


def to_sql(query: Query, dialect: str) -> str:
    """The query as text; ``dialect`` is that of the schema."""
    row = DIALECTS[dialect]
    return _Builder(query, row).build_select().sql(dialect=row.sqlglot)


class _Builder:
    def __init__(self, query: Query, dialect: DialectRow) -> None:
        self._query = query
        self._dialect = dialect

    def build_select(self) -> exp.Select:
        """The SELECT."""
        query = self._query
        shown = map(self._output_column, query.select, column_aliases(query))
        select = exp.select(*shown).from_(build_table(query.root, self._dialect))
        for table, condition in self._build_joins():
            select = select.join(build_table(table, self._dialect), on=condition)
        filters = [self._build_filter(f) for f in query.filters]
        if query.either and len(filters) > 1:
            filters = [exp.or_(*filters)]
        for part in [*filters, *map(self._absence_condition, query.absent)]:
            select = select.where(part)
        if query.groups:
            select = select.group_by(*map(self._build_term, dict.fromkeys(query.groups)))
        for having in query.having:
            select = select.having(self._build_filter(having))
        for order in query.orders:
            select = select.order_by(self._build_order(order.term, descending=order.descending))
        if query.limit is not None:
            select = select.limit(query.limit)
        return select.distinct() if query.distinct else select

    # --- names ------------------------------------------------------------------------------

    def _build_identifier(self, name: str) -> exp.Identifier:
        return build_identifier(name, self._dialect)

    def _build_column(self, table: Table, name: str) -> exp.Column:
        several = bool(self._query.links or self._query.absent)
        return exp.Column(
            this=self._build_identifier(name), table=self._build_identifier(table.name) if several else None
        )

    # --- parts ------------------------------------------------------------------------------

    def _build_joins(self) -> list[tuple[Table, exp.Expr]]:
        joined = {self._query.root.name}
        joins = []
        for link in self._query.links:
            table = link.parent if link.child.name in joined else link.child
            joined.add(table.name)
            joins.append((table, self._join_condition(link)))
        return joins

    def _join_condition(self, link: Link) -> exp.Expr:
        pairs = zip(link.columns, link.target_columns, strict=True)
        return exp.and_(*(self._build_column(link.child, a).eq(self._build_column(link.parent, b)) for a, b in pairs))

    def _absence_condition(self, link: Link) -> exp.Expr:
        table = link.child if link.parent.name == self._query.root.name else link.parent
        inner = (
            exp.select(exp.Literal.number(1)).from_(build_table(table, self._dialect)).where(self._join_condition(link))
        )
        return exp.not_(exp.Exists(this=inner))

    def _output_column(self, term: Term, alias: str) -> exp.Expr:
        value = self._build_term(term)
        return exp.Alias(this=value, alias=self._build_identifier(alias)) if alias else value

    def _build_term(self, term: Term) -> exp.Expr:
        if term.aggregate == "count":
            return self._build_count(term)
        if term.ref is None:
            raise ValueError(term)
        column = self._build_column(term.ref.table, term.ref.column.name)
        if term.bucket:
            return exp.TimeToStr(this=column, format=exp.Literal.string(term.bucket))
        function = {"sum": exp.Sum, "avg": exp.Avg, "min": exp.Min, "max": exp.Max}.get(term.aggregate)
        if function is None:
            return column
        return function(this=exp.Distinct(expressions=[column]) if term.distinct else column)

    def _build_count(self, term: Term) -> exp.Expr:
        if term.ref is not None:
            column = self._build_column(term.ref.table, term.ref.column.name)
            return exp.Count(this=exp.Distinct(expressions=[column]))
        table = term.tables()[0]
        if not fan_out_tables(self._query.links, table.name):
            return exp.Count(this=exp.Star())
        key = self._build_column(table, key_columns(table)[0].name)
        return exp.Count(this=exp.Distinct(expressions=[key]))

    def _build_order(self, term: Term, *, descending: bool) -> exp.Ordered:
        nullable = term.ref is not None and term.ref.column.nullable and not term.ref.column.primary_key
        last = nullable and self._query.limit is not None and term.aggregate != "count"
        default_last = self._dialect.nulls_are_largest and not descending
        nulls_first = False if last else not descending and not default_last
        if not last and self._dialect.nulls_are_largest:
            nulls_first = descending
        return exp.Ordered(this=self._build_term(term), desc=descending, nulls_first=nulls_first)

    # --- filters ----------------------------------------------------------------------------

    def _build_filter(self, condition: Filter) -> exp.Expr:
        term = self._build_term(condition.term)
        built = self._build_comparison(term, condition)
        denied = condition.negated and condition.operator not in {"null", "!="}
        return exp.not_(exp.paren(built)) if denied else built

    def _build_comparison(self, term: exp.Expr, condition: Filter) -> exp.Expr:
        values = condition.constants
        if condition.operator == "null":
            null = exp.Is(this=term, expression=exp.null())
            return exp.not_(null) if condition.negated else null
        if condition.operator == "span":
            return self._build_span(term, condition)
        if condition.operator in PATTERNS:
            return build_pattern(term, condition.operator, str(values[0]), self._dialect)
        literals = [self._build_literal(value, condition.term.ref) for value in values]
        if condition.operator == "in":
            return term.isin(*literals)
        if condition.operator == "between":
            return exp.Between(this=term, low=literals[0], high=literals[1])
        return COMPARISONS[condition.operator](this=term, expression=literals[0])

    def _build_span(self, term: exp.Expr, condition: Filter) -> exp.Expr:
        span = condition.constants[0]
        if not isinstance(span, Span):
            raise TypeError(span)
        start = exp.GTE(this=term, expression=self._date_literal(span.start.isoformat()))
        end = exp.LT(this=term.copy(), expression=self._date_literal(span.end.isoformat()))
        return exp.and_(start, end)

    def _build_literal(self, value: Constant, ref: Ref | None) -> exp.Expr:
        if isinstance(value, Span):
            return self._date_literal(value.start.isoformat())
        if isinstance(value, bool):
            text = ref is not None and ref.column.kind is not ColumnKind.BOOLEAN
            return exp.Literal.string(str(value)) if text else exp.Boolean(this=value)
        if isinstance(value, float):
            return exp.convert(int(value) if value == int(value) else value)
        return exp.Literal.string(value)

    def _date_literal(self, text: str) -> exp.Expr:
        literal = exp.Literal.string(text)
        return literal if self._dialect.dates_are_text else exp.cast(literal, "date")
