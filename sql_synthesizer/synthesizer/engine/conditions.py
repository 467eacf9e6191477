"""From the tests of a draft to the conditions of a plan: comparisons, absence, two at once."""

from __future__ import annotations

import re
from dataclasses import replace

from sql_synthesizer.model import Column, ColumnKind, Table
from sql_synthesizer.synthesizer.engine.draft import Draft, Out, Slot, Test, Value
from sql_synthesizer.synthesizer.engine.ends import at_end, relate, related, without_any
from sql_synthesizer.synthesizer.engine.joins import DATES, NUMBERS, Joins
from sql_synthesizer.synthesizer.engine.lexicon import UNITS
from sql_synthesizer.synthesizer.engine.naming import has_labels, keys_of, labels_of, name_words
from sql_synthesizer.synthesizer.engine.plan import Condition, Constant, Plan, Ref, Term
from sql_synthesizer.synthesizer.engine.resolve import Assignment
from sql_synthesizer.synthesizer.rules.joins import is_to_many
from sql_synthesizer.synthesizer.rules.query import Link


class Unplanned(Exception):
    """The draft with this assignment says nothing that can be asked."""


class Conditions:
    """Which rows a plan is about."""

    entity: Table
    relation: tuple[Link, Link] | None = None

    def __init__(self, draft: Draft, assignment: Assignment, joins: Joins) -> None:
        self.draft = draft
        self.chosen = assignment
        self.joins = joins
        self.plan = Plan()
        self.cost = 0.0

    def table_of(self, slot: Slot) -> Table:
        """The table of what a slot means."""
        return self.chosen.of(slot)[0]

    def _entity(self) -> Table:
        """The table whose rows are asked for."""
        draft = self.draft
        for out in draft.outs:
            if out.slot is not None and out.aggregate != "count":
                return self.table_of(out.slot)
        for slot in [
            *(o.slot for o in draft.outs),
            *draft.groups,
            *draft.mentions,
            *(t.left.slot for t in draft.tests),
            *(o.slot for o, _ in draft.orders),
        ]:
            if slot is not None:
                return self.table_of(slot)
        if draft.absent:
            return self.table_of(draft.absent[0][0])
        raise Unplanned

    def _term(self, out: Out, *, counted: bool = False) -> Term:
        if out.slot is None:
            return Term(None, "count", table=self.entity)
        table, column = self.chosen.of(out.slot)
        if (
            column is not None
            and counted
            and out.aggregate == "count"
            and column.kind is ColumnKind.TEXT
            and not out.distinct
        ):
            return Term(None, "count", table=table)
        if column is None:
            if out.aggregate in {"", "count"}:
                if out.distinct and out.aggregate and keys_of(table):
                    return Term(Ref(table, keys_of(table)[0]), "count", distinct=True)
                return Term(None, "count", table=table)
            raise Unplanned
        numeric = column.kind in NUMBERS and column not in keys_of(table) and not self.joins.refers(table, column)
        summed = {"number", "total", "quantity", "amount", "count", "no"} & set(name_words(table, column))
        if out.aggregate == "count" and numeric and not out.distinct and (summed or counted) and not _is_year(column):
            return Term(Ref(table, column), "" if counted else "sum")
        distinct = out.distinct or (out.aggregate == "count" and column not in keys_of(table))
        return Term(Ref(table, column), out.aggregate, distinct and bool(out.aggregate))

    def _add_mentions(self) -> None:
        """Tables that are only spoken of: joined, or asked for whether there is a row where several could belong."""
        draft = self.draft
        used = {table.name for table in self.plan.tables()} | {self.table_of(slot).name for slot in draft.groups}
        slots = [*(t.left.slot for t in draft.tests), *(o.slot for o, _ in draft.orders), *(o.slot for o in draft.outs)]
        used |= {self.table_of(slot).name for slot in slots if slot is not None}
        used |= {self.table_of(slot.owner).name for slot in slots if slot is not None and slot.owner is not None}
        counted = any(o.aggregate == "count" for o, _ in draft.orders) or any(t.left.aggregate for t in draft.tests)
        tables = {table.name: table for table in map(self.table_of, draft.mentions)}
        self.relation = self._find_relation()
        if self.relation is not None:
            tables.pop(self.relation[0].child.name, None)
        spoken = [table for table in tables.values() if table.name not in used]
        known = [table for name in sorted(used) if (table := self.joins.schema.table(name)) is not None]
        tree = self.joins.connect(known)
        passed = {t.name for link in tree.links for t in (link.child, link.parent)} if tree else set()
        spoken = [table for table in spoken if table.name not in passed]
        if (
            len(spoken) == 1
            and not (counted or draft.groups or draft.buckets)
            and self._repeats(self.entity, spoken[0])
        ):
            self._relate([], spoken[0], negated=False)
            del tables[spoken[0].name]
        self.plan.needed += tables.values()

    def _where(self) -> list[Test]:
        absent_blocks = {block for _, block in self.draft.absent}
        plain = [t for t in self.draft.tests if not (t.block and t.block in absent_blocks) and t.within is None]
        previous: tuple[Condition, ...] | None = None
        grouped: Condition | None = None
        for test in plain:
            condition = self._condition(test)
            either = test.joined == "or"
            if either and grouped is not None and self.plan.having[-1:] == [grouped]:
                self.plan.having.pop()
                previous = (self._grouped(grouped),)
                self.plan.where.append(previous)
            grouped = condition if self._is_group_test(condition) else None
            if grouped is not None and not (either and previous is not None):
                self.plan.having.append(condition)
                previous = None
                continue
            if grouped is not None:
                condition, grouped = self._grouped(condition), None
            condition = self._at_end(test, condition)
            if test.negated and not test.inner and self._is_many(condition):
                self._exclude([condition], condition.term.tables[0])
                continue
            mergeable = previous is not None and self.plan.where and self.plan.where[-1] is previous
            if test.joined == "or" and mergeable and previous is not None:
                previous = (*previous, condition)
                self.plan.where[-1] = previous
            else:
                previous = (condition,)
                self.plan.where.append(previous)
        return plain

    def _at_end(self, test: Test, condition: Condition) -> Condition:
        """The condition itself, or what it means for one of two keys to its table."""
        term = condition.term
        if self.relation is not None and condition.operator == "=" and term.tables[0].name == self.entity.name:
            return relate(*self.relation, condition)
        tables = [self.entity, *self.plan.tables()]
        return at_end(self.draft, self.joins, test, condition, tables) or condition

    def _find_relation(self) -> tuple[Link, Link] | None:
        """The two keys of a table spoken of, where one row of the entity is named and others are asked for."""
        draft = self.draft
        named = [t for t in draft.tests if t.operator == "=" and t.left.slot is not None and not t.left.aggregate]
        named = [t for t in named if t.left.slot is not None and self.table_of(t.left.slot).name == self.entity.name]
        shown = all(term.ref is not None and term.ref.table.name == self.entity.name for term in self.plan.select)
        if not named or not shown or not self.plan.select:
            return None
        return related(draft, self.joins, self.entity, [(slot, self.table_of(slot)) for slot in draft.mentions])

    def _grouped(self, having: Condition) -> Condition:
        """Whether a row of the entity is among those whose group fulfils a condition. Raises Unplanned."""
        key = [Term(Ref(self.entity, c)) for c in keys_of(self.entity)]
        if len(key) != 1 or having.term.tables[0].name == self.entity.name:
            raise Unplanned
        return Condition(key[0], "in", plan=Plan(select=key, groups=key, having=[having], needed=[self.entity]))

    @staticmethod
    def _is_group_test(condition: Condition) -> bool:
        return bool(condition.term.aggregate)

    def _condition(self, test: Test) -> Condition:
        term = self._term(test.left, counted=True)
        if term.ref is None and not term.aggregate:
            raise Unplanned
        if test.nested:
            if term.ref is None:
                raise Unplanned
            inside = [self._condition(t) for t in self.draft.tests if t.within is test]
            if any(map(self._is_group_test, inside)):
                raise Unplanned
            inner = Plan(select=[Term(term.ref, test.nested)], where=[(c,) for c in inside])
            return Condition(term, test.operator, negated=test.negated, plan=inner)
        if (row := self._as_row(term, test)) is not None:
            return row
        if test.operator == "same":
            raise Unplanned
        if test.other is not None:
            other = self._term(Out(test.other))
            if other.ref is None or other == term:
                raise Unplanned
            return Condition(term, test.operator, negated=test.negated, other=other)
        values = tuple(self._constant(term, value) for value in test.values)
        operator = test.operator
        ref = term.ref
        dated = ref is not None and ref.column.kind in DATES and not term.aggregate
        if dated and values and all(isinstance(v, float) for v in values):
            years = tuple(str(int(float(v))) for v in values)
            return Condition(replace(term, bucket="%Y"), operator, years, test.negated)
        return Condition(term, operator, values, test.negated)

    def _as_row(self, term: Term, test: Test) -> Condition | None:
        """A comparison with a row that is named: older than Bob. None where the constant is none."""
        value = test.values[0] if len(test.values) == 1 else None
        if value is None or value.number is not None or term.ref is None or term.aggregate:
            return None
        extreme = {">": "max", ">=": "max", "<": "min", "<=": "min", "same": ""}.get(test.operator)
        texts = term.ref.column.kind is ColumnKind.TEXT and test.operator != "same"
        if extreme is None or texts or re.match(r"\d", value.text):
            return None
        for match, _ in value.places:
            table = self.joins.schema.table(match.table)
            column = table.column(match.column) if table else None
            if table is not None and column is not None and column in labels_of(table):
                named = Condition(Term(Ref(table, column)), "=", (match.value,))
                inner = Plan(select=[Term(term.ref, extreme)], where=[(named,)])
                return Condition(term, "in" if not extreme else test.operator, negated=test.negated, plan=inner)
        return None

    def _constant(self, term: Term, value: Value) -> Constant:
        ref = term.ref
        if ref is not None and not term.aggregate:
            for match, _ in value.places:
                if match.table == ref.table.name and match.column == ref.column.name:
                    return match.value
            if ref.column.kind is ColumnKind.TEXT:
                if value.number is not None and not value.quoted:
                    return float(value.number) if ref.column.type.upper() != "YEAR" else value.text
                return value.text
        if value.number is not None:
            return float(value.number) * (_unit_factor(value.unit, ref) if value.unit and ref is not None else 1.0)
        return value.text

    def _is_many(self, condition: Condition) -> bool:
        """Whether several rows of the condition's table can belong to one row of the entity."""
        return self._repeats(self.entity, condition.term.tables[0])

    def _repeats(self, start: Table, table: Table) -> bool:
        """Whether several rows of a table can belong to one row of another."""
        if table.name == start.name:
            return False
        tree = self.joins.connect([start, table])
        if tree is None:
            return False
        at, many = start.name, False
        for link in tree.links if tree.root.name == start.name else tree.links[::-1]:
            many = many or is_to_many(link, at)
            at = link.parent.name if link.child.name == at else link.child.name
        return many

    def _exclude(self, conditions: list[Condition], *tables: Table) -> None:
        """Rows of the entity to which no row of the tables belongs for which the conditions hold."""
        self._relate(conditions, *tables, negated=True)

    def _relate(self, conditions: list[Condition], *tables: Table, negated: bool) -> None:
        """Rows of the entity to which a row of the tables belongs, or none does."""
        tree = self.joins.connect([self.entity, *tables, *(c.term.tables[0] for c in conditions)])
        if tree is None or not tree.links:
            raise Unplanned
        link = next(k for k in tree.links if self.entity.name in {k.child.name, k.parent.name})
        if link.child.name == self.entity.name:
            own, other, foreign = link.columns[0], link.parent, link.target_columns[0]
        else:
            own, other, foreign = link.target_columns[0], link.child, link.columns[0]
        own_column, foreign_column = self.entity.column(own), other.column(foreign)
        if own_column is None or foreign_column is None:
            raise Unplanned
        positive: list[tuple[Condition, ...]] = [(replace(c, negated=False),) for c in conditions]
        if negated and self._asks_attribute():
            self._except_attribute(positive, list(tables))
            return
        if negated and any(self._is_many(c) for either in self.plan.where for c in either if c.plan is None):
            self.plan.distinct = True
        needed = [table for table in tables if table.name != other.name]
        everywhere = without_any(self.joins, self.entity, other) if negated and not (needed or positive) else []
        if len(everywhere) > 1 and self.plan.cue is None:
            self.plan.where += [(none,) for none in everywhere]
            return
        inner = Plan(select=[Term(Ref(other, foreign_column))], where=list(positive), needed=needed, cue=self.plan.cue)
        self.plan.where.append((Condition(Term(Ref(self.entity, own_column)), "in", negated=negated, plan=inner),))

    def _asks_attribute(self) -> bool:
        """Whether values of a column are asked for, and the rows that have them are not spoken of."""
        outs = self.draft.outs
        slot = outs[0].slot if len(outs) == 1 and not outs[0].aggregate else None
        if slot is None or slot.owner is not None or slot.item is None or len(slot.item.tokens) > 2 or slot.is_table:
            return False
        spoken = {self.table_of(mention).name for mention in self.draft.mentions}
        return self.entity.name not in spoken and len(self.plan.select) == 1 and not self._shows_rows()

    def _except_attribute(self, where: list[tuple[Condition, ...]], tables: list[Table]) -> None:
        """Values of a column that no row has for which the conditions hold: countries without tall buildings."""
        if self.plan.combined is not None or self.draft.limit is not None or self.draft.groups:
            raise Unplanned
        other = Plan(select=list(self.plan.select), where=where, needed=[self.entity, *tables], cue=self.plan.cue)
        self.plan.combined = ("except", other)

    def _add_absent(self, plain: list[Test]) -> None:
        for block in dict.fromkeys(block for _, block in self.draft.absent):
            tests = [t for t in self.draft.tests if t.block == block and t not in plain]
            spoken = {self.entity.name} | ({self.table_of(s).name for s in self.draft.mentions} if tests else set())
            tables = {
                t.name: t for s, b in self.draft.absent if b == block and (t := self.table_of(s)).name not in spoken
            }
            if not tables:
                for test in tests:
                    self.plan.where.append((self._condition(test),))
                continue
            self._exclude([self._condition(t) for t in tests if not t.left.aggregate], *tables.values())

    def _shows_rows(self) -> bool:
        """Whether what is shown tells one row of the entity from another."""
        telling = {*keys_of(self.entity), *(labels_of(self.entity) if has_labels(self.entity) else ())}
        refs = [term.ref for term in self.plan.select if term.ref is not None]
        return any(ref.table.name == self.entity.name and ref.column in telling for ref in refs)

    def _widen(self, one: tuple[Condition, ...], two: tuple[Condition, ...]) -> None:
        """No row has two values in one column: A and B means A or B. Raises Unplanned for two ends."""
        if len({role for _, role in self.draft.roles}) > 1 or one[0].operator != "=":
            raise Unplanned
        self.cost += 0.3
        self.plan.where = [(*one, *two) if w is one else w for w in self.plan.where if w is not two]

    def _split_both(self, tests: list[Test]) -> None:
        """Rows for which both hold, each for another related row: two queries that are intersected."""
        where = self.plan.where
        for index in range(len(where) - 1, 0, -1):
            one, two = where[index - 1], where[index]
            if len(one) == len(two) == 1 and _exclusive(one[0], two[0]):
                self.plan.where = [w for w in where if w is not two]
                if (self.plan.select and any(t.aggregate for t in self.plan.select)) or self.plan.groups:
                    if one[0].operator == "=":
                        if not self.plan.groups and all(t.aggregate for t in self.plan.select):
                            self.plan.select.insert(0, one[0].term)
                            self.plan.groups = [one[0].term]
                        self.plan.where = [(*one, *two) if w is one else w for w in self.plan.where]
                        return
                    raise Unplanned
                if not self._repeats(self.entity, one[0].term.tables[0]) and self._shows_rows():
                    self._widen(one, two)
                    return
                other = replace(self.plan, where=[w for w in where if w is not one])
                self.plan.combined = ("intersect", other)
                return


def _exclusive(one: Condition, two: Condition) -> bool:
    """Whether no row fulfils both."""
    if one.term != two.term or one.negated or two.negated or one.plan or two.plan:
        return False
    if one.operator == two.operator == "=":
        return one.values != two.values
    pair = {one.operator: one, two.operator: two}
    low = pair.get("<") or pair.get("<=")
    high = pair.get(">") or pair.get(">=")
    if low is None or high is None:
        return False
    first, second = low.values[0], high.values[0]
    return (isinstance(first, float) and isinstance(second, float) and first <= second) or (
        isinstance(first, str) and isinstance(second, str) and first <= second
    )


def _unit_factor(unit: str, ref: Ref) -> float:
    """What a number of a unit of time is multiplied by to be in that which the column's name tells."""
    own = next((known for known in UNITS if known in ref.column.name.casefold()), None)
    return UNITS[unit] / UNITS[own] if own else 1.0


def _is_year(column: Column) -> bool:
    return "year" in column.name.casefold()
