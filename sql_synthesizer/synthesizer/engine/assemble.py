"""From a draft with its slots assigned to a plan."""

from __future__ import annotations

from dataclasses import replace

from sql_synthesizer.model import Column
from sql_synthesizer.synthesizer.engine.conditions import Conditions, Unplanned
from sql_synthesizer.synthesizer.engine.draft import Out
from sql_synthesizer.synthesizer.engine.joins import DATES
from sql_synthesizer.synthesizer.engine.naming import has_labels, keys_of, labels_of
from sql_synthesizer.synthesizer.engine.plan import Condition, Order, Plan, Ref, Term

ECHO = 1.0
"""What it costs to show only what the question itself tells."""


class Assembler(Conditions):
    """Builds the plan of one assignment."""

    def build(self) -> Plan:
        """The plan. Raises Unplanned."""
        draft, plan = self.draft, self.plan
        self.entity = self._entity()
        plan.distinct = draft.distinct
        roles = {role for _, role in draft.roles}
        plan.cue = roles.pop() if len(roles) == 1 else None
        for out in draft.outs:
            plan.select += self._shown(out)
        self._add_mentions()
        tests = self._where()
        self._add_orders()
        self._add_buckets()
        self._add_groups()
        self._count_children()
        self._add_absent(tests)
        if not plan.select:
            self._show_entity()
        counts = [at for at, term in enumerate(plan.select) if term.ref is None]
        if len(counts) > 1:
            plan.select[counts[-1]] = plan.select[counts[0]]
            plan.select = [term for at, term in enumerate(plan.select) if at not in counts[:-1]]
        plan.select = list(dict.fromkeys(plan.select))
        if draft.every and len(plan.select) == 1 and not (plan.where or plan.orders) and not self._shows_rows():
            plan.distinct = plan.distinct or not plan.select[0].aggregate
        self._show_extremes()
        self._rank_within()
        self._take_share()
        self._check_orders()
        self._nest_limit()
        self._count_once()
        self._split_both(tests)
        return plan

    def _shown(self, out: Out) -> list[Term]:
        if out.slot is None:
            if out.aggregate == "count":
                self.cost += 0.5
                return [Term(None, "count", table=self.entity)]
            return []
        table, column = self.chosen.of(out.slot)
        if column is None and not out.aggregate:
            if self.draft.star:
                return [Term(Ref(table, c)) for c in table.columns if not c.sensitive]
            return [Term(Ref(table, c)) for c in labels_of(table)]
        if column is not None and not out.aggregate and out.slot.item is not None:
            labels = labels_of(table)
            words = out.slot.item.tokens[-1].lower if "of" not in out.slot.item.lower else out.slot.item.tokens[0].lower
            if (
                len(labels) == 2
                and column in labels
                and words in {"name", "names"}
                and not {"first", "last", "given", "family"} & set(out.slot.item.lower.split())
            ):
                return [Term(Ref(table, c)) for c in labels]
        return [self._term(out)]

    def _show_entity(self) -> None:
        self.plan.select = [Term(Ref(self.entity, c)) for c in labels_of(self.entity)]

    def _add_orders(self) -> None:
        for out, descending in self.draft.orders:
            if out.slot is None and out.aggregate != "count":
                self.plan.orders += [Order(term, descending) for term in self.plan.select[:1]]
                continue
            if out.slot is not None:
                table, column = self.chosen.of(out.slot)
                if column is None and not out.aggregate:
                    for label in labels_of(table)[:1]:
                        self.plan.orders.append(Order(Term(Ref(table, label)), descending))
                    continue
            term = self._term(out, counted=True)
            same = [t for t in self.plan.select if t.aggregate and t.ref == term.ref and not term.aggregate]
            turned = (
                out.slot is not None and bool(out.slot.dims) and term.ref is not None and _is_birth(term.ref.column)
            )
            self.plan.orders.append(Order(same[0] if same else term, descending != turned))
        if self.draft.limit is not None:
            self.plan.limit = self.draft.limit

    def _add_buckets(self) -> None:
        for out in self.draft.buckets:
            if out.slot is not None and (column := self.chosen.of(out.slot)[1]) is not None:
                ref = Ref(self.table_of(out.slot), column)
                term = Term(ref, bucket=out.bucket if column.kind in DATES else "")
                self.plan.groups.append(term)
                self.plan.select.insert(0, term)

    def _add_groups(self) -> None:
        plan = self.plan
        aggregated = [t for t in plan.select if t.aggregate] + [o.term for o in plan.orders if o.term.aggregate]
        aggregated += [c.term for c in plan.having]
        if not aggregated:
            for slot in self.draft.groups:
                table, column = self.chosen.of(slot)
                plan.needed.append(table)
                plan.select += [Term(Ref(table, column))] if column is not None else []
            return
        plain = [t for t in plan.select if not t.aggregate]
        for slot in self.draft.groups:
            table, column = self.chosen.of(slot)
            if column is not None:
                term = Term(Ref(table, column))
                plan.groups.append(term)
                if (
                    term not in plain
                    and not (plan.limit and plain)
                    and not any(t.ref and t.ref.table == table for t in plain)
                ):
                    plan.select.insert(0, term)
            else:
                keys = keys_of(table)[:1] or labels_of(table)[:1]
                plan.groups += [Term(Ref(table, c)) for c in keys]
                if not any(t.ref and t.ref.table.name == table.name for t in plain):
                    shown = labels_of(table) if has_labels(table) else keys_of(table)[:1]
                    plan.select = [Term(Ref(table, c)) for c in shown] + plan.select
        if plan.groups or not (plain or plan.having or any(o.term.aggregate for o in plan.orders)):
            return
        counted = {t.tables[0].name for t in aggregated if t.tables}
        refs = [t.ref for t in plain if t.ref]
        if not refs:
            self._narrow_to_groups()
            return
        tables = {ref.table.name for ref in refs}
        keys = keys_of(refs[0].table)[:1]
        if tables & counted or not keys or len(tables) > 1:
            plan.groups = [Term(ref) for ref in refs]
        else:
            plan.groups = [Term(Ref(refs[0].table, c)) for c in keys]

    def _narrow_to_groups(self) -> None:
        """A value over the rows, or a number of the values, whose groups fulfil the conditions. Raises Unplanned."""
        plan = self.plan
        if plan.having and len(plan.select) == 1:
            key = [Term(Ref(self.entity, c)) for c in keys_of(self.entity)[:1]]
            shown = plan.select[0]
            if shown.ref is not None and shown.distinct and shown.ref.table == self.entity:
                key = [Term(shown.ref)]
            if not key:
                raise Unplanned
            inner = Plan(select=key, where=plan.where, groups=key, having=plan.having, needed=plan.needed)
            plan.where = [(Condition(key[0], "in", plan=inner),)]
            plan.having, plan.needed = [], []
        elif plan.having or any(order.term.aggregate for order in plan.orders):
            raise Unplanned

    def _count_children(self) -> None:
        """A row in a group of its own counts for nothing: rows that refer to it are counted. Raises Unplanned."""
        plan = self.plan
        terms = [*plan.select, *(o.term for o in plan.orders), *(c.term for c in plan.having)]
        counted = [t.table for t in terms if t.aggregate == "count" and t.ref is None and t.table is not None]
        for table in counted[:1]:
            key = {(table.name, column.name) for column in keys_of(table)}
            grouped = {(t.ref.table.name, t.ref.column.name) for t in plan.groups if t.ref is not None}
            if not key or not key <= grouped or any(self._repeats(table, other) for other in plan.tables()):
                continue
            children = self.joins.children(table)
            if len(children) != 1:
                raise Unplanned
            plan.needed.append(children[0])
            self.cost += 0.5

    def _check_orders(self) -> None:
        """An order that means nothing for what is shown. Raises Unplanned."""
        plan = self.plan
        told = {
            c.term for either in plan.where for c in either if c.operator == "=" and not c.negated and len(either) == 1
        }
        if plan.select and told.issuperset(plan.select):
            self.cost += ECHO
        if plan.limit is not None and not plan.orders:
            self.cost += 1.5
        plain = [o.term for o in plan.orders if not o.term.aggregate]
        if plan.distinct and any(term not in plan.select for term in plain):
            raise Unplanned
        if plan.orders and plan.limit is None and all(t.aggregate for t in plan.select) and not plan.groups:
            raise Unplanned
        grouped = self.draft.groups and not plan.within and "popular" not in self.draft.notes
        if plan.limit is not None and plan.orders and grouped:
            kept = {self.table_of(slot).name for slot in self.draft.groups}
            shown = {t.ref.table.name for t in plan.select if t.ref is not None and not t.aggregate}
            if plain or shown - kept:
                raise Unplanned
        if "popular" in self.draft.notes and len(self.draft.groups) > 1:
            raise Unplanned
        if len(plan.where) > 1 and any(len({c.term for c in either}) > 1 for either in plan.where):
            self.cost += 0.6

    def _take_share(self) -> None:
        """What narrows rows says which of them count; or values of groups are aggregated. Raises Unplanned."""
        plan, draft = self.plan, self.draft
        if draft.share:
            if not plan.where or plan.having or plan.orders or any(c.plan for either in plan.where for c in either):
                raise Unplanned
            plan.share, plan.where = plan.where, []
        if draft.over:
            counted = [term for term in plan.select if term.aggregate == "count"]
            if len(counted) != 1 or not plan.groups or plan.orders or plan.having:
                raise Unplanned
            plan.select, plan.over = counted, draft.over

    def _rank_within(self) -> None:
        """The first rows of each group, where each is said of what is ranked."""
        plan, draft = self.plan, self.draft
        order = plan.orders[0].term if len(plan.orders) == 1 and plan.limit is not None and draft.groups else None
        if order is None or order.aggregate or "popular" in draft.notes or plan.groups or plan.having or plan.distinct:
            return
        if any(term.aggregate for term in plan.select):
            raise Unplanned
        within: list[Term] = []
        for slot in draft.groups:
            table, column = self.chosen.of(slot)
            within += [Term(Ref(table, c)) for c in ([column] if column is not None else keys_of(table)[:1])]
            shown = [column] if column is not None else labels_of(table)
            told = any(t.ref is not None and t.ref.table == table for t in plan.select) and column is None
            plan.select = [] + ([] if told else [Term(Ref(table, c)) for c in shown]) + plan.select
        if not within:
            raise Unplanned
        plan.select, plan.within = list(dict.fromkeys(plan.select)), tuple(within)

    def _show_extremes(self) -> None:
        """The longest and the shortest, one after the other, are two values."""
        plan = self.plan
        one, other = plan.orders if len(plan.orders) == 2 and plan.limit == 1 and not plan.groups else (None, None)
        if one is None or other is None or one.term != other.term or one.descending == other.descending:
            return
        if one.term.aggregate or one.term.ref is None:
            raise Unplanned
        plan.select = [replace(o.term, aggregate="max" if o.descending else "min") for o in plan.orders]
        plan.orders, plan.limit = [], None

    def _nest_limit(self) -> None:
        """An aggregate over the rows of the first in an order: which is first is found before."""
        plan = self.plan
        if (
            plan.limit is None
            or plan.groups
            or plan.within
            or not plan.select
            or not all(t.aggregate for t in plan.select)
        ):
            return
        orders = [o for o in plan.orders if o.term.ref is not None and not o.term.aggregate]
        if not orders or len(orders) != len(plan.orders) or orders[0].term.ref is None:
            return
        table = orders[0].term.ref.table
        key = keys_of(table)[:1]
        if not key:
            return
        inner = Plan(select=[Term(Ref(table, key[0]))], orders=plan.orders, limit=plan.limit)
        plan.where.append((Condition(Term(Ref(table, key[0])), "in", plan=inner),))
        plan.orders, plan.limit = [], None

    def _count_once(self) -> None:
        """Rows that a join repeats are counted once each."""
        plan = self.plan
        if plan.groups or plan.having:
            return
        for index, term in enumerate(plan.select):
            if term.aggregate == "count" and term.ref is None and term.table is not None:
                keys = keys_of(term.table)
                if len(keys) == 1 and any(self._repeats(term.table, other) for other in plan.tables()):
                    plan.select[index] = Term(Ref(term.table, keys[0]), "count", distinct=True)


def _is_birth(column: Column) -> bool:
    name = column.name.casefold()
    return "birth" in name or "dob" in name or "founded" in name or "built" in name
