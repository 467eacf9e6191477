"""Which table or column each slot of a draft means: the cheapest assignments, found side by side."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from sql_synthesizer.model import Column, ColumnKind, Table
from sql_synthesizer.synthesizer.engine.draft import Draft, Out, Slot, Test
from sql_synthesizer.synthesizer.engine.joins import DATES, NUMBERS, Joins
from sql_synthesizer.synthesizer.engine.lexicon import ROLES
from sql_synthesizer.synthesizer.engine.naming import has_labels, keys_of, labels_of, name_words
from sql_synthesizer.synthesizer.rules.text import split_name

BEAM = 24
NEAR = 0.15
ROWS = frozenset({"<", ">", "<=", ">=", "same"})
"""Comparisons with a value of a row that is named, where a text follows."""
MONEY = frozenset({"price", "cost", "amount", "total"})
Choice = tuple[Table, Column | None]


@dataclass(slots=True)
class Assignment:
    """What each slot means, and what that costs."""

    chosen: dict[int, Choice] = field(default_factory=dict)
    cost: float = 0.0
    tables: frozenset[str] = frozenset()

    def of(self, slot: Slot) -> Choice:
        """What a slot means."""
        return self.chosen[id(slot)]


class Resolver:
    """Assigns the slots of one draft."""

    def __init__(self, draft: Draft, joins: Joins) -> None:
        self._draft = draft
        self._schema = joins.schema
        self._joins = joins
        self._plain = {id(out.slot) for out in draft.outs if not out.aggregate}
        self._spoken = {id(slot) for slot in draft.mentions}
        spoken = [*(out.slot for out in draft.outs), *draft.mentions, *draft.groups]
        self._tables = [(id(slot), slot.at) for slot in spoken if slot is not None and slot.is_table]
        self._absent = {id(slot) for slot, _ in draft.absent}
        self._tests: dict[int, Test] = {id(t.left.slot): t for t in reversed(draft.tests) if t.left.slot is not None}
        outs = [*draft.outs, *(out for out, _ in draft.orders), *(t.left for t in draft.tests)]
        self._aggregates = {id(out.slot): out.aggregate for out in outs if out.slot is not None and out.aggregate}

    def assignments(self) -> list[Assignment]:
        """The cheapest assignments, best first; none where a slot can mean nothing."""
        beam = [Assignment()]
        for slot in self._ordered():
            grown = []
            for state in beam:
                for table, column, cost in self._candidates(slot, state):
                    total = state.cost + cost + self._distance(slot, table, state) + self._misfit(slot, column, table)
                    chosen = {**state.chosen, id(slot): (table, column)}
                    reached = state.tables if id(slot) in self._absent else state.tables | {table.name}
                    grown.append(Assignment(chosen, total, reached))
            beam = sorted(grown, key=lambda a: a.cost)[:BEAM]
        for state in beam:
            state.cost += self._scatter(state)
        return sorted(beam, key=lambda a: a.cost)

    def _scatter(self, state: Assignment) -> float:
        """What is shown comes from as few tables as can be, and not from those that have to be absent."""
        shown = {state.of(out.slot)[0].name for out in self._draft.outs if out.slot is not None and not out.aggregate}
        used = {state.of(out.slot)[0].name for out in self._draft.outs if out.slot is not None}
        absent = {state.of(slot)[0].name for slot, _ in self._draft.absent}
        return 0.15 * max(0, len(shown) - 1) + 0.8 * len(used & absent)

    def _ordered(self) -> list[Slot]:
        draft = self._draft
        slots = [
            *(o.slot for o in draft.buckets),
            *(o.slot for o in draft.outs),
            *draft.groups,
            *draft.mentions,
            *(s for s, _ in draft.absent),
        ]
        slots += (
            [t.left.slot for t in draft.tests] + [t.other for t in draft.tests] + [out.slot for out, _ in draft.orders]
        )
        found: dict[int, Slot] = {}
        for slot in slots:
            if slot is not None:
                if slot.owner is not None:
                    found.setdefault(id(slot.owner), slot.owner)
                found.setdefault(id(slot), slot)
        rank = {True: 0, False: 1}
        return sorted(found.values(), key=lambda s: (rank[s.is_table], not s.hits, s.at))

    def _candidates(self, slot: Slot, state: Assignment) -> Iterator[tuple[Table, Column | None, float]]:
        test = self._tests.get(id(slot))
        if slot.hits:
            best = slot.hits[0]
            for hit in slot.hits:
                if test is not None and hit.column is None and not test.left.aggregate:
                    continue
                extra = 0.0
                if (
                    best.column is None
                    and hit.column is not None
                    and hit.cost > best.cost
                    and self._is_identifier(hit.table, hit.column)
                ):
                    owned = slot.owner is not None and state.chosen.get(id(slot.owner), (None, None))[0] == hit.table
                    extra = 0.0 if owned else 0.3
                if best.column is None and hit.column is not None and id(slot) in self._spoken:
                    extra += 0.3
                extra += self._role_cost(slot, hit.column)
                yield hit.table, hit.column, extra + hit.cost + self._value_cost(test, hit.table, hit.column)
            if test is not None and not test.left.aggregate and test.values and test.values[0].places:
                stored = {(m.table, m.column) for m, _ in test.values[0].places}
                if test.operator not in ROWS and not any(
                    h.column and (h.table.name, h.column.name) in stored for h in slot.hits
                ):
                    for table, column, cost in self._value_places(test, state):
                        yield table, column, cost + 0.4
            return
        if test is not None and not slot.dims:
            yield from self._value_places(test, state)
        yield from self._graded(slot, test, state)

    def _value_places(self, test: Test, state: Assignment) -> Iterator[tuple[Table, Column | None, float]]:
        found = False
        for value in test.values[:1]:
            bare = value.number is not None and not value.quoted
            for match, cost in value.places:
                table = self._schema.table(match.table)
                column = table.column(match.column) if table else None
                if table is not None and column is not None:
                    keyed = bare and self._is_identifier(table, column)
                    found = found or not keyed
                    extra = self._role_cost(test.left.slot, column) - self._nearness(test, table, state)
                    yield table, column, cost + extra + (0.6 if keyed else 0.0)
        if not found and test.values and not test.nested:
            tables = [t for t in self._schema.tables if t.name in state.tables] or list(self._schema.tables)
            for table in tables:
                if test.values[0].number is not None:
                    for column in table.columns:
                        if column.kind in NUMBERS and not self._is_identifier(table, column):
                            yield table, column, 0.9 if MONEY & set(name_words(table, column)) else 1.2
                for column in labels_of(table)[:1]:
                    if column.kind is ColumnKind.TEXT and test.operator not in {"<", ">", "<=", ">="}:
                        yield table, column, 0.9 - self._nearness(test, table, state)

    def _nearness(self, test: Test, table: Table, state: Assignment) -> float:
        """What speaks for a table that was named just before a constant: the course X1."""
        slot = test.left.slot
        return (
            NEAR
            if slot is not None
            and any(
                0 < slot.at - at <= 3 and table.name == state.chosen[name][0].name
                for name, at in self._tables
                if name in state.chosen
            )
            else 0.0
        )

    def _graded(self, slot: Slot, test: Test | None, state: Assignment) -> Iterator[tuple[Table, Column | None, float]]:
        """Columns that an adjective grades, or that hold times."""
        if slot.dims == "?":
            for table in self._schema.tables:
                if table.name in state.tables or not state.tables:
                    for column in table.columns:
                        if column.kind in NUMBERS and not self._is_identifier(table, column):
                            yield table, column, 0.5
            return
        for table, column, place in self._joins.graded(slot.dims):
            if test is not None and column.kind in DATES and (test.nested or not _is_time_value(test)):
                continue
            loose = test is None and not place
            text = 0.0 if column.kind in NUMBERS or column.kind in DATES else 0.04 if loose or not place else 0.25
            yield table, column, 0.15 + 0.05 * place + text + self._value_cost(test, table, column)

    def _value_cost(self, test: Test | None, table: Table, column: Column | None) -> float:
        if test is None or column is None or not test.values or test.left.aggregate:
            return 0.0
        total = 0.0
        named = _is_named_time(column)
        if test.left.slot is not None and test.left.slot.item is not None and self._is_identifier(table, column):
            words = test.left.slot.item.lower.split()
            if column.kind in NUMBERS and not {"id", "ids", "number", "code", "no"} & set(words):
                total += 0.5
        for value in test.values:
            if value.number is not None and not value.quoted and 1900 <= value.number <= 2100 and not named:
                total += 0.3
            stored = any(m.table == table.name and m.column == column.name for m, _ in value.places)
            if stored:
                continue
            if test.operator in ROWS and value.number is None and value.places:
                total += 0.1
            elif column.kind in NUMBERS:
                total += 0.0 if value.number is not None else 2.0
            elif column.kind in DATES:
                total += 0.1 if value.number is not None or re.match(r"\d{4}", value.text) else 1.0
            elif value.number is not None and not value.quoted:
                total += 0.4
            elif test.operator == "=":
                total += 0.6 if value.places else 0.3
        return total

    def _role_cost(self, slot: Slot | None, column: Column | None) -> float:
        """Less where the name of a column says the end that the question speaks of."""
        if column is None or slot is None or not self._draft.roles:
            return 0.0
        words = set(split_name(column.name))
        before = [role for at, role in self._draft.roles if at <= slot.at] or [self._draft.roles[0][1]]
        own = next((index for index, (_, names) in enumerate(ROLES) if names & words), None)
        return 0.0 if own is None or own == before[-1] else 0.4

    def _is_identifier(self, table: Table, column: Column) -> bool:
        """Whether a column is a key or refers to one."""
        return keys_of(table) == (column,) or self._joins.refers(table, column)

    def _distance(self, slot: Slot, table: Table, state: Assignment) -> float:
        if slot.owner is not None and id(slot.owner) in state.chosen:
            owner = state.of(slot.owner)[0].name
            return 0.35 * min(self._joins.distance(owner, table.name), 9.0)
        if not state.tables or table.name in state.tables:
            return 0.0
        return 0.1 + 0.1 * min(9.0, *(self._joins.distance(name, table.name) for name in state.tables))

    def _misfit(self, slot: Slot, column: Column | None, table: Table) -> float:
        """What speaks against a column for what is done with it."""
        if (
            column is not None
            and id(slot) not in self._tests
            and keys_of(table) != (column,)
            and self._joins.refers(table, column)
        ) and name_words(table, column)[-1] not in {"id", "code", "number"}:
            return 0.6 if column.kind in NUMBERS else 0.3
        aggregate = self._aggregates.get(id(slot), "")
        if column is None:
            bare = id(slot) in self._plain and not has_labels(table)
            return (0.25 if bare else 0.0) if aggregate in {"", "count"} else 0.8
        if aggregate in {"avg", "sum"}:
            if column in keys_of(table) or (column.kind not in NUMBERS and column in labels_of(table)):
                return 3.0
            return 0.0 if column.kind in NUMBERS else 0.35
        test = self._tests.get(id(slot))
        if test is not None and test.operator in {"<", ">", "<=", ">="} and column.kind is ColumnKind.TEXT:
            return 0.3
        return 0.0


def _is_named_time(column: Column) -> bool:
    name = column.name.casefold()
    return column.kind in DATES or "year" in name or "date" in name


def _is_time_value(test: Test) -> bool:
    return all(v.number is None or 1500 <= v.number <= 2100 or not v.text.isdigit() for v in test.values)


def slots_of(out: Out) -> list[Slot]:
    """The slot of a value, if it has one."""
    return [out.slot] if out.slot is not None else []
