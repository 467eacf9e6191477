"""Turns the conditions of a draft into filters over columns."""

from __future__ import annotations

from sql_synthesizer.model import ColumnKind
from sql_synthesizer.synthesizer.rules.binding import DATED, NUMERIC, Ambiguous, Binder
from sql_synthesizer.synthesizer.rules.dates import Span
from sql_synthesizer.synthesizer.rules.draft import Condition, NotUnderstood
from sql_synthesizer.synthesizer.rules.linking import Item
from sql_synthesizer.synthesizer.rules.names import has_label, label_columns
from sql_synthesizer.synthesizer.rules.query import Constant, Filter, Ref, Term
from sql_synthesizer.synthesizer.rules.text import split_name

_OF_DATES = {"before": "<", "until": "<", "after": ">=", "since": ">=", "<": "<", "<=": "<=", ">": ">=", ">=": ">="}
_OF_YEARS = {"before": "<", "until": "<", "after": ">", "since": ">=", "span": "=", "=": "="}


class FilterMaker:
    """Makes the filters of one draft."""

    def __init__(self, binder: Binder) -> None:
        self._binder = binder

    def make(self, condition: Condition) -> Filter:
        """The filter that a condition means. Raises NotUnderstood or Ambiguous."""
        if condition.operator in {"contain", "start", "end"}:
            return self._text_filter(condition)
        if condition.operator == "null":
            ref = self._subject_column(condition)
            if ref.table != self._binder.entity:
                raise NotUnderstood(str(ref))
            return Filter(Term(ref), "null", negated=condition.negated)
        if condition.operator == "true":
            ref = self._binder.find_column(self._require_subject(condition), kinds=frozenset({ColumnKind.BOOLEAN}))
            return Filter(Term(ref), "=", (not condition.negated,))
        if condition.operator == "named":
            return self._name_filter(condition)
        if condition.operator in {"before", "after", "since", "until", "span"}:
            return self._date_filter(condition)
        if condition.operator == "between":
            return self._between_filter(condition)
        if condition.operator == "=":
            return self._equality_filter(condition)
        return self._comparison_filter(condition)

    def _require_subject(self, condition: Condition) -> Item:
        if condition.subject is None:
            raise NotUnderstood(condition.operator)
        return condition.subject

    def _subject_column(self, condition: Condition) -> Ref:
        return self._binder.find_column(self._require_subject(condition), condition.owner)

    def _text_filter(self, condition: Condition) -> Filter:
        value = condition.values[0]
        if condition.subject is not None:
            refs = [
                r
                for r in self._binder.find_columns(condition.subject, condition.owner)
                if r.column.kind is ColumnKind.TEXT
            ]
            if len(refs) != 1:
                raise NotUnderstood(condition.subject.text)
            return Filter(Term(refs[0]), condition.operator, (value.text,), condition.negated)
        ref = self._binder.find_label_column(self._binder.entity, value.text)
        return Filter(Term(ref), condition.operator, (value.text,), condition.negated)

    def _name_filter(self, condition: Condition) -> Filter:
        """Named X: X stands in a column that names the rows of a mentioned table."""
        value = condition.values[0]
        for table in self._binder.mentioned:
            names = {(table.name, column.name) for column in label_columns(table)} if has_label(table) else set()
            if matches := tuple(m for m in value.matches if (m.table, m.column) in names):
                ref = self._binder.find_value_column([Item("value", value.text, matches=matches)])
                return Filter(Term(ref), "=", (self._stored_value(value, ref),))
        if len(self._binder.mentioned) > 1 or not value.quoted:
            raise NotUnderstood(value.text)
        return Filter(Term(self._binder.find_label_column(self._binder.entity, value.text)), "=", (value.text,))

    @staticmethod
    def _stored_value(value: Item, ref: Ref) -> str:
        """The value as the data has it; as typed where the data was not searched."""
        same = (m.value for m in value.matches if (m.table, m.column) == (ref.table.name, ref.column.name))
        return next(same, value.text)

    def _equality_filter(self, condition: Condition) -> Filter:
        values = condition.values
        if condition.subject is None and all(v.matches for v in values):
            ref = self._binder.find_value_column(values)
        elif condition.subject is not None:
            ref = self._find_holding_column(condition.subject, values, condition.owner)
        else:
            ref = self._binder.find_number_column(values[0].text)
        if condition.joined_by_and and len(values) > 1 and ref.table != self._binder.entity:
            raise NotUnderstood("and")
        if ref.column.kind in DATED and len(values) == 1 and values[0].span:
            return Filter(Term(ref), "span", (values[0].span,), condition.negated)
        constants = tuple(dict.fromkeys(self._filter_constant(value, ref) for value in values))
        if len(constants) > 1:
            return Filter(Term(ref), "in", constants, condition.negated)
        return Filter(Term(ref), "!=" if condition.negated else "=", constants)

    def _find_holding_column(self, subject: Item, values: list[Item], owner: Item | None) -> Ref:
        """The column that the subject names; of several, the one where the values occur."""
        try:
            refs = self._binder.find_columns(subject, owner)
        except Ambiguous:
            refs = []
        if values[0].matches:
            places = {(m.table, m.column) for m in values[0].matches}
            holding = [r for r in refs if (r.table.name, r.column.name) in places]
            if not holding:
                columns = [h for h in subject.hits if h.column and (h.table.name, h.column.name) in places]
                best = [Ref(h.table, h.column) for h in columns if h.column and h.quality == columns[0].quality]
                holding = [r for r in best if r.table in self._binder.mentioned] or best
            refs = holding
        if len(refs) != 1:
            raise Ambiguous(f"{subject.text}: {' or '.join(map(str, refs[:4]))}")
        return refs[0]

    def _filter_constant(self, value: Item, ref: Ref) -> Constant:
        if ref.column.kind in NUMERIC:
            if value.number is None:
                raise NotUnderstood(value.text)
            return value.number
        if ref.column.kind in DATED or ref.column.kind is ColumnKind.BOOLEAN:
            raise NotUnderstood(value.text)
        return self._stored_value(value, ref)

    def _date_filter(self, condition: Condition) -> Filter:
        span = condition.values[0].span
        if span is None:
            raise NotUnderstood(condition.values[0].text)
        ref = self._subject_column(condition) if condition.subject else self._binder.find_date_column(condition)
        if ref.column.kind not in DATED:
            return self._year_filter(ref, condition, span)
        if condition.operator == "span":
            return Filter(Term(ref), "span", (span,), condition.negated)
        return self._bound_filter(ref, condition, span)

    def _bound_filter(self, ref: Ref, condition: Condition, span: Span) -> Filter:
        """A comparison with a span of days: after it means from its end on, until it means up to and with it."""
        operator = condition.operator
        whole = operator in {"after", ">", "until", "<="}
        side = {"until": "<", "<=": "<"}.get(operator) or _OF_DATES[operator]
        edge = span.end if whole else span.start
        return Filter(Term(ref), side, (Span(edge, edge),), condition.negated)

    def _year_filter(self, ref: Ref, condition: Condition, span: Span) -> Filter:
        if span.year is None or "year" not in split_name(ref.column.name):
            raise NotUnderstood(condition.values[0].text)
        operator = "<=" if condition.operator == "until" else _OF_YEARS[condition.operator]
        if ref.column.kind in NUMERIC:
            return Filter(Term(ref), operator, (float(span.year),), condition.negated)
        if ref.column.kind is ColumnKind.TEXT:
            return Filter(Term(ref), operator, (str(span.year),), condition.negated)
        raise NotUnderstood(condition.values[0].text)

    def _between_filter(self, condition: Condition) -> Filter:
        low, high = condition.values
        if condition.subject is not None:
            ref = self._subject_column(condition)
        elif low.span and high.span:
            ref = self._binder.find_date_column(condition)
        else:
            ref = self._binder.find_number_column(low.text)
        if ref.column.kind in DATED:
            if low.span is None or high.span is None:
                raise NotUnderstood(low.text)
            return Filter(Term(ref), "span", (Span(low.span.start, high.span.end),), condition.negated)
        if low.number is None or high.number is None or ref.column.kind not in NUMERIC:
            raise NotUnderstood(low.text)
        return Filter(Term(ref), "between", (low.number, high.number), condition.negated)

    def _comparison_filter(self, condition: Condition) -> Filter:
        value = condition.values[0]
        operator = condition.operator
        if condition.adjective:
            ref, backwards = self._binder.find_measure_column(condition.adjective, value.text)
            if backwards:
                raise NotUnderstood(value.text)
        elif condition.subject is not None:
            ref = self._binder.find_column(condition.subject, condition.owner)
        else:
            ref = self._binder.find_number_column(value.text)
        if ref.column.kind in DATED and value.span and operator in _OF_DATES:
            return self._bound_filter(ref, condition, value.span)
        if ref.column.kind not in NUMERIC or value.number is None:
            raise NotUnderstood(value.text)
        return Filter(Term(ref), operator, (value.number,), condition.negated)
