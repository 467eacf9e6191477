"""Binds names, values and dates of a draft to the tables and columns they mean."""

from __future__ import annotations

from collections.abc import Sequence

from sql_synthesizer.model import Column, ColumnKind, Schema, Table
from sql_synthesizer.synthesizer.rules.draft import Condition, Draft, NotUnderstood
from sql_synthesizer.synthesizer.rules.joins import JoinGraph, fan_out_tables
from sql_synthesizer.synthesizer.rules.linking import Item
from sql_synthesizer.synthesizer.rules.names import EXACT, SHORTENED, Hit, key_columns, label_columns
from sql_synthesizer.synthesizer.rules.query import Ref
from sql_synthesizer.synthesizer.rules.text import singular_form, split_name
from sql_synthesizer.synthesizer.rules.vocabulary import MEASURES

MENTIONED, OWNER, ENTITY = 0.5, 0.25, 0.1
NUMERIC = frozenset({ColumnKind.INTEGER, ColumnKind.NUMBER})
_GENERIC = frozenset("id name code number type date description title detail value status".split())
DATED = frozenset({ColumnKind.DATE, ColumnKind.DATETIME})


class Ambiguous(NotUnderstood):
    """Words that can mean several columns equally well."""


class Binder:
    """Decides what each name of one draft means; the tables that the question mentions weigh most."""

    def __init__(self, schema: Schema, graph: JoinGraph, draft: Draft) -> None:
        self.schema = schema
        self.graph = graph
        self.draft = draft
        self.mentioned: list[Table] = []
        for item in draft.tables:
            self._add_mentioned_table(self.find_table(item))
        for item in [*draft.groups, *draft.absent, *(h.counted for h in draft.having)]:
            if is_table(item):
                self._add_mentioned_table(self.find_table(item))
        if not self.mentioned:
            self._add_mentioned_table(self._find_main_table())

    @property
    def entity(self) -> Table:
        """The table whose rows the question is about."""
        return self.mentioned[0]

    def _add_mentioned_table(self, table: Table) -> None:
        if table not in self.mentioned:
            self.mentioned.append(table)

    def find_table(self, item: Item) -> Table:
        """The table that a name means. Raises NotUnderstood or Ambiguous."""
        hits = [hit for hit in item.hits if hit.column is None]
        best = [hit for hit in hits if hit.quality == hits[0].quality]
        if not best:
            raise NotUnderstood(item.text)
        if len(best) > 1:
            raise Ambiguous(f"{item.text}: {' or '.join(hit.table.name for hit in best)}")
        return best[0].table

    def _find_main_table(self) -> Table:
        """The one table that can supply every column of the question, where no table is named."""
        items = [m.item for m in self.draft.select if m.item] + [
            o.mention.item for o in self.draft.orders if o.mention.item
        ]
        items += [c.subject for c in self.draft.conditions if c.subject] + self.draft.groups
        worth = {
            t.name: [max((h.quality for h in i.hits if h.column and h.table == t), default=0.0) for i in items]
            for t in self.schema.tables
        }
        full = [(sum(scores), name) for name, scores in worth.items() if items and min(scores) >= SHORTENED]
        full.sort(reverse=True)
        if not full or (len(full) > 1 and full[0][0] == full[1][0]):
            raise NotUnderstood(items[0].text if items else "which table is meant")
        table = self.schema.table(full[0][1])
        if table is None:
            raise NotUnderstood(items[0].text)
        return table

    def find_column(self, item: Item, owner: Item | None = None, kinds: frozenset[ColumnKind] | None = None) -> Ref:
        """The column that a name means. Raises NotUnderstood or Ambiguous."""
        refs = self.find_columns(item, owner, kinds)
        if len(refs) > 1:
            raise Ambiguous(f"{item.text}: {' or '.join(map(str, refs[:4]))}")
        return refs[0]

    def find_columns(
        self, item: Item, owner: Item | None = None, kinds: frozenset[ColumnKind] | None = None
    ) -> list[Ref]:
        """The columns that a name can mean equally well; at least one. Raises NotUnderstood."""
        at = self.find_table(owner) if owner is not None and any(h.column is None for h in owner.hits) else None
        scored = [
            (self._score_hit(hit, at), hit)
            for hit in item.hits
            if hit.column and (not kinds or hit.column.kind in kinds)
        ]
        if not scored:
            raise NotUnderstood(item.text)
        best = max(score for score, _ in scored)
        if best < SHORTENED:
            raise NotUnderstood(item.text)
        refs = [Ref(hit.table, hit.column) for score, hit in scored if score == best and hit.column]
        if not any(ref.table in self.mentioned for ref in refs):
            refs = self._neighbour_columns(item, refs)
        return self._merge_linked_columns(refs)

    def _score_hit(self, hit: Hit, owner: Table | None) -> float:
        score = hit.quality + MENTIONED * (hit.table in self.mentioned)
        return score + OWNER * (owner is not None and hit.table == owner) + ENTITY * (hit.table == self.entity)

    def _neighbour_columns(self, item: Item, refs: list[Ref]) -> list[Ref]:
        """Columns of tables that are not mentioned: only one join away, and not by a word that any table may have."""
        if singular_form(item.text.casefold()) in _GENERIC:
            raise NotUnderstood(item.text)
        near = [ref for ref in refs if any(self.graph.direct_links(table, ref.table) for table in self.mentioned)]
        if not near:
            raise NotUnderstood(item.text)
        return near

    def _nearest_columns(self, refs: list[Ref]) -> list[Ref]:
        distances = [self.graph.distance(self.entity, ref.table) for ref in refs]
        reachable = [d for d in distances if d is not None]
        if not reachable:
            raise NotUnderstood(f"how {refs[0]} is linked to {self.entity.name}")
        return [ref for ref, distance in zip(refs, distances, strict=True) if distance == min(reachable)]

    def _merge_linked_columns(self, refs: list[Ref]) -> list[Ref]:
        """One of two columns that a foreign key makes equal."""
        if len(refs) == 2 and refs[0].table != refs[1].table:
            for link in self.graph.direct_links(refs[0].table, refs[1].table):
                ends = {(link.child.name, link.columns[0]), (link.parent.name, link.target_columns[0])}
                if ends == {(ref.table.name, ref.column.name) for ref in refs}:
                    return [next((r for r in refs if r.table == self.entity), refs[0])]
        return refs

    # --- columns that the question does not name --------------------------------------------

    def find_value_column(self, values: Sequence[Item], tables: Sequence[Table] | None = None) -> Ref:
        """The column in which all these values occur. Raises NotUnderstood or Ambiguous."""
        shared = set.intersection(*({(m.table, m.column) for m in value.matches} for value in values))
        refs = [
            Ref(table, column)
            for name, column_name in sorted(shared)
            if (table := self.schema.table(name)) and (column := table.column(column_name))
            if tables is None or table in tables
        ]
        if not refs:
            raise NotUnderstood(values[0].text)
        for group in (
            [r for r in refs if r.table == self.entity],
            [r for r in refs if r.table in self.mentioned],
            self._nearest_columns(refs),
        ):
            if group:
                found = self._merge_linked_columns(group)
                if len(found) > 1:
                    raise Ambiguous(f"{values[0].text}: {' or '.join(map(str, found[:4]))}")
                return found[0]
        raise NotUnderstood(values[0].text)

    def find_date_column(self, condition: Condition) -> Ref:
        """The one column that holds dates, or else years: of the entity, or of rows of it named before the date."""
        text = condition.values[0].text if condition.values else "date"
        near = self.find_table(condition.near) if condition.near else self.entity
        belonging = near != self.entity and near.name in fan_out_tables(
            self.graph.connect(self.entity, [near]), self.entity.name
        )
        for tables in ([near],) if belonging else ([self.entity], self.mentioned[1:]):
            dates = [Ref(t, c) for t in tables for c in t.columns if c.kind in DATED]
            years = [
                Ref(t, c) for t in tables for c in t.columns if c.kind not in DATED and "year" in split_name(c.name)
            ]
            found = dates or years
            if len(found) > 1:
                raise Ambiguous(f"{text}: {' or '.join(map(str, found[:4]))}")
            if found:
                return found[0]
        raise NotUnderstood(text)

    def find_measure_column(self, adjective: str, text: str) -> tuple[Ref, bool]:
        """The column of the entity that an adjective grades, and whether it grades it backwards (birth for age)."""
        numeric = [c for c in self.entity.columns if c.kind in NUMERIC and not _is_key(self.entity, c)]
        dated = [c for c in self.entity.columns if c.kind in DATED]
        if adjective == "late":
            found, backwards = dated, False
        else:
            nouns = MEASURES[adjective]
            graded = ([c for c in numeric if noun in split_name(c.name)] for noun in nouns)
            found, backwards = next((columns for columns in graded if columns), []), False
            named = any(set(nouns) & set(split_name(c.name)) for c in self.entity.columns)
            if not named and adjective == "old":
                found, backwards = [c for c in dated if any(w.startswith("birth") for w in split_name(c.name))], True
        if len(found) != 1:
            raise NotUnderstood(text)
        return Ref(self.entity, found[0]), backwards

    def find_number_column(self, text: str) -> Ref:
        """The one column of the entity that can be compared with a number. Raises NotUnderstood."""
        numeric = [c for c in self.entity.columns if c.kind in NUMERIC and not _is_key(self.entity, c)]
        if len(numeric) != 1:
            raise NotUnderstood(text)
        return Ref(self.entity, numeric[0])

    def find_label_column(self, table: Table, text: str) -> Ref:
        """The one column that names the rows of a table. Raises NotUnderstood."""
        found = label_columns(table)
        if len(found) != 1:
            raise NotUnderstood(text)
        return Ref(table, found[0])


def is_table(item: Item) -> bool:
    """Whether a name means a table at least as well as a column."""
    tables = [hit.quality for hit in item.hits if hit.column is None]
    return bool(tables) and (
        max(tables) >= max((h.quality for h in item.hits if h.column), default=0.0) or max(tables) == EXACT
    )


def _is_key(table: Table, column: Column) -> bool:
    linked = {name for key in table.foreign_keys for name in key.columns}
    return column in key_columns(table) or column.name in linked or split_name(column.name)[-1:] == ("id",)
