"""One plain sentence that says what a query does."""

from __future__ import annotations

import re

from sql_synthesizer.model import ColumnKind, Table
from sql_synthesizer.synthesizer.rules.joins import fan_out_tables
from sql_synthesizer.synthesizer.rules.names import key_columns, label_columns
from sql_synthesizer.synthesizer.rules.predicates import count_text, predicate_text
from sql_synthesizer.synthesizer.rules.query import Filter, Order, Query, Ref, Term
from sql_synthesizer.synthesizer.rules.text import plural_form, readable_name
from sql_synthesizer.synthesizer.rules.wording import DATED, extreme_word, qualified_name, row_of, rows_of, value_of

_VERBS = {"sum": "adds up", "avg": "averages"}


def explain_query(query: Query) -> str:
    """Says what is shown, from which rows, and in what order."""
    text = _Sentence(query).text()
    return text[0].upper() + text[1:] + "."


class _Sentence:
    """The parts of one sentence; ``subject`` is the table whose rows it is about."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._plain = [term for term in query.select if not term.aggregate]
        self._aggregates = [term for term in query.select if term.aggregate]
        self._ranked = query.limit is not None and len(query.orders) == 1 and not query.distinct
        self._grouped = [
            g for g in query.tables() if key_columns(g) and {Term(Ref(g, c)) for c in key_columns(g)} <= {*query.groups}
        ]
        self._computes = bool(self._aggregates) and not (self._ranked and query.groups)
        counting = [*self._aggregates, *(o.term for o in query.orders), *(h.term for h in query.having)]
        measured = [t.tables()[0] for t in counting if t.aggregate]
        self._measured = measured[0] if measured else query.root
        self._subject = self._measured if self._computes else query.root
        self._many = fan_out_tables(query.links, self._subject.name)
        self._filtered_rows = self._measured if query.groups else self._subject

    def text(self) -> str:
        """The sentence, without its capital and its stop."""
        body = self._computed_text() if self._computes else self._listing_text()
        return body + self._exclusion_text()

    # --- aggregates -------------------------------------------------------------------------

    def _computed_text(self) -> str:
        where = self._where_text()
        action = f"{self._action_text()}{where}"
        if self._query.groups:
            each = f"for each {self._group_text(1)}{self._having_text()}"
            action = f"{each}, {action}" if where else f"{action} {each}"
        return action + self._sorting_text()

    def _action_text(self) -> str:
        rows = self._rows_text()
        only = self._aggregates[0]
        unnamed = [term for term in self._plain if not self._is_group_name(term)]
        if len(self._aggregates) > 1 or unnamed:
            values = [*map(self._column_text, unnamed), *map(self._aggregate_text, self._aggregates)]
            return f"shows {_join_texts(['the ' + value for value in values])}"
        if only.ref is None:
            return f"counts {rows}"
        if only.aggregate == "count":
            return f"counts the distinct {plural_form(readable_name(only.ref.column.name))} of {rows}"
        if only.aggregate in _VERBS:
            distinct = "distinct values of the " if only.distinct else ""
            return f"{_VERBS[only.aggregate]} the {distinct}{readable_name(only.ref.column.name)} of {rows}"
        return f"finds the {value_of(only)} of {rows}"

    def _aggregate_text(self, term: Term) -> str:
        """One of several values; the last of those over the same rows says which."""
        following = self._aggregates[self._aggregates.index(term) + 1 :]
        if term.ref is None or any(other.tables() == term.tables() and other.ref for other in following):
            return value_of(term)
        return (
            f"{value_of(term)} of {self._rows_text() if term.ref.table == self._subject else rows_of(term.ref.table)}"
        )

    def _is_group_name(self, term: Term) -> bool:
        """Whether a column says no more than which group a row is."""
        if term.ref is None or term.ref.table not in self._grouped:
            return term in self._query.groups
        return term.ref.column in {*label_columns(term.ref.table), *key_columns(term.ref.table)}

    # --- rows -------------------------------------------------------------------------------

    def _listing_text(self) -> str:
        query = self._query
        limit = query.limit if self._ranked or not (query.orders or query.distinct) else None
        where = self._where_text()
        things = self._group_text(limit or 2) if query.groups else self._rows_text(limit or 2)
        if limit is not None:
            things = f"{'' if limit == 1 else f'{limit} '}{things}"
        things += self._having_text()
        shown = self._columns_text()
        verb = "shows" if limit is not None else "lists"
        best = self._rank_text(query.orders[0]) if self._ranked else ""
        if where and limit is not None and not query.groups:
            one = "one" if limit == 1 else str(limit)
            return f"of the {self._rows_text()}{where}, {verb} {shown}{'the ' if best else ''}{one}{best}"
        if query.groups and not shown and (more := [t for t in self._aggregates if t != query.orders[0].term]):
            best += f", and their {_join_texts([*map(value_of, more)])}"
        the = "the " if best or (shown and query.groups) else ("one " if limit == 1 else "")
        if query.groups:
            where = f", considering only {rows_of(self._measured)}{where}" if where else ""
        return f"{verb} {shown}{the}{things}{best}{where}{self._sorting_text() if limit is None else ''}"

    def _columns_text(self) -> str:
        """``the name and price of``; nothing where it is what names the rows, or all there is."""
        query = self._query
        by_value = bool(query.groups) and not self._grouped
        if by_value and all(map(self._is_group_name, self._plain)):
            return ""
        refs = [term.ref for term in query.select if not term.computed]
        named = [Ref(query.root, c) for c in label_columns(query.root)]
        whole = [Ref(query.root, c) for c in query.root.columns if not c.sensitive]
        if not (query.distinct or self._aggregates) and (refs == whole or (refs == named and len(named) == 1)):
            return ""
        columns = _join_columns([self._column_text(term) for term in query.select])
        if query.distinct and plural_form(columns) == rows_of(query.root):
            return "distinct "
        return f"the {'distinct ' + plural_form(columns) if query.distinct else columns} of "

    def _rank_text(self, order: Order) -> str:
        term = order.term
        if term.aggregate == "count":
            what = value_of(term).removeprefix("number of ")
            return f" with the {'most' if order.descending else 'fewest'} {what}"
        if term.ref is None:
            return ""
        if term.aggregate:
            return f" with the {'highest' if order.descending else 'lowest'} {value_of(term)}"
        return f" with the {extreme_word(term.ref, highest=order.descending)} {self._column_text(term)}"

    # --- parts ------------------------------------------------------------------------------

    def _rows_text(self, number: int = 2) -> str:
        """The rows of the subject, with what has to belong to them."""
        rows = rows_of(self._subject) if number > 1 else row_of(self._subject)
        have = "have" if number > 1 else "has"
        needs = [rows_of(t) if t.name in self._many else _indefinite_noun(row_of(t)) for t in self._unnamed_tables()]
        rows += f" that {have} {_join_texts(needs)}" if needs else ""
        absent = (
            [f"without {rows_of(table)}" for table in self._absent_tables()]
            if self._subject == self._query.root
            else []
        )
        return " ".join([rows, _join_texts(absent)]) if absent else rows

    def _unnamed_tables(self) -> list[Table]:
        """Tables at the ends of the joins that nothing else in the sentence names."""
        query = self._query
        ends = [t for link in query.links for t in (link.child, link.parent)]
        terms = [*query.select, *query.groups, *(f.term for f in [*query.filters, *query.having])]
        terms += [order.term for order in query.orders]
        spoken = {self._subject.name, *(table.name for term in terms for table in term.tables())}
        return [t for t in ends if t.name not in spoken and ends.count(t) == 1]

    def _absent_tables(self) -> list[Table]:
        root = self._query.root
        return [link.child if link.parent.name == root.name else link.parent for link in self._query.absent]

    def _group_text(self, number: int) -> str:
        """What one group is, or several: customer, hull color, combination of make and model."""
        own = [term for term in self._query.groups if term.ref and term.ref.table not in self._grouped]
        names = [row_of(table) for table in self._grouped] + list(dict.fromkeys(map(self._column_text, own)))
        if len(names) == 1:
            return plural_form(names[0]) if number > 1 else names[0]
        return f"combination{'s' if number > 1 else ''} of {_join_texts(names)}"

    def _having_text(self) -> str:
        return f" with {_join_texts([*map(count_text, self._query.having)])}" if self._query.having else ""

    def _where_text(self) -> str:
        query = self._query
        said = [predicate_text(self._filter_subject(f), f) for f in query.filters]
        if self._subject != query.root:
            said += [f"the {row_of(query.root)} has no {rows_of(table)}" for table in self._absent_tables()]
        return f" where {(' or ' if query.either else ' and ').join(said)}" if said else ""

    def _filter_subject(self, condition: Filter) -> str:
        """The column that a filter is about: the status, the name of the country, the rating of a review."""
        ref = condition.term.ref
        if ref is not None and ref.column.kind is ColumnKind.BOOLEAN:
            return re.sub(r"^(is|has|was) ", "", self._column_text(condition.term))
        if ref is None or ref.table == self._filtered_rows:
            return _definite_noun(value_of(condition.term))
        many = ref.table.name in fan_out_tables(self._query.links, self._filtered_rows.name)
        column = readable_name(ref.column.name)
        if qualified_name(ref) == column:
            return _indefinite_noun(column) if many else f"the {column}"
        return (
            f"{_definite_noun(column)} of {_indefinite_noun(row_of(ref.table)) if many else f'the {row_of(ref.table)}'}"
        )

    def _column_text(self, term: Term) -> str:
        """A column or value, with its table where that is not the subject."""
        plain = term.ref is not None and not term.computed and term.ref.table != self._subject
        return qualified_name(term.ref) if plain and term.ref else value_of(term)

    def _sorting_text(self) -> str:
        query = self._query
        sorts = [f"{self._column_text(order.term)} {_sort_direction(order)}" for order in query.orders]
        sorting = f", sorted by {', then by '.join(sorts)}" if sorts else ""
        if query.limit is None or (self._computes and not query.groups):
            return sorting
        return f"{sorting}, only the first {query.limit}" if sorts else f", only {query.limit} of them"

    def _exclusion_text(self) -> str:
        """What an inner join drops, where it can be said in a few words."""
        query = self._query
        limited = query.limit is not None and not (query.orders and not query.orders[0].descending)
        if limited or query.having:
            return ""
        if query.groups:
            others = [table for table in self._grouped if table != self._measured]
            return f"; {rows_of(others[0])} without any are left out" if len(others) == len(self._grouped) == 1 else ""
        filtered = {table.name for f in query.filters for table in f.term.tables()}
        if self._computes or len(query.links) != 1 or self._unnamed_tables():
            return ""
        link = query.links[0]
        other = link.child if link.parent.name == query.root.name else link.parent
        if other.name in filtered:
            return ""
        if other.name in self._many:
            return f"; {rows_of(query.root)} without {rows_of(other)} are left out"
        optional = any(c.nullable for c in link.child.columns if c.name in link.columns)
        return f"; {rows_of(query.root)} without {_indefinite_noun(row_of(other))} are left out" if optional else ""


def _sort_direction(order: Order) -> str:
    ref = order.term.ref
    if ref is not None and not order.term.aggregate:
        if ref.column.kind in DATED:
            return "from latest to earliest" if order.descending else "from earliest to latest"
        if ref.column.kind is ColumnKind.TEXT:
            return "from Z to A" if order.descending else "from A to Z"
    return "from high to low" if order.descending else "from low to high"


def _indefinite_noun(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeio' else 'a'} {noun}"


def _definite_noun(name: str) -> str:
    """With an article where the name is a noun, not a participle: the price, created at."""
    last = name.rsplit(" ", 1)[-1]
    return name if last in {"at", "on", "by", "in"} or last.endswith("ed") else f"the {name}"


def _join_columns(names: list[str]) -> str:
    """First name and last name become first and last name."""
    if len(names) > 1 and all(" " in name for name in names[:2]):
        (one, end), (_, other_end) = names[0].rsplit(" ", 1), names[1].rsplit(" ", 1)
        if end == other_end and len(names) == 2:
            names = [one, names[1]]
    return _join_texts(names)


def _join_texts(texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
