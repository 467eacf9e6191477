"""From a draft to a query: binds names, chooses groups, joins tables and checks that nothing is counted twice."""

from __future__ import annotations

from sql_synthesizer.model import Schema, Table
from sql_synthesizer.synthesizer.rules.binding import DATED, NUMERIC, Ambiguous, Binder, is_table
from sql_synthesizer.synthesizer.rules.draft import Draft, Having, Mention, NotUnderstood, Sorting
from sql_synthesizer.synthesizer.rules.filters import FilterMaker
from sql_synthesizer.synthesizer.rules.joins import JoinGraph, fan_out_tables
from sql_synthesizer.synthesizer.rules.linking import Item
from sql_synthesizer.synthesizer.rules.names import SHORTENED, has_label, key_columns, label_columns
from sql_synthesizer.synthesizer.rules.query import Filter, Order, Query, Ref, Term
from sql_synthesizer.synthesizer.rules.text import split_name


def resolve_draft(draft: Draft, schema: Schema, graph: JoinGraph) -> Query:
    """The query that a draft means over this schema. Raises NotUnderstood or Ambiguous."""
    return _Resolver(draft, schema, graph).resolve_query()


class _Resolver:
    def __init__(self, draft: Draft, schema: Schema, graph: JoinGraph) -> None:
        self._draft = draft
        self._graph = graph
        self._normalize_groups()
        self._binder = Binder(schema, graph, draft)
        self._query = Query(self._binder.entity, limit=draft.limit)

    def resolve_query(self) -> Query:
        """Resolves each part in turn."""
        query = self._query
        query.filters = [FilterMaker(self._binder).make(c) for c in self._draft.conditions]
        query.either = self._has_alternatives()
        query.having = [self._having_filter(h) for h in self._draft.having]
        self._resolve_select()
        query.orders = [self._resolve_order(o) for o in self._draft.orders]
        if any(o.term == p.term and o.descending is not p.descending for o in query.orders for p in query.orders):
            raise NotUnderstood("which way to sort")
        self._resolve_groups()
        self._resolve_absent()
        self._join_tables()
        if (query.distinct or (self._has_aggregates() and not query.groups)) and self._hidden_sort_terms():
            raise NotUnderstood("what to sort by")
        self._add_measure()
        return query

    def _normalize_groups(self) -> None:
        """``the name of each T`` asks for every T: it groups nothing where nothing is aggregated."""
        draft = self._draft
        shown = any(m.aggregate for m in draft.select)
        if draft.limit is not None and (draft.groups or draft.bucket) and not shown:
            raise NotUnderstood("the first few of each group")
        aggregated = shown or any(o.mention.aggregate for o in draft.orders)
        if draft.groups and not aggregated and not draft.having:
            if draft.bucket or not all(is_table(item) for item in draft.groups):
                raise NotUnderstood("each")
            draft.tables = [*draft.tables, *draft.groups] if draft.tables else list(draft.groups)
            draft.groups = []

    def _has_alternatives(self) -> bool:
        """Whether the conditions are joined by ``or``; a mix with ``and`` can be read in two ways."""
        joined = [condition.alternative for condition in self._draft.conditions[1:]]
        if any(joined) and not all(joined):
            raise NotUnderstood("or")
        return any(joined)

    # --- select -----------------------------------------------------------------------------

    def _resolve_select(self) -> None:
        draft, query = self._draft, self._query
        if draft.everything:
            if draft.select:
                raise NotUnderstood("all")
            query.select = [Term(Ref(query.root, c)) for c in query.root.columns if not c.sensitive]
            return
        for mention in draft.select:
            for term in self._mention_terms(mention):
                if term not in query.select:
                    query.select.append(term)
        fixed = {f.term.ref for f in query.filters if f.operator == "=" and not query.either}
        if query.select and {term.ref for term in query.select if not term.aggregate} & fixed:
            raise NotUnderstood("what to show")
        if not query.select and not draft.groups:
            shown = label_columns(query.root)
            if {Ref(query.root, column) for column in shown} <= fixed:
                shown = tuple(column for column in query.root.columns if not column.sensitive)
            query.select = [Term(Ref(query.root, c)) for c in shown]
        self._deduplicate_values()
        query.distinct = draft.distinct and not self._has_aggregates()

    def _deduplicate_values(self) -> None:
        """A column asked for alone, of no table in particular: each of its values once."""
        query, draft = self._query, self._draft
        only = query.select[0] if len(query.select) == 1 else None
        if (
            only is not None
            and only.ref is not None
            and not (only.aggregate or draft.tables or draft.groups or draft.orders)
        ):
            table = only.ref.table
            draft.distinct |= only.ref.column not in {
                *key_columns(table),
                *(label_columns(table) if has_label(table) else ()),
            }

    def _mention_terms(self, mention: Mention) -> list[Term]:
        item = mention.item
        if item is None:
            raise NotUnderstood("what to show")
        if mention.aggregate:
            return [self._aggregate_term(mention, item)]
        refs = self._requested_columns(mention, item)
        if len(refs) > 1 and not _is_person_name(refs):
            raise Ambiguous(f"{item.text}: {' or '.join(map(str, refs[:4]))}")
        return [Term(ref) for ref in refs]

    def _requested_columns(self, mention: Mention, item: Item) -> list[Ref]:
        """The columns of a wish; the name of something is what names its rows."""
        table = self._binder.find_table(mention.owner) if mention.owner else self._binder.entity
        naming = item.text.casefold() in {"name", "names"} and has_label(table)
        try:
            refs = self._binder.find_columns(item, mention.owner)
        except Ambiguous:
            raise
        except NotUnderstood:
            if not naming:
                raise
            refs = []
        if naming and all(ref.table != table for ref in refs):
            return [Ref(table, column) for column in label_columns(table)]
        return refs

    def _aggregate_term(self, mention: Mention, item: Item, *, sorting: bool = False) -> Term:
        if mention.aggregate == "count":
            if is_table(item) and not (mention.distinct and self._is_column_elsewhere(item)):
                return Term(aggregate="count", table=self._binder.find_table(item))
            ref = self._binder.find_column(item, mention.owner)
            sure = any(h.column == ref.column and h.quality >= SHORTENED for h in item.hits)
            if not mention.distinct and ref.column.kind in DATED and self._is_narrowed(ref):
                return Term(aggregate="count", table=ref.table)
            if not mention.distinct and (ref.column.kind in NUMERIC | DATED or not sure or sorting):
                raise NotUnderstood(item.text)
            return Term(ref, "count", distinct=True)
        kinds = NUMERIC if mention.aggregate in {"sum", "avg"} else NUMERIC | DATED
        ref = self._binder.find_column(item, mention.owner, kinds)
        if split_name(ref.column.name)[-1:] == ("id",):
            raise NotUnderstood(item.text)
        return Term(ref, mention.aggregate, distinct=mention.distinct)

    def _is_narrowed(self, ref: Ref) -> bool:
        """How many TRIPS STARTED in 2025 counts rows, not the days in the column."""
        bounds = {f.operator for f in self._query.filters if f.term.ref == ref and not f.negated}
        return bool(bounds & {"span", "<", ">="}) and not self._query.either

    def _is_column_elsewhere(self, item: Item) -> bool:
        """Whether a name of a table is also that of a column of another mentioned table."""
        own = self._binder.find_table(item)
        return any(h.column and h.table != own and h.table in self._binder.mentioned for h in item.hits)

    def _having_filter(self, having: Having) -> Filter:
        return Filter(
            Term(aggregate="count", table=self._binder.find_table(having.counted)), having.operator, (having.number,)
        )

    # --- order ------------------------------------------------------------------------------

    def _resolve_order(self, sorting: Sorting) -> Order:
        mention = sorting.mention
        if mention.adjective:
            ref, backwards = self._binder.find_measure_column(mention.adjective, mention.adjective)
            return Order(Term(ref), sorting.descending is not backwards)
        if mention.item is None:
            if mention.aggregate == "count":
                return Order(Term(aggregate="count", table=self._binder.entity), sorting.descending)
            return Order(self._query.select[0], sorting.descending)
        if mention.aggregate:
            return Order(self._aggregate_term(mention, mention.item, sorting=True), sorting.descending)
        terms = self._aggregated_alike(mention) or self._mention_terms(mention)
        return Order(terms[0], sorting.descending)

    def _aggregated_alike(self, mention: Mention) -> list[Term]:
        """Where groups are sorted by a column that is only shown aggregated, the aggregate is meant."""
        if mention.item is None or not self._draft.groups:
            return []
        ref = self._binder.find_column(mention.item, mention.owner)
        return [term for term in self._query.select if term.aggregate and term.ref == ref]

    # --- groups -----------------------------------------------------------------------------

    def _resolve_groups(self) -> None:
        query, draft = self._query, self._draft
        plain = [term for term in query.select if not term.aggregate]
        ranked = any(o.term.aggregate for o in query.orders)
        shown: list[Term] = []
        for item in [*draft.groups, *draft.popular]:
            shown += self._group_by(item)
        if draft.bucket:
            ref = self._bucket_column()
            query.groups.append(Term(ref, bucket=draft.bucket))
            shown.append(query.groups[-1])
            query.orders = query.orders or [Order(query.groups[-1])]
        if not query.groups and (ranked or query.having):
            self._group_by_subject(plain)
        if plain and self._has_aggregates() and not query.groups:
            raise NotUnderstood("whether to show each or all together")
        query.select = [*(t for t in shown if t not in query.select), *query.select]
        query.distinct &= not (query.groups and {*query.groups} <= {*query.select})
        self._complete_groups()

    def _group_by(self, item: Item) -> list[Term]:
        """Groups by a table's rows or by a column; returns what names each group."""
        table = self._group_table(item)
        if table is None:
            term = Term(self._binder.find_column(item))
            self._query.groups.append(term)
            return [term]
        if not key_columns(table):
            raise NotUnderstood(item.text)
        self._query.groups += [Term(Ref(table, c)) for c in key_columns(table)]
        asked = [t for t in self._query.select if not t.aggregate and t.ref and t.ref.table == table]
        return (
            []
            if asked
            else [Term(Ref(table, c)) for c in (label_columns(table) if has_label(table) else key_columns(table))]
        )

    def _group_table(self, item: Item) -> Table | None:
        return self._binder.find_table(item) if is_table(item) else None

    def _bucket_column(self) -> Ref:
        dates = [c for c in self._query.root.columns if c.kind in DATED]
        if len(dates) != 1:
            raise NotUnderstood("which date to group by")
        return Ref(self._query.root, dates[0])

    def _group_by_subject(self, plain: list[Term]) -> None:
        """Rows ranked or chosen by what belongs to them: one group for each row, or for each value asked for."""
        query = self._query
        if self._has_aggregates() and not plain:
            raise NotUnderstood("what is counted or ranked")
        measures = [t for t in (*(o.term for o in query.orders), *(h.term for h in query.having)) if t.aggregate]
        counted = any(t.aggregate == "count" for t in measures)
        own = all(t.tables()[0] == query.root for t in measures)
        naming = {
            *key_columns(query.root),
            *(() if counted or not has_label(query.root) else label_columns(query.root)),
        }
        by_value = all(t.ref and t.ref.table == query.root and t.ref.column not in naming for t in plain)
        if plain and own and by_value:
            query.groups = list(plain)
            return
        if (counted and own) or not key_columns(query.root):
            raise NotUnderstood(query.root.name)
        query.groups = [Term(Ref(query.root, c)) for c in key_columns(query.root)]

    def _complete_groups(self) -> None:
        """Every plain column beside aggregates has to be fixed by the groups."""
        query = self._query
        if not query.groups:
            return
        keyed = {t.ref.table.name for t in query.groups if t.ref and t.ref.column in key_columns(t.ref.table)}
        terms = [*query.select, *(order.term for order in query.orders)]
        for term in terms:
            if term.aggregate or term in query.groups:
                continue
            if term.ref is None or term.ref.table.name not in keyed:
                raise NotUnderstood(str(term.ref))
            query.groups.append(term)

    # --- joins ------------------------------------------------------------------------------

    def _resolve_absent(self) -> None:
        for item in self._draft.absent:
            links = self._graph.direct_links(self._query.root, self._binder.find_table(item))
            if len(links) != 1:
                raise NotUnderstood(item.text)
            self._query.absent.append(links[0])

    def _join_tables(self) -> None:
        query = self._query
        terms = [
            *query.select,
            *query.groups,
            *(f.term for f in [*query.filters, *query.having]),
            *(o.term for o in query.orders),
        ]
        needed = {table.name: table for term in terms for table in term.tables()}
        needed |= {table.name: table for item in self._draft.tables if (table := self._binder.find_table(item))}
        query.links = self._graph.connect(query.root, needed.values())
        self._check_dates()
        aggregates = [term for term in terms if term.aggregate]
        for term in aggregates:
            self._check_count(term)
        if not aggregates and not query.groups:
            shown = {table.name for term in query.select for table in term.tables()}
            repeated = bool(fan_out_tables(query.links, query.root.name) - shown)
            if repeated and self._hidden_sort_terms():
                raise NotUnderstood("which of several rows to sort by")
            query.distinct |= repeated

    def _check_dates(self) -> None:
        """A date that names no column could also be that of rows which belong to the entity: customers, orders."""
        query, draft = self._query, self._draft
        unnamed = [f.term for f, c in zip(query.filters, draft.conditions, strict=True) if c.subject is None]
        unnamed += [term for term in query.groups if term.bucket]
        own = [term.ref for term in unnamed if term.ref and term.ref.table == query.root]
        dated = [ref for ref in own if ref.column.kind in DATED]
        many = fan_out_tables(query.links, query.root.name) | {link.child.name for link in query.absent}
        tables = {table.name: table for link in [*query.links, *query.absent] for table in (link.child, link.parent)}
        if dated and any(column.kind in DATED for name in many for column in tables[name].columns):
            raise Ambiguous(f"the date: {dated[0]} or one of {' or '.join(sorted(many))}")

    def _has_aggregates(self) -> bool:
        return any(term.aggregate for term in self._query.select)

    def _hidden_sort_terms(self) -> list[Term]:
        """What the rows are sorted by without being shown."""
        return [order.term for order in self._query.orders if order.term not in self._query.select]

    def _add_measure(self) -> None:
        """Top 5 ROWS by COLUMN shows the column too."""
        if self._draft.show_measure:
            unseen = self._hidden_sort_terms()
            self._query.select += [term for term in unseen if term.ref is None or not term.ref.column.sensitive]

    def _check_count(self, term: Term) -> None:
        """An aggregate over a join that repeats the table's rows would be wrong, but for a distinct one."""
        table = term.tables()[0]
        if term.aggregate in {"min", "max"} or term.distinct or not fan_out_tables(self._query.links, table.name):
            return
        if term.aggregate != "count" or len(key_columns(table)) != 1:
            raise NotUnderstood(f"{term.aggregate} over {table.name}")


def _is_person_name(refs: list[Ref]) -> bool:
    """Whether the columns are the first and the last name of the same rows."""
    parts = {" ".join(split_name(ref.column.name)[-2:]) for ref in refs}
    return len(refs) == 2 and parts == {"first name", "last name"} and refs[0].table == refs[1].table
