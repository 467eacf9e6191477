"""Tables that refer twice to another: flights from one airport to another, friends of a person."""

from __future__ import annotations

from sql_synthesizer.model import Table
from sql_synthesizer.synthesizer.engine.draft import Draft, Slot, Test
from sql_synthesizer.synthesizer.engine.joins import Joins
from sql_synthesizer.synthesizer.engine.lexicon import ROLES
from sql_synthesizer.synthesizer.engine.plan import Condition, Plan, Ref, Term
from sql_synthesizer.synthesizer.rules.query import Link
from sql_synthesizer.synthesizer.rules.text import split_name

RELATION_COLUMNS = 3
"""A table that only relates rows to others has hardly more columns than its two keys."""


def links_to(joins: Joins, child: Table, parent: Table) -> list[Link]:
    """The keys of one table that refer to another, in the order of its columns."""
    names = [column.name for column in child.columns]
    found = [link for link in joins.links_between(child, parent) if link.child.name == child.name]
    return sorted(found, key=lambda link: names.index(link.columns[0]))


def at_end(draft: Draft, joins: Joins, test: Test, condition: Condition, tables: list[Table]) -> Condition | None:
    """The condition on one of two ends, told by a word before it: from Rome, to Paris. None where there is one end."""
    if len({role for _, role in draft.roles}) < 2 or condition.term.ref is None or test.left.slot is None:
        return None
    parent, place = condition.term.ref.table, test.left.slot.at
    before = [role for at, role in draft.roles if at < place]
    if not before:
        return None
    _, words = ROLES[before[-1]]
    for child in tables:
        links = links_to(joins, child, parent)
        named = [link for link in links if words & set(split_name(link.columns[0]))]
        if len(links) > 1 and len(named) == 1:
            return _among(named[0], [(condition,)])
    return None


def _among(link: Link, where: list[tuple[Condition, ...]]) -> Condition:
    """Whether the row that a key refers to fulfils conditions."""
    own, other = link.child.column(link.columns[0]), link.parent.column(link.target_columns[0])
    if own is None or other is None:
        raise ValueError(link)
    inner = Plan(select=[Term(Ref(link.parent, other))], where=where)
    return Condition(Term(Ref(link.child, own)), "in", plan=inner)


def without_any(joins: Joins, entity: Table, child: Table) -> list[Condition]:
    """That no row of a table refers to a row of the entity by any of its keys; one that only relates has a subject."""
    found: list[Condition] = []
    if len(child.columns) <= RELATION_COLUMNS:
        return found
    for link in links_to(joins, child, entity):
        shown, key = child.column(link.columns[0]), entity.column(link.target_columns[0])
        if shown is not None and key is not None:
            inner = Plan(select=[Term(Ref(child, shown))])
            found.append(Condition(Term(Ref(entity, key)), "in", negated=True, plan=inner))
    return found


def related(draft: Draft, joins: Joins, entity: Table, mentions: list[tuple[Slot, Table]]) -> tuple[Link, Link] | None:
    """The keys of a table that relates rows of the entity: that to the rows asked for, that to the row named."""
    for slot, table in mentions:
        links = links_to(joins, table, entity) if table.name != entity.name else []
        if len(links) == 2 and len(table.columns) <= RELATION_COLUMNS:
            verb = any(at == slot.at - 1 for at in draft.relatives)
            return (links[0], links[1]) if verb else (links[1], links[0])
    return None


def relate(asked: Link, named: Link, condition: Condition) -> Condition:
    """Rows that are related to the one for which the condition holds."""
    shown, key = asked.child.column(asked.columns[0]), asked.parent.column(asked.target_columns[0])
    if shown is None or key is None:
        raise ValueError(asked)
    inner = Plan(select=[Term(Ref(asked.child, shown))], where=[(_among(named, [(condition,)]),)])
    return Condition(Term(Ref(asked.parent, key)), "in", plan=inner)
